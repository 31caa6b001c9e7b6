"""Stand-ins for CUDA's libraries: a program linked to them loads, and says so when it calls one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.container.progress import ImagesFailed
from scripts.container.without_cuda import missing_libraries, replace_cuda

pytestmark = pytest.mark.slow

# A function whose address is taken, as in torch, has to be there when the library is loaded.
TORCH = """
int cublasMultiply(void); int ncclSend(void); int cudaCount(void);
int (*taken[])(void) = {cublasMultiply, ncclSend};
int works(void) { return cudaCount() + 41; }
int multiplies(void) { return taken[0](); }
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A torch linked to CUDA's runtime, to a library with versions and to one without."""
    torch, cuda = tmp_path / "torch" / "lib", tmp_path / "nvidia" / "cu13" / "lib"
    torch.mkdir(parents=True)
    cuda.mkdir(parents=True)
    versions = tmp_path / "versions"
    versions.write_text("libcublas.so.13 { global: cublasMultiply; };\n")
    compiled(cuda / "libcudart.so.13", "int cudaCount(void) { return 1; }")
    compiled(
        cuda / "libcublas.so.13", "int cublasMultiply(void) { return 2; }", f"-Wl,--version-script={versions}"
    )
    compiled(cuda / "libnccl.so.2", "int ncclSend(void) { return 3; }")
    compiled(
        torch / "libtorch_cuda.so",
        TORCH,
        *map(str, cuda.iterdir()),
        "-Wl,-rpath,$ORIGIN/../../nvidia/cu13/lib",
    )
    return tmp_path


def compiled(library: Path, source: str, *options: str) -> None:
    subprocess.run(
        [
            *("gcc", "-shared", "-fPIC", "-x", "c", "-", "-x", "none", *options),
            *(f"-Wl,-soname,{library.name}", "-o", str(library)),
        ],
        input=source,
        text=True,
        check=True,
    )


def called(packages: Path, function: str) -> subprocess.CompletedProcess[str]:
    """A process that loads torch's library and calls a function of it."""
    library = packages / "torch" / "lib" / "libtorch_cuda.so"
    program = f"import ctypes; print(ctypes.CDLL({str(library)!r}).{function}())"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)


def test_torch_works_without_the_libraries_that_it_doesnt_call(packages: Path) -> None:
    real = packages / "nvidia" / "cu13" / "lib" / "libcublas.so.13"
    before = real.read_bytes()
    replace_cuda(packages)
    assert real.read_bytes() != before
    assert called(packages, "works").stdout == "42\n"


def test_a_call_of_cuda_says_which_build_has_it(packages: Path) -> None:
    assert called(packages, "multiplies").stdout == "2\n"
    replace_cuda(packages)
    done = called(packages, "multiplies")
    assert done.returncode < 0
    assert done.stderr == "This image has no CUDA libraries: build it with --torch cuda to use a GPU.\n"


def test_the_driver_is_not_replaced_so_that_it_seems_absent(packages: Path) -> None:
    folder = packages / "torch" / "lib"
    compiled(folder / "libcuda.so.1", "int cuInit(void) { return 1; }")
    compiled(
        folder / "libnvrtc_user.so",
        "int cuInit(void); int f(void) { return cuInit(); }",
        str(folder / "libcuda.so.1"),
    )
    assert "libcuda.so.1" not in missing_libraries(folder.glob("*.so"), set())


@pytest.fixture
def no_compiler(packages: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    assert shutil.which("gcc")
    monkeypatch.setenv("PATH", str(packages))
    yield


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_says_what_to_install(packages: Path) -> None:
    with pytest.raises(ImagesFailed, match=r"apt-get install gcc.*--torch cpu or --torch cuda"):
        replace_cuda(packages)
