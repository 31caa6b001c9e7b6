from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from inference.engine.port import GenerationRequest, Sampling

if TYPE_CHECKING:
    import torch

    from inference.engine.sampling import Sampler

pytestmark = pytest.mark.slow  # torch alone takes seconds to import
VOCABULARY_TOKENS = 50


@pytest.fixture(scope="module")
def scores() -> torch.Tensor:
    """Scores from -3 to 3 in an order of no meaning."""
    import torch

    order = torch.randperm(VOCABULARY_TOKENS, generator=torch.Generator().manual_seed(1))
    return torch.linspace(-3, 3, VOCABULARY_TOKENS)[order]


def sampler(sampling: Sampling, prompt: tuple[int, ...] = (0,), top_n_tokens: int = 0) -> Sampler:
    import torch

    from inference.engine.sampling import Sampler

    request = GenerationRequest(prompt, 10, sampling, top_n_tokens)
    return Sampler(request, VOCABULARY_TOKENS, torch.device("cpu"))


@pytest.mark.parametrize(
    ("sampling", "warper", "arguments"),
    [
        (Sampling(temperature=0.7), "TemperatureLogitsWarper", {"temperature": 0.7}),
        (Sampling(top_k=7), "TopKLogitsWarper", {"top_k": 7}),
        (Sampling(top_p=0.6), "TopPLogitsWarper", {"top_p": 0.6}),
        (Sampling(typical_p=0.4), "TypicalLogitsWarper", {"mass": 0.4}),
    ],
)
def test_each_filter_keeps_what_transformers_keeps(
    scores: torch.Tensor, sampling: Sampling, warper: str, arguments: dict[str, float]
) -> None:
    import torch
    import transformers

    from inference.engine.sampling import filtered

    theirs = getattr(transformers, warper)(**arguments)(torch.tensor([[0]]), scores[None])[0]
    torch.testing.assert_close(filtered(scores, sampling), theirs)


def test_the_repetition_penalty_is_transformers_over_prompt_and_answer(scores: torch.Tensor) -> None:
    import torch
    from transformers import RepetitionPenaltyLogitsProcessor

    ours = sampler(Sampling(repetition_penalty=1.7), prompt=(3, 5))
    first, _ = ours.choose(scores)
    theirs = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([[3, 5, first.id]]), scores[None].clone())[0]
    assert ours.choose(scores)[0].id == int(theirs.argmax())
    assert first.id != ours.choose(scores)[0].id


def test_frequency_and_presence_penalties_count_the_answer_only() -> None:
    import torch

    scores = torch.zeros(50)
    scores[4], scores[9] = 2.0, 1.5
    frequency = sampler(Sampling(frequency_penalty=0.3), prompt=(4, 4, 4))
    assert [frequency.choose(scores)[0].id for _ in range(4)] == [4, 4, 9, 4]
    presence = sampler(Sampling(presence_penalty=0.6), prompt=(4, 4, 4))
    assert [presence.choose(scores)[0].id for _ in range(4)] == [4, 9, 4, 4]


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others(scores: torch.Tensor) -> None:
    def draw(seed: int) -> list[int]:
        drawing = sampler(Sampling(do_sample=True, seed=seed))
        return [drawing.choose(scores)[0].id for _ in range(20)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(2**64 - 1) == draw(2**64 - 1)


def test_draws_follow_the_probabilities() -> None:
    import torch

    scores = torch.full((50,), -torch.inf)
    scores[1], scores[2] = 0.0, 1.0986  # three times as likely
    drawing = sampler(Sampling(do_sample=True, seed=5))
    drawn = [drawing.choose(scores)[0].id for _ in range(2_000)]
    assert set(drawn) == {1, 2}
    assert 0.72 < drawn.count(2) / len(drawn) < 0.78


def test_log_probabilities_are_the_models_own_whatever_the_filters(scores: torch.Tensor) -> None:
    import torch

    chosen, top = sampler(Sampling(do_sample=True, temperature=9, top_k=2, seed=3), top_n_tokens=3).choose(
        scores
    )
    model = torch.log_softmax(scores, dim=-1)
    assert chosen.logprob == pytest.approx(float(model[chosen.id]))
    assert [token.id for token in top] == model.topk(3).indices.tolist()
    assert [token.logprob for token in top] == pytest.approx(model.topk(3).values.tolist())


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(do_sample=True, temperature=1e-300),
        Sampling(do_sample=True, temperature=1e300),
        Sampling(do_sample=True, repetition_penalty=1e300),
        Sampling(do_sample=True, repetition_penalty=1e-300),
        Sampling(do_sample=True, top_p=1e-300, typical_p=1e-300, top_k=10_000),
    ],
)
def test_extreme_settings_still_choose_a_token(scores: torch.Tensor, sampling: Sampling) -> None:
    extreme = sampler(sampling, prompt=tuple(range(50)))
    for _ in range(3):
        assert 0 <= extreme.choose(scores)[0].id < 50
