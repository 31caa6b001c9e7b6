"""Checkpoints and the real model, made once a run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pytest

from tests.s3_server import S3Server

SERVICES = Path(__file__).resolve().parents[2] / "scripts/services"  # of the project around this one


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A small random-weight checkpoint of a shape."""
    from scripts.make_checkpoint import make_checkpoint

    made: dict[str, Path] = {}

    def make(shape: str) -> Path:
        if shape not in made:
            made[shape] = make_checkpoint(tmp_path_factory.mktemp("checkpoints") / shape, shape)
        return made[shape]

    return make


@pytest.fixture(scope="session")
def default_model(pytestconfig: pytest.Config) -> Path:
    """The converted default model; fetched once and kept between runs."""
    from inference.checkpoint.default_model import NAME, prepare_default_model

    assert pytestconfig.cache is not None
    return prepare_default_model(pytestconfig.cache.mkdir("models") / NAME, print)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real server with nothing in it, gone at the end."""
    folder = str(tmp_path_factory.mktemp("s3"))
    up = subprocess.run(
        [SERVICES, "up", "s3", "--json", "--data", folder], stdout=subprocess.PIPE, check=True
    )
    try:
        url = urlsplit(orjson.loads(up.stdout)["s3"]["url"])
        assert url.username
        assert url.password
        server = S3Server(f"http://{url.hostname}:{url.port}", url.username, url.password)
        server.make_bucket()
        yield server
    finally:
        subprocess.run([SERVICES, "down", "s3", "--data", folder], stdout=subprocess.DEVNULL, check=True)


@pytest.fixture
def s3(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The server, as the environment's."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    return s3_server
