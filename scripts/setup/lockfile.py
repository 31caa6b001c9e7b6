"""What a uv.lock says about size: how much a set-up downloads at most, told before it begins."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

MEGABYTE = 1_000_000


def packages(lock: Path) -> list[dict[str, Any]]:
    """The packages of a lock file as it lists them."""
    found: list[dict[str, Any]] = tomllib.loads(lock.read_text()).get("package", [])
    return found


def version_of(lock: Path, name: str) -> str:
    """The pinned version of a package."""
    return next(str(package["version"]) for package in packages(lock) if package["name"] == name)


def download_bytes(lock: Path, without: Collection[str] = ()) -> int:
    """About how much is downloaded where nothing is cached: of each package its largest fitting wheel."""
    return sum(_wheel_bytes(package) for package in packages(lock) if package["name"] not in without)


def _wheel_bytes(package: dict[str, Any]) -> int:
    sizes = [wheel.get("size", 0) for wheel in package.get("wheels", ()) if _fits(wheel["url"])]
    return max(sizes, default=0)


def _fits(url: str) -> bool:
    tags = url.rpartition("/")[2].lower()
    return "-none-any" in tags or (_system() in tags and platform.machine().lower() in tags)


def _system() -> str:
    return {"Linux": "linux", "Darwin": "macosx"}.get(platform.system(), platform.system().lower())
