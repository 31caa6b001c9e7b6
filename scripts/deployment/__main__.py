"""`scripts/deploy`: Hadal on a cluster with Knative, by kubectl and kn.

Exit status: 0 it serves, 1 a step failed, 2 it can't be begun.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .cluster import Cluster
from .errors import Deployment
from .phases import Deployer, Wish
from .place import add_arguments, chosen
from .progress import Progress
from .rehearsal import rehearse
from .traffic import ALL


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args(words)
    progress = Progress()
    try:
        place = chosen(arguments)
        wish = Wish(place.overlay, dict(arguments.image), arguments.canary, arguments.ingress)
        print(f"deploy: the overlay {place.overlay.name} on {place.name}", file=sys.stderr)
        cluster = Cluster(place.tools)
        deployer = Deployer(cluster, place.machines, wish, progress)
        if arguments.dry_run:
            return rehearse(cluster, place.machines, deployer.objects)
        if arguments.api_key:
            print(deployer.use().another_key(arguments.api_key)["api_key"])
            return 0
        deployer.deploy(_show_key)
    except Deployment as error:
        print(f"scripts/deploy: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("scripts/deploy: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    print(f"deployed in {progress.elapsed_s():.0f} s")
    return 0


def _show_key(key: str) -> None:
    print(f"the first API key, shown this once: {key}", flush=True)


def _percent(text: str) -> int:
    try:
        number = int(text.removesuffix("%"))
    except ValueError:
        number = 0
    if not 1 <= number <= ALL:
        raise argparse.ArgumentTypeError(f"{text!r} is no share: give 1% to 100%")
    return number


def _image(text: str) -> tuple[str, str]:
    name, there, reference = text.partition("=")
    if not (name and there and reference):
        raise argparse.ArgumentTypeError(f"{text!r}: give NAME=REFERENCE")
    return name, reference


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy",
        description="Puts Hadal on a cluster with Knative. What is there is left or changed; "
        "run again after a failure, it goes on.",
    )
    add_arguments(parser)
    parser.add_argument(
        "--canary",
        type=_percent,
        default=ALL,
        metavar="N%",
        help="new revisions of changed Services get this share of the requests, and the tag "
        "`canary`; the rest stays where it is until the command is run without this",
    )
    parser.add_argument(
        "--image",
        action="append",
        type=_image,
        default=[],
        metavar="NAME=REFERENCE",
        help="an image in the place of one of the overlay's, such as "
        "dev.local/hadal-functions=registry.example.com/hadal/functions:1; may be repeated",
    )
    parser.add_argument(
        "--ingress",
        metavar="URL",
        help="the front door, http://address:port (default: by kubectl port-forward)",
    )
    parser.add_argument(
        "--api-key", metavar="NAME", help="only print another key, for instance when the first is lost"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be done, and change nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
