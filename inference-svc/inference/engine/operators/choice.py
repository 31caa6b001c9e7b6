"""Which kernels compute the steps beside the products: chosen by the machine, or forced by a name."""

from __future__ import annotations

from importlib.util import find_spec

import torch

from inference.engine.operators.kernels import Kernels, TorchKernels, TritonKernels
from inference.engine.operators.native.build import NativeUnavailable
from inference.engine.operators.native.kernels import native_kernels
from inference.engine.operators.native.linear import FORMATS

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
            return _triton(device), "forced"
        case "native":
            if device.type != "cpu" or dtype not in FORMATS:
                raise ValueError(
                    "the kernels 'native' compute float32 and bfloat16 on a CPU, "
                    f"not {dtype} on {device.type}"
                )
            try:
                return native_kernels(instructions), "forced"
            except NativeUnavailable as error:
                raise ValueError(f"the kernels 'native' can't be had: {error}") from error
        case "auto":
            return _best(dtype, device, instructions)
        case _:
            raise ValueError(f"there are no kernels {wanted!r}; there are: {', '.join(KERNELS)}")


def _triton(device: torch.device) -> Kernels:
    if find_spec("triton") is None:
        raise ValueError("the kernels 'triton' need the package triton, which isn't installed")
    from triton import knobs

    if device.type != "cuda" and not knobs.runtime.interpret:
        raise ValueError(f"the kernels 'triton' need a CUDA device; this model is computed on {device.type}")
    return TritonKernels()


def _best(dtype: torch.dtype, device: torch.device, instructions: frozenset[str]) -> tuple[Kernels, str]:
    if device.type == "cuda":
        if find_spec("triton") is None:
            return TorchKernels(), "triton isn't installed"
        return TritonKernels(), "a cuda device"
    if dtype not in FORMATS:
        return TorchKernels(), f"{dtype} rows"
    try:
        return native_kernels(instructions), "built for this processor"
    except NativeUnavailable as error:
        return TorchKernels(), str(error)
