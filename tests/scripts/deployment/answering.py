"""A cluster whose kubectl and kn answer as a test has put down, without a process."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.deployment.cluster import Cluster, Said, Tools

Rule = Mapping[str, Any]
"""`words` that a call must have; `out` (text, or what becomes JSON), `err` and `status`."""


class Answering:
    """What is told to the programs, and what they say: by the first rule that fits, else nothing."""

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules
        self.told: list[tuple[tuple[str, ...], str]] = []
        self.cluster = Cluster(Tools(), self._run)

    def _run(self, words: Sequence[str], text: str | None, _within_s: float) -> Said:
        self.told.append((tuple(words), text or ""))
        rule = next((each for each in self._rules if set(each["words"]) <= set(words)), {})
        out = rule.get("out", "")
        said = out if isinstance(out, str) else json.dumps(out)
        return Said(int(rule.get("status", 0)), said, str(rule.get("err", "")))
