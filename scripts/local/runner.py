"""`scripts/run` without a command: from the manifests to a running system, and back to nothing.

A step that can't be done is a `StartError` before the next one begins.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path

import uvloop

from . import admin
from .cli import Options
from .commands import Commands
from .console import Console, StartError, welcome
from .datafolder import DataFolder, open_data_folder
from .eventing import LogRefused, problems
from .firstuse import AUTH, INFERENCE, FirstUse, Refused
from .http import HttpError, bind
from .machine import IMAGES, ROOT, Doors, Machine, inner_door
from .manifests import ManifestError, Manifests, load
from .manifests.model import EnvVar, Service
from .manifests.problems import Problem
from .models import Model, choose
from .serving import External, first_missing
from .serving.orphans import end_orphans
from .stores import check_store, store_mark, with_store

FUNCTIONS = "dev.local/hadal-functions"
FRONT = (AUTH, "gateway")
"""What a client's first request needs beside the model."""
LOG_BYTES = 10_000_000


def run(options: Options) -> int:
    """Start, serve until Ctrl-C or SIGTERM, stop; the exit status is 0. `StartError`."""
    console = Console()
    if options.store:
        check_store(options.store, IMAGES[FUNCTIONS])
    data = open_data_folder(options.data)
    orphans = end_orphans(data.path)
    if orphans:
        console.say(f"  {len(orphans)} processes of a runner that was killed are ended")
    if options.reset:
        _reset(data, options)
    try:
        manifests = _read(options, Model(), _at_first)
    except ManifestError as error:
        raise StartError(f"--overlay {options.overlay} can't be run here:\n{error}") from None
    outer = _outer_door(options)
    model = Model()
    if any(service.name == INFERENCE for service in manifests.services):
        model = choose(options.model, data.path / "models", console)
    _log_to(data.path / "logs" / "runner.log")
    _allow_many_files()
    doors = Doors(outer, inner_door(data))
    uvloop.run(_serve(_with_model(manifests, model), model, data, doors, options, console))
    return 0


async def _serve(
    manifests: Manifests, model: Model, data: DataFolder, doors: Doors, options: Options, console: Console
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    machine = Machine(manifests, data, doors, {INFERENCE: External(model.url)} if model.url else {})
    first_use = FirstUse(machine.activator, data, store_mark(options.store))
    try:
        await machine.start()
    except LogRefused as error:
        raise StartError(f"--data {data.path}: the Broker's log can't be opened: {error}") from None
    commands = Commands(machine, first_use, data, partial(_read, options, model))
    door = await admin.serve(data.admin_socket, commands.by_name())
    stopping = asyncio.ensure_future(stop.wait())
    starting = asyncio.ensure_future(_make_ready(machine, first_use, manifests, console))
    try:
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            _tell(*starting.result(), manifests, data, doors, options)
            await stopping
    finally:
        starting.cancel()
        with contextlib.suppress(asyncio.CancelledError, StartError):
            await starting
        door.close()
        await machine.stop()


async def _make_ready(
    machine: Machine, first_use: FirstUse, manifests: Manifests, console: Console
) -> tuple[str | None, str]:
    """Start what a first request needs; return the API key, if it is made now, and the model's name."""
    names = {service.name for service in manifests.services}
    model = asyncio.ensure_future(first_use.model()) if INFERENCE in names else None
    try:
        with console.step("the functions that a first request needs"):
            await asyncio.gather(*(machine.activator.warm(name) for name in FRONT if name in names))
            key = await first_use.first_key() if AUTH in names else None
        if model is None:
            return key, ""
        with console.step("the model"):
            return key, await model
    except (HttpError, Refused) as error:
        raise StartError(str(error)) from None
    finally:
        if model is not None:
            model.cancel()


def _tell(
    api_key: str | None,
    model: str,
    manifests: Manifests,
    data: DataFolder,
    doors: Doors,
    options: Options,
) -> None:
    port = doors.outer.getsockname()[1]
    host = "127.0.0.1" if options.host in ("0.0.0.0", "::", "") else options.host  # noqa: S104  it is compared
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    brokers = [f"{doors.proxy}/{broker.namespace}/{broker.name}" for broker in manifests.brokers]
    if options.json:
        ready = {
            "url": url,
            "broker": brokers[0] if brokers else None,
            "api_key": api_key,
            "data": str(data.path),
            "pid": os.getpid(),
        }
        print(json.dumps(ready), flush=True)
    else:
        print(welcome(url, api_key, model), flush=True)


def _read(
    options: Options, model: Model, check: Callable[[Manifests], list[Problem]] = problems
) -> Manifests:
    """The overlay as it is now, with the store and the model that were chosen. `ManifestError`."""
    manifests = load(options.overlay.absolute(), ROOT, images=IMAGES, check=check)
    if options.store:
        manifests = with_store(manifests, options.store)
    return _with_model(manifests, model)


def _at_first(manifests: Manifests) -> list[Problem]:
    """What can't be done, and what can't be done when every Service has its first revision only."""
    missing = [problem for service in manifests.services for problem in first_missing(service)]
    return [*problems(manifests), *missing]


def _with_model(manifests: Manifests, model: Model) -> Manifests:
    """The model service's `MODEL_ID`, set to the checkpoint that was chosen."""
    if model.folder is None:
        return manifests
    folder = str(model.folder)

    def chosen(service: Service) -> Service:
        if service.name != INFERENCE:
            return service
        kept = tuple(variable for variable in service.env if variable.name != "MODEL_ID")
        return replace(service, env=(*kept, EnvVar("MODEL_ID", folder, service.where)))

    return replace(manifests, services=tuple(chosen(service) for service in manifests.services))


def _outer_door(options: Options) -> socket.socket:
    try:
        return bind(options.host, options.port)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartError(
            f"--port {options.port}: {options.host} can't be listened on there ({reason});"
            " stop what does, or give another --port."
        ) from None


def _reset(data: DataFolder, options: Options) -> None:
    if options.store:
        raise StartError(
            "--reset removes what is in --data, and the functions' data is in --store:"
            " name a new database there instead."
        )
    if not options.yes:
        if not sys.stdin.isatty():
            raise StartError(
                f"--reset removes everything in {data.path}; say --yes as well where nobody can be asked."
            )
        if input(f"Remove all conversations, keys and events in {data.path}? [y/N] ").lower() not in (
            "y",
            "yes",
        ):
            raise StartError("--reset: nothing was removed.")
    data.reset()


def _log_to(path: Path) -> None:
    """The runner's own log: nothing of it comes between the lines on the terminal."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _allow_many_files() -> None:
    """Each connection is a descriptor; the usual soft limit is 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
