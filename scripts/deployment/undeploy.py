"""`scripts/undeploy`: takes Hadal off a cluster, with its data or without.

Exit status: 0 it is gone, 1 something couldn't be deleted, 2 it wasn't begun.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TextIO

from .cluster import Cluster
from .credentials import KEPT_WITH_DATA, wanted_keys
from .errors import Deployment, Unfit
from .objects import PHASES, Manifest, namespace_of, of_phase, shown
from .place import Place, add_arguments, chosen
from .progress import Progress

GONE_WITHIN_S = 300
DATA = ("PersistentVolume", "PersistentVolumeClaim")
CLAIMS_GO_WITH = ("Namespace",)


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    arguments = _parser().parse_args(words)
    progress = Progress()
    try:
        place = chosen(arguments)
        cluster = Cluster(place.tools)
        objects = cluster.rendered(place.overlay)
        if not (arguments.keep_data or arguments.yes):
            ask_first(place.name, namespace_of(objects), sys.stdin)
        Undeployer(cluster, objects, place, progress).undeploy(keep_data=arguments.keep_data)
    except Deployment as error:
        print(f"scripts/undeploy: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("scripts/undeploy: interrupted; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0


class Undeployer:
    """An overlay on its way out."""

    def __init__(
        self, cluster: Cluster, objects: Sequence[Manifest], place: Place, progress: Progress
    ) -> None:
        self._cluster = cluster
        self._objects = objects
        self._place = place
        self._progress = progress

    def undeploy(self, *, keep_data: bool) -> None:
        """What reacts goes before what it calls, and data last. `Failed`."""
        for phase in reversed(PHASES):
            with self._progress.phase(f"deleting: {phase}"):
                self._delete([each for each in of_phase(self._objects, phase) if _goes_first(each)])
        if keep_data:
            kept = [*(shown(each) for each in self._objects if each["kind"] in DATA), *self._kept_secrets()]
            self._progress.tell(f"kept, with the namespace: {', '.join(kept)}")
            return
        with self._progress.phase("deleting: data and secrets"):
            namespace = namespace_of(self._objects)
            secrets = [_secret(name, namespace) for name in sorted(wanted_keys(self._objects))]
            self._delete([*(each for each in self._objects if each["kind"] in DATA), *secrets])
            self._delete([each for each in self._objects if each["kind"] in CLAIMS_GO_WITH])
            self._place.machines.clear(self._objects, self._progress.tell)

    def _kept_secrets(self) -> list[str]:
        return [f"Secret/{name}" for name in sorted(KEPT_WITH_DATA & set(wanted_keys(self._objects)))]

    def _delete(self, objects: Sequence[Manifest]) -> None:
        self._cluster.delete(self._cluster.known(objects), GONE_WITHIN_S)


def _goes_first(manifest: Manifest) -> bool:
    return manifest["kind"] not in (*DATA, *CLAIMS_GO_WITH)


def _secret(name: str, namespace: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace}}


def ask_first(place: str, namespace: str, person: TextIO) -> None:
    """Return where the person who is there means it.

    Raises:
        Unfit: they don't, or nobody is there.
    """
    what = f"This deletes the namespace {namespace} on {place}: accounts, keys and every conversation."
    if not person.isatty():
        raise Unfit(f"{what} Say --yes if that is meant, or --keep-data")
    print(f"{what}\nType the namespace's name to go on: ", end="", file=sys.stderr, flush=True)
    if person.readline().strip() != namespace:
        raise Unfit("nothing was deleted")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/undeploy", description="Takes Hadal off a cluster. It asks before it deletes data."
    )
    add_arguments(parser)
    parser.add_argument("--yes", action="store_true", help="delete data without asking")
    parser.add_argument(
        "--keep-data", action="store_true", help="keep volumes, claims and the Secrets that go with them"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
