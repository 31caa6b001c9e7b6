"""What torch's libraries read from the environment as they are loaded: it has to be there before torch is."""

from __future__ import annotations

import os

_DEFAULTS = {
    # How long torch's threads spin while they wait for each other. Left to itself the runtime spins without
    # end, and where other processes want the same cores that costs several times the step; without any
    # spinning a step of a small model takes half as long again.
    "GOMP_SPINCOUNT": "10000",
    # How many kernels oneDNN, and torch in front of it, keep for shapes that they have met: hundreds of
    # kilobytes each, and every number of rows is a shape. With the thousand that both keep otherwise, a
    # service grows by half a gigabyte over its first ten thousand requests.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128",
    "LRU_CACHE_CAPACITY": "128",
}


def set_up_runtime() -> None:
    """Set what isn't set; what an operator says stays."""
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
