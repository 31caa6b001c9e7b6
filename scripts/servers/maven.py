"""Jars from Maven Central: fetched once by Maven itself, each held against the checksum that is kept here.

`java/<name>.xml` is the pom that names them, `java/<name>.sha256` their checksums, in `sha256sum`'s form.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.servers.debian import need, program
from scripts.servers.server import ServerFailed
from scripts.setup.progress import step

JAVA = Path(__file__).parent / "java"
CACHE = Path(__file__).resolve().parents[2] / ".tools/servers"
FETCHED_WITHIN_S = 600


def class_path(name: str, cache: Path = CACHE) -> str:
    """The class path of `name`'s jars in `cache`, fetched where they aren't there.

    Raises:
        ServerFailed: they can't be had, or one isn't what it should be.
    """
    jars = cache / name
    wanted = _checksums(name)
    if not jars.exists():
        maven = need(program("mvn"), "Maven", ("maven",))
        cache.mkdir(parents=True, exist_ok=True)
        with (
            step(f"{name}: fetching {len(wanted)} jars from Maven Central"),
            tempfile.TemporaryDirectory(dir=cache) as new,
        ):
            _fetch(maven, name, Path(new, "jars"))
            _check(Path(new, "jars"), wanted)
            shutil.move(Path(new, "jars"), jars)  # whole or not at all
    return str(jars / "*")


def _fetch(maven: str, name: str, folder: Path) -> None:
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    done = subprocess.run(
        [maven, "-q", "-B", "-f", str(JAVA / f"{name}.xml"), goal, f"-DoutputDirectory={folder}"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=FETCHED_WITHIN_S,
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stdout.strip().splitlines()[:3])
        raise ServerFailed(f"{name}: Maven can't fetch the jars; is Maven Central within reach?\n{said}")


def _check(folder: Path, wanted: dict[str, str]) -> None:
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.iterdir()}
    wrong = sorted(
        name for name in wanted.keys() | found.keys() if found.get(name) != wanted.get(name, "none")
    )
    if wrong:
        raise ServerFailed(f"These jars aren't the ones whose checksums are kept: {', '.join(wrong)}.")


def _checksums(name: str) -> dict[str, str]:
    lines = (JAVA / f"{name}.sha256").read_text().splitlines()
    return {jar: digest for digest, jar in (line.split() for line in lines)}
