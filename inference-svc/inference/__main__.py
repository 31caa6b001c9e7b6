"""`python -m inference`: serve one model or several. `--help` lists the settings."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import uvloop

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.locate import check_adapter, check_model_id
from inference.engine.runtime import set_up_runtime
from inference.logs import set_up_logging
from inference.server import default_name, serve
from inference.settings import Settings, SettingsError, read_settings


def _checked_settings() -> Settings:
    """The settings, of models that can be there.

    Raises:
        SettingsError: bad settings.
        CheckpointError: a path that leads to no model, or to no adapter.
    """
    settings = read_settings(sys.argv[1:], os.environ)
    for location in (settings.model_id, *settings.models.values()):
        check_model_id(location)
    for location in settings.lora_adapters.values():
        check_adapter(location)
    if (name := default_name(settings)) in settings.models:
        raise SettingsError(f"MODELS must not have the default model's name {name!r}")
    if taken := sorted(settings.lora_adapters.keys() & {name, *settings.models}):
        raise SettingsError(f"LORA_ADAPTERS must not have a model's name. Given: {taken[0]!r}")
    return settings


def main() -> int:
    """Run the service; the exit status is 2 for settings or a model that can't be used."""
    try:
        settings = _checked_settings()
    except (SettingsError, CheckpointError) as error:
        for line in str(error).splitlines():
            print(f"inference: {line}", file=sys.stderr)  # noqa: T201 (before there is a log)
        return 2
    set_up_logging(settings.log_level)
    set_up_runtime()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


if __name__ == "__main__":
    status = main()
    logging.shutdown()
    # The engine's thread may be inside native code, which Python's own way out would tear down.
    os._exit(status)
