"""Choosing the next tokens of a whole step from the model's scores, in one go.

Order as in TGI: penalties, grammar, temperature, top-k, top-p, typical-p, then a draw (`penalties.py`,
`grammar.py`, `drawing.py`). A row takes part in what its request asks for and in nothing else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from inference.engine.drawing import draw, largest, random_bits, rows_of
from inference.engine.operators.likeliest import likeliest
from inference.engine.penalties import Penalties, penalise_
from inference.engine.port import GenerationRequest, TokenLogprob

Choice = tuple[TokenLogprob, tuple[TokenLogprob, ...]]
"""A token and, most likely first, the alternatives that were asked for.

Log probabilities are those of the model itself, before penalties and filters.
"""


class Sampler:
    """What the choices of one request depend on beside the scores. The same seed and scores: the same."""

    def __init__(self, request: GenerationRequest) -> None:
        self.sampling = request.sampling
        self.top_n_tokens = request.top_n_tokens
        self.constraint = request.grammar.start() if request.grammar else None
        self.penalties = Penalties.of(request)
        self.taken = 0

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token is all that is wanted."""
        return not self.sampling.do_sample and self.constraint is None and self.penalties is None

    def take(self, token_id: int) -> None:
        """Go on after a token that was chosen."""
        self.taken += 1
        if self.constraint is not None:
            self.constraint.take(token_id)
        if self.penalties is not None:
            self.penalties.take(token_id)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a token is chosen: after those that the sampler has taken, and after these drafts."""

    sampler: Sampler
    drafts: tuple[int, ...] = ()

    @property
    def seed(self) -> int:
        """Of this place alone, whatever is computed with it."""
        return random_bits(self.sampler.sampling.seed, self.sampler.taken + len(self.drafts))


def choose(places: Sequence[Place], logits: Tensor) -> list[Choice]:
    """Choose a token for each place; the samplers don't go on by it.

    Args:
        places: those of one sampler follow each other, with ever more drafts.
        logits: of each place, [places, vocabulary].
    """
    logits = logits.float()
    best, log_totals = likeliest(logits)
    ids = _chosen(places, logits, best.cpu())
    chosen = (logits.gather(1, ids.to(logits.device)[:, None])[:, 0] - log_totals).tolist()
    tops = _alternatives(places, logits, log_totals)
    return [
        (TokenLogprob(token_id, logprob), top)
        for token_id, logprob, top in zip(ids.tolist(), chosen, tops, strict=True)
    ]


def _chosen(places: Sequence[Place], logits: Tensor, best: Tensor) -> Tensor:
    """Token ids on the host: the rows that want nothing but the likeliest token, then the others."""
    others = [row for row, place in enumerate(places) if not place.sampler.is_plain]
    if len(others) == len(places):
        return _chosen_with_care(places, logits)
    ids = best
    if others:
        ids[others] = _chosen_with_care([places[row] for row in others], rows_of(logits, others))
    return ids


def _chosen_with_care(places: Sequence[Place], logits: Tensor) -> Tensor:
    scores = _masked(places, _penalised(places, logits))
    drawn = [row for row, place in enumerate(places) if place.sampler.sampling.do_sample]
    samplings = [places[row].sampler.sampling for row in drawn]
    seeds = [places[row].seed for row in drawn]
    if len(drawn) == len(places):
        return draw(scores, samplings, seeds).cpu()
    ids = _likeliest(scores)
    if drawn:
        ids[drawn] = draw(rows_of(scores, drawn), samplings, seeds).cpu()
    return ids


def _likeliest(scores: Tensor) -> Tensor:
    """The best token of each row, on the host."""
    return likeliest(scores)[0].cpu()


def _penalised(places: Sequence[Place], logits: Tensor) -> Tensor:
    found = [
        (row, place.sampler.penalties, place.drafts)
        for row, place in enumerate(places)
        if place.sampler.penalties is not None
    ]
    return penalise_(logits.clone(), found) if found else logits


def _masked(places: Sequence[Place], scores: Tensor) -> Tensor:
    """Scores with minus infinity for each token that a grammar doesn't allow."""
    holds = {
        row: hold
        for row, place in enumerate(places)
        if place.sampler.constraint and (hold := place.sampler.constraint.hold(place.drafts))
    }
    if not holds:
        return scores
    from inference.engine.grammar import allowed_tokens

    rows = torch.tensor(list(holds), device=scores.device)
    allowed = allowed_tokens(list(holds.values()), scores.shape[1]).to(scores.device)
    return scores.index_copy(0, rows, scores[rows].masked_fill(~allowed, -torch.inf))


def _alternatives(
    places: Sequence[Place], logits: Tensor, log_totals: Tensor
) -> list[tuple[TokenLogprob, ...]]:
    """Of each row as many as it wants; rows that want as many as each other are taken together."""
    found: list[tuple[TokenLogprob, ...]] = [()] * len(places)
    wanting: dict[int, list[int]] = defaultdict(list)
    for row, place in enumerate(places):
        if place.sampler.top_n_tokens:
            wanting[place.sampler.top_n_tokens].append(row)
    for top, rows in wanting.items():
        best = largest(rows_of(logits, rows) - log_totals[rows][:, None], top)
        for row, values, ids in zip(rows, *(part.tolist() for part in best), strict=True):
            found[row] = tuple(map(TokenLogprob, ids, values))
    return found
