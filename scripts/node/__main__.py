"""`scripts/cluster`: a real Knative, built from source, and what it says to the manifests.

Exit status: 0 everything may come in, 1 something was refused or has changed, 2 it couldn't be asked.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .admission import network, parity, sound
from .admission.admit import Verdict, make_place, rendered, verdicts
from .admission.apiserver import Kubectl, api_server
from .admission.knative import knative
from .build import NodeError, build
from .cluster import cli as cluster
from .programs import PROGRAMS
from .scenarios import cli as scenarios

OVERLAYS = Path(__file__).resolve().parents[2] / "knative" / "overlays"
ADMISSION = ("etcd", "kubectl", "kube-apiserver", "serving-webhook", "eventing-webhook")


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    given = sys.argv[1:] if words is None else words
    try:
        if given and given[0] in cluster.PASSED_ON:
            return cluster.pass_on(given[0], given[1:])
        arguments = _parser().parse_args(given)
        match arguments.command:
            case "build":
                return _build()
            case "test":
                return scenarios.run(arguments)
            case "corpus":
                return _corpus(check=arguments.check)
            case command if command in cluster.COMMANDS:
                return cluster.run(arguments)
            case _:
                return _admit(arguments.overlays)
    except NodeError as error:
        print(f"scripts/cluster: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("scripts/cluster: interrupted; what was built is kept.", file=sys.stderr)
        return 130


def _build() -> int:
    for name, path in build(PROGRAMS).items():
        print(f"{name}  {path}")
    return 0


def _admit(names: list[str]) -> int:
    overlays = [_overlay(name) for name in names] or sorted(OVERLAYS.iterdir())
    with _knative("admit", *names) as kubectl:
        said = [
            _shown(overlay.name, verdict)
            for overlay in overlays
            for verdict in verdicts(kubectl, rendered(kubectl, overlay))
        ]
    refused = sum(verdict.refusal is not None for verdict in said)
    print(f"{len(said)} objects, {refused} refused")
    return 1 if refused else 0


def _corpus(*, check: bool) -> int:
    """Ask anew, and write down what was said, or only say what has changed."""
    with _knative("corpus", *(["--check"] if check else [])) as kubectl:
        make_place(kubectl, sound.NAMESPACE)
        before, now = parity.written_down(), parity.asked(kubectl)
    changed = [name for name in before | now if before.get(name, "") != now.get(name, "")]
    for name in changed:
        print(f"{name}: {now.get(name, 'no longer asked') or 'accepted'}")
    print(f"{len(now)} manifests, {len(changed)} verdicts changed")
    if check:
        return 1 if changed else 0
    parity.VERDICTS.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    parity.PAGE.write_text(parity.page(), encoding="utf-8")
    return 0


@contextmanager
def _knative(*words: str) -> Iterator[Kubectl]:
    """Knative's admission, in a network of its own that this process enters as the command `words`."""
    programs = build(ADMISSION)
    network.enter([sys.executable, "-P", "-m", "scripts.node", *words])
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hadal-admission-") as made:
        folder = Path(made)
        with api_server(programs, folder) as kubectl, knative(programs, kubectl, folder):
            print(f"  Knative's admission is ready ({time.monotonic() - began_s:.1f} s)", file=sys.stderr)
            yield kubectl


def _overlay(name: str) -> Path:
    """A folder, or one of ours by its name."""
    for folder in (OVERLAYS / name, Path(name)):
        if (folder / "kustomization.yaml").is_file():
            return folder
    there = ", ".join(sorted(folder.name for folder in OVERLAYS.iterdir()))
    raise NodeError(f"{name} is no overlay: give {there}, or a folder with a kustomization.yaml")


def _shown(overlay: str, verdict: Verdict) -> Verdict:
    word = "refused " if verdict.refusal else "accepted"
    how = "  (by a schema of the project: its definition can't be had)" if verdict.by_schema else ""
    print(f"{word}  {overlay:<10}  {verdict.kind}/{verdict.name}{how}", flush=True)
    if verdict.refusal:
        print(f"          {verdict.refusal}", flush=True)
    return verdict


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/cluster", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    admit = commands.add_parser(
        "admit",
        help="ask Knative's own admission what it says to every object of the overlays",
        description="Starts an API server and Knative's two webhooks as processes in a network of their own, "
        "and applies every object with a server-side dry run. The first time they are built from source, "
        "which takes about ten minutes and needs Go.",
    )
    admit.add_argument(
        "overlays",
        nargs="*",
        metavar="OVERLAY",
        help="of knative/overlays, or a folder; default: all of ours",
    )
    asking = commands.add_parser(
        "corpus",
        help="ask it about the broken manifests of the corpus, and write down what it says",
        description="Writes scripts/node/admission/verdicts.json and docs/admission.md.",
    )
    asking.add_argument("--check", action="store_true", help="write nothing; exit status 1 if one changed")
    scenarios.add_arguments(
        commands.add_parser("test", help="try the scenarios on a cluster or on the local runner")
    )
    commands.add_parser("build", help="only build the programs")
    cluster.add_arguments(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
