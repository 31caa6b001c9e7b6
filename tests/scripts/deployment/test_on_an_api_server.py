"""scripts/deploy against a real API server with Knative's admission, in a network of its own.

The tests are those of the folder `inside`; only the controllers, which would need containers, are stand-ins.
"""

from __future__ import annotations

import subprocess
import sys

from tests.architecture.house import ROOT
from tests.scripts.node.admission.test_admit import asks_knative


@asks_knative
def test_a_deployment_on_a_real_api_server() -> None:
    words = (sys.executable, "-P", "-m", "tests.scripts.deployment.inside")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
