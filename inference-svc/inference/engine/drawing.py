"""Drawing tokens for many rows of scores at once; a row's token never depends on the rows beside it.

Temperature, then top-k, top-p and typical-p, each over what the one before has left, as in TGI. Sources:
nucleus, Holtzman et al. 2019 (arXiv 1904.09751); typical, Meister et al. 2022 (2202.00666). What was
drawn is tried against the last of them, as in FlashInfer (Ye et al. 2025, 2501.01005), so that only top-p in
front of typical-p has to sort; a token as good as the last one that stays, stays too. A row's sums are taken
in an order of their own, whatever the number of rows, so that its draw is the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import count

import torch
from torch import Tensor

from inference.engine.port import Sampling

_LOWEST_TEMPERATURE = 1e-4  # colder than this is greedy anyhow, and the division would overflow
_HIGHEST_TEMPERATURE = 1e6  # hotter than this, even what is ruled out (-FLT_MAX in C++) would come near
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


def temperature_of(sampling: Sampling) -> float:
    """As asked for, within what can be computed."""
    return min(max(sampling.temperature, _LOWEST_TEMPERATURE), _HIGHEST_TEMPERATURE)


def draw(scores: Tensor, samplings: Sequence[Sampling], seeds: Sequence[int]) -> Tensor:
    """Draw a token a row.

    Args:
        scores: [rows, vocabulary] float32.
        samplings: of each row.
        seeds: of each row, for this draw alone.

    Returns:
        Token ids, [rows] int64.
    """
    temperatures = [temperature_of(sampling) for sampling in samplings]
    if any(temperature != 1 for temperature in temperatures):
        scores = scores / torch.tensor(temperatures, device=scores.device)[:, None]
    weights = torch.softmax(scores, dim=-1)
    _keep_best_(weights, samplings)
    keys = _keys(weights, samplings)
    most = _most_before(weights, samplings)
    ids = torch.empty(len(weights), dtype=torch.int64, device=weights.device)
    rows = torch.arange(len(weights), device=weights.device)
    for turn in count():
        points = [(random_bits(seed, turn) >> 16) / 2**48 for seed in seeds]
        drawn = _at(weights, torch.tensor(points, dtype=torch.float64, device=weights.device))
        if most is None:
            return drawn
        ids[rows] = drawn
        level = keys.gather(1, drawn[:, None])
        if keys is weights:
            _keep_above_(weights, level)
        else:
            weights.masked_fill_(keys <= level, 0.0)
        before = _sums(weights).sum(-1, dtype=torch.float64)
        again = ((before >= most) & (before > 0)).nonzero()[:, 0]
        if not len(again):
            return ids
        # What was drawn doesn't stay, nor does what comes after it: the next draw is from those before it.
        left = weights.index_select(0, again)
        keys = left if keys is weights else keys.index_select(0, again)
        rows, weights, most = rows[again], left, most[again]
        seeds = [seeds[row] for row in again.tolist()]
    raise AssertionError("unreachable")


def _keep_best_(weights: Tensor, samplings: Sequence[Sampling]) -> None:
    """Top-k, and top-p where typical-p comes after it: weights of zero for what doesn't stay."""
    ranked = [row for row, sampling in enumerate(samplings) if 0 < sampling.top_k < weights.shape[1]]
    if ranked:
        ranks = torch.tensor([samplings[row].top_k for row in ranked], device=weights.device)[:, None]
        best = largest(rows_of(weights, ranked), int(ranks.max()))[0]
        last = best.gather(1, ranks - 1)
        _keep_above_([weights[row] for row in ranked], torch.nextafter(last, torch.zeros_like(last)))
    for row, sampling in enumerate(samplings):
        if sampling.typical_p < 1 and sampling.top_p < 1:
            best = weights[row].sort(descending=True)[0]
            before = best.cumsum(-1, dtype=torch.float64) - best
            stay = int((before < sampling.top_p * (before[-1] + best[-1])).sum())
            weights[row].masked_fill_(weights[row] < best[max(stay, 1) - 1], 0.0)


def _keys(weights: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """By which a row's tokens are kept, the largest first, [rows, vocabulary].

    For top-p the weights themselves; for typical-p how near a token's information is to the entropy.
    """
    typical = [row for row, sampling in enumerate(samplings) if sampling.typical_p < 1]
    if not typical:
        return weights
    keys = weights.clone()
    own = rows_of(weights, typical)
    totals = _sums(own).sum(-1, keepdim=True)
    information = totals.log() - own.log()  # their quotient may be more than a float holds
    entropy = _sums(torch.where(own > 0, own * information, 0.0)).sum(-1, keepdim=True) / totals
    keys[typical] = -(information - entropy).abs()
    return keys


def _most_before(weights: Tensor, samplings: Sequence[Sampling]) -> Tensor | None:
    """What all tokens before a token have together at most if that one stays, [rows]; None: all stay."""
    shares = [s.typical_p if s.typical_p < 1 else s.top_p if s.top_p < 1 else math.inf for s in samplings]
    if all(share == math.inf for share in shares):
        return None
    totals = _sums(weights).sum(-1, dtype=torch.float64)
    return torch.tensor(shares, dtype=torch.float64, device=weights.device) * totals


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
