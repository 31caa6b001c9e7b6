"""A network of one's own: the API server calls webhooks at an address that isn't loopback.

Everything runs in a new network namespace whose only link is a bridge without ports, so that nothing is
reachable from outside and nothing is left behind. A user without root gets one through a user namespace.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from scripts.node.build import NodeError

ADDRESS = "10.77.0.1"
_INSIDE = "HADAL_OWN_NETWORK"


def enter(words: Sequence[str]) -> None:
    """Return inside a network of one's own; outside, run `words` there in this process's place.

    Raises:
        NodeError: this system has no network namespaces, or doesn't let this user have one.
    """
    if os.environ.get(_INSIDE):
        _link()
        return
    missing = [name for name in ("unshare", "ip") if shutil.which(name) is None]
    if not sys.platform.startswith("linux") or missing:
        raise NodeError(
            "this takes Linux's network namespaces, with unshare (util-linux) and ip (iproute2)"
            + (f"; not on the PATH: {', '.join(missing)}" if missing else "")
        )
    unshare = ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        raise NodeError("this user may not make a network namespace; run it as root")
    os.execvpe("unshare", [*unshare, *words], {**os.environ, _INSIDE: "1"})  # noqa: S606 (no shell is wanted)


def _link() -> None:
    for command in (
        "link set lo up",
        "link add node type bridge",
        f"addr add {ADDRESS}/24 dev node",
        "link set node up",
        f"route add default via {ADDRESS}",  # the API server looks for its address by the default route
    ):
        done = subprocess.run(["ip", *command.split()], check=False, capture_output=True, text=True)
        if done.returncode:
            raise NodeError(f"ip {command}: {done.stderr.strip()}")
