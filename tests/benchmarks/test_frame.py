"""The frame of the benchmarks: what is listed, and what a table says about its bars."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks._frame import Machine, Row, Table, benchmarks, cli, machine, render

MACHINE = Machine("Some CPU", ("avx2",), 2, "3.11.0")


def last_line(*rows: Row) -> str:
    return render(Table("title", list(rows)), MACHINE).splitlines()[-1]


def test_a_figure_may_be_as_high_or_as_low_as_its_bar() -> None:
    assert Row("latency", 5.0, "ms", bar=5.0).holds is True
    assert Row("latency", 5.1, "ms", bar=5.0).holds is False
    assert Row("rate", 5.0, "/s", bar=5.0, at_most=False).holds is True
    assert Row("rate", 4.9, "/s", bar=5.0, at_most=False).holds is False
    assert Row("told", 1.0, "MB").holds is None


def test_the_last_line_says_which_bars_hold() -> None:
    good, bad = Row("good", 1, "ms", bar=2), Row("bad", 3, "ms", bar=2)
    assert last_line(good, Row("told", 1, "MB")) == "bars: all 1 hold"
    assert last_line(good, bad) == "bars: 1 of 2 hold; missed: bad"
    assert "none" in last_line(Row("told", 1, "MB"))


def test_each_bar_stands_beside_its_figure() -> None:
    text = render(Table("title", [Row("first answer", 12.345, "ms", bar=20, note="cold")]), MACHINE)
    row = next(line for line in text.splitlines() if line.startswith("first answer"))
    assert row.split() == ["first", "answer", "12.3", "ms", "<=", "20", "holds", "cold"]
    assert "Some CPU, 2 core(s), avx2; Python 3.11.0" in text


def test_large_and_tiny_and_endless_figures_are_readable() -> None:
    rows = [Row("a", 1234567.8, "x"), Row("b", 0.00123, "x"), Row("c", float("inf"), "x")]
    text = render(Table("title", rows), MACHINE)
    assert "1,234,568 x" in text
    assert "0.00123 x" in text
    assert "inf x" in text


def test_the_list_is_read_without_importing_anything(tmp_path: Path) -> None:
    (tmp_path / "hop.py").write_text('"""How far it hops.\n\nMore."""\nraise RuntimeError\n')
    (tmp_path / "_frame.py").write_text('"""Not one of them."""\n')
    assert benchmarks(tmp_path) == {"hop": "How far it hops."}


def test_the_machine_is_told_by_its_cpu_and_the_flags_that_matter(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 sse\n\nprocessor\t: 1\n")
    found = machine(info)
    assert (found.cpu, found.flags) == ("Some CPU", ("avx2",))
    assert found.cores >= 1
    assert machine(tmp_path / "absent").cpu


def test_a_name_that_is_not_there_is_answered_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli(["no-such-benchmark"]) == 2
    assert "no-such-benchmark" in capsys.readouterr().err


def test_a_benchmark_is_run_with_its_own_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "count_words.py").write_text(
        '"""Counts its arguments."""\nimport sys\nfrom benchmarks._frame import Row, Table\n'
        "async def main():\n    return Table('words', [Row('words', len(sys.argv[1:]), 'words', bar=2)])\n"
    )
    monkeypatch.setattr(sys, "argv", ["bench"])  # only so that pytest gets its own back
    assert cli(["count_words", "one", "two"], tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "bars: all 1 hold"
