"""A model that is loaded, with everything that serving it takes."""

from __future__ import annotations

from dataclasses import dataclass

from inference.chat_template import ChatTemplate
from inference.engine.grammar import GrammarCompiler
from inference.engine.port import Engine
from inference.limits import Limits
from inference.tokenizer import TextTokenizer


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """`revision` is the hub's commit, where there is one."""

    name: str
    revision: str | None
    engine: Engine
    tokenizer: TextTokenizer
    chat_template: ChatTemplate | None
    limits: Limits
    grammars: GrammarCompiler

    @property
    def memory_bytes(self) -> int:
        """Weights, adapters and cache."""
        description = self.engine.description
        return description.weight_bytes + description.adapter_bytes + description.cache_bytes

    @property
    def adapters(self) -> frozenset[str]:
        """The names of the adapters that a request may choose."""
        return self.engine.description.adapters
