"""Runs the tests of this folder in a network namespace of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scripts.node.admission import network
from scripts.node.build import build

PROGRAMS = ("etcd", "kubectl", "kn", "kube-apiserver", "serving-webhook", "eventing-webhook")

WITHIN_S = 900
"""For one test: each step of a deployment is a process or two, on a machine that may be busy."""

if __name__ == "__main__":
    build(PROGRAMS)
    network.enter([sys.executable, "-P", "-m", "tests.scripts.deployment.inside", *sys.argv[1:]])
    os.environ["HADAL_DEPLOYMENT_INSIDE"] = "1"
    words = [str(Path(__file__).parent), "-q", "-p", "no:cacheprovider", f"--timeout={WITHIN_S}"]
    sys.exit(pytest.main([*words, *sys.argv[1:]]))
