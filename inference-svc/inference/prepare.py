"""`python -m inference.prepare`: get a model ready to serve, once, before the service starts.

Prints progress on standard error and the checkpoint's folder on standard output. A second run finds it done.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from inference.checkpoint.default_model import prepare_default_model
from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_convert import RECORD, damaged_files
from inference.checkpoint.locate import place_checkpoint


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m inference.prepare", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the folder to make")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--default", action="store_true", help="the default model, SmolLM2-135M-Instruct")
    which.add_argument("--gguf", metavar="FILE", help="a GGUF file, converted into DIR")
    which.add_argument(
        "--model",
        metavar="ID",
        help="a hub id or s3://bucket/folder; a folder; a GGUF file",
    )
    parser.add_argument("--revision", help="branch, tag or commit of a hub id")
    parser.add_argument("--verify", action="store_true", help="also compare every file's checksum")
    return parser


def _prepare(options: argparse.Namespace) -> Path:
    if options.default:
        return prepare_default_model(options.out, _report)
    return place_checkpoint(options.gguf or options.model, options.revision, options.out, _report)


def _verify(folder: Path) -> None:
    if (folder / RECORD).is_file() and (damaged := damaged_files(folder)):
        raise CheckpointError(
            f"damaged in {folder}: {', '.join(damaged)}; remove the folder and run this again"
        )


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit status is 2 for a model that can't be had."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that scratch folders go
    try:
        folder = _prepare(options)
        if options.verify:
            _verify(folder)
    except CheckpointError as error:
        _report(f"inference.prepare: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
