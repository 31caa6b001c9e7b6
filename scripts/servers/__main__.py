"""`scripts/services`: real servers on this machine's loopback, up and down.

Exit status: 0 done, 1 a server couldn't be started, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.servers import SERVERS, ServerFailed, State, down, status, up

DEFAULT_DATA = Path(__file__).resolve().parents[2] / ".services"


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args(words)
    names = arguments.names or sorted(SERVERS)
    found: dict[str, State | None] = {}
    try:
        for name in names:
            found[name] = _done(arguments.command, name, arguments.data)
    except ServerFailed as failure:
        print(f"scripts/services: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("scripts/services: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    _tell(found, as_json=arguments.json)
    return 0


def _done(command: str, name: str, data: Path) -> State | None:
    if command == "up":
        return up(name, data)
    if command == "down":
        down(name, data)
    return status(name, data)


def _tell(found: dict[str, State | None], *, as_json: bool) -> None:
    if as_json:
        states = {
            name: {"state": "down"} if state is None else {"state": "up", "url": state.url, "pid": state.pid}
            for name, state in found.items()
        }
        print(json.dumps(states))
        return
    width = max(map(len, found))
    for name, state in found.items():
        print(f"{name:<{width}}  " + ("down" if state is None else f"up    {state.url}  (pid {state.pid})"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/services",
        description="Real servers on 127.0.0.1, for `scripts/run --store URL` and for your own tries.",
        epilog="What a server keeps stays in its folder below --data; remove that folder to begin anew.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in (
        ("up", "install what is missing, start, wait until ready; a server that runs is left alone"),
        ("down", "stop; what they keep stays"),
        ("status", "which run, and where"),
    ):
        command = commands.add_parser(name, help=about, description=about)
        command.add_argument(
            "names",
            nargs="*",
            type=_name,
            metavar="SERVER",
            help=f"{', '.join(sorted(SERVERS))} (none: all)",
        )
        command.add_argument("--json", action="store_true", help="print JSON: state, url and pid by name")
        command.add_argument(
            "--data", type=Path, default=DEFAULT_DATA, metavar="DIR", help="their folder (default .services)"
        )
    return parser


def _name(text: str) -> str:
    if text not in SERVERS:
        raise argparse.ArgumentTypeError(
            f"there is no server {text!r}; there are {', '.join(sorted(SERVERS))}"
        )
    return text


if __name__ == "__main__":
    sys.exit(main())
