"""`scripts/check`: format, lint, types, arrows and fast tests of both projects, in under a minute.

Every step runs, whatever the others say; what failed is shown whole at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / "inference-svc"


@dataclass(frozen=True, slots=True)
class Step:
    """One tool of a project's environment."""

    name: str
    folder: Path
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step said."""

    step: Step
    status: int
    output: str
    elapsed_s: float


FAST = ("pytest", "-q", "-m", "not slow")
IN_PARALLEL = ("-n", "2")
STEPS = (  # the long ones first, so that both cores have something to do until the end
    Step("types", ROOT, ("mypy",)),
    Step("fast tests", ROOT, FAST + IN_PARALLEL),
    Step("model service: types", ENGINE, ("mypy",)),
    Step("model service: fast tests", ENGINE, FAST),
    Step("arrows", ROOT, ("lint-imports",)),
    Step("format", ROOT, ("ruff", "format", "--check", ".")),
    Step("lint", ROOT, ("ruff", "check", ".")),
    Step("model service: format", ENGINE, ("ruff", "format", "--check", ".")),
    Step("model service: lint", ENGINE, ("ruff", "check", ".")),
)


def run(step: Step) -> Outcome:
    """Runs one step to its end."""
    tool, *arguments = step.command
    start_s = time.monotonic()
    done = subprocess.run(
        [str(step.folder / ".venv/bin" / tool), *arguments],
        cwd=step.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return Outcome(step, done.returncode, done.stdout, time.monotonic() - start_s)


def main(steps: Sequence[Step] = STEPS) -> int:
    """1 where any step failed, else 0."""
    start_s = time.monotonic()
    failed: list[Outcome] = []
    with ThreadPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as pool:
        for future in as_completed([pool.submit(run, step) for step in steps]):
            outcome = future.result()
            verdict = "FAILED" if outcome.status else "ok"
            print(f"{verdict:<6}  {outcome.step.name:<26}  {outcome.elapsed_s:5.1f} s", flush=True)
            if outcome.status:
                failed.append(outcome)
    for outcome in failed:
        print(f"\n--- {outcome.step.name}: {' '.join(outcome.step.command)}\n{outcome.output.rstrip()}")
    print(f"\n{len(failed)} of {len(steps)} checks failed" if failed else "all checks pass", end="")
    print(f", {time.monotonic() - start_s:.1f} s in all")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
