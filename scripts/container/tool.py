"""buildah, podman or docker: whichever is there, behind the same six verbs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .progress import ImagesFailed, run

NAMES = ("buildah", "podman", "docker")
_HOW_TO_INSTALL = "install one of them (on Debian: apt-get install buildah)"


@dataclass(frozen=True, slots=True)
class Tool:
    """One of them. `storage` is a folder for its layers (buildah, podman), else it has its usual one."""

    name: str
    storage: Path | None = None

    def has(self, image: str) -> bool:
        """Whether the image is in its storage."""
        inspect = [*self._words, "inspect", "--type", "image", image]
        return (
            subprocess.run(inspect, env=self._environment, capture_output=True, check=False).returncode == 0
        )

    def pull(self, image: str) -> None:
        """Fetch an image from its registry.

        Raises:
            ImagesFailed: it can't be had.
        """
        self._run("pull", image)

    def build(
        self,
        containerfile: Path,
        context: Path,
        tag: str,
        *,
        arguments: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        epoch_s: int,
    ) -> None:
        """Build an image of what is there; nothing is pulled.

        Raises:
            ImagesFailed: it failed.
        """
        options = {
            "buildah": ("--pull-never", "--timestamp", str(epoch_s)),
            "podman": ("--pull=never", "--timestamp", str(epoch_s)),
            "docker": ("--build-arg", f"SOURCE_DATE_EPOCH={epoch_s}"),
        }[self.name]
        given = [word for pair in (arguments or {}).items() for word in ("--build-arg", "=".join(pair))]
        marks = [word for pair in (labels or {}).items() for word in ("--label", "=".join(pair))]
        self._run("build", *options, *given, *marks, "--file", str(containerfile), "--tag", tag, str(context))

    def layers(self, image: str) -> list[str]:
        """The digests of an image's layers, unpacked, from the lowest one up."""
        said = json.loads(self._run("inspect", "--type", "image", image))
        if self.name == "buildah":
            return list(said["OCIv1"]["rootfs"]["diff_ids"])
        return list(said[0]["RootFS"]["Layers"])

    def save(self, image: str, archive: Path) -> None:
        """Write an image into an OCI archive."""
        archive.unlink(missing_ok=True)
        match self.name:
            case "buildah":
                self._run("push", image, f"oci-archive:{archive}:{image}")
            case "podman":
                self._run("save", "--format", "oci-archive", "--output", str(archive), image)
            case _:
                self._run("save", "--output", str(archive), image)

    def push(self, image: str, reference: str) -> None:
        """Send an image to a registry under another name.

        Raises:
            ImagesFailed: the registry can't be reached or refuses it.
        """
        if self.name == "docker":
            self._run("tag", image, reference)
            self._run("push", reference)
        else:
            self._run("push", image, f"docker://{reference}")

    def _run(self, *words: str) -> str:
        return run([*self._words, *words], name=f"{self.name} {words[0]}", env=self._environment)

    @property
    def _words(self) -> list[str]:
        if self.storage is None:
            return [self.name]
        return [self.name, "--root", str(self.storage / "layers"), "--runroot", str(self.storage / "run")]

    @property
    def _environment(self) -> dict[str, str]:
        """A build step needs no network and no runtime, so it is isolated by a changed root alone."""
        environment = {"BUILDAH_ISOLATION": "chroot", **os.environ}
        return environment if self.storage is None else {"STORAGE_DRIVER": "overlay", **environment}


def find_tool(name: str | None = None, storage: Path | None = None) -> Tool:
    """The tool that was asked for, or the first one that is on PATH.

    Raises:
        ImagesFailed: it isn't there; docker can't have a storage of its own.
    """
    there = [candidate for candidate in NAMES if _works(candidate)]
    if name is not None and name not in there:
        what = "doesn't answer" if shutil.which(name) else "isn't on PATH"
        raise ImagesFailed(f"{name} {what}: put that right, or leave --tool out to take what is there")
    if not there:
        raise ImagesFailed(f"none of {', '.join(NAMES)} is here and works: {_HOW_TO_INSTALL}")
    chosen = name or there[0]
    if chosen == "docker" and storage is not None:
        raise ImagesFailed("--storage is for buildah and podman: docker's daemon keeps its own")
    return Tool(chosen, storage)


def _works(name: str) -> bool:
    """Whether it is on PATH; docker is a client, which is of no use without its daemon."""
    if shutil.which(name) is None or name != "docker":
        return shutil.which(name) is not None
    return subprocess.run([name, "version"], capture_output=True, check=False).returncode == 0
