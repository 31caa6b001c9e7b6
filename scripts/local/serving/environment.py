"""A child's environment: what a container would have, what the manifest says, and nothing of the runner's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.local.manifests.model import SecretKey, Service

from .expansion import expand
from .images import Image

PASSED_ON = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES", "TZ")
"""What belongs to the machine rather than to the person at it."""


def child_environment(
    service: Service,
    image: Image,
    data: Path,
    *,
    revision: str,
    proxy: str,
    bound: Mapping[str, str],
    secret: Callable[[str, str], str],
) -> dict[str, str]:
    """The variables of every replica of a `revision` of `service`, all but `PORT`.

    `data` is the runner's data folder, `proxy` the URL of the inner listener, `bound` what SinkBindings add,
    `secret` the value of a key of a Secret. The manifest's variables may refer to all of these, and to those
    before them, by `$(NAME)`.
    """
    environment = {
        "PATH": f"{image.programs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(data),
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "HOST": "127.0.0.1",
        "HOSTNAME": "127.0.0.1",  # where TGI's server, and ours after it, reads the address to listen on
        "HADAL_DATA": str(data),
        "K_SERVICE": service.name,
        "K_CONFIGURATION": service.name,
        "K_REVISION": revision,
        "http_proxy": proxy,
        "no_proxy": "127.0.0.1,localhost",
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        **bound,
    }
    for variable in service.env:
        value = variable.value
        environment[variable.name] = (
            secret(value.secret, value.key) if isinstance(value, SecretKey) else expand(value, environment)
        )
    return environment
