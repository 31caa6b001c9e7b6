"""`WeightSource` over a GGUF file: blocks stay blocks where an operator multiplies them as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from inference.checkpoint.gguf_config import GgufModel
from inference.engine.models.source import Progress, Reorder, TableEmbedding, ignore_progress
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import Linear
from inference.engine.quantization.blocks import EIGHT_BITS, FOUR_BITS
from inference.engine.quantization.packing import BlockPacking


@dataclass(slots=True)
class GgufSource:
    """A GGUF file's tensors under their names in transformers."""

    model: GgufModel
    tensors: dict[str, Any]
    packing: BlockPacking
    progress: Progress = ignore_progress
    nbytes: int = field(default=0, init=False)

    @property
    def kernels(self) -> Kernels:
        """What the layers compute with beside the products."""
        return self.packing.kernels

    @classmethod
    def open(cls, path: Path, packing: BlockPacking, progress: Progress = ignore_progress) -> GgufSource:
        """Map the file.

        Raises:
            OSError: it can't be read.
            ValueError: it is no GGUF file.
            CheckpointError: of an architecture that isn't known here.
        """
        import gguf

        try:
            reader = gguf.GGUFReader(path)
        except (ValueError, IndexError) as error:
            raise ValueError(f"{path.name} is not a whole GGUF file") from error
        model = GgufModel({name: field.contents() for name, field in reader.fields.items()})
        tensors = {model.tensor_name(tensor.name): tensor for tensor in reader.tensors}
        return cls(model, tensors, packing, progress)

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def check_packable(self) -> None:
        """See that some of the file's blocks can be computed as they are.

        Raises:
            ValueError: there are none of these kinds.
        """
        kinds = {tensor.tensor_type.name for tensor in self.tensors.values()}
        if not kinds & {*FOUR_BITS, *EIGHT_BITS}:
            raise ValueError(
                f"QUANTIZE=packed computes blocks of {', '.join((*FOUR_BITS, *EIGHT_BITS))}, "
                f"but the GGUF file has {', '.join(sorted(kinds))}"
            )

    def config(self) -> dict[str, Any]:
        """The model's `config.json`."""
        tokens = int(self.tensors["model.embed_tokens.weight"].shape[-1])
        return self.model.config(tokens, tied_embeddings="lm_head.weight" not in self.tensors)

    def tensor(self, name: str, *shape: int) -> Tensor:
        """A small tensor in the number format computed in."""
        tensor = self._floats(name, shape).to(self.packing.dtype)
        self._count(tensor.nbytes)
        return tensor

    def linear(
        self, names: Sequence[str], inputs: int, outputs: Sequence[int], reorder: Reorder | None = None
    ) -> Linear:
        """One product for several matrices; blocks stay blocks where all are of one kind."""
        sizes = list(zip(names, outputs, strict=True))
        found = [self._find(f"{name}.weight", (size, inputs)) for name, size in sizes]
        kinds = {tensor.tensor_type.name for tensor in found}
        bias = self._biases(sizes)
        if reorder is None and len(kinds) == 1 and kinds <= {*FOUR_BITS, *EIGHT_BITS}:
            data = np.concatenate([self._rows(tensor) for tensor in found])
            linear = self.packing.pack(kinds.pop(), data, bias)
        else:
            weight = torch.cat([self._floats(f"{name}.weight", (size, inputs)) for name, size in sizes])
            if reorder is not None:
                weight, bias = reorder(weight), None if bias is None else reorder(bias)
            linear = self.packing.plain.pack(weight.to(self.packing.dtype), bias)
        self._count(linear.nbytes)
        return linear

    def embedding(self, name: str, tokens: int, hidden: int) -> TableEmbedding:
        """The table in sixteen bits: as rows are, or in float16, three bits more than in most files."""
        sixteen = torch.bfloat16 if self.packing.dtype == torch.bfloat16 else torch.float16
        table = self._floats(name, (tokens, hidden)).to(sixteen)
        self._count(table.nbytes)
        return TableEmbedding(table, self.packing.dtype)

    def _count(self, nbytes: int) -> None:
        self.nbytes += nbytes
        self.progress(self.nbytes)

    def _floats(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A tensor unpacked, float32, in transformers' order."""
        import gguf

        found = self._find(name, shape)
        values = gguf.quants.dequantize(found.data, found.tensor_type)
        return torch.tensor(self.model.tensor(found.name, values))

    def _find(self, name: str, shape: tuple[int, ...]) -> Any:
        if name not in self.tensors:
            raise ValueError(f"the GGUF file has no tensor {name}")
        tensor = self.tensors[name]
        there = tuple(int(size) for size in reversed(tensor.shape))
        if there != shape:
            raise ValueError(f"the GGUF file's {name} has the shape {list(there)}, not {list(shape)}")
        return tensor

    def _rows(self, tensor: Any) -> Any:
        """The packed rows in transformers' order, which for Llama's queries and keys isn't the file's."""
        return self.model.tensor(tensor.name, tensor.data)

    def _biases(self, sizes: Sequence[tuple[str, int]]) -> Tensor | None:
        if not any(f"{name}.bias" in self for name, _ in sizes):
            return None
        return torch.cat(
            [
                self.tensor(f"{name}.bias", size)
                if f"{name}.bias" in self
                else torch.zeros(size, dtype=self.packing.dtype)
                for name, size in sizes
            ]
        )
