"""The choices in C++ beside those in plain torch, where every step of them has its source."""

from __future__ import annotations

import pytest
import torch

from inference.engine.operators.native.choices import NativeChoices, native_choices
from inference.engine.port import GenerationRequest, Hold, Sampling
from inference.engine.sampler import Place, Sampler
from inference.engine.sampling import choose_plainly

GREEDY = Sampling()


@pytest.fixture
def native() -> NativeChoices:
    found = native_choices()
    if found is None:
        pytest.skip("no native kernels here")
    return found


def places(rows: int, sampling: Sampling, prompt: tuple[int, ...] = (3, 5)) -> list[Place]:
    """Each with a seed of its own, and after three tokens that were generated."""
    found = []
    for row in range(rows):
        own = Sampling(**{name: getattr(sampling, name) for name in Sampling.__slots__} | {"seed": row + 1})
        found.append(Place(Sampler(GenerationRequest(prompt, 8, own))))
        for token_id in (0, 0, row % 2):
            found[-1].sampler.take(token_id)
    return found


def scores_of(rows: int, size: int) -> torch.Tensor:
    return torch.randn(rows, size, generator=torch.Generator().manual_seed(size)) * 4


@pytest.mark.parametrize("size", [6, 15, 64, 1_000, 32_001])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("scattered", [False, True])
def test_the_likeliest_of_each_row_and_its_probability_are_the_definition(
    native: NativeChoices, rows: int, size: int, scattered: bool
) -> None:
    scores = scores_of(rows, size * 2)[:, ::2] if scattered else scores_of(rows, size)
    ids, logprobs, log_totals = native(places(rows, GREEDY), scores)
    assert ids == scores.argmax(-1).tolist()
    assert log_totals == pytest.approx(torch.logsumexp(scores, -1).tolist(), rel=1e-5, abs=1e-4)
    assert logprobs == pytest.approx(scores.log_softmax(-1).amax(-1).tolist(), rel=1e-4, abs=1e-4)


def test_of_equal_scores_the_first_is_the_likeliest(native: NativeChoices) -> None:
    scores = torch.zeros(2, 100)
    scores[0, 70:] = 3.0
    assert native(places(2, GREEDY), scores)[0] == [70, 0]


def test_scores_that_are_ruled_out_count_for_nothing(native: NativeChoices) -> None:
    scores = torch.full((1, 50), -torch.inf)
    scores[0, 7] = 2.0
    for sampling in (GREEDY, Sampling(do_sample=True), Sampling(do_sample=True, top_k=9, top_p=0.9)):
        ids, logprobs, log_totals = native(places(1, sampling), scores)
        assert (ids, logprobs, log_totals) == ([7], [0.0], [2.0])


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("sampling", [GREEDY, Sampling(do_sample=True, top_k=5, top_p=0.5, typical_p=0.5)])
def test_a_row_that_is_no_numbers_harms_nobody(
    native: NativeChoices, sampling: Sampling, broken: float
) -> None:
    scores = scores_of(3, 200)
    right = native(places(3, sampling), scores)[0]
    scores[1] = broken
    ids, _, _ = native(places(3, sampling), scores)
    assert 0 <= ids[1] < 200
    assert (ids[0], ids[2]) == (right[0], right[2])


@pytest.mark.parametrize("penalty", [1e-310, 1e300])
def test_a_penalty_beyond_all_numbers_keeps_the_order_of_scores(
    native: NativeChoices, penalty: float
) -> None:
    scores = torch.full((1, 50), -2.0)
    scores[0, :2] = 0.0  # tokens that were generated
    chosen = places(1, Sampling(repetition_penalty=penalty), prompt=(9,))
    assert native(chosen, scores)[0] == choose_plainly(chosen, scores)[0] == [0]


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(repetition_penalty=1.7),
        Sampling(repetition_penalty=1.2, presence_penalty=2.0),
        Sampling(repetition_penalty=1e300),
        Sampling(frequency_penalty=0.9, presence_penalty=2.0),
        Sampling(do_sample=True),
        Sampling(do_sample=True, temperature=0.3, repetition_penalty=1.2),
        Sampling(do_sample=True, temperature=1.4, top_k=40),
        Sampling(do_sample=True, top_k=600),
        Sampling(do_sample=True, top_p=0.7),
        Sampling(do_sample=True, top_k=90, top_p=0.6, temperature=2.0),
        Sampling(do_sample=True, typical_p=0.5, temperature=2.0),
        Sampling(do_sample=True, typical_p=0.3, temperature=0.1),
        Sampling(do_sample=True, typical_p=0.6, top_p=0.8, top_k=200, temperature=3.0),
    ],
)
@pytest.mark.parametrize("size", [100, 4_096])
def test_the_same_tokens_as_in_plain_torch(native: NativeChoices, size: int, sampling: Sampling) -> None:
    scores = scores_of(400, size)
    chosen = places(400, sampling)
    ids, logprobs, log_totals = native(chosen, scores)
    right_ids, right_logprobs, right_log_totals = choose_plainly(chosen, scores)
    assert log_totals == pytest.approx(right_log_totals, rel=1e-5)
    same = [row for row in range(400) if ids[row] == right_ids[row]]
    assert len(same) >= 399, "sums in another order may turn one draw in a few thousand"
    assert [logprobs[row] for row in same] == pytest.approx(
        [right_logprobs[row] for row in same], rel=1e-4, abs=1e-4
    )


def test_tokens_as_likely_as_the_last_that_stays_stay_too(native: NativeChoices) -> None:
    scores = torch.full((500, 300), -9.0)
    scores[:, 100:104] = 1.0
    for filters in ({"top_k": 2}, {"top_p": 0.3}, {"typical_p": 0.3}):
        ids, _, _ = native(places(500, Sampling(do_sample=True, **filters)), scores)
        assert set(ids) == {100, 101, 102, 103}


class Held:
    """A sampler's constraint to the tokens that llguidance would name."""

    def hold(self, drafts: tuple[int, ...]) -> Hold | None:
        return None if 9 in drafts else Hold(None, 70, drafts)  # type: ignore[arg-type]

    def take(self, token_id: int) -> None:
        """Nothing depends on it."""


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(do_sample=True, temperature=1e30)])
def test_only_what_a_grammar_allows_is_chosen(
    native: NativeChoices, monkeypatch: pytest.MonkeyPatch, sampling: Sampling
) -> None:
    import numpy as np

    from inference.engine import grammar

    bits = np.zeros((1, 3), dtype=np.int32)
    bits[0, 1], bits[0, 2] = 1 << 3, 1 << 5  # 35 and 69; the scores have 90 tokens
    monkeypatch.setattr(grammar, "allowed_bits", lambda holds: bits.repeat(len(holds), axis=0))
    chosen = places(200, sampling)
    for place in chosen[:150]:
        place.sampler.constraint, place.sampler.is_plain = Held(), False
    chosen[100].drafts = (9,)
    scores = torch.zeros(200, 90)
    scores[:, 80] = 6.0
    scores[:, 69] = 3.0
    ids, _, _ = native(chosen, scores)
    held, free = [*ids[:100], *ids[101:150]], [ids[100], *ids[150:]]
    assert set(held) == ({35, 69} if sampling.do_sample else {69})
    assert len(set(free)) > 2 if sampling.do_sample else set(free) == {80}
