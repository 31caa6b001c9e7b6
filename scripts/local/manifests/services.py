"""Knative Services: `serving.knative.dev/v1`, one container each."""

from __future__ import annotations

from collections.abc import Collection

from .container_security import check_resources, check_security_context
from .durations import go_duration_s
from .environment import Values, read_environment
from .fields import Fields
from .metadata import Metadata, read_metadata
from .model import Probe, Scaling, Service
from .probes import read_probe
from .scaling import GROUP, read_scaling
from .traffic import read_revision_name, read_traffic

VISIBILITY = "networking.knative.dev/visibility"
MAX_TIMEOUT_S = 600
MAX_CONCURRENCY = 1000
PROGRESS_DEADLINE = "serving.knative.dev/progress-deadline"
RESERVED_PORTS = frozenset((8008, 8012, 8013, 8022, 9090, 9091))

POD_FIELDS_WITHOUT_MEANING_HERE = (
    "affinity", "automountServiceAccountToken", "enableServiceLinks", "imagePullSecrets", "nodeSelector",
    "priorityClassName", "runtimeClassName", "schedulerName", "securityContext", "serviceAccountName",
    "tolerations", "topologySpreadConstraints",
)  # fmt: skip
"""Where and as whom a Pod runs: on one machine it is this machine, and this user."""

CONTAINER_FIELDS_WITHOUT_MEANING_HERE = (
    "imagePullPolicy", "name", "terminationMessagePath", "terminationMessagePolicy",
)  # fmt: skip


def read_service(manifest: Fields, values: Values, images: Collection[str]) -> Service:
    """A Service; `images` are those that this machine has an environment for."""
    metadata = read_metadata(manifest, dns_label=True)
    cluster_local = _is_cluster_local(manifest, metadata)
    _refuse_misplaced(metadata.annotations)
    spec = manifest.fields("spec")
    manifest.ignore("status")
    manifest.finish()
    traffic = read_traffic(spec)
    template = spec.fields("template")
    spec.finish()
    pod = template.fields("spec")
    container = _container(pod)
    concurrency = pod.integer("containerConcurrency", 0, 0, MAX_CONCURRENCY) or 0
    revision_name, scaling, deadline_s = _template_metadata(template, metadata.name, concurrency)
    timeout_s = pod.integer("timeoutSeconds", 300, 0, MAX_TIMEOUT_S) or 300
    start_s = pod.integer("responseStartTimeoutSeconds", 0, 0, timeout_s) or min(300, timeout_s)
    idle_s = pod.integer("idleTimeoutSeconds", 0, 0, timeout_s)
    readiness, liveness, startup = _probes(container)
    service = Service(
        name=metadata.name,
        namespace=metadata.namespace,
        where=metadata.where,
        image=_image(container, images),
        command=_command(container),
        env=read_environment(container, metadata.namespace, values),
        scaling=scaling,
        container_concurrency=concurrency,
        timeout_s=timeout_s,
        response_start_timeout_s=start_s,
        idle_timeout_s=idle_s or None,
        progress_deadline_s=deadline_s,
        cluster_local=cluster_local,
        readiness=readiness,
        liveness=liveness,
        startup=startup,
        labels=metadata.labels,
        revision_name=revision_name,
        traffic=traffic,
    )
    _read_volumes(pod, container)
    _read_port(container)
    check_resources(container.fields("resources"))
    check_security_context(container.fields("securityContext"))
    container.ignore(*CONTAINER_FIELDS_WITHOUT_MEANING_HERE)
    container.finish()
    pod.ignore(*POD_FIELDS_WITHOUT_MEANING_HERE)
    pod.finish()
    return service


def _is_cluster_local(manifest: Fields, metadata: Metadata) -> bool:
    visibility = metadata.labels.get(VISIBILITY)
    if visibility not in (None, "cluster-local"):
        manifest.fields("metadata").fields("labels").fault(
            VISIBILITY, f"{visibility!r} is not known; there is cluster-local"
        )
    return visibility == "cluster-local"


def _container(pod: Fields) -> Fields:
    containers = pod.items("containers")
    if len(containers) != 1:
        pod.fault("containers", f"{len(containers)} containers; exactly one is supported here")
    if "initContainers" in pod:
        pod.fault("initContainers", "is not supported here")
    pod.ignore("initContainers")
    return containers[0] if containers else Fields(None, pod.where, "", [])


def _refuse_misplaced(annotations: Fields) -> None:
    for key in annotations:
        if key.startswith(GROUP):
            annotations.fault(key, "has no effect here: it belongs under spec.template.metadata")


def _template_metadata(template: Fields, service: str, concurrency: int) -> tuple[str | None, Scaling, float]:
    metadata = template.fields("metadata")
    name = read_revision_name(metadata, service)
    metadata.ignore("labels", "creationTimestamp")
    annotations = metadata.fields("annotations")
    metadata.finish()
    template.finish()
    deadline_s = 600.0
    text = annotations.text(PROGRESS_DEADLINE)
    if text:
        try:
            deadline_s = go_duration_s(text)
        except ValueError as error:
            annotations.fault(PROGRESS_DEADLINE, str(error))
        if deadline_s < 0 or deadline_s != int(deadline_s):
            annotations.fault(PROGRESS_DEADLINE, f"{text} must be whole seconds, and positive")
    return name, read_scaling(annotations, concurrency), deadline_s


def _image(container: Fields, images: Collection[str]) -> str:
    image = container.required("image")
    name = image.partition("@")[0]
    if ":" in name.rpartition("/")[2]:
        name = name.rpartition(":")[0]
    if image and name not in images:
        container.fault(
            "image", f"{image}: this machine has no environment for it; it has {', '.join(images)}"
        )
    return name


def _command(container: Fields) -> tuple[str, ...]:
    command = container.texts("command")
    if not command:
        container.fault("command", "is missing: here an image has no command of its own")
    return (*command, *container.texts("args"))


def _probes(container: Fields) -> tuple[Probe, Probe | None, Probe | None]:
    readiness = read_probe(container.fields("readinessProbe"), aggressive=True)
    liveness, startup = (
        read_probe(container.fields(name), port_known=name != "startupProbe") if name in container else None
        for name in ("livenessProbe", "startupProbe")
    )
    container.ignore("livenessProbe", "startupProbe")
    return readiness, liveness, startup


def _read_volumes(pod: Fields, container: Fields) -> None:
    """An emptyDir is a folder that a container may write to: here it may write where its user may."""
    names: set[str] = set()
    for volume in pod.items("volumes"):
        names.add(volume.required("name"))
        volume.ignore("emptyDir", "name")
        for kind in volume:
            if kind not in ("name", "emptyDir"):
                volume.fault(kind, "is not supported here; supported is emptyDir (an ordinary folder)")
    for mount in container.items("volumeMounts"):
        if mount.required("name") not in names:
            mount.fault("name", "has no volume of that name")
        if not mount.required("mountPath").startswith("/"):
            mount.fault("mountPath", "must begin with /")
        mount.ignore("readOnly")
        mount.finish()


def _read_port(container: Fields) -> None:
    ports = container.items("ports")
    if len(ports) > 1:
        container.fault("ports", "more than one port is set; Knative allows one")
    for port in ports:
        number = port.integer("containerPort", 8080, 0, 65535)
        if number in RESERVED_PORTS:
            port.fault("containerPort", f"{number} is reserved by Knative")
        name = port.text("name")
        if name not in ("", "http1"):
            port.fault("name", f"{name!r} is not supported here; supported is http1")
        if port.text("protocol", "TCP") != "TCP":
            port.fault("protocol", "must be TCP")
        port.finish()
