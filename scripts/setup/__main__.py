"""Makes what a command needs: `python -m scripts.setup (run|test|bench) [that command's arguments]`.

`run` needs the model service's environment only where it will start one; `test` needs both, and so does
`weights`, by which `scripts/deploy` gets a model. Of the arguments only `--torch` and, for `run`, `--model`
and `--help` are looked at.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import get_args

from scripts.setup import torch
from scripts.setup.environment import Environment, alone, run_uv
from scripts.setup.progress import SetupFailed, say

ROOT = Path(__file__).resolve().parents[2]
HADAL = Environment("hadal", ROOT)
ENGINE = Environment("the model service", ROOT / "inference-svc")


def needs_engine(command: str, arguments: list[str]) -> bool:
    """Whether the command will start the model service, or test it."""
    if command != "run":
        return command in ("test", "weights")
    if arguments and not arguments[0].startswith("-") and arguments[0] != "run":
        return False  # a word to a running Hadal, such as `status`
    model = _seen(arguments).model
    return not (_seen(arguments).help or model.startswith(("http://", "https://")))


def _seen(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="set-up", add_help=False, allow_abbrev=False)
    parser.add_argument("--torch", choices=get_args(torch.Choice), default="auto")
    parser.add_argument("--model", default="")
    parser.add_argument("--help", "-h", action="store_true")
    return parser.parse_known_args(arguments)[0]


def set_up(environments: list[Environment], choice: torch.Choice) -> None:
    """Makes those that aren't complete; returns at once where all are."""
    wanted = {environment: choice if environment is ENGINE else None for environment in environments}
    if all(environment.complete(build) for environment, build in wanted.items()):
        return
    from scripts.setup.uv import find_uv  # not needed in the common case, which shall take no time

    with alone(ROOT / ".tools"):
        uv = find_uv(ROOT / ".tools")
        for environment, build in wanted.items():
            if not environment.complete(build):  # the one we waited for may have made it
                environment.make(uv, _torch(choice) if environment is ENGINE else None, run_uv)


def _torch(choice: torch.Choice) -> torch.Build:
    build = torch.choose(
        choice, gpu=torch.has_nvidia_gpu, answers=lambda: torch.index_answers(torch.cpu_index())
    )
    say(f"torch: the {build.upper() if build == 'cpu' else 'CUDA'} build (--torch {choice})")
    return build


def cli(arguments: list[str]) -> int:
    """0 where all is there, 2 with one clear line where it can't be."""
    command, rest = arguments[0], arguments[1:]
    try:
        set_up([HADAL, ENGINE] if needs_engine(command, rest) else [HADAL], _seen(rest).torch)
    except SetupFailed as failure:
        print(f"set-up failed: {failure}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("set-up interrupted; the next start goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(cli(sys.argv[1:]))
