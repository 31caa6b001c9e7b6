"""The image of PostgreSQL, made of Debian's packages where no registry answers."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .errors import Unfit

IMAGE = "dev.local/hadal-postgresql"
VERSION = "15"
CONTEXT = Path(__file__).parent / "postgresql"
DEBIAN = "bookworm"
BASE = f"dev.local/hadal-postgresql-base:{DEBIAN}"
_USER = (  # before the package makes one of another number
    "--essential-hook=echo postgres:x:999: >>$1/etc/group",
    "--essential-hook=echo postgres:x:999:999::/var/lib/postgresql:/bin/sh >>$1/etc/passwd",
)
_NOT_NEEDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
_WITHIN_S = 900


def current() -> str:
    """The image's name with the tag of what it is made of, so that one made of something else isn't taken."""
    made_of = hashlib.sha256()
    for path in (*sorted(CONTEXT.iterdir()), Path(__file__)):
        made_of.update(path.read_bytes())
    return f"{IMAGE}:{VERSION}-{made_of.hexdigest()[:12]}"


def make_postgresql(archive: Path) -> None:
    """Make the image, and write it as an OCI archive.

    Raises:
        Unfit: mmdebstrap or buildah is missing or failed.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    _need("mmdebstrap", "buildah")
    if _run(("buildah", "inspect", "--type", "image", BASE)).returncode:
        _make_base()
    _build(CONTEXT / "Containerfile", CONTEXT, current(), "--build-arg", f"BASE={BASE}")
    archive.unlink(missing_ok=True)
    _must("buildah", "push", current(), f"oci-archive:{archive}:{current()}")


def _make_base() -> None:
    with tempfile.TemporaryDirectory(prefix="hadal-postgresql-") as made:
        folder = Path(made)
        _must(
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


def _build(containerfile: Path, context: Path, tag: str, *arguments: str) -> None:
    _must("buildah", "build", "--pull-never", *arguments, "-f", str(containerfile), "-t", tag, str(context))


def _need(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            raise Unfit(f"there is no {name} to make {IMAGE} with (on Debian: apt-get install {name})")


def _must(*words: str) -> None:
    done = _run(words)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise Unfit(f"{words[0]} failed for {IMAGE}:\n{said}")


def _run(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env={"BUILDAH_ISOLATION": "chroot", **os.environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_WITHIN_S,
        check=False,
    )
