"""The functions' stores: a file each, as the overlay says, or one server for all of them (`--store`).

On a server each function keeps to its own part by its name, so one address does for all.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import replace
from urllib.parse import urlsplit

from .console import StartError
from .manifests import Manifests
from .manifests.model import EnvVar, Service
from .serving import Image

VARIABLE = "HADAL_STORE"
SCHEMES = ("postgresql", "mongodb", "mongodb+srv")


def check_store(url: str, functions: Image) -> None:
    """Return if `url` names a server that takes writes, as the functions' own check says.

    Raises:
        StartError: it doesn't, and why; the message shows no password.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in SCHEMES and bool(parts.hostname) and len(parts.path) > 1
    except ValueError:
        is_good = False
    if not is_good:
        raise StartError(
            "--store: should be postgresql://USER:PASSWORD@HOST/DATABASE or mongodb://HOST/DATABASE;"
            " without it each function keeps a SQLite file in --data."
            " (`scripts/services up postgresql` starts a server.)"
        )
    done = subprocess.run(
        [str(functions.programs / "python"), "-m", "functions._runtime.check_store"],
        cwd=functions.folder,
        env={VARIABLE: url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartError(f"--store: {done.stderr.strip()}")


def with_store(manifests: Manifests, url: str) -> Manifests:
    """`manifests` with this store for every function that has one."""

    def moved(service: Service) -> Service:
        env = tuple(
            EnvVar(VARIABLE, url.replace("$", "$$"), each.where) if each.name == VARIABLE else each
            for each in service.env
        )
        return replace(service, env=env)

    return replace(manifests, services=tuple(moved(service) for service in manifests.services))


def store_mark(url: str | None) -> str:
    """A name for the store in the data folder: "" for the files in it, the same for any password."""
    if url is None:
        return ""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return "-" + hashlib.sha256(place.encode()).hexdigest()[:16]
