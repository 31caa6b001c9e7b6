"""What is wrong with the manifests: all of it, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass

from .model import SourceLocation


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One fault: where, which field, what is wrong, and what is supported."""

    where: SourceLocation
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.path}: {self.text}" if self.path else f"{self.where}: {self.text}"


class ManifestError(ValueError):
    """The manifests can't be honoured; one line a fault, in the order of the files."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__("\n".join(map(str, self.problems)))
