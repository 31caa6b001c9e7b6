"""The image of PostgreSQL, made of Debian's packages where no registry answers."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from scripts.container.progress import ImagesFailed, run
from scripts.container.tool import Tool, find_tool

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
_LICENCES = "/usr/share/doc/*/copyright"
_EPOCH_S = 0


def current() -> str:
    """The image's name with the tag of what it is made of, so that one made of something else isn't taken."""
    made_of = hashlib.sha256()
    for path in (*sorted(CONTEXT.iterdir()), Path(__file__)):
        made_of.update(path.read_bytes())
    return f"{IMAGE}:{VERSION}-{made_of.hexdigest()[:12]}"


def make_postgresql(archive: Path) -> None:
    """Make the image, and write it as an OCI archive.

    Raises:
        Unfit: a program for it is missing or failed.
    """
    archive.parent.mkdir(parents=True, exist_ok=True)
    try:
        tool = find_tool()
        if not tool.has(BASE):
            _make_base(tool)
        tool.build(CONTEXT / "Containerfile", CONTEXT, current(), arguments={"BASE": BASE}, epoch_s=_EPOCH_S)
        tool.save(current(), archive)
    except ImagesFailed as failure:
        raise Unfit(f"{IMAGE} couldn't be made: {failure}") from None


def _make_base(tool: Tool) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ImagesFailed("there is no mmdebstrap (on Debian: apt-get install mmdebstrap)")
    with tempfile.TemporaryDirectory(prefix="hadal-postgresql-") as made:
        folder = Path(made)
        excluded = (f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_NEEDED)
        kept = f"--dpkgopt=path-include={_LICENCES}"
        words = ("mmdebstrap", "--variant=minbase", "--include=postgresql-15", *_USER, *excluded, kept)
        run([*words, DEBIAN, str(folder / "base.tar")])
        (folder / "Containerfile").write_text("FROM scratch\nADD base.tar /\n")
        tool.build(folder / "Containerfile", folder, BASE, epoch_s=_EPOCH_S)
