"""What the engine is told beside the checkpoint, and the sizes of its batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from inference.checkpoint.gguf_convert import BLOCKS
from inference.engine.number_format import NumberFormat, choose_number_format, cpu_instructions

BLOCK_TOKENS = 32
STEP_TOKENS = 256  # the longest step, and so how long a stream waits for another's prompt
MOST_RUNNING = 64
SPECULATE = 8
FORCED_BLOCKS = ("packed", "unpacked")
"""Of `EngineOptions.quantize`: what only a GGUF's own blocks can be."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an operator decides.

    Attributes:
        eos_token_ids: of the tokenizer; the model's own come on top.
        engine: `transformers` where that shall serve whatever the architecture.
        quantize: of a GGUF's blocks, `quantization.packing.MODES`; `none`: what it was converted to.
        kernels: of the steps beside the products, `operators.choice.KERNELS`.
        packing: of the weights (`operators.packing`), of a GGUF's blocks those that are unpacked.
        cache_tokens: by default what fits into a quarter of the free memory, at most 1 GiB.
        speculate: how many tokens of an answer are guessed in a step at most; 0: none.
        memory_bytes: what all models together may take; the free memory where it isn't said.
        total_tokens: of the longest prompt and answer together; by default the model's window.
        adapters: folders in PEFT's form, by the names that requests choose.
        cuda_graphs: for how many sequences decode steps are recorded (`graphs.py`).
    """

    dtype: str = "auto"
    num_threads: int | None = None
    eos_token_ids: frozenset[int] = frozenset()
    engine: str = "auto"
    quantize: str = "auto"
    kernels: str = "auto"
    packing: str = "auto"
    cache_tokens: int | None = None
    memory_bytes: int | None = None
    total_tokens: int | None = None
    speculate: int = SPECULATE
    adapters: Mapping[str, Path] = field(default_factory=dict)
    cuda_graphs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and in which numbers a model is computed."""

    device: str
    number_format: NumberFormat

    @classmethod
    def of(cls, options: EngineOptions) -> Machine:
        """This machine. Imports torch."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return cls(device, choose_number_format(options.dtype, device, cpu_instructions()))

    def computes_blocks(self, folder: Path, options: EngineOptions) -> bool:
        """Whether a GGUF's own blocks are computed: on a CPU, where the folder has them.

        Raises:
            ValueError: they can't be, and an option forces that.
        """
        if options.quantize == "none":
            return False
        hindrance = self._hindrance(folder)
        if hindrance and options.quantize in FORCED_BLOCKS:
            raise ValueError(f"QUANTIZE={options.quantize} computes a GGUF's own blocks, but {hindrance}")
        return hindrance is None

    def _hindrance(self, folder: Path) -> str | None:
        """Why blocks aren't computed; None where they can be."""
        if self.device != "cpu":
            return f"this model is computed on {self.device}, not on a CPU"
        if self.number_format.dtype not in ("float32", "bfloat16"):
            return f"this model is computed in {self.number_format.dtype}, not in float32 or bfloat16"
        if not (folder / BLOCKS).is_file():
            return f"this model has none: its folder has no {BLOCKS}"
        return None
