"""The kernels that this machine can have, each held to the same behaviour."""

from __future__ import annotations

import pytest

from inference.engine.number_format import cpu_instructions
from inference.engine.operators.kernels import Kernels, TorchKernels
from inference.engine.operators.native.build import NativeUnavailable
from inference.engine.operators.native.kernels import native_kernels


@pytest.fixture(params=["torch", "native"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Kernels for a CPU; the native ones need AVX2 and a compiler."""
    if request.param == "torch":
        return TorchKernels()
    try:
        return native_kernels(cpu_instructions())
    except NativeUnavailable as error:
        pytest.skip(str(error))
