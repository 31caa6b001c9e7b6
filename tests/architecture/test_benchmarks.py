"""Every benchmark says what it measures and holds its figures against bars."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks import _frame
from tests.architecture.house import ROOT

BENCHMARKS = [ROOT / "benchmarks" / f"{name}.py" for name in _frame.benchmarks()]


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_is_listed_measures_and_has_a_bar(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert _frame.benchmarks()[path.stem].strip()
    mains = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == "main"]
    assert len(mains) == 1
    rows = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _called(node) == "Row"]
    assert any(_barred(row) for row in rows), "no Row has a bar"


def _called(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _barred(row: ast.Call) -> bool:
    return len(row.args) > 3 or any(keyword.arg == "bar" for keyword in row.keywords)
