"""YAML documents in which every value still knows its line.

Scalars are resolved as Kubernetes' own reader does (YAML 1.2's booleans: `yes` and `on` are text; no dates).
"""

from __future__ import annotations

import re
from copy import copy
from pathlib import Path
from typing import Any

import yaml

from .model import SourceLocation
from .problems import ManifestError, Problem


class Map(dict[str, Any]):
    """A mapping, and where each of its keys stands."""

    def __init__(self, where: SourceLocation) -> None:
        super().__init__()
        self.where = where
        self.lines: dict[str, SourceLocation] = {}

    def put(self, key: str, value: Any, where: SourceLocation) -> None:
        """Set a key that stands at `where`."""
        self[key] = value
        self.lines[key] = where

    def at(self, key: str) -> SourceLocation:
        """Where `key` stands, or where it would."""
        return self.lines.get(key, self.where)


class List(list[Any]):
    """A list, and where each of its elements stands."""

    def __init__(self, where: SourceLocation) -> None:
        super().__init__()
        self.where = where
        self.lines: list[SourceLocation] = []

    def put(self, index: int, value: Any, where: SourceLocation) -> None:
        """Insert an element that stands at `where`."""
        self.insert(index, value)
        self.lines.insert(index, where)

    def at(self, index: int) -> SourceLocation:
        """Where the element stands."""
        return self.lines[index] if index < len(self.lines) else self.where


def duplicate(value: Any) -> Any:
    """A copy that can be changed without changing `value`."""
    twin = copy(value)
    if isinstance(value, Map):
        twin.lines = dict(value.lines)
        for key, child in value.items():
            twin[key] = duplicate(child)
    elif isinstance(value, List):
        twin.lines = list(value.lines)
        twin[:] = [duplicate(child) for child in value]
    return twin


def read(path: Path, root: Path) -> list[Any]:
    """The documents of a file, empty ones left out. `root` is what the places are told relative to."""
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ManifestError([Problem(SourceLocation(name, 1), "", f"can't be read: {reason}")]) from None
    return parse(text, SourceLocation(name, 1))


def parse(text: str, where: SourceLocation) -> list[Any]:
    """The documents of a text whose first line stands at `where`."""
    try:
        nodes = [node for node in yaml.compose_all(text, Loader=_Loader) if node is not None]
        return [value for node in nodes if (value := _value(node, where)) is not None]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else 0
        place = SourceLocation(where.file, where.line + line)
        raise ManifestError([Problem(place, "", f"not YAML: {error.problem or error.context}")]) from None
    except yaml.YAMLError:
        raise ManifestError(
            [Problem(where, "", "not YAML: it holds characters that YAML excludes")]
        ) from None


class _Loader(yaml.SafeLoader):
    """Composes nodes; the scalars' tags are those of YAML 1.2's core schema."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  the base class declares it so


for _tag, _pattern, _first in (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", "~nN"),
    ("merge", r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), list(_first) + [""] * (_tag == "null")
    )


def _place(node: yaml.Node, base: SourceLocation) -> SourceLocation:
    return SourceLocation(base.file, base.line + int(node.start_mark.line))


def _value(node: yaml.Node, base: SourceLocation) -> Any:
    where = _place(node, base)
    if isinstance(node, yaml.MappingNode):
        return _map(node, base, where)
    if isinstance(node, yaml.SequenceNode):
        sequence = List(where)
        for child in node.value:
            sequence.put(len(sequence), _value(child, base), _place(child, base))
        return sequence
    return _scalar(node.tag, str(node.value), where)


def _map(node: yaml.MappingNode, base: SourceLocation, where: SourceLocation) -> Map:
    mapping = Map(where)
    for key_node, child in node.value:
        place = _place(key_node, base)
        if key_node.tag == "tag:yaml.org,2002:merge":
            raise ManifestError([Problem(place, "<<", "merge keys are not supported; write the fields out")])
        if not isinstance(key_node, yaml.ScalarNode):
            raise ManifestError([Problem(place, "", "a key must be text")])
        key = str(key_node.value)
        if key in mapping:
            raise ManifestError([Problem(place, key, f"stands twice (first on line {mapping.at(key).line})")])
        mapping.put(key, _value(child, base), place)
    return mapping


def _scalar(tag: str, text: str, where: SourceLocation) -> Any:
    match tag.removeprefix("tag:yaml.org,2002:"):
        case "str":
            return text
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        case "float":
            return float(text)
    raise ManifestError([Problem(where, "", f"the tag {tag} is not supported; write plain values")])
