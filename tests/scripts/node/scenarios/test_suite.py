"""The scenarios, tried on the local runner, and what is written down of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts.node.scenarios import page
from scripts.node.scenarios.local import runner
from scripts.node.scenarios.suite import SCENARIOS, observe

RUNNER = "runner"


@pytest.mark.slow
async def test_the_runner_does_in_every_scenario_what_is_expected_of_it(tmp_path: Path) -> None:
    async with runner(tmp_path) as place:
        seen = await observe(place, SCENARIOS)
    wrong = {
        each.name: {"expected": each.expected_at(RUNNER), "seen": seen[each.name]}
        for each in SCENARIOS
        if seen[each.name] != each.expected_at(RUNNER)
    }
    assert not wrong


def test_what_is_written_down_of_the_runner_is_what_the_tests_see() -> None:
    written = page.written_down()[RUNNER]
    assert written == {each.name: each.expected_at(RUNNER) for each in SCENARIOS}, (
        "run `scripts/cluster test --local`"
    )


def test_the_page_is_current() -> None:
    assert page.PAGE.read_text() == page.page(page.written_down()), "run `scripts/cluster test --local`"


def test_a_scenario_that_differs_here_says_why_and_no_other_does() -> None:
    for scenario in SCENARIOS:
        differs = scenario.runner is not None
        assert differs == bool(scenario.why) == (scenario.expected_at(RUNNER) != scenario.expected)


def test_every_scenario_has_objects_of_its_own() -> None:
    slugs = [scenario.slug for scenario in SCENARIOS]
    assert len(set(slugs)) == len(slugs)
    assert all(re.fullmatch(r"[a-z][-a-z0-9]{0,24}", slug) for slug in slugs)


def test_the_page_tells_what_a_cluster_did_otherwise() -> None:
    kept, changed, *_ = SCENARIOS
    observed = {
        "runner": {each.name: each.expected_at(RUNNER) for each in SCENARIOS},
        "cluster": {kept.name: kept.expected, changed.name: {"an event": 500}},
    }
    rows = {line.partition(".**")[0].removeprefix("| **"): line for line in page.page(observed).splitlines()}
    assert rows[kept.name].endswith("| the same | yes |")
    assert rows[changed.name].endswith("| an event: 500 | no: **not explained** |")
    assert rows["answers"].endswith("| not asked | as expected |")
