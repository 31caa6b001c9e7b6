"""Lower scores for tokens that were there before: only those are touched, however large the vocabulary.

Sources: repetition penalty, Keskar et al. 2019 (arXiv 1909.05858); frequency and presence penalty, OpenAI's
API reference.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inference.engine.operators.address import address
from inference.engine.port import GenerationRequest, Sampling

LARGEST_SCORE = 1e30  # either way; extreme penalties would otherwise reach infinity
Seen = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Token ids, and how often each was generated: 0 for one that is in the prompt alone."""


class Penalties:
    """One request's penalties, and the tokens that they are for.

    Attributes:
        sampling: what was asked.
        addresses: of the ids and counts that `seen` gives without drafts, `seen_tokens` of each.
    """

    def __init__(self, request: GenerationRequest) -> None:
        self.sampling = request.sampling
        # The other penalties leave a prompt's tokens as they are.
        known = sorted(set(request.prompt_ids)) if self.sampling.repetition_penalty != 1 else []
        self._places = {token_id: place for place, token_id in enumerate(known)}
        room = len(known) + request.max_new_tokens
        self._ids, self._counts = np.empty(room, dtype=np.int64), np.zeros(room, dtype=np.float32)
        self._ids[: len(known)] = known
        self.addresses = address(self._ids), address(self._counts)

    @classmethod
    def of(cls, request: GenerationRequest) -> Penalties | None:
        """None where a request has none."""
        return cls(request) if _is_penalised(request.sampling) else None

    @property
    def seen_tokens(self) -> int:
        """How many tokens are penalised."""
        return len(self._places)

    def take(self, token_id: int) -> None:
        """Count a generated token."""
        place = self._places.setdefault(token_id, len(self._places))
        self._ids[place] = token_id
        self._counts[place] += 1

    def seen(self, drafts: Sequence[int]) -> Seen:
        """What would be there after the drafts."""
        size = len(self._places)
        if not drafts:
            return self._ids[:size], self._counts[:size]
        times = Counter(drafts)
        new = [token_id for token_id in times if token_id not in self._places]
        ids = np.concatenate((self._ids[:size], np.array(new, dtype=np.int64)))
        counts = np.concatenate((self._counts[:size], np.zeros(len(new), dtype=np.float32)))
        for place, token_id in enumerate(ids.tolist()):
            counts[place] += times[token_id]
        return ids, counts


def penalise_(scores: Tensor, rows: Sequence[tuple[int, Penalties, Sequence[int]]]) -> Tensor:
    """Lower the scores of [rows, vocabulary] in place, each of `rows` as after its drafts."""
    seen = [penalties.seen(drafts) for _, penalties, drafts in rows]
    lengths = [len(ids) for ids, _ in seen]
    numbers = np.array(
        [
            (s.repetition_penalty, s.frequency_penalty, s.presence_penalty)
            for s in (penalties.sampling for _, penalties, _ in rows)
        ]
    )
    device = scores.device
    repetition, frequency, presence = torch.from_numpy(np.repeat(numbers, lengths, axis=0).T).to(device)
    counts = torch.from_numpy(np.concatenate([counts for _, counts in seen])).to(device)
    row_of = torch.from_numpy(np.repeat([row for row, _, _ in rows], lengths)).to(device)
    ids = torch.from_numpy(np.concatenate([ids for ids, _ in seen])).to(device)
    values = scores[row_of, ids].double()
    values = torch.where(values < 0, values * repetition, values / repetition)
    values -= frequency * counts + presence * (counts > 0)
    scores[row_of, ids] = values.clamp_(-LARGEST_SCORE, LARGEST_SCORE).to(scores.dtype)
    return scores


def _is_penalised(sampling: Sampling) -> bool:
    return (
        sampling.repetition_penalty != 1 or sampling.frequency_penalty != 0 or sampling.presence_penalty != 0
    )
