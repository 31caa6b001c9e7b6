"""Which cluster a command is for: one that a kubeconfig names, or this machine's own node."""

from __future__ import annotations

import argparse
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from .cluster import Tools
from .errors import Unfit
from .machine import Elsewhere, Machines

ROOT = Path(__file__).resolve().parents[2]
OVERLAYS = ROOT / "knative" / "overlays"
OWN, ELSEWHERE = "node", "production"
"""The overlays that are meant where none is named."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it goes, and what goes there."""

    name: str
    tools: Tools
    overlay: Path
    machines: Machines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What chooses a place."""
    parser.add_argument(
        "--context", metavar="C", help="a context of the kubeconfig (default: the current one)"
    )
    parser.add_argument(
        "--kubeconfig",
        metavar="FILE",
        default=os.environ.get("KUBECONFIG", ""),
        help="default: $KUBECONFIG; with neither this nor --context, the node of scripts/cluster is meant",
    )
    parser.add_argument(
        "--overlay",
        metavar="O",
        help=f"of knative/overlays, or a folder (default: {OWN} on that node, else {ELSEWHERE})",
    )


def chosen(arguments: argparse.Namespace) -> Place:
    """The place that the command line means. `Unfit`."""
    is_own = not arguments.context and not arguments.kubeconfig
    overlay = _overlay(arguments.overlay or (OWN if is_own else ELSEWHERE))
    if is_own:
        from .own_node import OwnNode, own_tools  # root's and Linux's only

        return Place("the node of scripts/cluster", own_tools(), overlay, OwnNode())
    for program in ("kubectl", "kn"):
        if shutil.which(program) is None:
            raise Unfit(f"there is no {program} on the PATH; {_WHERE[program]}")
    words = [f"--context={arguments.context}"] if arguments.context else []
    words += [f"--kubeconfig={arguments.kubeconfig}"] if arguments.kubeconfig else []
    name = arguments.context or f"the current context of {arguments.kubeconfig}"
    return Place(name, Tools(("kubectl", *words), ("kn", *words)), overlay, Elsewhere())


_WHERE = {
    "kubectl": "https://kubernetes.io/docs/tasks/tools says where it is to be had",
    "kn": "https://knative.dev/docs/client/install-kn says where it is to be had",
}


def _overlay(name: str) -> Path:
    for folder in (OVERLAYS / name, Path(name)):
        if (folder / "kustomization.yaml").is_file():
            return folder
    there = ", ".join(sorted(folder.name for folder in OVERLAYS.iterdir()))
    raise Unfit(f"{name} is no overlay: give {there}, or a folder with a kustomization.yaml")
