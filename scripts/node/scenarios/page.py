"""What was seen at the runner and at a cluster, written down, and the page that puts them side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .scenario import Observation, Scenario
from .suite import SCENARIOS

OBSERVED = Path(__file__).parent / "observed.json"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "knative-parity.md"

HEAD = """\
<!-- Written by `scripts/cluster test` from scripts/node/scenarios/; a test says whether it is current. -->
# The local runner beside Knative

{count} scenarios (`scripts/node/scenarios/`), each tried on the local runner in every run of the tests, and
on a cluster on demand. Each says what it expects, by Knative's sources and by measurements on real Brokers.
{cluster}

| scenario | the runner | a cluster | the same? |
|---|---|---|---|
"""
NEVER = "No cluster has been asked yet."
ASKED = "A cluster was asked about {count} of them; it has no Broker of class Kafka."

Observed = Mapping[str, Mapping[str, Observation]]


def written_down() -> dict[str, dict[str, Observation]]:
    """What was seen last: by place, by scenario."""
    observed: dict[str, dict[str, Observation]] = json.loads(OBSERVED.read_text(encoding="utf-8"))
    return observed


def write_down(place: str, seen: Mapping[str, Observation]) -> None:
    """Put what was seen at a place into the file, in the scenarios' order, and write the page anew."""
    observed = written_down()
    merged = {**observed[place], **seen}
    observed[place] = {each.name: merged[each.name] for each in SCENARIOS if each.name in merged}
    OBSERVED.write_text(json.dumps(observed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(observed), encoding="utf-8")


def page(observed: Observed) -> str:
    """docs/knative-parity.md."""
    asked = len(observed["cluster"])
    head = HEAD.format(count=len(SCENARIOS), cluster=ASKED.format(count=asked) if asked else NEVER)
    return head + "".join(_row(scenario, observed) for scenario in SCENARIOS)


def _row(scenario: Scenario, observed: Observed) -> str:
    runner = observed["runner"].get(scenario.name)
    cluster = observed["cluster"].get(scenario.name)
    is_same = runner == (scenario.expected if cluster is None else cluster)
    if cluster is None:
        shown = "not asked" if is_same else f"not asked; expected is<br>{_cell(scenario.expected)}"
        verdict = "as expected" if is_same else scenario.why
    else:
        shown = "the same" if is_same else _cell(cluster)
        verdict = "yes" if is_same else f"no: {scenario.why or '**not explained**'}"
    return f"| **{scenario.name}.** {scenario.sentence} | {_cell(runner)} | {shown} | {verdict} |\n"


def _cell(seen: Observation | None) -> str:
    if seen is None:
        return "not asked"
    return "<br>".join(f"{key}: {_text(value)}" for key, value in seen.items()).replace("|", r"\|")


def _text(value: object) -> str:
    match value:
        case str():
            return f"`{value}`" if value.startswith("{") else value
        case list():
            return ", ".join(str(each) for each in value) or "nothing"
        case dict():
            return "; ".join(f"{key} {_text(each)}" for key, each in value.items())
        case None:
            return "none"
    return str(value).lower()
