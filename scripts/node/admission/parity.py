"""The corpus before both judges: Knative's admission, and the runner's own validation.

What Knative says is written down, so that the runner can be held to it without a cluster.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import yaml

from scripts.local.eventing import problems
from scripts.local.manifests import ManifestError, load
from scripts.node.build import NodeError

from .admit import reason
from .apiserver import Kubectl
from .corpus import CASES, Case
from .sound import IMAGE, NAMESPACE, SOUND

VERDICTS = Path(__file__).parent / "verdicts.json"
PAGE = Path(__file__).resolve().parents[3] / "docs" / "admission.md"

HEAD = """\
<!-- Written by `scripts/cluster corpus` from scripts/node/admission/; a test says whether it is current. -->
# What Knative and the runner say to broken manifests

{cases} manifests, each a sound one with one field changed (`scripts/node/admission/corpus.py`), before
Knative {version}'s own admission and before the runner's validation. The two agree on {agreed}. The runner
accepts nothing that Knative refuses. It refuses {stricter} that Knative lets in, because it would not do what
they say, or because they can only be a mistake:

| change | why the runner refuses it |
|---|---|
"""
KNATIVE = "1.23"


def asked(kubectl: Kubectl) -> dict[str, str | None]:
    """What Knative says to each case: why it refuses it, or None.

    Raises:
        NodeError: it refuses a sound object, so that nothing it says to a changed one can be relied upon.
    """
    for kind, manifest in SOUND.items():
        if refusal := _refusal(kubectl, manifest):
            raise NodeError(f"Knative refuses the sound {kind} of the corpus: {refusal}")
    return {case.name: _refusal(kubectl, case.manifest()) for case in CASES}


def _refusal(kubectl: Kubectl, manifest: Mapping[str, object]) -> str | None:
    kind = f"{str(manifest['kind']).lower()}s"
    path = f"/apis/{manifest['apiVersion']}/namespaces/{NAMESPACE}/{kind}?dryRun=All&fieldValidation=Strict"
    answer = kubectl.run("create", "--raw", path, "-f", "-", text=json.dumps(manifest))
    if answer.returncode == 0:
        return None
    # The pod of the dry run has another name each time.
    return re.sub(r"dry-run-validation\w+", "dry-run-validation", reason(answer.stderr))


def written_down() -> dict[str, str | None]:
    """What Knative said when it was asked last."""
    verdicts: dict[str, str | None] = json.loads(VERDICTS.read_text(encoding="utf-8"))
    return verdicts


def runner_refusal(case: Case) -> str | None:
    """Why the runner refuses a case, or None."""
    with tempfile.TemporaryDirectory(prefix="hadal-corpus-") as made:
        folder = Path(made)
        manifests = [case.manifest() if kind == case.kind else dict(SOUND[kind]) for kind in SOUND]
        (folder / "all.yaml").write_text(yaml.safe_dump_all(manifests))
        (folder / "kustomization.yaml").write_text("resources: [all.yaml]\n")
        try:
            load(folder, folder, images=(IMAGE,), check=problems)
        except ManifestError as error:
            return "; ".join(
                f"{problem.path}: {problem.text}" if problem.path else problem.text
                for problem in error.problems
            )
    return None


def page() -> str:
    """docs/admission.md."""
    knative = written_down()
    stricter = [
        (case.name, refusal)
        for case in CASES
        if knative[case.name] is None and (refusal := runner_refusal(case)) is not None
    ]
    head = HEAD.format(
        cases=len(CASES), version=KNATIVE, agreed=len(CASES) - len(stricter), stricter=len(stricter)
    )
    return head + "".join(f"| `{_cell(name)}` | {_cell(refusal)} |\n" for name, refusal in stricter)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")
