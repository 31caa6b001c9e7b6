"""The image that ours stand on: a registry's, or a small Debian made here where no registry answers."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .progress import ImagesFailed, run, say, step
from .tool import Tool

REGISTRY_BASE = "docker.io/library/python:3.11-slim"
DEBIAN = "bookworm"
DEBIAN_BASE = f"dev.local/hadal-base:{DEBIAN}"
"""Its Python is 3.11, like the registry's."""

_PACKAGES = "python3,ca-certificates,libstdc++6"
_NOT_NEEDED = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
_LICENCES = "/usr/share/doc/*/copyright"
_CONTAINERFILE = "FROM scratch\nADD base.tar /\n"


def find_base(tool: Tool, wanted: str | None, epoch_s: int) -> str:
    """The base's name, with the image in the tool's storage: what is wanted, else the default, else a Debian.

    Raises:
        ImagesFailed: the wanted one can't be had, or no Debian can be made.
    """
    name = wanted or REGISTRY_BASE
    if tool.has(name):
        return name
    try:
        with step(f"fetching the base {name}"):
            tool.pull(name)
        return name
    except ImagesFailed as failure:
        if wanted is not None:
            raise ImagesFailed(f"the base {wanted} can't be fetched: {_last_line(failure)}") from None
        say(f"  {name} can't be fetched, so a Debian is the base: {_last_line(failure)}")
    if not tool.has(DEBIAN_BASE):
        make_debian(tool, epoch_s, fresh=False)
    return DEBIAN_BASE


def make_debian(tool: Tool, epoch_s: int, *, fresh: bool) -> None:
    """Make the Debian base, with Python and certificates, from Debian's packages alone.

    `fresh` takes the packages as they are now; otherwise a base that was made before may be used again.

    Raises:
        ImagesFailed: there is no mmdebstrap, or it failed.
    """
    folder = _cache_folder()
    made = folder / "base.tar"
    if fresh or not made.is_file():
        _bootstrap(made, epoch_s)
    (folder / "Containerfile").write_text(_CONTAINERFILE)
    with step(f"{DEBIAN_BASE} from {made}"):
        tool.build(folder / "Containerfile", folder, DEBIAN_BASE, epoch_s=epoch_s)


def _bootstrap(made: Path, epoch_s: int) -> None:
    if shutil.which("mmdebstrap") is None:
        raise ImagesFailed(
            "no registry answers, and there is no mmdebstrap to make a base with: install it "
            "(on Debian: apt-get install mmdebstrap), or name an image that is here in --base"
        )
    words = [
        *("mmdebstrap", "--variant=minbase", f"--include={_PACKAGES}"),
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _NOT_NEEDED),
        *(f"--dpkgopt=path-include={_LICENCES}", DEBIAN),
    ]
    made.parent.mkdir(parents=True, exist_ok=True)
    unfinished = made.with_name(f"{os.getpid()}.tar")
    try:
        with step(f"a Debian {DEBIAN} with Python by mmdebstrap (one to three minutes)"):
            run([*words, str(unfinished)], env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)})
        unfinished.replace(made)
    finally:
        unfinished.unlink(missing_ok=True)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "hadal" / "images" / f"{DEBIAN}-{_PACKAGES.replace(',', '-')}"


def _last_line(failure: ImagesFailed) -> str:
    return str(failure).splitlines()[-1]
