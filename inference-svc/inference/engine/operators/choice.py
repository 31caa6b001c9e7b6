"""Which kernels compute the steps beside the products: chosen by the machine, or forced by a name."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from inference.engine.operators.kernels import Kernels, TorchKernels, TritonKernels
from inference.engine.operators.native.build import NativeUnavailable
from inference.engine.operators.native.kernels import native_kernels

KERNELS = ("auto", "torch", "native", "triton")


def choose_kernels(
    wanted: str, dtype: torch.dtype, device: torch.device, instructions: frozenset[str]
) -> tuple[Kernels, str]:
    """The kernels, and why these.

    Raises:
        ValueError: `wanted` is unknown or can't be had here.
    """
    match wanted:
        case "torch":
            return TorchKernels(), "forced"
        case "triton":
            return _triton(), "forced"
        case "native":
            try:
                return native_kernels(instructions), "forced"
            except NativeUnavailable as error:
                raise ValueError(f"the kernels 'native' can't be had: {error}") from error
        case "auto":
            return _best(dtype, device, instructions)
        case _:
            raise ValueError(f"there are no kernels {wanted!r}; there are: {', '.join(KERNELS)}")


def _triton() -> Kernels:
    if find_spec("triton") is None:
        raise ValueError("the kernels 'triton' need the package triton, which isn't installed")
    return TritonKernels()


def _best(dtype: torch.dtype, device: torch.device, instructions: frozenset[str]) -> tuple[Kernels, str]:
    if device.type == "cuda":
        if find_spec("triton") is None:
            return TorchKernels(), "triton isn't installed"
        return TritonKernels(), "a cuda device"
    if dtype not in (torch.float32, torch.bfloat16):
        return TorchKernels(), f"{dtype} rows"
    try:
        return native_kernels(instructions), "built for this processor"
    except NativeUnavailable as error:
        return TorchKernels(), str(error)
