from __future__ import annotations

import pytest
import torch

from inference.engine.operators.likeliest import likeliest


@pytest.mark.parametrize("size", [1, 15, 1000, 32_001])
@pytest.mark.parametrize("rows", [1, 5])
@pytest.mark.parametrize("scattered", [False, True])
def test_the_best_of_each_row_and_its_probability_are_the_definition(
    rows: int, size: int, scattered: bool
) -> None:
    scores = torch.randn(rows, size * 2)[:, ::2] * 20 if scattered else torch.randn(rows, size) * 20
    ids, log_totals = likeliest(scores)
    assert ids.tolist() == scores.argmax(-1).tolist()
    torch.testing.assert_close(log_totals, torch.logsumexp(scores, -1), rtol=1e-5, atol=1e-4)


def test_of_equal_scores_the_first_is_the_best() -> None:
    scores = torch.zeros(2, 100)
    scores[0, 40:] = 3.0
    assert likeliest(scores)[0].tolist() == [40, 0]


def test_scores_that_are_ruled_out_count_for_nothing() -> None:
    scores = torch.full((1, 50), -torch.inf)
    scores[0, 7] = 2.0
    ids, log_totals = likeliest(scores)
    assert (ids.item(), log_totals.item()) == (7, 2.0)
