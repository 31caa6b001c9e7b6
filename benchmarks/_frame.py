"""The frame of the benchmarks: finds them, runs one, prints its figures beside their bars.

A benchmark is a module `benchmarks/<name>.py`. The first line of its docstring says what it measures, and
`async def main() -> Table` measures it. `./scripts/bench` lists them, `./scripts/bench NAME [args]` runs one;
what follows the name is the benchmark's own (`sys.argv[1:]`).

A missed bar is a figure of this machine at this moment, not an error: the exit status is 0 whenever the
figures could be taken, and the last line says which bars hold.
"""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import os
import platform
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
CPU_INFO = Path("/proc/cpuinfo")
TELLING_FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "sha_ni", "asimd", "bf16")
"""What decides kernels and number formats: machines of one name differ in these."""


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        figure: in `unit`.
        bar: what the figure is held against, in the same unit; None where it is only told.
        at_most: the bar is an upper bound; otherwise a lower one.
    """

    name: str
    figure: float
    unit: str
    bar: float | None = None
    at_most: bool = True
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the figure keeps its bar; None where there is none."""
        if self.bar is None:
            return None
        return self.figure <= self.bar if self.at_most else self.figure >= self.bar


@dataclass(frozen=True, slots=True)
class Table:
    """What one benchmark found."""

    title: str
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Machine:
    """What the figures were taken on."""

    cpu: str
    flags: tuple[str, ...]
    cores: int
    python: str

    def __str__(self) -> str:
        flags = " ".join(self.flags) or "no vector flags known"
        return f"{self.cpu}, {self.cores} core(s), {flags}; Python {self.python}"


def benchmarks(folder: Path = FOLDER) -> dict[str, str]:
    """Every benchmark's name with the first line of its docstring; nothing is imported."""
    return {
        path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for path in sorted(folder.glob("[!_]*.py"))
    }


def machine(cpu_info: Path = CPU_INFO) -> Machine:
    """This machine; the cores are those that this process may use."""
    text = cpu_info.read_text() if cpu_info.exists() else ""
    facts = dict(_facts(text))
    known = (facts.get("flags") or facts.get("Features") or "").split()
    return Machine(
        cpu=facts.get("model name") or platform.processor() or platform.machine(),
        flags=tuple(flag for flag in TELLING_FLAGS if flag in known),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        python=platform.python_version(),
    )


def _facts(text: str) -> Iterator[tuple[str, str]]:
    for line in text.partition("\n\n")[0].splitlines():
        name, _, value = line.partition(":")
        yield name.strip(), value.strip()


def render(table: Table, on: Machine) -> str:
    """The table as text: machine, rows with their bars, and one last line that says which bars hold."""
    cells = [("", "figure", "bar", "")] + [_cells(row) for row in table.rows]
    widths = [max(len(line[column]) for line in cells) for column in range(3)]
    lines = [
        f"{name:<{widths[0]}}  {figure:>{widths[1]}}  {bar:>{widths[2]}}  {note}".rstrip()
        for name, figure, bar, note in cells
    ]
    return "\n".join([table.title, f"on {on}", "", *lines, "", _verdict(table.rows)])


def _cells(row: Row) -> tuple[str, str, str, str]:
    figure = f"{_number(row.figure)} {row.unit}"
    if row.bar is None:
        return row.name, figure, "", row.note
    bar = f"{'<=' if row.at_most else '>='} {_number(row.bar)}"
    verdict = "holds" if row.holds else "MISSED"
    return row.name, figure, bar, f"{verdict}  {row.note}".rstrip()


def _number(value: float) -> str:
    value = float(value)  # a count may come as an int
    if value.is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _verdict(rows: list[Row]) -> str:
    barred = [row for row in rows if row.bar is not None]
    missed = [row.name for row in barred if not row.holds]
    if not barred:
        return "bars: none here, the figures are told as they are"
    if missed:
        return f"bars: {len(barred) - len(missed)} of {len(barred)} hold; missed: {', '.join(missed)}"
    return f"bars: all {len(barred)} hold"


def _main_of(path: Path) -> Callable[[], Awaitable[Table]]:
    spec = importlib.util.spec_from_file_location(f"benchmarks.{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    main: Callable[[], Awaitable[Table]] = module.main
    return main


def _run(main: Callable[[], Awaitable[Table]]) -> Table:
    async def measured() -> Table:
        return await main()

    try:
        import uvloop
    except ImportError:
        return asyncio.run(measured())
    return uvloop.run(measured())


def cli(arguments: list[str], folder: Path = FOLDER) -> int:
    """Lists, or runs one; 2 for a name that isn't there."""
    known = benchmarks(folder)
    if not arguments or arguments[0] in {"-h", "--help", "--list"}:
        width = max(map(len, known), default=0)
        print("\n".join(f"{name:<{width}}  {line}" for name, line in known.items()))
        return 0
    name = arguments[0].removesuffix(".py")
    if name not in known:
        print(f"There is no benchmark {name!r}; there are: {', '.join(known)}.", file=sys.stderr)
        return 2
    path = folder / f"{name}.py"
    sys.argv = [str(path), *arguments[1:]]
    print(render(_run(_main_of(path)), machine()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(cli(sys.argv[1:]))
