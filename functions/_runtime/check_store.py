"""`HADAL_STORE=… python -m functions._runtime.check_store`: whether a store can be used, and why not.

Exit status: 0 it takes writes, 1 it doesn't now (one line says why), 2 the address is wrong. No line shows
the password. For a person, a script before a start, or an init container.
"""

from __future__ import annotations

import asyncio
import os
import sys

from functions._runtime.errors import Unavailable
from functions._runtime.store import open_store, store_url


def main() -> int:
    """Check the store of the environment; return the exit status."""
    try:
        url = store_url(os.environ.get("HADAL_STORE", ""))
    except ValueError as error:
        print(f"HADAL_STORE {error}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        asyncio.run(_checked(url))
    except Unavailable as problem:
        print(problem.message, file=sys.stderr)  # noqa: T201
        return 1
    return 0


async def _checked(url: str) -> None:
    async with open_store(url) as store:
        await store.check()


if __name__ == "__main__":
    sys.exit(main())
