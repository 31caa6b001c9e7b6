"""The rules of the house that no linter knows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.house import FUNCTIONS, ROOT, functions, modules

LONGEST_MODULE_LINES = 300
LONGEST_FUNCTION_LINES = 50
LONGEST_HANDLER_LINES = 200
LONGEST_SERVICE_LINES = 90
VAGUE = {"utils", "util", "common", "manager", "helper", "helpers", "base_service", "misc"}
PROGRAM = ("events", "functions", "scripts", "benchmarks", "inference-svc/inference")
FOLDERS_WITH_A_PAGE = ("knative", "eventing", "inference-svc")


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    sizes = {str(path.relative_to(ROOT)): lines(path) for path in modules(*PROGRAM)}
    assert not {name: size for name, size in sizes.items() if size > LONGEST_MODULE_LINES}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules(*PROGRAM)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno + 1 > LONGEST_FUNCTION_LINES
    ]
    assert not long


def test_no_module_has_a_name_that_says_nothing() -> None:
    vague = [str(path.relative_to(ROOT)) for path in modules(*PROGRAM, "tests") if path.stem in VAGUE]
    assert not vague


@pytest.mark.parametrize("name", functions())
def test_a_handler_and_its_wiring_stay_small(name: str) -> None:
    assert lines(FUNCTIONS / name / "handler.py") <= LONGEST_HANDLER_LINES
    assert lines(FUNCTIONS / name / "service.py") <= LONGEST_SERVICE_LINES


def test_every_folder_that_people_open_first_explains_itself() -> None:
    for folder in (*(f"functions/{name}" for name in functions()), *FOLDERS_WITH_A_PAGE):
        assert (ROOT / folder / "README.md").read_text().startswith("# "), folder


@pytest.mark.slow
def test_the_arrows_between_the_parts_point_one_way() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
