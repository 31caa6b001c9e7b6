from __future__ import annotations

import subprocess

import pytest

from scripts.node.admission import parity
from scripts.node.admission.corpus import CASES, Case
from tests.architecture.house import ROOT
from tests.scripts.node.admission.test_admit import asks_knative

KNATIVE = parity.written_down()


def test_knative_was_asked_about_every_case_and_refused_many() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 80
    assert list(KNATIVE) == [case.name for case in CASES], "run `scripts/cluster corpus`"
    assert sum(refusal is not None for refusal in KNATIVE.values()) >= 80


@pytest.mark.parametrize(
    "case", [case for case in CASES if KNATIVE.get(case.name)], ids=lambda case: case.name
)
def test_the_runner_refuses_what_knative_refuses(case: Case) -> None:
    assert parity.runner_refusal(case)


def test_the_page_of_differences_is_current() -> None:
    assert parity.PAGE.read_text() == parity.page(), "run `scripts/cluster corpus`"


@asks_knative
def test_knative_says_today_what_was_written_down() -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "cluster", "corpus", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
