"""`scripts/run`: start the system on this machine, or say something to the one that runs.

Exit status: 0 done (also after Ctrl-C), 1 a command couldn't be carried out, 2 wrong usage or can't start.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .admin import CommandError, Row, ask
from .console import StartError

ROOT = Path(__file__).parents[2]
DEFAULT_DATA = ROOT / ".hadal"
DEFAULT_OVERLAY = ROOT / "knative/overlays/local"
DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class Options:
    """What `scripts/run` was told.

    `model` None: the default model; `port` 0: any free one; `store` None: a file for each function.
    """

    port: int
    host: str
    data: Path
    model: str | None
    overlay: Path
    reset: bool
    yes: bool
    json: bool
    store: str | None = None


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args(words)
    try:
        return int(arguments.act(arguments))
    except StartError as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return 2
    except CommandError as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0


def _run(arguments: argparse.Namespace) -> int:
    from .runner import run  # the rest of the runner is imported only where it is needed

    return run(
        Options(
            arguments.port,
            arguments.host,
            arguments.data,
            arguments.model,
            arguments.overlay,
            arguments.reset,
            arguments.yes,
            arguments.json,
            arguments.store or os.environ.get("HADAL_STORE"),
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/run",
        description="Run Hadal on this machine, from its Knative manifests.",
        epilog="Without a command: start. Ctrl-C stops everything; the next start finds all data.",
    )
    _run_options(parser)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="the system's data folder"
    )
    shared.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(title="commands for the running system", metavar="COMMAND")

    def add(name: str, act: Callable[[argparse.Namespace], int], about: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[shared], help=about, description=about)
        command.set_defaults(act=act)
        return command

    add("status", _status, "Services with their replicas, Triggers with their lag")
    add("apply", _apply, "read the manifests again, and do what has changed in them")
    add("dead-letters", _dead_letters, "events that no subscriber took, with the reason")
    redeliver = add("redeliver", _redeliver, "deliver a dead letter once more")
    which = redeliver.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help="the dead letter's id, as `dead-letters` shows it")
    which.add_argument("--all", action="store_true", help="all of them")
    events = add("events", _events, "the last events")
    events.add_argument("--follow", action="store_true", help="go on showing them as they pass")
    events.add_argument("--count", type=int, default=100, metavar="N", help="how many (default 100)")
    rebuild = add(
        "rebuild", _rows_of("rebuild", "function"), "build a function's read models anew from position 0"
    )
    rebuild.add_argument("function", choices=["history"])
    key = add("api-key", _rows_of("api-key", "name"), "make another admin API key")
    key.add_argument("name", help="what the key is for")
    logs = add("logs", _logs, "a Service's log")
    logs.add_argument("service")
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(act=_run)
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="where clients come in (default 8080; 0: any)"
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default 127.0.0.1)")
    parser.add_argument(
        "--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="data folder (default .hadal)"
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a Hugging Face folder, hub id or GGUF file, or the URL of an OpenAI-compatible server"
        " (default: SmolLM2-135M-Instruct)",
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help="postgresql://… or mongodb://…: where the functions keep everything, instead of a file each in"
        " --data; the variable HADAL_STORE says it without showing a password to `ps`",
    )
    parser.add_argument(
        "--torch",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="the build of torch that the set-up, which runs before this, installs for the model service",
    )
    parser.add_argument(
        "--overlay", type=Path, default=DEFAULT_OVERLAY, metavar="DIR", help="the manifests to run"
    )
    parser.add_argument(
        "--reset", action="store_true", help="remove all data first (converted models are kept)"
    )
    parser.add_argument("--yes", action="store_true", help="don't ask before --reset removes anything")
    parser.add_argument(
        "--json", action="store_true", help="when ready, print one line of JSON and nothing else"
    )


def _port(text: str) -> int:
    if not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 0 to 65535")
    return int(text)


def _status(arguments: argparse.Namespace) -> int:
    status = next(ask(_socket(arguments), "status"))
    if arguments.json:
        print(json.dumps(status))
        return 0
    _table(
        status["services"],
        ("name", "state", "revision", "replicas", "waiting", "requests", "restarts", "memory_mb"),
    )
    print()
    _table(status["triggers"], ("name", "broker", "lag", "waiting", "taken", "failed", "dead_letters"))
    return 0


def _apply(arguments: argparse.Namespace) -> int:
    _print(ask(_socket(arguments), "apply"), arguments, ("object", "change"))
    return 0


def _dead_letters(arguments: argparse.Namespace) -> int:
    _print(ask(_socket(arguments), "dead-letters"), arguments, ("id", "type", "trigger", "reason", "time"))
    return 0


def _redeliver(arguments: argparse.Namespace) -> int:
    _print(ask(_socket(arguments), "redeliver", id=arguments.id), arguments, ("redelivered",))
    return 0


def _events(arguments: argparse.Namespace) -> int:
    rows = ask(_socket(arguments), "events", follow=arguments.follow, count=arguments.count)
    for row in rows:
        line = (
            json.dumps(row)
            if arguments.json
            else "  ".join(str(row[name]) for name in ("time", "type", "subject", "id"))
        )
        print(line, flush=True)
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    for row in ask(_socket(arguments), "logs", service=arguments.service):
        print(row["line"])
    return 0


def _rows_of(command: str, argument: str) -> Callable[[argparse.Namespace], int]:
    def act(arguments: argparse.Namespace) -> int:
        for row in ask(_socket(arguments), command, **{argument: getattr(arguments, argument)}):
            print(json.dumps(row) if arguments.json else "  ".join(str(value) for value in row.values()))
        return 0

    return act


def _print(rows: Iterable[Row], arguments: argparse.Namespace, columns: Sequence[str]) -> None:
    if arguments.json:
        for row in rows:
            print(json.dumps(row))
    else:
        _table(list(rows), columns)


def _table(rows: Sequence[Row], columns: Sequence[str]) -> None:
    lines = [[column.replace("_", " ") for column in columns]]
    lines += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[number]) for line in lines) for number in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    return str(len(value)) if isinstance(value, list) else "" if value is None else str(value)


def _socket(arguments: argparse.Namespace) -> Path:
    return Path(arguments.data).absolute() / "run" / "admin.sock"
