"""The image of PostgreSQL, made of Debian's packages where no registry answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import Unfit

IMAGE = "dev.local/hadal-postgresql"
TAG = "15"
CONTEXT = Path(__file__).parent / "postgresql"
DEBIAN = "bookworm"
BASE = f"dev.local/hadal-postgresql-base:{DEBIAN}"
_USER = (  # before the package makes one of another number
    "--essential-hook=echo postgres:x:999: >>$1/etc/group",
    "--essential-hook=echo postgres:x:999:999::/var/lib/postgresql:/bin/sh >>$1/etc/passwd",
)
_NOT_NEEDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
_WITHIN_S = 900


def make_postgresql(archive: Path) -> None:
    """Make the image, and write it as an OCI archive.

    Raises:
        Unfit: mmdebstrap or buildah is missing or failed.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hadal-postgresql-") as made:
        folder = Path(made)
        _run(
            "mmdebstrap",
            "--variant=minbase",
            "--include=postgresql-15",
            *_USER,
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_NEEDED),
            DEBIAN,
            str(folder / "base.tar"),
        )
        (folder / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
        _build(folder / "Containerfile", folder, BASE)
        _build(CONTEXT / "Containerfile", CONTEXT, f"{IMAGE}:{TAG}", "--build-arg", f"BASE={BASE}")
    archive.unlink(missing_ok=True)
    _run("buildah", "push", f"{IMAGE}:{TAG}", f"oci-archive:{archive}:{IMAGE}:{TAG}")


def _build(containerfile: Path, context: Path, tag: str, *arguments: str) -> None:
    _run("buildah", "build", "--pull-never", *arguments, "-f", str(containerfile), "-t", tag, str(context))


def _run(*words: str) -> None:
    if shutil.which(words[0]) is None:
        raise Unfit(f"there is no {words[0]} to make {IMAGE} with (on Debian: apt-get install {words[0]})")
    environment = {"BUILDAH_ISOLATION": "chroot", **os.environ}
    done = _quietly(words, environment)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise Unfit(f"{words[0]} failed for {IMAGE}:\n{said}")


def _quietly(words: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_WITHIN_S,
        check=False,
    )
