"""What a cluster must have for an overlay, told from the overlay's own objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from .cluster import Cluster
from .errors import NoCluster
from .features import needed_features
from .images import NO_REGISTRY, named, repository
from .objects import Manifest, shown

KUBERNETES, KNATIVE = (1, 33), (1, 23)
"""The oldest Kubernetes that this Knative runs on, and the Knative that the manifests were tried on."""
FEATURES = "config-features"
BROKER_CLASS = "eventing.knative.dev/broker.class"
BROKER_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "MTChannelBasedBroker": ("mt-broker-controller", "mt-broker-ingress", "mt-broker-filter"),
    "Kafka": ("kafka-controller", "kafka-broker-receiver"),
}
"""The Deployments in knative-eventing that serve a class."""
EXAMPLE_REGISTRY = "registry.example.com/"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that the cluster hasn't got, and what to do."""

    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked of the cluster once."""

    cluster: Cluster
    objects: Sequence[Manifest]
    images: Collection[str]
    versions: dict[str, str] = field(default_factory=dict)


Check = Callable[[Found], Iterator[Missing]]


def survey(
    cluster: Cluster, objects: Sequence[Manifest], on_nodes: Collection[str]
) -> tuple[str, list[Missing]]:
    """What the cluster is, in a few words, and what it lacks; `on_nodes` are the images that are there.

    Raises:
        NoCluster: no cluster answers.
    """
    said = cluster.ask("version", "-o", "json", "--request-timeout=20s")
    server = json.loads(said.out).get("serverVersion") if said.out.strip() else None
    if said.status or not server:
        raise NoCluster(f"no cluster answers: {said.trouble}")
    found = Found(cluster, objects, on_nodes, {"Kubernetes": str(server["gitVersion"])})
    missing = [each for check in CHECKS for each in check(found)]
    return ", ".join(f"{name} {version}" for name, version in found.versions.items()), missing


def kubernetes(found: Found) -> Iterator[Missing]:
    """A Kubernetes that Knative runs on."""
    yield from _old(found, "Kubernetes", KUBERNETES, "upgrade the cluster")


def knative(found: Found) -> Iterator[Missing]:
    """Both halves of Knative, in a version that the manifests were tried on."""
    for part in ("serving", "eventing"):
        namespace = found.cluster.read("get", "namespace", f"knative-{part}", "-o", "json")
        name = f"Knative {part.capitalize()}"
        if namespace is None:
            yield Missing(f"{name} (no namespace knative-{part})", _INSTALL)
            continue
        labels = namespace["metadata"].get("labels", {})
        found.versions[name] = str(labels.get("app.kubernetes.io/version", "of no said version"))
        yield from _old(found, name, KNATIVE, "upgrade it")


def kinds(found: Found) -> Iterator[Missing]:
    """A definition of every kind of the overlay."""
    wanted: dict[str, set[str]] = {}
    for each in found.objects:
        wanted.setdefault(each["apiVersion"], set()).add(each["kind"])
    for template in map(_channel_template, found.objects):
        if template:
            wanted.setdefault(template["apiVersion"], set()).add(template["kind"])
    for version, names in sorted(wanted.items()):
        for name in sorted(names - found.cluster.kinds(version)):
            yield Missing(f"the kind {name} of {version}", _INSTALL if "knative" in version else "upgrade it")


def features(found: Found) -> Iterator[Missing]:
    """Serving's features that the Services use, switched on."""
    said = found.cluster.read("get", "configmap", FEATURES, "-n", "knative-serving", "-o", "json") or {}
    flags = said.get("data", {})
    for name, user in sorted(needed_features(found.objects).items()):
        if str(flags.get(name, "disabled")).lower() not in ("enabled", "allowed"):
            patch = json.dumps({"data": {name: "enabled"}})
            yield Missing(
                f"the feature {name} of Knative Serving, which {user} needs",
                f"kubectl -n knative-serving patch configmap {FEATURES} --type merge -p '{patch}'",
            )


