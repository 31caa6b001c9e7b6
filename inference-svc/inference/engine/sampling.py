"""Choosing the next token from the model's scores.

Order as in TGI: penalties, grammar, temperature, top-k, top-p, typical-p, then a draw. Sources: repetition
penalty, Keskar et al. 2019 (arXiv 1909.05858); nucleus, Holtzman et al. 2019 (1904.09751); typical, Meister
et al. 2022 (2202.00666); frequency and presence penalty, OpenAI's API reference.
"""

from __future__ import annotations

import torch

from inference.engine.port import GenerationRequest, Sampling, TokenLogprob

LOWEST_TEMPERATURE = 1e-4  # colder than this is greedy anyhow, and the division would overflow
LARGEST_SCORE = 1e30  # either way; extreme penalties would otherwise reach infinity


class Sampler:
    """Chooses the tokens of one request; two with the same seed and scores choose the same."""

    def __init__(self, request: GenerationRequest, vocabulary_tokens: int, device: torch.device) -> None:
        self._sampling = request.sampling
        self._top_n_tokens = request.top_n_tokens
        self._constraint = request.grammar.start() if request.grammar else None
        self._random = torch.Generator(device=device).manual_seed(_signed(request.sampling.seed))
        self._seen = torch.zeros(vocabulary_tokens, dtype=torch.bool, device=device)
        self._seen[torch.tensor(request.prompt_ids, device=device)] = True
        self._counts = torch.zeros(vocabulary_tokens, device=device)

    def choose(self, logits: torch.Tensor) -> tuple[TokenLogprob, tuple[TokenLogprob, ...]]:
        """Choose from the scores of one place, shape [vocabulary].

        Returns:
            The token and, most likely first, the alternatives that were asked for. Log probabilities are
            those of the model itself, before penalties and filters.
        """
        logits = logits.float()
        scores = self._penalised(logits)
        if self._constraint is not None:
            scores = self._constraint.forbid(scores)
        token_id = int(self._draw(scores))
        if self._constraint is not None:
            self._constraint.take(token_id)
        self._seen[token_id] = True
        self._counts[token_id] += 1
        logprobs = torch.log_softmax(logits, dim=-1)
        return TokenLogprob(token_id, float(logprobs[token_id])), self._alternatives(logprobs)

    def _alternatives(self, logprobs: torch.Tensor) -> tuple[TokenLogprob, ...]:
        if not self._top_n_tokens:
            return ()
        top = logprobs.topk(min(self._top_n_tokens, len(logprobs)))
        return tuple(
            TokenLogprob(i, p) for p, i in zip(top.values.tolist(), top.indices.tolist(), strict=True)
        )

    def _penalised(self, logits: torch.Tensor) -> torch.Tensor:
        sampling = self._sampling
        if sampling.repetition_penalty != 1:
            repeated = torch.where(
                logits < 0, logits * sampling.repetition_penalty, logits / sampling.repetition_penalty
            )
            logits = torch.where(self._seen, repeated, logits)
        if sampling.frequency_penalty or sampling.presence_penalty:
            logits = logits - sampling.frequency_penalty * self._counts
            logits = logits - sampling.presence_penalty * (self._counts > 0)
        return logits.clamp(-LARGEST_SCORE, LARGEST_SCORE)

    def _draw(self, scores: torch.Tensor) -> torch.Tensor:
        if not self._sampling.do_sample:
            return scores.argmax()
        probabilities = torch.softmax(filtered(scores, self._sampling), dim=-1)
        return torch.multinomial(probabilities, 1, generator=self._random)


def filtered(scores: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Apply temperature and the filters to scores of shape [vocabulary]; what is filtered out becomes -inf.

    At least one token always stays.
    """
    scores = scores / max(sampling.temperature, LOWEST_TEMPERATURE)
    if 0 < sampling.top_k < len(scores):
        scores = scores.masked_fill(scores < scores.topk(sampling.top_k).values[-1], -torch.inf)
    if sampling.top_p < 1:
        scores = _keep_mass(scores, -scores, sampling.top_p)
    if sampling.typical_p < 1:
        logprobs = torch.log_softmax(scores, dim=-1)
        entropy = -torch.nansum(logprobs.exp() * logprobs)
        scores = _keep_mass(scores, (-logprobs - entropy).abs(), sampling.typical_p)
    return scores


def _keep_mass(scores: torch.Tensor, badness: torch.Tensor, mass: float) -> torch.Tensor:
    """Keep the tokens of least badness until their probabilities reach `mass`, with the one that does."""
    order = badness.argsort(stable=True)
    probabilities = torch.softmax(scores, dim=-1)[order]
    before = probabilities.cumsum(dim=-1) - probabilities
    before[0] = -1  # the best one stays, however small the mass
    return scores.masked_fill(
        torch.zeros_like(scores, dtype=torch.bool).scatter(0, order, before >= mass), -torch.inf
    )


def _signed(seed: int) -> int:
    """A 64-bit seed as the signed number that torch takes."""
    return seed - 2**64 if seed >= 2**63 else seed
