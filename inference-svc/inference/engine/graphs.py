"""Decode steps recorded once on a CUDA device and replayed: one launch instead of hundreds.

A recording has fixed shapes and addresses, so there is one for each of a few batch sizes, all over the same
buffers. A step of decodes is laid into the buffers and filled up to the next size with its first sequence
again: that computes the same entry for the same slot once more, so nothing of the cache needs to be kept free
for it. Every other step (chunks of prompts, adapters, more sequences than the largest size) runs as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from inference.engine.batch import Batch, CausalModel, KVCache, ModelSpec

Run = Callable[[], Tensor]


class Recording(Protocol):
    """A computation that can be done again on what its inputs hold then; `output` is where it leaves it."""

    @property
    def output(self) -> Tensor:
        """Valid until the next replay."""
        ...

    def replay(self) -> None:
        """Compute it again."""
        ...


Record = Callable[[Run], Recording]


@dataclass(frozen=True, slots=True)
class CudaRecording:
    """A `torch.cuda.CUDAGraph`."""

    graph: torch.cuda.CUDAGraph
    output: Tensor

    def replay(self) -> None:
        """Launch it."""
        self.graph.replay()


def cuda_recorder() -> Record:
    """Records on the current CUDA device; all of its recordings share their memory."""
    pool = torch.cuda.graph_pool_handle()

    def record(run: Run) -> CudaRecording:
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            run()  # compiles kernels, and lets libraries allocate what they can't while it is recorded
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # Another model's thread may compute meanwhile.
        with torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local"):
            output = run()
        return CudaRecording(graph, output)

    return record


class GraphedModel:
    """`CausalModel` that replays its decode steps over one cache."""

    def __init__(self, model: CausalModel, cache: KVCache, sizes: Sequence[int], record: Record) -> None:
        """Record a step for each of `sizes`, the largest first: the others fit into its memory.

        The cache is still empty: what recording writes into its first slot is written anew before it is read.
        """
        self._model = model
        self._cache = cache
        self._buffers = _buffers(model.spec, cache, max(sizes))
        self._recordings: dict[int, Recording] = {}
        for size in sorted(sizes, reverse=True):
            batch = _first(self._buffers, size)
            self._recordings[size] = record(lambda batch=batch: model.forward(batch, cache))  # type: ignore[misc]

    @property
    def spec(self) -> ModelSpec:
        """The model's; its kernels tell the sizes."""
        spec = self._model.spec
        sizes = ", ".join(map(str, sorted(self._recordings)))
        return replace(spec, kernels=f"{spec.kernels}, recorded for {sizes} sequences")

    def new_cache(self, blocks: int, block_tokens: int) -> KVCache:
        """The model's; steps over it are not recorded."""
        return self._model.new_cache(blocks, block_tokens)

    @torch.inference_mode()
    def forward(self, batch: Batch, cache: KVCache) -> Tensor:
        """As the model's; logits of a replayed step are valid until the next one."""
        size = self._size(batch) if cache is self._cache else None
        if size is None:
            return self._model.forward(batch, cache)
        self._lay_out(batch, size)
        recording = self._recordings[size]
        recording.replay()
        return recording.output[: len(batch.token_ids)]

    def _size(self, batch: Batch) -> int | None:
        """The smallest recorded one that a step of decodes fits into; None where it must run as it is."""
        count, sequences = len(batch.token_ids), len(batch.context_lengths)
        if not count == sequences == len(batch.logit_rows) or batch.adapters:
            return None
        if batch.block_tables.shape[1] > self._buffers.block_tables.shape[1]:
            return None
        return min((size for size in self._recordings if size >= count), default=None)

    def _lay_out(self, batch: Batch, size: int) -> None:
        buffers, count = self._buffers, len(batch.token_ids)
        for buffer, values in (
            (buffers.token_ids, batch.token_ids),
            (buffers.positions, batch.positions),
            (buffers.slots, batch.slots),
            (buffers.context_lengths, batch.context_lengths),
            (buffers.block_tables[:, : batch.block_tables.shape[1]], batch.block_tables),
        ):
            buffer[:count] = values
            buffer[count:size] = values[:1]


def _buffers(spec: ModelSpec, cache: KVCache, size: int) -> Batch:
    """A step of `size` decodes of one token each, of the longest sequences that there can be."""
    blocks = min(-(-spec.context_tokens // cache.block_tokens), cache.blocks)

    def zeros(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=spec.device)

    return Batch(
        token_ids=zeros(size, dtype=torch.int64),
        positions=zeros(size, dtype=torch.int64),
        slots=zeros(size, dtype=torch.int64),
        query_starts=torch.arange(size + 1, dtype=torch.int32, device=spec.device),
        context_lengths=zeros(size, dtype=torch.int32) + 1,
        block_tables=zeros(size, blocks, dtype=torch.int32),
        logit_rows=torch.arange(size, device=spec.device),
    )


def _first(buffers: Batch, size: int) -> Batch:
    """The first `size` sequences of the buffers, in the same memory."""
    return Batch(
        token_ids=buffers.token_ids[:size],
        positions=buffers.positions[:size],
        slots=buffers.slots[:size],
        query_starts=buffers.query_starts[: size + 1],
        context_lengths=buffers.context_lengths[:size],
        block_tables=buffers.block_tables[:size],
        logit_rows=buffers.logit_rows[:size],
    )
