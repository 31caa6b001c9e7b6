from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from events import catalogue
from events.chat import TurnCompleted
from scripts import docs
from scripts.local.manifests.model import Filter


@pytest.mark.parametrize("path", docs.files(), ids=lambda path: cast("Path", path).name)
def test_a_generated_file_is_current(path: Path) -> None:
    assert path.read_text() == docs.files()[path], "run `python -m scripts.docs`"


def test_no_schema_is_left_of_a_fact_that_is_no_more() -> None:
    assert {path.stem for path in docs.SCHEMAS.iterdir()} == {fact_type.TYPE for fact_type in catalogue.FACTS}


def test_the_page_says_under_which_condition_a_function_reacts() -> None:
    triggers, ticks = docs.eventing()
    page = docs.page(triggers, ticks)
    assert "`summarize` (Trigger `summarize-due`, where `summarydue` is `true`)" in page
    assert "the PingSource `ticks`" in page


def test_a_trigger_stands_only_with_the_events_that_it_wants() -> None:
    (trigger,) = [trigger for trigger in docs.eventing()[0] if trigger.name == "summarize-due"]
    other = Filter(
        "exact", {"type": "dev.hadal.chat.turn_failed.v1", "x": "1"}, trigger.where, "spec.filters[0]"
    )
    nested = Filter("all", (other,), trigger.where, "spec.filters[0]")
    page = docs.page([replace(trigger, filters=(nested,))], [])
    row = next(line for line in page.splitlines() if "turn_failedv1)" in line)
    assert row.endswith("| `summarize` (Trigger `summarize-due`, where `x` is `1`) |")
    assert f"`{TurnCompleted.TYPE}`](#devhadalchatturn_completedv1) | `chat` | no one yet |" in page