def broker_class(found: Found) -> Iterator[Missing]:
    """The programs that serve the Brokers' class."""
    for broker in (each for each in found.objects if each["kind"] == "Broker"):
        name = broker["metadata"].get("annotations", {}).get(BROKER_CLASS, "")
        for program in BROKER_PROGRAMS.get(name, ()):
            if (
                found.cluster.read("get", "deployment", program, "-n", "knative-eventing", "-o", "json")
                is None
            ):
                cure = f"install the {name} of Knative Eventing, or choose an overlay with another class"
                yield Missing(f"the Broker class {name} (no {program} in knative-eventing)", cure)
                break


def storage(found: Found) -> Iterator[Missing]:
    """A volume, or a class that makes one, for each claim."""
    claims = [each for each in found.objects if each["kind"] == "PersistentVolumeClaim"]
    if not claims:
        return
    classes = (found.cluster.read("get", "storageclasses", "-o", "json") or {}).get("items", [])
    named = {each["metadata"]["name"] for each in classes}
    default = any(each["metadata"].get("annotations", {}).get(DEFAULT_CLASS) == "true" for each in classes)
    made = (found.cluster.read("get", "persistentvolumes", "-o", "json") or {}).get("items", [])
    ours = [each for each in found.objects if each["kind"] == "PersistentVolume"]
    there = {each["metadata"]["name"] for each in (*made, *ours)}
    yield from _let_go(made, ours)
    for claim in claims:
        spec = claim["spec"]
        wanted, volume = spec.get("storageClassName"), spec.get("volumeName")
        if wanted is None and not default:
            yield Missing(
                f"a default storage class for {shown(claim)}", "annotate one, or name one in the claim"
            )
        elif wanted and wanted not in named:
            yield Missing(f"the storage class {wanted} of {shown(claim)}", "make it, or name another")
        elif wanted == "" and volume not in there:
            yield Missing(f"the volume {volume} of {shown(claim)}", "make it")


def images(found: Found) -> Iterator[Missing]:
    """Images that are on a node, or have a registry to come from."""
    for image in named(found.objects):
        if image.startswith(EXAMPLE_REGISTRY):
            yield Missing(f"a registry for {image}", f"--image {repository(image)}=REGISTRY/NAME:TAG")
        elif image.startswith(NO_REGISTRY) and image not in found.images:
            cure = "scripts/images build; elsewhere than on the node of scripts/cluster, bring it there"
            yield Missing(f"the image {image} on a node", cure)


CHECKS: tuple[Check, ...] = (kubernetes, knative, kinds, features, broker_class, storage, images)
_INSTALL = (
    "install Knative 1.23 (https://knative.dev/docs/install), or scripts/cluster up for one on this machine"
)


def _let_go(made: Sequence[Manifest], ours: Sequence[Manifest]) -> Iterator[Missing]:
    """Volumes of ours whose claim went without them: what they hold can't be read with new Secrets."""
    wanted = {each["metadata"]["name"] for each in ours}
    for volume in made:
        name = volume["metadata"]["name"]
        if name in wanted and volume.get("status", {}).get("phase") == "Released" and _is_written(volume):
            what = f"the volume {name} empty: it holds the data of an earlier deployment"
            yield Missing(
                what, "scripts/undeploy --yes and delete its folder on the node; or restore that deployment"
            )


def _is_written(volume: Manifest) -> bool:
    return "ReadWriteOnce" in volume["spec"]["accessModes"]


def _old(found: Found, name: str, least: tuple[int, int], cure: str) -> Iterator[Missing]:
    version = found.versions[name]
    numbers = re.match(r"v?(\d+)\.(\d+)", version)  # one that is built from source says nothing
    if numbers and tuple(map(int, numbers.groups())) < least:
        yield Missing(f"{name} {least[0]}.{least[1]} or later (there is {version})", cure)


def _channel_template(manifest: Manifest) -> dict[str, Any] | None:
    """The channel that a Broker's ConfigMap names."""
    text = manifest.get("data", {}).get("channel-template-spec") if manifest["kind"] == "ConfigMap" else None
    return dict(yaml.safe_load(text)) if text else None
