"""From a method and a path to a handler."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from functions._runtime.errors import MethodNotAllowed, NotFound
from functions._runtime.http import Route


@dataclass(slots=True)
class _Node:
    children: dict[str, _Node] = field(default_factory=dict)
    parameter: _Node | None = None
    routes: dict[str, tuple[Route, tuple[str, ...]]] = field(default_factory=dict)


class Router:
    """Routes as a tree of path segments; fixed text goes before a `{name}`, with no way back from it."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._root = _Node()
        self._fixed: dict[str, _Node] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        node, names = self._root, []
        for segment in route.path.split("/")[1:]:
            if segment.startswith("{"):
                names.append(segment[1:-1])
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node = node.children.setdefault(segment, _Node())
        if route.method in node.routes:
            raise ValueError(f"{route.method} {route.path} is routed twice")
        node.routes[route.method] = (route, tuple(names))
        if not names:
            self._fixed[route.path] = node

    def match(self, method: str, raw_path: bytes) -> tuple[Route, dict[str, str]]:
        """The route of a request and what its `{name}` parts matched; a HEAD is served by GET's route.

        `raw_path` is as sent: a percent-encoded slash stays inside its segment.

        Raises:
            NotFound: no route has this path.
            MethodNotAllowed: some have, with other methods.
        """
        path = raw_path.decode("latin-1")
        values: list[str] = []
        node = self._fixed.get(path) or self._walk(path, values)
        if node is None or not node.routes:
            raise NotFound("There is nothing at this path.", code="unknown_path")
        found = node.routes.get(method) or (node.routes.get("GET") if method == "HEAD" else None)
        if found is None:
            allowed = sorted(node.routes.keys() | ({"HEAD"} if "GET" in node.routes else set()))
            raise MethodNotAllowed(f"This path takes {', '.join(allowed)}.", allowed=allowed)
        route, names = found
        return route, dict(zip(names, values, strict=True))

    def _walk(self, path: str, values: list[str]) -> _Node | None:
        node = self._root
        for segment in path.split("/")[1:]:
            child = node.children.get(segment)
            if child is None:
                if node.parameter is None or not segment:
                    return None
                child = node.parameter
                values.append(_decoded(segment))
            node = child
        return node


def _decoded(segment: str) -> str:
    try:
        return unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise NotFound("There is nothing at this path.", code="unknown_path") from None
