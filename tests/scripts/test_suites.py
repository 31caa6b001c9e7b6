"""`scripts/test`: which project gets which arguments, and what the closing line says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scripts.suites import NOTHING_COLLECTED, Project, closing, counted, shared_out, status


@pytest.fixture
def projects(tmp_path: Path) -> tuple[Project, Project]:
    for folder in ("tests", "engine/tests"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "test_it.py").touch()
    return Project(tmp_path), Project(tmp_path / "engine")


def test_without_paths_both_projects_get_every_argument(
    projects: tuple[Project, Project], tmp_path: Path
) -> None:
    words = ["-x", "-k", "tests", "-m", "not slow"]
    assert shared_out(words, projects, tmp_path) == {projects[0]: words, projects[1]: words}


def test_a_path_runs_only_the_project_that_it_lies_in(
    projects: tuple[Project, Project], tmp_path: Path
) -> None:
    outer, inner = tmp_path / "tests/test_it.py", tmp_path / "engine/tests/test_it.py"
    assert shared_out(["-x", "tests/test_it.py::test_a"], projects, tmp_path) == {
        projects[0]: ["-x", f"{outer}::test_a"]
    }
    assert shared_out(["engine/tests/test_it.py"], projects, tmp_path) == {projects[1]: [str(inner)]}
    assert shared_out(["tests/test_it.py", "engine"], projects, tmp_path) == {
        projects[0]: [str(outer)],
        projects[1]: [str(tmp_path / "engine")],
    }


def test_a_path_is_meant_from_where_the_command_is_typed(
    projects: tuple[Project, Project], tmp_path: Path
) -> None:
    inner = tmp_path / "engine"
    assert shared_out(["tests"], projects, inner) == {projects[1]: [str(inner / "tests")]}


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("==== 2 failed, 10 passed, 1 warning in 3.21s ====", {"failed": 2, "passed": 10, "warning": 1}),
        ("===== 10 passed, 2 errors in 61.00s (0:01:01) =====", {"passed": 10, "error": 2}),
        ("\x1b[32m=== \x1b[1m7 passed\x1b[0m in 0.10s ===\x1b[0m", {"passed": 7}),
        ("12 passed, 3 deselected in 0.50s", {"passed": 12, "deselected": 3}),
    ],
)
def test_a_closing_line_is_counted(line: str, counts: dict[str, int]) -> None:
    assert counted(line + "\n") == Counter(counts)


@pytest.mark.parametrize("line", ["tests/test_it.py .... [100%]", "E   3 passed the ball in 2s", ""])
def test_other_lines_are_not_counted(line: str) -> None:
    assert counted(line) is None


def test_the_sum_is_told_in_pytests_form() -> None:
    total = Counter(failed=1, passed=1200, skipped=2, error=2)
    line = closing(total, 61.5)
    assert "1 failed, 2 errors, 1200 passed, 2 skipped in 61.50s" in line
    assert counted(line) == total


def test_a_failure_of_either_project_fails_the_whole() -> None:
    assert status([0, 0]) == 0
    assert status([0, 1]) == 1
    assert status([2, 0]) == 2


def test_a_project_without_a_matching_test_is_harmless_beside_one_that_has_some() -> None:
    assert status([NOTHING_COLLECTED, 0]) == 0
    assert status([NOTHING_COLLECTED, 1]) == 1
    assert status([NOTHING_COLLECTED, NOTHING_COLLECTED]) == NOTHING_COLLECTED
