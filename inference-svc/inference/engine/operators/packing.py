"""Which packing the weights get: chosen by the machine, tried before it is trusted, forced by a name.

A private operator may be missing in another build of torch, refuse this processor, or change its meaning. So
each candidate first multiplies a small matrix, and the result is held against `F.linear`; one that raises
or differs is passed over, and the reason is kept for the line printed at start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from inference.engine.number_format import cpu_instructions
from inference.engine.operators.linear import (
    HalfWeightLinear,
    Linear,
    OneDnnLinear,
    Pack,
    PlainLinear,
    fits_half,
    half_weight_bytes,
)
from inference.engine.operators.native.linear import NativeLinear

FLOAT16_WEIGHTS = "float16-weights"
NATIVE = "native"
_TRIAL_SHAPE = (48, 480)
_TRIAL_ROWS = (1, 5)
_TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}
_REFUSALS = (RuntimeError, AttributeError, NotImplementedError)  # how an operator says that it can't


@dataclass(frozen=True, slots=True)
class Packing:
    """A way to hold weights.

    Attributes:
        name: what `/info` and the log call it.
        pack: makes it.
        reason: why it, or why not a better one.
    """

    name: str
    pack: Pack
    reason: str = ""


def _native_where_it_fits(weight: Tensor, bias: Tensor | None) -> Linear:
    return (OneDnnLinear if weight.shape[1] % 2 else NativeLinear).pack(weight, bias)


def _half_where_it_fits(weight: Tensor, bias: Tensor | None) -> Linear:
    smaller = half_weight_bytes(*weight.shape) < weight.nbytes
    return (HalfWeightLinear if smaller and fits_half(weight) else OneDnnLinear).pack(weight, bias)


_PLAIN = Packing("plain", PlainLinear)
_ONEDNN = Packing("onednn", OneDnnLinear.pack)
_HALF = Packing(FLOAT16_WEIGHTS, _half_where_it_fits)
_NATIVE = Packing(NATIVE, _native_where_it_fits)


def choose_packing(dtype: torch.dtype, device: torch.device, wanted: str = "auto") -> Packing:
    """The best packing that works here for rows of `dtype`; `wanted` names one instead.

    Raises:
        ValueError: `wanted` is unknown or doesn't work here.
    """
    candidates = _candidates(dtype) if device.type == "cpu" else ()
    if wanted != "auto":
        return _forced(wanted, (*candidates, _PLAIN), dtype, device)
    passed_over: list[str] = []
    for candidate in candidates:
        if (flaw := flaw_of(candidate.pack, dtype, device)) is None:
            return Packing(
                candidate.name, candidate.pack, "; ".join(passed_over) or "works on this processor"
            )
        passed_over.append(f"{candidate.name} {flaw}")
    return Packing(_PLAIN.name, _PLAIN.pack, "; ".join(passed_over) or f"a {device.type} device")


def _candidates(dtype: torch.dtype) -> tuple[Packing, ...]:
    """Of a CPU, the best one first. Where there are AMX instructions oneDNN has them, and ours hasn't."""
    if dtype == torch.float32:
        return _HALF, _ONEDNN
    if dtype != torch.bfloat16:
        return (_ONEDNN,)
    return (_ONEDNN, _NATIVE) if "amx_bf16" in cpu_instructions() else (_NATIVE, _ONEDNN)


def packing_names(dtype: torch.dtype) -> list[str]:
    """Of those that there are for rows of `dtype` on a CPU."""
    return [packing.name for packing in (*_candidates(dtype), _PLAIN)]


def _forced(wanted: str, known: Sequence[Packing], dtype: torch.dtype, device: torch.device) -> Packing:
    chosen = next((packing for packing in known if packing.name == wanted), None)
    if chosen is None:
        names = ", ".join(packing.name for packing in known)
        raise ValueError(
            f"there is no weight packing {wanted!r} for {dtype} on {device.type}; there are: {names}"
        )
    if (flaw := flaw_of(chosen.pack, dtype, device)) is not None:
        raise ValueError(f"the weight packing {wanted!r} {flaw}")
    return Packing(chosen.name, chosen.pack, "forced")


def flaw_of(pack: Pack, dtype: torch.dtype, device: torch.device) -> str | None:
    """What is wrong with a packing on this machine; None where its products are right."""
    random = torch.Generator().manual_seed(0)
    # Rounded to bfloat16 first: numbers that every packing can hold.
    weight = torch.randn(_TRIAL_SHAPE, generator=random).bfloat16().to(device, dtype)
    bias = torch.randn(_TRIAL_SHAPE[0], generator=random).to(device, dtype)
    try:
        linear = pack(weight, bias)
        for count in _TRIAL_ROWS:
            rows = torch.randn(count, _TRIAL_SHAPE[1], generator=random).to(device, dtype)
            right = functional.linear(rows, weight, bias)
            difference = float((linear(rows) - right).abs().max() / right.abs().max())
            if not difference <= _TOLERANCE[dtype]:
                return f"differs from a plain product by {difference:.1e}"
    except _REFUSALS:
        return "isn't supported by this processor or this build of torch"
    return None
