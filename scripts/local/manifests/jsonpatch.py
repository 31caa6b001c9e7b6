"""JSON Patch (RFC 6902) over documents that know their lines."""

from __future__ import annotations

from typing import Any

from .problems import ManifestError, Problem
from .source import List, Map, duplicate

OPERATIONS = ("add", "remove", "replace", "move", "copy", "test")


def apply_json_patch(target: Map, operations: List) -> None:
    """Change `target` by each operation in turn. `ManifestError` names the operation that can't be done."""
    for index, operation in enumerate(operations):
        if not isinstance(operation, Map) or operation.get("op") not in OPERATIONS:
            text = f"needs `op`, one of {', '.join(OPERATIONS)}"
            raise ManifestError([Problem(operations.at(index), f"[{index}].op", text)])
        _apply(target, operation)


def _apply(target: Map, operation: Map) -> None:
    pointer = operation.get("path")
    match operation["op"]:
        case "add":
            _add(target, operation, _value(operation))
        case "remove":
            _remove(target, operation, "path")
        case "replace":
            _remove(target, operation, "path")
            _add(target, operation, _value(operation))
        case "move":
            _add(target, operation, _remove(target, operation, "from"))
        case "copy":
            _add(target, operation, duplicate(_find(target, operation, "from")))
        case "test":
            if _find(target, operation, "path") != operation.get("value"):
                raise _fault(operation, f"the test of {pointer} fails")


def _value(operation: Map) -> Any:
    if "value" not in operation:
        raise _fault(operation, "needs `value`")
    return duplicate(operation["value"])


def _tokens(operation: Map, key: str) -> list[str]:
    pointer = operation.get(key)
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise _fault(operation, f"`{key}` must be a JSON pointer that begins with /")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def _parent(target: Map, operation: Map, key: str) -> tuple[Any, str]:
    *way, last = _tokens(operation, key)
    value: Any = target
    for token in way:
        value = _step(value, token, operation, key)
    return value, last


def _find(target: Map, operation: Map, key: str) -> Any:
    parent, last = _parent(target, operation, key)
    return _step(parent, last, operation, key)


def _step(value: Any, token: str, operation: Map, key: str) -> Any:
    if isinstance(value, Map) and token in value:
        return value[token]
    if isinstance(value, List) and token.isdigit() and int(token) < len(value):
        return value[int(token)]
    raise _fault(operation, f"{operation[key]} doesn't exist in the object (no {token!r})")


def _add(target: Map, operation: Map, value: Any) -> None:
    parent, last = _parent(target, operation, "path")
    where = operation.at("value") if "value" in operation else operation.where
    if isinstance(parent, Map):
        parent.put(last, value, where)
    elif isinstance(parent, List) and last == "-":
        parent.put(len(parent), value, where)
    elif isinstance(parent, List) and last.isdigit() and int(last) <= len(parent):
        parent.put(int(last), value, where)
    else:
        raise _fault(
            operation, f"{operation['path']} can't be added: its parent is no map, or the index too high"
        )


def _remove(target: Map, operation: Map, key: str) -> Any:
    parent, last = _parent(target, operation, key)
    value = _step(parent, last, operation, key)
    if isinstance(parent, Map):
        del parent[last]
    else:
        del parent[int(last)]
        del parent.lines[int(last)]
    return value


def _fault(operation: Map, text: str) -> ManifestError:
    return ManifestError([Problem(operation.where, str(operation.get("op")), text)])
