"""The two notations of time."""

from __future__ import annotations

import pytest

from scripts.local.manifests.durations import go_duration_s, iso_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("90s", 90), ("1h15m30.5s", 4530.5), ("500ms", 0.5), (".5s", 0.5), ("-2m", -120), ("+1s", 1)],
)
def test_a_go_duration_is_read(text: str, seconds: float) -> None:
    assert go_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "5 s", "s", "1d", "PT1S", "1s-", "1s junk"])
def test_what_is_no_go_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        go_duration_s(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("PT0.2S", 0.2),
        ("PT5M", 300),
        ("P1D", 86_400),
        ("P1W", 604_800),
        ("P1DT1H1M1S", 90_061),
        ("PT1,5S", 1.5),
    ],
)
def test_an_iso_duration_is_read(text: str, seconds: float) -> None:
    assert iso_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "P", "PT", "P1DT", "1S", "PT1", "P1Y", "P1M", "pt1s", "PT1S "])
def test_what_is_no_iso_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ISO 8601"):
        iso_duration_s(text)
