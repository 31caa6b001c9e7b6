"""`$(NAME)` in a container's command, arguments and variables (Kubernetes, Container v1: command, env)."""

from __future__ import annotations

import re
from collections.abc import Mapping

_REFERENCE = re.compile(r"\$(\$|\([^)]*\))")


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Put values in place of references; an unknown one stays as it is, and `$$` is a dollar."""

    def value(match: re.Match[str]) -> str:
        token = match.group(1)
        return "$" if token == "$" else variables.get(token[1:-1], match.group(0))  # noqa: S105  no password

    return _REFERENCE.sub(value, text)
