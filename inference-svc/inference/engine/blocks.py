"""The blocks of a paged cache: who holds which, and what may be found again by its tokens.

A full block is remembered by the tokens in it and by the block before it, so that the way from the first
block to it spells the whole prefix. The tokens themselves are the key: a hit can't be a collision. What was
computed under one adapter begins with another empty prefix than what was computed under another.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

Prefix = int
"""The name of a remembered block together with all before it."""

NOTHING: Prefix = 0
"""The empty prefix."""


@dataclass(slots=True)
class _Block:
    holders: int = 0
    prefix: Prefix | None = None
    key: tuple[Prefix, tuple[int, ...]] | None = None


@dataclass(slots=True)
class BlockPool:
    """`blocks` blocks of `block_tokens` tokens each.

    A block is held by sequences, or free. A free one keeps what was written into it until it is given out
    anew, the one freed longest ago first.
    """

    blocks: int
    block_tokens: int
    _table: list[_Block] = field(init=False)
    _free: OrderedDict[int, None] = field(init=False)
    _known: dict[tuple[Prefix, tuple[int, ...]], int] = field(init=False, default_factory=dict)
    _begins: dict[str, Prefix] = field(init=False, default_factory=dict)
    _names: count[int] = field(init=False, default_factory=lambda: count(NOTHING + 1))

    def __post_init__(self) -> None:
        self._table = [_Block() for _ in range(self.blocks)]
        self._free = OrderedDict.fromkeys(range(self.blocks))

    @property
    def free(self) -> int:
        """How many blocks nobody holds."""
        return len(self._free)

    def blocks_for(self, tokens: int) -> int:
        """How many blocks `tokens` tokens take."""
        return -(-tokens // self.block_tokens)

    def take(self, number: int) -> list[int] | None:
        """`number` free blocks, ascending, so that neighbours stay neighbours; None if there are fewer."""
        if number > len(self._free):
            return None
        taken = sorted(self._free.popitem(last=False)[0] for _ in range(number))
        for index in taken:
            block = self._table[index]
            if block.key is not None:
                del self._known[block.key]
            self._table[index] = _Block(holders=1)
        return taken

    def find(self, tokens: Sequence[int], adapter: str | None = None) -> tuple[list[int], Prefix]:
        """The remembered blocks with which `tokens` begins, now held once more, and the prefix they spell.

        Only those that were computed under the same `adapter`; where none is found, its empty prefix.
        """
        found: list[int] = []
        prefix = NOTHING if adapter is None else self._begins.setdefault(adapter, next(self._names))
        for start in range(0, len(tokens) - self.block_tokens + 1, self.block_tokens):
            index = self._known.get((prefix, tuple(tokens[start : start + self.block_tokens])))
            if index is None:
                break
            block = self._table[index]
            if not block.holders:
                del self._free[index]
            block.holders += 1
            found.append(index)
            prefix = self._prefix(index)
        return found, prefix

    def remember(self, index: int, prefix: Prefix, tokens: Sequence[int]) -> Prefix:
        """Block `index` holds the entries of `tokens`, which follow `prefix`; return the longer prefix.

        Where another block is remembered for the same tokens already, that one stays.
        """
        key = (prefix, tuple(tokens))
        known = self._known.get(key)
        if known is None:
            self._known[key] = known = index
            self._table[index].key, self._table[index].prefix = key, next(self._names)
        return self._prefix(known)

    def release(self, indexes: Sequence[int]) -> None:
        """One holder less for each; a prefix's later blocks are given out before its earlier ones."""
        for index in reversed(indexes):
            block = self._table[index]
            block.holders -= 1
            if not block.holders:
                self._free[index] = None
                if block.key is None:
                    self._free.move_to_end(index, last=False)

    def _prefix(self, index: int) -> Prefix:
        prefix = self._table[index].prefix
        assert prefix is not None  # noqa: S101 (only remembered blocks are asked)
        return prefix
