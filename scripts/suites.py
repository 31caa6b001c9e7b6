"""`scripts/test`: pytest in both projects, each with its own environment, and one closing line for the two.

Arguments go to pytest. A path among them runs only the project that it lies in.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTHING_COLLECTED = 5
"""pytest's exit status where no test was selected; harmless for one project if the other had some."""

VALUE_FOLLOWS = {"-k", "-m", "-n", "-p", "-o", "-c", "-W", "-r"}
CLOSING = re.compile(r"^=* ?((?:\d+ [a-z]+(?:, )?)+|no tests ran) in [\d.]+s.*$")
COUNT = re.compile(r"(\d+) ([a-z]+)")
ANSI = re.compile(r"\x1b\[[0-9;]*m")
ORDER = ("failed", "error", "passed", "skipped", "deselected", "xfailed", "xpassed", "warning")


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with its own tests and its own environment."""

    folder: Path

    def run(self, arguments: Sequence[str]) -> tuple[int, Counter[str]]:
        """Runs its pytest, shown as it goes; the exit status, and the counts of the closing line."""
        colour = ["--color=yes"] if sys.stdout.isatty() else []
        pytest = subprocess.Popen(
            [str(self.folder / ".venv/bin/python"), "-m", "pytest", *colour, *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        counts: Counter[str] = Counter()
        assert pytest.stdout is not None  # noqa: S101 - it is a pipe
        for line in pytest.stdout:
            print(line, end="", flush=True)
            counts = counted(line) or counts
        return pytest.wait(), counts


def counted(line: str) -> Counter[str] | None:
    """The counts of pytest's closing line; None for any other line."""
    plain = ANSI.sub("", line).strip()
    found = CLOSING.match(plain)
    if found is None:
        return None
    return Counter({word.removesuffix("s"): int(number) for number, word in COUNT.findall(found[1])})


def closing(counts: Counter[str], elapsed_s: float) -> str:
    """One closing line, in pytest's form."""
    plural = {"error": "errors", "warning": "warnings"}
    said = [
        f"{counts[word]} {plural.get(word, word) if counts[word] > 1 else word}"
        for word in ORDER
        if counts[word]
    ]
    return f" {', '.join(said) or 'no tests ran'} in {elapsed_s:.2f}s ".center(80, "=")


def shared_out(arguments: Sequence[str], projects: Sequence[Project], cwd: Path) -> dict[Project, list[str]]:
    """The projects to run, each with its arguments: those whose paths are named, or all where none is."""
    owned = [(word, _owner(arguments, index, projects, cwd)) for index, word in enumerate(arguments)]
    named = {owner for _, owner in owned if owner is not None}
    return {
        project: [
            _absolute(word, cwd) if owner else word for word, owner in owned if owner in (None, project)
        ]
        for project in projects
        if not named or project in named
    }


def _owner(arguments: Sequence[str], index: int, projects: Sequence[Project], cwd: Path) -> Project | None:
    """The project that the path at `index` lies in, the innermost one; None for what is no path."""
    word = arguments[index]
    if word.startswith("-") or (index and arguments[index - 1] in VALUE_FOLLOWS):
        return None
    path = cwd / word.partition("::")[0]
    if not path.exists():
        return None
    around = [project for project in projects if path.resolve().is_relative_to(project.folder)]
    return max(around, key=lambda project: len(project.folder.parts), default=None)


def _absolute(word: str, cwd: Path) -> str:
    path, colons, test = word.partition("::")
    return f"{(cwd / path).resolve()}{colons}{test}"


def status(statuses: Sequence[int]) -> int:
    """The exit status of all together: the first that means something went wrong."""
    ran = [status for status in statuses if status != NOTHING_COLLECTED]
    return next((status for status in ran if status), 0) if ran else NOTHING_COLLECTED


def main(arguments: Sequence[str]) -> int:
    """Runs both, and closes with their sum."""
    projects = (Project(ROOT), Project(ROOT / "inference-svc"))
    start_s = time.monotonic()
    shares = shared_out(arguments, projects, Path.cwd())
    results = [project.run(words) for project, words in shares.items()]
    if len(results) > 1:
        total = sum((counts for _, counts in results), Counter[str]())
        print(f"both projects:\n{closing(total, time.monotonic() - start_s)}", flush=True)
    return status([status for status, _ in results])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
