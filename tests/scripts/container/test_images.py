"""The functions' image, really built, looked into, and started as a cluster would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker

from scripts.container.archive import config
from scripts.container.build import SBOM_IN_IMAGE, Built, Wish, build_image
from scripts.container.recipe import PYTHON, RECIPES, ROOT
from scripts.container.tool import Tool
from scripts.local.serving.ports import free_port
from scripts.servers import debian
from scripts.setup.uv import find_uv
from tests.architecture.house import container
from tests.scripts.container.rootfs import NOBODY, mounts_below, ready, running

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),  # a base of Debian's packages, then the image
    pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="mounts need Linux and root"),
]

MOST_BYTES_ABOVE_BASE = 120_000_000
FUNCTIONS = RECIPES["functions"]
UNCHECKED_HASH = 1
"""The flags in a bytecode file's head that say: made of this source, never to be compared with it again."""


@dataclass(frozen=True, slots=True)
class Image:
    """The image that was built, and how to get at its files."""

    built: Built
    storage: Path

    @property
    def config(self) -> dict[str, Any]:
        return config(Path(self.built.archive))

    @property
    def environment(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @contextmanager
    def root(self) -> Iterator[Path]:
        """Its files, in a folder that is gone afterwards."""
        name = self.buildah("from", "--pull-never", self.built.image)
        try:
            yield Path(self.buildah("mount", name))
        finally:
            self.buildah("umount", name)
            self.buildah("rm", name)

    def buildah(self, *words: str) -> str:
        storage = ["--root", str(self.storage / "layers"), "--runroot", str(self.storage / "run")]
        done = subprocess.run(
            ["buildah", *storage, "--storage-driver", "overlay", *words],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    for name in ("buildah", "mmdebstrap"):
        debian.need(debian.program(name), name, (name,))
    folder = tmp_path_factory.mktemp("images")
    before = os.umask(0o077)  # whoever builds it, all shall be able to read it
    try:
        built = build_image(FUNCTIONS, Tool("buildah", folder / "storage"), Wish(), folder / "dist")
    finally:
        os.umask(before)
    image = Image(built, folder / "storage")
    yield image
    image.buildah("rmi", "--all", "--force")


def locked() -> dict[str, str]:
    """The versions of the packages that the lock file wants at run time, in the image."""
    words = ("export", "--quiet", "--frozen", "--no-default-groups", "--no-emit-project", "--no-hashes")
    said = subprocess.run(
        [find_uv(ROOT / ".tools"), *words], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    found = re.findall(r"^([\w.-]+)==(\S+)(?: ; (.*))?$", said, re.MULTILINE)
    there = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    return {name: version for name, version, only in found if not only or Marker(only).evaluate(there)}


def test_it_adds_no_more_to_its_base_than_it_may(image: Image) -> None:
    assert 0 < image.built.above_base_bytes <= MOST_BYTES_ABOVE_BASE


def test_it_is_nobodys_and_says_what_it_is(image: Image) -> None:
    assert image.config["User"] == f"{NOBODY}:{NOBODY}"
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == FUNCTIONS.version
    assert labels["org.opencontainers.image.base.name"] == image.built.base
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert len(labels["org.opencontainers.image.revision"]) == 40
    assert labels["dev.hadal.sbom"] == SBOM_IN_IMAGE


def test_its_list_of_packages_is_the_lock_files(image: Image) -> None:
    listed = json.loads(Path(image.built.sbom).read_text())
    assert listed["bomFormat"] == "CycloneDX"
    found = {re.sub(r"[-_.]+", "-", each["name"]).lower(): each["version"] for each in listed["components"]}
    assert found == locked()
    with image.root() as root:
        assert (root / SBOM_IN_IMAGE.lstrip("/")).read_bytes() == Path(image.built.sbom).read_bytes()


def test_it_holds_the_program_and_nothing_of_its_making(image: Image) -> None:
    with image.root() as root:
        app = root / "opt" / "hadal" / "app"
        assert sorted(path.name for path in app.iterdir()) == ["events", "functions"]
        ours = {
            path.relative_to(ROOT)
            for folder in ("events", "functions")
            for path in (ROOT / folder).rglob("*.py")
        }
        assert {path.relative_to(app) for path in app.rglob("*.py")} == ours
        assert not [path for path in (root / "opt" / "hadal").rglob("tests") if path.is_dir()]


def test_every_source_has_bytecode_that_is_never_compared_again(image: Image) -> None:
    with image.root() as root:
        sources = [*(root / "opt/hadal/app").rglob("*.py"), *(root / "opt/hadal/packages").rglob("*.py")]
        compiled = {
            source: source.parent / "__pycache__" / f"{source.stem}.cpython-{PYTHON.replace('.', '')}.pyc"
            for source in sources
        }
        assert len(compiled) > 1000
        assert not [str(source) for source, bytecode in compiled.items() if not bytecode.is_file()]
        heads = {bytecode.read_bytes()[4:8] for bytecode in compiled.values()}
        assert heads == {UNCHECKED_HASH.to_bytes(4, "little")}


def test_nobody_can_read_all_and_write_nothing(image: Image) -> None:
    with image.root() as root:
        paths = [path for path in (root / "opt/hadal").rglob("*") if not path.is_symlink()]
        assert not [str(path) for path in paths if path.stat().st_mode & 0o044 != 0o044]
        assert not [str(path) for path in paths if path.stat().st_mode & 0o022]


def test_a_function_starts_read_only_as_nobody_and_without_a_shell(image: Image) -> None:
    gateway = container("gateway")
    port = free_port()
    variables = {each["name"]: each["value"] for each in gateway["env"]}
    environment = {**image.environment, **variables, "HOST": "127.0.0.1", "PORT": str(port)}
    program, *arguments = gateway["command"]
    command = [f"/opt/hadal/bin/{program}", *arguments]
    with image.root() as root:
        with running(root, image.config["WorkingDir"], command, environment) as process:
            assert ready(f"http://127.0.0.1:{port}/readyz", process), process.stderr
        assert not list((root / "opt/hadal/app").rglob("*.tmp"))


def test_nothing_stays_mounted(image: Image) -> None:
    with image.root() as root:
        assert mounts_below(image.storage)
        assert root.is_dir()
    assert not mounts_below(image.storage)
