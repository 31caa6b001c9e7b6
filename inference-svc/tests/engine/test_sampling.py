from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from inference.engine.port import GenerationRequest, Sampling

if TYPE_CHECKING:
    import torch

    from inference.engine.sampling import Choice

pytestmark = pytest.mark.slow  # torch alone takes seconds to import
VOCABULARY_TOKENS = 50


@pytest.fixture(params=["native", "plain"], autouse=True)
def chosen_by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose in C++, and in plain torch."""
    from inference.engine import sampling
    from inference.engine.operators.native.choices import native_choices

    if request.param == "plain":
        monkeypatch.setattr(sampling, "native_choices", lambda: None)
    elif native_choices() is None:
        pytest.skip("no native kernels here")


@pytest.fixture(scope="module")
def scores() -> torch.Tensor:
    """Scores from -3 to 3 in an order of no meaning."""
    import torch

    order = torch.randperm(VOCABULARY_TOKENS, generator=torch.Generator().manual_seed(1))
    return torch.linspace(-3, 3, VOCABULARY_TOKENS)[order]


class Alone:
    """A request whose tokens are chosen by themselves."""

    def __init__(
        self, sampling: Sampling, prompt: tuple[int, ...] = (0,), top_n_tokens: int = 0, tokens: int = 10
    ) -> None:
        from inference.engine.sampler import Sampler

        self.sampler = Sampler(GenerationRequest(prompt, tokens, sampling, top_n_tokens))

    def choose(self, scores: torch.Tensor) -> Choice:
        from inference.engine.sampler import Place
        from inference.engine.sampling import choose

        (chosen,) = choose([Place(self.sampler)], scores[None])
        self.sampler.take(chosen.id)
        return chosen


@pytest.mark.parametrize(
    ("sampling", "warpers"),
    [
        (Sampling(temperature=0.7), {"TemperatureLogitsWarper": {"temperature": 0.7}}),
        (Sampling(top_k=7), {"TopKLogitsWarper": {"top_k": 7}}),
        (Sampling(top_p=0.6), {"TopPLogitsWarper": {"top_p": 0.6}}),
        (Sampling(typical_p=0.4), {"TypicalLogitsWarper": {"mass": 0.4}}),
        (
            Sampling(temperature=1.5, top_k=9, top_p=0.7),
            {
                "TemperatureLogitsWarper": {"temperature": 1.5},
                "TopKLogitsWarper": {"top_k": 9},
                "TopPLogitsWarper": {"top_p": 0.7},
            },
        ),
        (
            Sampling(top_k=20, top_p=0.9, typical_p=0.6),
            {
                "TopKLogitsWarper": {"top_k": 20},
                "TopPLogitsWarper": {"top_p": 0.9},
                "TypicalLogitsWarper": {"mass": 0.6},
            },
        ),
    ],
)
def test_draws_follow_the_probabilities_that_transformers_filters_leave(
    scores: torch.Tensor, sampling: Sampling, warpers: dict[str, dict[str, float]]
) -> None:
    import torch
    import transformers

    from inference.engine.sampler import Place, Sampler
    from inference.engine.sampling import choose

    left = scores[None]
    for warper, arguments in warpers.items():
        left = getattr(transformers, warper)(**arguments)(torch.tensor([[0]]), left)
    expected = torch.softmax(left[0], dim=-1)
    draws = 8_000
    places = [
        Place(Sampler(GenerationRequest((0,), 1, replace(sampling, do_sample=True, seed=seed))))
        for seed in range(draws)
    ]
    ids = [choice.id for choice in choose(places, scores.expand(draws, -1))]
    drawn = torch.tensor(ids).bincount(minlength=len(scores))
    assert not drawn[expected == 0].any()
    assert drawn[expected > 0.002].all()
    torch.testing.assert_close(drawn / draws, expected, atol=0.02, rtol=0)


def test_the_repetition_penalty_is_transformers_over_prompt_and_answer(scores: torch.Tensor) -> None:
    import torch
    from transformers import RepetitionPenaltyLogitsProcessor

    ours = Alone(Sampling(repetition_penalty=1.7), prompt=(3, 5))
    first = ours.choose(scores)
    theirs = RepetitionPenaltyLogitsProcessor(1.7)(torch.tensor([[3, 5, first.id]]), scores[None].clone())[0]
    assert ours.choose(scores).id == int(theirs.argmax())
    assert first.id != ours.choose(scores).id


def test_frequency_and_presence_penalties_count_the_answer_only() -> None:
    import torch

    scores = torch.zeros(50)
    scores[4], scores[9] = 2.0, 1.5
    frequency = Alone(Sampling(frequency_penalty=0.3), prompt=(4, 4, 4))
    assert [frequency.choose(scores).id for _ in range(4)] == [4, 4, 9, 4]
    presence = Alone(Sampling(presence_penalty=0.6), prompt=(4, 4, 4))
    assert [presence.choose(scores).id for _ in range(4)] == [4, 9, 4, 4]


def test_the_same_seed_draws_the_same_tokens_and_another_seed_others(scores: torch.Tensor) -> None:
    def draw(seed: int) -> list[int]:
        drawing = Alone(Sampling(do_sample=True, seed=seed), tokens=20)
        return [drawing.choose(scores).id for _ in range(20)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert draw(2**64 - 1) == draw(2**64 - 1)


def test_draws_follow_the_probabilities() -> None:
    import torch

    scores = torch.full((50,), -torch.inf)
    scores[1], scores[2] = 0.0, 1.0986  # three times as likely
    drawing = Alone(Sampling(do_sample=True, seed=5), tokens=2_000)
    drawn = [drawing.choose(scores).id for _ in range(2_000)]
    assert set(drawn) == {1, 2}
    assert 0.72 < drawn.count(2) / len(drawn) < 0.78


def test_log_probabilities_are_the_models_own_whatever_the_filters(scores: torch.Tensor) -> None:
    import torch

    sampling = Sampling(do_sample=True, temperature=9, top_k=2, seed=3)
    chosen = Alone(sampling, top_n_tokens=3).choose(scores)
    model = torch.log_softmax(scores, dim=-1)
    assert chosen.logprob == pytest.approx(float(model[chosen.id]))
    assert [token.id for token in chosen.top] == model.topk(3).indices.tolist()
    assert [token.logprob for token in chosen.top] == pytest.approx(model.topk(3).values.tolist())


def test_a_token_does_not_depend_on_its_neighbours() -> None:
    """Each request by itself, then all in one call: the same to the last bit."""
    import torch

    from inference.engine.sampler import Place, Sampler
    from inference.engine.sampling import choose

    random = torch.Generator().manual_seed(7)
    steps = torch.randn(5, 16, 3_001 * 8, generator=random) * 3
    requests = [
        GenerationRequest((row, 5), len(steps), sampling, top_n_tokens=row % 4)
        for row, sampling in enumerate(
            [
                Sampling(),
                Sampling(repetition_penalty=1.3, frequency_penalty=0.4),
                *(Sampling(do_sample=True, seed=seed, temperature=0.5 + seed / 4) for seed in range(4)),
                *(Sampling(do_sample=True, seed=seed, top_p=0.6 + seed / 10) for seed in range(4)),
                *(Sampling(do_sample=True, seed=seed, top_k=1 + 30 * seed, top_p=0.9) for seed in range(4)),
                Sampling(do_sample=True, seed=3, typical_p=0.8),
                Sampling(do_sample=True, seed=2**64 - 1, top_p=0.5, presence_penalty=2.0),
            ]
        )
    ]
    together, alone = ([Sampler(request) for request in requests] for _ in range(2))
    for scores in steps:
        choices = choose([Place(sampler) for sampler in together], scores)
        for row, (choice, sampler) in enumerate(zip(choices, alone, strict=True)):
            assert choose([Place(sampler)], scores[row : row + 1]) == [choice]
            assert len(choice.top) == requests[row].top_n_tokens
            sampler.take(choice.id)
            together[row].take(choice.id)


def test_what_follows_drafts_is_chosen_as_if_they_had_been_taken(scores: torch.Tensor) -> None:
    import torch

    from inference.engine.sampler import Place, Sampler
    from inference.engine.sampling import choose

    sampling = Sampling(
        do_sample=True, seed=4, repetition_penalty=1.5, frequency_penalty=0.5, presence_penalty=0.2
    )
    request = GenerationRequest((3, 9), 8, sampling, top_n_tokens=2)
    ahead, after = Sampler(request), Sampler(request)
    drafts = (9, 4, 4, 30, 9, 1)
    rows = scores + torch.arange(7)[:, None].sin()
    chosen = choose([Place(ahead, drafts[:count]) for count in range(7)], rows)
    for row, draft in enumerate((*drafts, 0)):
        assert choose([Place(after)], rows[row : row + 1]) == [chosen[row]]
        after.take(draft)


def test_the_largest_are_found_among_the_blocks() -> None:
    import torch

    from inference.engine.drawing import largest

    values = torch.randn(3, 64 * 50, generator=torch.Generator().manual_seed(2))
    for number in (1, 7, 24, 60):
        best = values.topk(number)
        found, columns = largest(values, number)
        assert found.tolist() == best.values.tolist()
        assert columns.tolist() == best.indices.tolist()


@pytest.mark.parametrize("temperature", [1e-300, 1.0, 1e300])
def test_what_is_ruled_out_is_never_drawn_however_hot(scores: torch.Tensor, temperature: float) -> None:
    import torch

    ruled_out = scores.clone()
    ruled_out[10:] = -torch.inf
    drawing = Alone(Sampling(do_sample=True, temperature=temperature), tokens=300)
    assert max(drawing.choose(ruled_out).id for _ in range(300)) < 10


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
    extreme = Alone(sampling, prompt=tuple(range(50)))
    for _ in range(3):
        assert 0 <= extreme.choose(scores).id < 50
