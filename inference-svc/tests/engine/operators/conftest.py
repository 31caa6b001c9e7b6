"""The kernels that this machine can have, each held to the same behaviour."""

from __future__ import annotations

import pytest

from inference.engine.number_format import cpu_instructions
from inference.engine.operators.kernels import Kernels, TorchKernels
from inference.engine.operators.native.build import NEEDED_INSTRUCTIONS, NativeUnavailable
from inference.engine.operators.native.kernels import native_kernels


@pytest.fixture(params=["torch", "native", "native without AVX-512"])
def kernels(request: pytest.FixtureRequest) -> Kernels:
    """Kernels for a CPU; the native ones need AVX2 and a compiler."""
    if request.param == "torch":
        return TorchKernels()
    instructions = cpu_instructions()
    if "without" in request.param:
        instructions &= NEEDED_INSTRUCTIONS
    try:
        return native_kernels(instructions)
    except NativeUnavailable as error:
        pytest.skip(str(error))
