"""Weights with adapters beside them: a `WeightSource` whose products know the adapters of their modules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from inference.engine.lora.linear import Delta, Part, StepAdapters
from inference.engine.lora.peft import LowRank, PeftAdapter
from inference.engine.models.source import Embedding, Reorder, WeightSource
from inference.engine.operators.kernels import Kernels
from inference.engine.operators.linear import Linear

_REFUSALS = (
    (r"\.mlp\.experts\.", "routed experts aren't adapted"),
    (r"\.mlp\.gate$", "the router isn't adapted"),
    (r"\.kv_b_proj$", "latent attention absorbs it into queries and values"),
    (r"^lm_head$|embed_tokens$", "embeddings and output matrix aren't adapted"),
)


@dataclass(slots=True)
class AdaptedSource:
    """`WeightSource` around another, whose weights stay as they are, packed or in blocks.

    Attributes:
        step: what the products ask for their rows' adapters.
        dtype: of the adapters' matrices, that of the rows.
    """

    base: WeightSource
    adapters: Sequence[PeftAdapter]
    dtype: torch.dtype
    device: torch.device
    step: StepAdapters = field(init=False)
    adapter_bytes: int = field(default=0, init=False)
    _taken: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Refuse what no layer would ask for.

        Raises:
            ValueError: a module that isn't adapted.
        """
        self.step = StepAdapters([adapter.name for adapter in self.adapters])
        for adapter in self.adapters:
            for module in adapter.modules:
                for pattern, why in _REFUSALS:
                    if re.search(pattern, module):
                        raise ValueError(f"the adapter {adapter.name} targets {module}: {why}")

    @property
    def kernels(self) -> Kernels:
        """Those of the base."""
        return self.base.kernels

    @property
    def nbytes(self) -> int:
        """Bytes of the base's weights; the adapters' are `adapter_bytes`."""
        return self.base.nbytes

    def __contains__(self, name: str) -> bool:
        return name in self.base

    def tensor(self, name: str, *shape: int) -> Tensor:
        """As the base has it."""
        return self.base.tensor(name, *shape)

    def embedding(self, name: str, tokens: int, hidden: int) -> Embedding:
        """As the base has it."""
        return self.base.embedding(name, tokens, hidden)

    def linear(
        self, names: Sequence[str], inputs: int, outputs: Sequence[int], reorder: Reorder | None = None
    ) -> Linear:
        """The base's product, and beside it what the adapters add to its modules."""
        linear = self.base.linear(names, inputs, outputs, reorder)
        self._taken.update(names)
        deltas = {
            adapter.name: self._delta(adapter, names, inputs, outputs, reorder)
            for adapter in self.adapters
            if any(name in adapter.modules for name in names)
        }
        self.adapter_bytes += sum(delta.nbytes for delta in deltas.values())
        return self.kernels.adapted(linear, deltas, self.step) if deltas else linear

    def check_all_taken(self) -> None:
        """See that the model has asked for every module that an adapter changes.

        Raises:
            ValueError: there is no such module.
        """
        for adapter in self.adapters:
            if unknown := sorted(adapter.modules.keys() - self._taken):
                raise ValueError(
                    f"the adapter {adapter.name} targets {unknown[0]}, which this model doesn't have"
                )

    def _delta(
        self,
        adapter: PeftAdapter,
        names: Sequence[str],
        inputs: int,
        outputs: Sequence[int],
        reorder: Reorder | None,
    ) -> Delta:
        """The matrices of the adapted ones among `names`, side by side."""
        downs: list[Tensor] = []
        parts: list[Part] = []
        column = rank = 0
        for name, size in zip(names, outputs, strict=True):
            pair = adapter.modules.get(name)
            if pair is not None:
                _check_shape(adapter.name, name, pair, inputs, size)
                ranks = slice(rank, rank + len(pair.down))
                up = pair.up.to(torch.float32) * pair.scale
                if reorder is not None:  # of a product that has one module
                    up = reorder(up)
                downs.append(self._placed(pair.down))
                parts.append(Part(slice(column, column + size), ranks, self._placed(up.t())))
                rank = ranks.stop
            column += size
        return Delta(torch.cat(downs), tuple(parts))

    def _placed(self, matrix: Tensor) -> Tensor:
        return matrix.to(self.device, self.dtype).contiguous()


def _check_shape(adapter: str, module: str, pair: LowRank, inputs: int, outputs: int) -> None:
    there = [len(pair.up), pair.down.shape[1]]
    if there != [outputs, inputs]:
        raise ValueError(
            f"the adapter {adapter} is for another base model: its {module} has the shape {there}, "
            f"not {[outputs, inputs]}"
        )
