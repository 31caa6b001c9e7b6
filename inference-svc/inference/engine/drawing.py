"""Drawing tokens for many rows of scores at once; a row's token never depends on the rows beside it.

Temperature, then top-k, top-p and typical-p, each over what the one before has left, as in TGI. Sources:
nucleus, Holtzman et al. 2019 (arXiv 1904.09751); typical, Meister et al. 2022 (2202.00666). Nothing is sorted
for top-k and top-p: what was drawn is tried against them, as in FlashInfer (Ye et al. 2025, 2501.01005); a
token as likely as the last one that stays, stays too. A row's sums are taken in an order of their own,
whatever the number of rows, so that its draw is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

import torch
from torch import Tensor

from inference.engine.port import Sampling

LOWEST_TEMPERATURE = 1e-4  # colder than this is greedy anyhow, and the division would overflow
_BLOCK_TOKENS = 256  # of a row, summed before the blocks' sums are searched
_MOST = 1 - 2.0**-48  # of a fraction that must stay below one

_GAMMA, _MIX_1, _MIX_2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
_64_BITS = 2**64 - 1


def random_bits(seed: int, place: int) -> int:
    """The 64 random bits at a place of a seed's row.

    SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): it can be read
    at any place, so an answer's draws are the same however its tokens are computed.
    """
    mixed = (seed + (place + 1) * _GAMMA) & _64_BITS
    mixed = ((mixed ^ (mixed >> 30)) * _MIX_1) & _64_BITS
    mixed = ((mixed ^ (mixed >> 27)) * _MIX_2) & _64_BITS
    return mixed ^ (mixed >> 31)


def draw(scores: Tensor, samplings: Sequence[Sampling], seeds: Sequence[int]) -> Tensor:
    """Draw a token a row.

    Args:
        scores: [rows, vocabulary] float32.
        samplings: of each row.
        seeds: of each row, for this draw alone.

    Returns:
        Token ids, [rows] int64.
    """
    temperatures = [max(sampling.temperature, LOWEST_TEMPERATURE) for sampling in samplings]
    if any(temperature != 1 for temperature in temperatures):
        scores = scores / torch.tensor(temperatures, device=scores.device)[:, None]
    weights = torch.softmax(scores, dim=-1)
    most = _most_above(weights, samplings)
    ids = torch.empty(len(weights), dtype=torch.int64, device=weights.device)
    rows = torch.arange(len(weights), device=weights.device)
    for turn in count():
        points = [(random_bits(seed, turn) >> 16) / 2**48 for seed in seeds]
        drawn = _at(weights, torch.tensor(points, dtype=torch.float64, device=weights.device))
        if most is None:
            return drawn
        ids[rows] = drawn
        _keep_above_(weights, weights.gather(1, drawn[:, None]))
        above = _sums(weights).sum(-1, dtype=torch.float64)
        again = ((above >= most) & (above > 0)).nonzero()[:, 0]
        if not len(again):
            return ids
        # What was drawn doesn't stay, nor does what is less likely: the next draw is from the others.
        rows, weights, most = rows[again], weights.index_select(0, again), most[again]
        seeds = [seeds[row] for row in again.tolist()]
    raise AssertionError("unreachable")


def _most_above(weights: Tensor, samplings: Sequence[Sampling]) -> Tensor | None:
    """What all tokens more likely than a token have together at most if that one stays, [rows].

    Takes out of `weights` what top-k and typical-p take out. None: all that is left may be drawn.
    """
    ranked = [row for row, sampling in enumerate(samplings) if 0 < sampling.top_k < weights.shape[1]]
    if ranked:
        ranks = torch.tensor([samplings[row].top_k for row in ranked], device=weights.device)[:, None]
        best = largest(rows_of(weights, ranked), int(ranks.max()))[0]
        last = best.gather(1, ranks - 1)
        _keep_above_([weights[row] for row in ranked], torch.nextafter(last, torch.zeros_like(last)))
    for row, sampling in enumerate(samplings):
        if sampling.typical_p < 1:
            weights[row] = _typical(weights[row], sampling)
    top_p = [s.top_p if s.top_p < 1 and s.typical_p == 1 else math.inf for s in samplings]
    if all(p == math.inf for p in top_p):
        return None
    return torch.tensor(top_p, dtype=torch.float64, device=weights.device) * _sums(weights).sum(
        -1, dtype=torch.float64
    )


def _typical(weights: Tensor, sampling: Sampling) -> Tensor:
    """Top-p and typical-p of one row, [vocabulary], by sorting; rare enough."""
    if sampling.top_p < 1:
        weights = _keep_mass(weights, -weights, sampling.top_p)
    logprobs = (weights / weights.sum()).log()
    entropy = -torch.nansum(logprobs.exp() * logprobs)
    return _keep_mass(weights, (-logprobs - entropy).abs(), sampling.typical_p)


def _keep_mass(weights: Tensor, badness: Tensor, mass: float) -> Tensor:
    """Keep the tokens of least badness until they reach a share of `mass`, with the one that does."""
    order = badness.argsort(stable=True)
    reached = weights[order].cumsum(-1, dtype=torch.float64)
    before = reached - weights[order]
    before[0] = -1  # the best one stays, however small the mass
    return weights.where(torch.empty_like(before).scatter_(0, order, before) < mass * reached[-1], 0.0)


def _keep_above_(rows: Sequence[Tensor] | Tensor, levels: Tensor) -> None:
    """Set to 0 what isn't above its row's level; row by row it takes a tenth of the time of `torch.where`."""
    for row, level in zip(rows, levels[:, 0].tolist(), strict=True):
        torch.threshold_(row, level, 0.0)


def rows_of(matrix: Tensor, rows: Sequence[int]) -> Tensor:
    """Some rows, ascending; the matrix itself where that is all of them."""
    if len(rows) == len(matrix):
        return matrix
    return matrix.index_select(0, torch.tensor(rows, device=matrix.device))


def largest(values: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """The largest of each row, in order, and their columns; blocks of smaller numbers aren't searched."""
    rows, columns = values.shape
    block = math.gcd(columns, _BLOCK_TOKENS // 4)
    if columns // block <= 2 * number:
        best = values.topk(min(number, columns))
        return best.values, best.indices
    blocks = values.view(rows, -1, block)
    of_blocks = blocks.amax(-1).topk(number).indices
    found = blocks.gather(1, of_blocks[..., None].expand(-1, -1, block)).flatten(1)
    best = found.topk(number)
    places = of_blocks.gather(1, best.indices // block) * block + best.indices % block
    return best.values, places


def _sums(weights: Tensor) -> Tensor:
    """Of the blocks of [rows, vocabulary]."""
    return weights.view(len(weights), -1, math.gcd(weights.shape[1], _BLOCK_TOKENS)).sum(-1)


def _at(weights: Tensor, points: Tensor) -> Tensor:
    """The columns at which the rows' running sums pass `points` of the whole; never one of weight 0.

    Blocks first, then within one: a running sum over a whole row takes much longer than a sum.
    """
    ends = _sums(weights).cumsum(-1, dtype=torch.float64)
    wanted = points[:, None] * ends[:, -1:]
    block = torch.searchsorted(ends, wanted, right=True)
    end = ends.gather(1, block)
    begin = torch.where(block > 0, ends.gather(1, (block - 1).clamp(min=0)), 0.0)
    blocks = weights.view(len(weights), ends.shape[1], -1)
    inside = blocks[torch.arange(len(weights), device=weights.device), block[:, 0]]
    reached = inside.cumsum(-1, dtype=torch.float64)
    wanted = ((wanted - begin) / (end - begin)).clamp(max=_MOST) * reached[:, -1:]
    return (block * blocks.shape[-1] + torch.searchsorted(reached, wanted, right=True))[:, 0]
