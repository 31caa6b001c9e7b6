"""Writing bfloat16 safetensors one tensor at a time, so that a model needn't fit into memory to be converted.

The format (huggingface/safetensors, README): eight bytes with the header's length, the header as JSON, the
values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

FloatArray = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class LazyTensor:
    """A tensor's shape, and how to get its values when their turn has come."""

    shape: tuple[int, ...]
    values: Callable[[], FloatArray]

    @property
    def bfloat16_bytes(self) -> int:
        """Its size in the file."""
        return 2 * int(np.prod(self.shape))


def bfloat16(values: FloatArray) -> bytes:
    """Round float32 to the nearest bfloat16, ties to even, little-endian. Not for NaN, which no weight is."""
    bits = np.ascontiguousarray(values, dtype="<f4").view("<u4")
    rounded = bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))
    return bytes((rounded >> np.uint32(16)).astype("<u2").data)


def _header(tensors: Mapping[str, LazyTensor]) -> bytes:
    """The JSON header, filled up with spaces so that the values begin at a multiple of eight."""
    entries: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, tensor in tensors.items():
        end = start + tensor.bfloat16_bytes
        entries[name] = {"dtype": "BF16", "shape": tensor.shape, "data_offsets": (start, end)}
        start = end
    header = orjson.dumps(entries)
    return header + b" " * (-len(header) % 8)


def write_safetensors(
    path: Path, tensors: Mapping[str, LazyTensor], report: Callable[[int, int], None]
) -> None:
    """Write all tensors into one file; `report` is told the bytes of values written so far and in all."""
    total = sum(tensor.bfloat16_bytes for tensor in tensors.values())
    header = _header(tensors)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        done = 0
        for tensor in tensors.values():
            file.write(bfloat16(tensor.values()))
            done += tensor.bfloat16_bytes
            report(done, total)
