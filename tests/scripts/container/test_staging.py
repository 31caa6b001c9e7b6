"""The model service's packages, laid out for a processor alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.container.recipe import PYTHON, RECIPES
from scripts.container.staging import lay_out

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # torch may have to be downloaded

MOST_BYTES = 1_600_000_000
COMPUTES = """
import torch
assert not torch.cuda.is_available()
square = torch.randn(8, 8)
torch.linalg.inv(square @ square.T + torch.eye(8))
torch.nn.functional.scaled_dot_product_attention(*[square.bfloat16()[None, None]] * 3)
print(torch.__version__.partition("+")[0])
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("laid-out") / "packages"
    lay_out(RECIPES["inference"], folder, PYTHON, "stubs")
    return folder


def test_pypis_torch_computes_without_cudas_libraries(packages: Path) -> None:
    if f"{sys.version_info.major}.{sys.version_info.minor}" != PYTHON:
        pytest.skip(f"the packages are for Python {PYTHON}")
    done = subprocess.run(
        [sys.executable, "-S", "-c", COMPUTES],
        env={**os.environ, "PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (metadata,) = packages.glob("torch-*.dist-info")
    assert metadata.name == f"torch-{done.stdout.strip()}.dist-info"


def test_they_are_a_fraction_of_what_cuda_takes(packages: Path) -> None:
    size_bytes = sum(path.stat().st_size for path in packages.rglob("*") if not path.is_symlink())
    assert size_bytes < MOST_BYTES
    assert not (packages / "triton").exists()
    assert {path.name for path in packages.glob("nvidia*.dist-info")} == {
        path.name for kept in ("runtime", "cupti") for path in packages.glob(f"nvidia_cuda_{kept}-*")
    }
