"""A revision's autoscaling annotations, checked as Knative's webhook does (annotation_validation.go)."""

from __future__ import annotations

import math
from collections.abc import Callable

from .durations import go_duration_s
from .fields import Fields
from .model import Scaling

GROUP = "autoscaling.knative.dev/"
KPA = "kpa.autoscaling.knative.dev"
WINDOW_MAX_S = 3600.0
_INERT = ("target-burst-capacity", "metric-aggregation-algorithm")
"""The activator is always in the path here, and averages are linear."""
KNOWN = (
    "class", "metric", "target", "target-utilization-percentage", "min-scale", "max-scale", "initial-scale",
    "activation-scale", "scale-down-delay", "scale-to-zero-pod-retention-period", "window",
    "panic-window-percentage", "panic-threshold-percentage", *_INERT,
)  # fmt: skip


def read_scaling(annotations: Fields, container_concurrency: int) -> Scaling:
    """What the annotations say, with the KPA's defaults where they are silent."""
    _refuse_unknown(annotations)
    minimum = int(_number(annotations, "min-scale", 0, 0, whole=True))
    maximum = int(_number(annotations, "max-scale", 0, 0, whole=True))
    if maximum and maximum < minimum:
        annotations.fault(GROUP + "max-scale", f"max-scale={maximum} is less than min-scale={minimum}")
    metric = _metric(annotations)
    return Scaling(
        metric="rps" if metric == "rps" else "concurrency",
        target=_target(annotations, metric, container_concurrency),
        utilisation=_number(annotations, "target-utilization-percentage", 70, 1, 100) / 100,
        min_scale=minimum,
        max_scale=maximum or None,
        initial_scale=int(_number(annotations, "initial-scale", 0, 1, whole=True)),
        activation_scale=_activation(annotations, minimum, maximum),
        scale_down_delay_s=_seconds(annotations, "scale-down-delay", 0.0, 0.0, whole=True),
        retention_s=_seconds(annotations, "scale-to-zero-pod-retention-period", 0.0, 0.0),
        window_s=_seconds(annotations, "window", 60.0, 6.0, whole=True),
        panic_window=_number(annotations, "panic-window-percentage", 10, 1, 100) / 100,
        panic_threshold=_number(annotations, "panic-threshold-percentage", 200, 110, 1000) / 100,
    )


def _refuse_unknown(annotations: Fields) -> None:
    klass = annotations.text(GROUP + "class", KPA)
    if klass != KPA:
        annotations.fault(GROUP + "class", f"{klass!r} is not supported here; supported is {KPA}")
    for name in _INERT:
        annotations.text(GROUP + name)
    for key in annotations:
        if key.startswith(GROUP) and key.removeprefix(GROUP) not in KNOWN:
            annotations.fault(key, f"is not known; there are {', '.join(KNOWN)}")


def _metric(annotations: Fields) -> str:
    metric = annotations.text(GROUP + "metric", "concurrency")
    if metric not in ("concurrency", "rps"):
        annotations.fault(GROUP + "metric", f"{metric!r} is not supported; the KPA knows concurrency and rps")
    return metric


def _target(annotations: Fields, metric: str, container_concurrency: int) -> float:
    """The annotation; else what one replica takes at once; else the cluster's default (100, or 200 rps)."""
    default = 200.0 if metric == "rps" else float(container_concurrency or 100)
    target = _number(annotations, "target", default, 0.01)
    if metric == "concurrency" and container_concurrency:
        return min(target, float(container_concurrency))
    return target


def _activation(annotations: Fields, minimum: int, maximum: int) -> int:
    if GROUP + "activation-scale" not in annotations:
        return 1
    scale = int(_number(annotations, "activation-scale", 2, 2, whole=True))
    if minimum > scale:
        annotations.fault(GROUP + "activation-scale", f"{scale} is less than min-scale={minimum}")
    if maximum and maximum < scale:
        annotations.fault(GROUP + "activation-scale", f"{scale} is more than max-scale={maximum}")
    return scale


def _number(
    annotations: Fields,
    name: str,
    default: float,
    least: float,
    most: float = math.inf,
    *,
    whole: bool = False,
) -> float:
    parse: Callable[[str], float] = int if whole else float
    text = annotations.text(GROUP + name)
    if not text:
        return default
    try:
        value = parse(text)
    except ValueError:
        annotations.fault(GROUP + name, f"{text!r} is no {'whole ' * whole}number")
        return default
    if not least <= value <= most:
        bounds = f"at least {least}" if most == math.inf else f"{least} to {most}"
        annotations.fault(GROUP + name, f"{text} is out of range: {bounds}")
        return default
    return value


def _seconds(annotations: Fields, name: str, default: float, least: float, *, whole: bool = False) -> float:
    text = annotations.text(GROUP + name)
    if not text:
        return default
    try:
        value = go_duration_s(text)
    except ValueError as error:
        annotations.fault(GROUP + name, str(error))
        return default
    if not least <= value <= WINDOW_MAX_S:
        annotations.fault(GROUP + name, f"{text} is out of range: {least:g}s to 1h")
        return default
    if whole and value != int(value):
        annotations.fault(GROUP + name, f"{text} must be whole seconds")
    return value
