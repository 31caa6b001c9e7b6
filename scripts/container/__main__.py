"""`scripts/images`: the container images, built here and brought to a registry or into a containerd.

Exit status: 0 done, 2 it can't be done (one line says why) or wrong usage.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

from scripts.setup.progress import SetupFailed

from .base import DEBIAN_BASE, REGISTRY_BASE, make_debian
from .build import Built, Wish, build_image, build_time_s
from .containerd import NAMESPACE, chosen, import_archive
from .progress import ImagesFailed
from .recipe import DIST, PYTHON, RECIPES
from .staging import Build
from .tool import NAMES, find_tool

MEGABYTE = 1_000_000


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args(words)
    try:
        arguments.run(arguments)
    except (ImagesFailed, SetupFailed) as failure:
        print(f"scripts/images: {failure}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("scripts/images: interrupted; the same command begins the image anew.", file=sys.stderr)
        return 130
    return 0


def _build(arguments: argparse.Namespace) -> None:
    tool = find_tool(arguments.tool, arguments.storage)
    wish = Wish(arguments.base, arguments.python, arguments.tag, arguments.torch)
    for name in arguments.names or sorted(RECIPES):
        _tell(build_image(RECIPES[name], tool, wish, arguments.dist))


def _base(arguments: argparse.Namespace) -> None:
    make_debian(find_tool(arguments.tool, arguments.storage), build_time_s(), fresh=True)
    print(DEBIAN_BASE)


def _import(arguments: argparse.Namespace) -> None:
    ctr = ["ctr", *(["--address", arguments.address] if arguments.address else [])]
    for image in chosen(arguments.names, arguments.dist).values():
        import_archive(ctr, Path(image.archive), arguments.namespace)
        print(image.image)


def _push(arguments: argparse.Namespace) -> None:
    tool = find_tool(arguments.tool, arguments.storage)
    for image in chosen(arguments.names, arguments.dist).values():
        reference = f"{arguments.registry.rstrip('/')}/{image.image.rpartition('/')[2]}"
        tool.push(image.image, reference)
        print(reference)


def _list(arguments: argparse.Namespace) -> None:
    for image in chosen((), arguments.dist).values():
        _tell(image)


def _tell(image: Built) -> None:
    above, whole = image.above_base_bytes / MEGABYTE, image.whole_bytes / MEGABYTE
    packed = Path(image.archive).stat().st_size / MEGABYTE
    print(
        f"{image.image}  {above:,.0f} MB above {image.base}, {whole:,.0f} MB in all, {packed:,.0f} MB packed"
    )
    print(f"  {image.archive}\n  {image.sbom}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/images",
        description="Builds the container images: one for all functions, one for the model service.",
        epilog="What is built lies in dist/: an archive an image, and the list of its packages (CycloneDX).",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    build = _command(commands, "build", "build images", _build)
    _names(build)
    build.add_argument(
        "--base", metavar="IMAGE", help=f"what they stand on (default {REGISTRY_BASE}, or a Debian made here)"
    )
    build.add_argument(
        "--python", default=PYTHON, metavar="VERSION", help=f"the base's Python (default {PYTHON})"
    )
    build.add_argument("--tag", help="default: the project's version")
    build.add_argument(
        "--torch",
        choices=get_args(Build),
        help="of the model service: PyTorch's CPU build, PyPI's with CUDA's libraries, or PyPI's with "
        "stand-ins for them (default: cpu where PyTorch's index answers, else stubs)",
    )
    _tool(build)
    _tool(_command(commands, "base", f"make {DEBIAN_BASE} with mmdebstrap, where no registry answers", _base))
    importing = _command(commands, "import", "put built images into a containerd", _import)
    _names(importing)
    importing.add_argument("--namespace", default=NAMESPACE, help=f"containerd's (default {NAMESPACE})")
    importing.add_argument("--address", metavar="SOCKET", help="containerd's socket (default: ctr's own)")
    pushing = _command(commands, "push", "send built images to a registry", _push)
    pushing.add_argument("registry", metavar="REGISTRY/PREFIX", help="such as registry.example.com/hadal")
    _names(pushing)
    _tool(pushing)
    listing = _command(commands, "list", "built images and their sizes", _list)
    for command in (build, importing, pushing, listing):
        command.add_argument(
            "--dist", type=Path, default=DIST, metavar="DIR", help="where built images lie (dist)"
        )
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    about: str,
    run: Callable[[argparse.Namespace], None],
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=about[0].upper() + about[1:] + ".")
    command.set_defaults(run=run)
    return command


def _names(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "names", nargs="*", type=_name, metavar="IMAGE", help=f"{', '.join(sorted(RECIPES))} (none: all)"
    )


def _name(text: str) -> str:
    if text not in RECIPES:
        raise argparse.ArgumentTypeError(
            f"there is no image {text!r}; there are {', '.join(sorted(RECIPES))}"
        )
    return text


def _tool(command: argparse.ArgumentParser) -> None:
    command.add_argument("--tool", choices=NAMES, help="default: the first of them that is on PATH")
    command.add_argument(
        "--storage",
        type=Path,
        metavar="DIR",
        help="a folder for layers instead of the tool's own (not docker)",
    )


if __name__ == "__main__":
    sys.exit(main())
