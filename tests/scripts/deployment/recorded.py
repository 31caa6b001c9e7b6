"""A kubectl, and a kn, as programs that answer as a test has put down."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scripts.deployment.cluster import Cluster

Rule = Mapping[str, Any]
"""`words` that a call must have; `out` (text, or what becomes JSON), `err` and `status`, or a `port`."""


@dataclass(frozen=True)
class Recorded:
    """The programs of one test, which answer by the first rule that fits, else with nothing."""

    folder: Path

    def cluster(self, *rules: Rule) -> Cluster:
        from scripts.deployment.cluster import Cluster, Tools  # the copy stands where there is no project

        (self.folder / "rules.json").write_text(json.dumps(rules))
        shutil.copy(__file__, self.folder / "answer.py")
        for name in ("kubectl", "kn"):
            program = self.folder / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} -P {self.folder}/answer.py {name} "$@"\n')
            program.chmod(0o700)
        return Cluster(Tools((str(self.folder / "kubectl"),), (str(self.folder / "kn"),)))


def answer(folder: Path, words: Sequence[str]) -> int:
    """Do as the rules say."""
    rules = json.loads((folder / "rules.json").read_text())
    rule: Rule = next((each for each in rules if set(each["words"]) <= set(words)), {})
    if "port" in rule:
        print(f"Forwarding from 127.0.0.1:{rule['port']} -> 8080", flush=True)  # noqa: T201
        signal.pause()
    out = rule.get("out", "")
    sys.stdout.write(out if isinstance(out, str) else json.dumps(out))
    sys.stderr.write(rule.get("err", ""))
    return int(rule.get("status", 0))


if __name__ == "__main__":
    sys.exit(answer(Path(__file__).parent, sys.argv[1:]))
