"""Which tokens the next step computes, and the blocks they need.

Iteration-level scheduling (Yu et al., "Orca", 2022) with chunked prefill under one budget of tokens a step
(Agrawal et al., "Sarathi-Serve", 2024): decodes first, so that no stream waits for another's prompt, then the
prompts of which least is missing, so that a short one doesn't wait for long ones (shortest remaining
processing time first; Schrage and Miller, 1966). The one that came first has half of what the decodes leave,
whatever its length, so that none starves. One whose next block another is just computing waits for that
block: the answers of one request, or requests with one beginning, compute it once. Where blocks run out the
sequence that was admitted last gives up its own and is computed again later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass, field

from inference.engine.blocks import BlockPool
from inference.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next `tokens` tokens of a sequence, and guesses of those that will follow."""

    sequence: Sequence
    tokens: int
    drafts: tuple[int, ...] = ()

    @property
    def is_last(self) -> bool:
        """Whether nothing of the sequence is missing after this, so that its next token can be chosen."""
        return self.tokens == self.sequence.missing

    @property
    def is_decode(self) -> bool:
        """Whether one token is all that is missing."""
        return self.sequence.missing == 1


@dataclass(slots=True)
class Scheduler:
    """Sequences that wait, and sequences that run.

    The pool has at least as many blocks as the longest sequence takes: one that runs alone always can.
    """

    pool: BlockPool
    step_tokens: int
    most_running: int
    waiting: deque[Sequence] = field(default_factory=deque)
    running: list[Sequence] = field(default_factory=list)

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence behind the others."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that has ended or was given up; its blocks are free. Twice is harmless."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def next_step(self) -> list[Chunk]:
        """The chunks of the next step, those of one adapter side by side; none if there is nothing to do."""
        chunks: list[Chunk] = []
        budget = self.step_tokens
        decoding = [sequence for sequence in self.running if sequence.missing == 1]
        for sequence in decoding[:budget]:
            if sequence in self.running:  # it may have been preempted for one before it
                budget -= self._schedule(sequence, 1, chunks)
        if budget:
            self._admit_waiting()
            served = set(decoding)
            prompts = [sequence for sequence in self.running if sequence not in served]
            for sequence, tokens in _shares(prompts, budget):
                if sequence in self.running:
                    self._schedule(sequence, tokens, chunks)
        return sorted(chunks, key=lambda chunk: chunk.sequence.request.adapter or "")

    def with_drafts(self, chunk: Chunk, drafts: Items[int]) -> Chunk:
        """The last chunk of a sequence with as many drafts as free blocks have room for."""
        sequence, size = chunk.sequence, self.pool.block_tokens
        room = (len(sequence.blocks) + self.pool.free) * size - len(sequence.tokens)
        drafts = tuple(drafts[:room])
        needed = self.pool.blocks_for(len(sequence.tokens) + len(drafts)) - len(sequence.blocks)
        sequence.blocks += self.pool.take(needed) or []
        return Chunk(sequence, chunk.tokens, drafts)

    def computed(self, chunk: Chunk, accepted: int = 0) -> None:
        """The chunk's entries are in the cache; blocks that are full by now can be found by others.

        Of its drafts the first `accepted` are tokens of the sequence by now. The entries of the others will
        be overwritten; blocks that only they needed are given back.
        """
        sequence, size = chunk.sequence, self.pool.block_tokens
        sequence.computed += chunk.tokens + accepted
        if chunk.drafts:
            needed = self.pool.blocks_for(len(sequence.tokens))
            self.pool.release(sequence.blocks[needed:])
            del sequence.blocks[needed:]
        for place in range(sequence.remembered, sequence.computed // size):
            tokens = sequence.tokens[place * size : (place + 1) * size]
            sequence.prefix = self.pool.remember(sequence.blocks[place], sequence.prefix, tokens)
            sequence.remembered = place + 1

    def _admit_waiting(self) -> None:
        """Let run who can, in the order in which they came."""
        for sequence in tuple(self.waiting):
            if len(self.running) >= self.most_running or self._admit(sequence) is False:
                return

    def _schedule(self, sequence: Sequence, budget: int, chunks: list[Chunk]) -> int:
        """Put the sequence's next tokens into the step if there is room for them; return how many."""
        tokens = min(sequence.missing, budget)
        needed = self.pool.blocks_for(sequence.computed + tokens) - len(sequence.blocks)
        while needed > self.pool.free:
            if not self._preempt(sequence, chunks):
                return 0
        sequence.blocks += self.pool.take(needed) or []
        chunks.append(Chunk(sequence, tokens))
        return tokens

    def _preempt(self, wanting: Sequence, chunks: list[Chunk]) -> bool:
        """Send the last admitted sequence back to the queue; False if that was `wanting` itself.

        One that has its place in this step already came earlier, and is left alone.
        """
        last = self.running[-1]
        if any(chunk.sequence is last for chunk in chunks):
            last = wanting
        self.running.remove(last)
        self._release(last)
        self.waiting.appendleft(last)
        return last is not wanting

    def _admit(self, sequence: Sequence) -> bool | None:
        """Let one in the queue run if its tokens and one more fit beside those that run; None: it waits."""
        if self._is_behind(sequence):
            return None
        # The last token is always computed: its logits are wanted.
        reusable = [] if sequence.request.prefill_logprobs else sequence.tokens[:-1]
        blocks, prefix = self.pool.find(reusable, sequence.request.adapter)
        sequence.behind = self._coming(reusable, len(blocks), sequence.request.adapter)
        if sequence.behind:
            self.pool.release(blocks)
            return None
        needed = self.pool.blocks_for(len(sequence.tokens) + 1) - len(blocks)
        if self.running and needed > self.pool.free - sum(map(self._missing_blocks, self.running)):
            self.pool.release(blocks)
            return False
        self.waiting.remove(sequence)
        self.running.append(sequence)
        sequence.blocks, sequence.prefix, sequence.remembered = blocks, prefix, len(blocks)
        sequence.computed = len(blocks) * self.pool.block_tokens
        if sequence.cached is None:
            sequence.cached = sequence.computed
        return True

    def _missing_blocks(self, sequence: Sequence) -> int:
        """What the rest of its tokens and one more will take."""
        return max(self.pool.blocks_for(len(sequence.tokens) + 1) - len(sequence.blocks), 0)

    def _is_behind(self, sequence: Sequence) -> bool:
        """Whether what it waits for is still coming; seen without a look at its tokens, which may be many."""
        if sequence.behind is None:
            return False
        other, tokens = sequence.behind
        return other in self.running and other.computed < tokens

    def _coming(self, tokens: list[int], found: int, adapter: str | None) -> tuple[Sequence, int] | None:
        """One that runs and is about to remember the block of `tokens` behind the `found` ones.

        With how many of its first tokens are these, in full blocks.
        """
        size = self.pool.block_tokens
        for other in self.running:
            if other.missing > 1 and other.computed < (found + 1) * size and other.request.adapter == adapter:
                shared = _shared_blocks(other.tokens, tokens, size)
                if shared > found:
                    return other, shared * size
        return None

    def _release(self, sequence: Sequence) -> None:
        self.pool.release(sequence.blocks)
        sequence.blocks = []
        sequence.computed = sequence.remembered = 0


def _shared_blocks(first: list[int], second: list[int], size: int) -> int:
    """With how many full blocks in common both begin."""
    for shared in range(min(len(first), len(second)) // size):
        block = slice(shared * size, (shared + 1) * size)
        if first[block] != second[block]:
            return shared
    return min(len(first), len(second)) // size


def _shares(prompts: Items[Sequence], budget: int) -> list[tuple[Sequence, int]]:
    """How many tokens of a step each of `prompts` gets; they are in the order in which they came."""
    if not prompts:
        return []
    held = min(prompts[0].missing, -(-budget // 2))
    rest, shares = budget - held, dict.fromkeys(prompts, 0)
    for sequence in sorted(prompts, key=lambda prompt: prompt.missing):
        if sequence is prompts[0]:
            rest += held
        shares[sequence] = min(sequence.missing, rest)
        rest -= shares[sequence]
    return [(sequence, tokens) for sequence, tokens in shares.items() if tokens]
