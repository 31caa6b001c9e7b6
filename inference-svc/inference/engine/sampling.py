"""Choosing the next tokens of a whole step from the model's scores, in one go.

Order as in TGI: penalties, grammar, temperature, top-k, top-p, typical-p, then a draw (`penalties.py`,
`grammar.py`, `drawing.py`). A row takes part in what its request asks for and in nothing else. Here it is
plain torch; on a CPU the same is done in C++ (`operators/native/choices.cpp`) where that can be built.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from inference.engine.drawing import draw, largest, rows_of
from inference.engine.operators.native.choices import native_choices
from inference.engine.penalties import penalise_
from inference.engine.port import TokenLogprob
from inference.engine.sampler import Chosen, Place


class Choice(NamedTuple):
    """A token and, most likely first, the alternatives that were asked for.

    Log probabilities are those of the model itself, before penalties and filters.
    """

    id: int
    logprob: float
    top: tuple[TokenLogprob, ...]


def choose(places: Sequence[Place], logits: Tensor) -> list[Choice]:
    """Choose a token for each place; the samplers don't go on by it.

    Args:
        places: those of one sampler follow each other, with ever more drafts.
        logits: of each place, [places, vocabulary].
    """
    logits = logits.float()
    native = native_choices() if logits.device.type == "cpu" else None
    ids, logprobs, log_totals = (native or choose_plainly)(places, logits)
    tops = _alternatives(places, logits, log_totals)
    return [Choice(*choice) for choice in zip(ids, logprobs, tops, strict=True)]


def choose_plainly(places: Sequence[Place], logits: Tensor) -> Chosen:
    """In plain torch, for every device."""
    log_totals = torch.logsumexp(logits, -1)
    others = [row for row, place in enumerate(places) if not place.sampler.is_plain]
    if len(others) == len(places):
        ids = _chosen_with_care(places, logits)
    else:
        ids = logits.argmax(-1)
        if others:
            ids[others] = _chosen_with_care([places[row] for row in others], rows_of(logits, others))
    logprobs = logits.gather(1, ids[:, None])[:, 0] - log_totals
    return ids.tolist(), logprobs.tolist(), log_totals.tolist()


def _chosen_with_care(places: Sequence[Place], logits: Tensor) -> Tensor:
    scores = _masked(places, _penalised(places, logits))
    drawn = [row for row, place in enumerate(places) if place.sampler.sampling.do_sample]
    samplings = [places[row].sampler.sampling for row in drawn]
    seeds = [places[row].seed for row in drawn]
    if len(drawn) == len(places):
        return draw(scores, samplings, seeds)
    ids = scores.argmax(-1)
    if drawn:
        ids[drawn] = draw(rows_of(scores, drawn), samplings, seeds)
    return ids


def _penalised(places: Sequence[Place], logits: Tensor) -> Tensor:
    found = [
        (row, place.sampler.penalties, place.drafts)
        for row, place in enumerate(places)
        if place.sampler.penalties is not None
    ]
    return penalise_(logits.clone(), found) if found else logits


def _masked(places: Sequence[Place], scores: Tensor) -> Tensor:
    """Scores with minus infinity for each token that a grammar doesn't allow."""
    holds = {row: hold for row, place in enumerate(places) if (hold := place.hold)}
    if not holds:
        return scores
    from inference.engine.grammar import allowed_tokens

    rows = torch.tensor(list(holds), device=scores.device)
    allowed = allowed_tokens(list(holds.values()), scores.shape[1]).to(scores.device)
    return scores.index_copy(0, rows, scores[rows].masked_fill(~allowed, -torch.inf))


def _alternatives(
    places: Sequence[Place], logits: Tensor, log_totals: Sequence[float]
) -> list[tuple[TokenLogprob, ...]]:
    """Of each row as many as it wants; rows that want as many as each other are taken together."""
    found: list[tuple[TokenLogprob, ...]] = [()] * len(places)
    wanting: dict[int, list[int]] = defaultdict(list)
    for row, place in enumerate(places):
        if place.sampler.top_n_tokens:
            wanting[place.sampler.top_n_tokens].append(row)
    for top, rows in wanting.items():
        totals = torch.tensor([log_totals[row] for row in rows], device=logits.device)
        best = largest(rows_of(logits, rows) - totals[:, None], top)
        for row, values, ids in zip(rows, *(part.tolist() for part in best), strict=True):
            found[row] = tuple(map(TokenLogprob, ids, values))
    return found
