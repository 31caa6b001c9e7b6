"""Archives into a containerd, for a cluster without a registry."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from .build import Built, built
from .progress import ImagesFailed, run, step
from .recipe import DIST

NAMESPACE = "k8s.io"
"""Where a kubelet's containerd looks."""


def archives(names: Iterable[str] = (), dist: Path = DIST) -> dict[str, Path]:
    """The archives of built images by the images' names with their tags; of all of them if none is named.

    Raises:
        ImagesFailed: one of them hasn't been built.
    """
    return {image.image: Path(image.archive) for image in chosen(names, dist).values()}


def chosen(names: Iterable[str], dist: Path = DIST) -> dict[str, Built]:
    """The records of built images by their recipes' names.

    Raises:
        ImagesFailed: one of them hasn't been built.
    """
    there = built(dist)
    wanted = list(names) or sorted(there)
    if not wanted:
        raise ImagesFailed("nothing has been built: `scripts/images build`")
    if missing := " ".join(name for name in wanted if name not in there):
        raise ImagesFailed(f"{missing} hasn't been built: `scripts/images build {missing}`")
    return {name: there[name] for name in wanted}


def import_archive(ctr: Sequence[str], archive: Path, namespace: str = NAMESPACE) -> None:
    """Put an archive's image into a containerd under the name that it bears.

    Args:
        ctr: the words that begin a `ctr` command, such as `["ctr", "--address", "/run/…/containerd.sock"]`.
        archive: an OCI archive.
        namespace: containerd's, not Kubernetes'.

    Raises:
        ImagesFailed: there is no ctr, or it failed.
    """
    if shutil.which(ctr[0]) is None:
        raise ImagesFailed(
            f"{ctr[0]} isn't on PATH: it comes with containerd (on Debian: apt-get install containerd)"
        )
    with step(f"{archive.name} into containerd ({namespace})"):
        run([*ctr, "--namespace", namespace, "images", "import", str(archive)], name="ctr images import")
