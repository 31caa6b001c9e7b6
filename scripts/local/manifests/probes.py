"""Readiness, liveness and startup probes, with Knative's defaults (revision_defaults, k8s_validation)."""

from __future__ import annotations

from .fields import Fields
from .model import Probe


def read_probe(fields: Fields, *, aggressive: bool = False, port_known: bool = True) -> Probe:
    """A probe.

    Args:
        fields: its map.
        aggressive: a readiness probe, which without a period is tried all the time.
        port_known: whether Knative fills in a missing port; it does so for all but startup probes.
    """
    handlers = _handlers(fields, port_known=port_known)
    path, headers = _http_get(fields.fields("httpGet")) if "httpGet" in fields else (None, ())
    _target_port(fields.fields("tcpSocket"))
    period = fields.integer("periodSeconds", 0 if aggressive else 10) or 0
    least = 0 if period == 0 else 1
    probe = Probe(
        http_path=path,
        http_headers=headers,
        initial_delay_s=fields.integer("initialDelaySeconds", 0) or 0,
        period_s=period,
        timeout_s=fields.integer("timeoutSeconds", 1, least) or 1,
        success_threshold=fields.integer("successThreshold", 1, 1) or 1,
        failure_threshold=fields.integer("failureThreshold", 3, least) or 3,
    )
    if not aggressive:
        if not handlers:
            fields.fault("", "asks nothing; supported are httpGet and tcpSocket")
        if probe.success_threshold != 1:
            fields.fault("successThreshold", f"{probe.success_threshold} must be 1: one success is enough")
    if period == 0 and aggressive:
        for name in ("failureThreshold", "timeoutSeconds"):
            if name in fields:
                fields.fault(name, "is disallowed where periodSeconds is zero or missing")
    fields.finish()
    return probe


def _handlers(fields: Fields, *, port_known: bool) -> list[str]:
    """What it asks with; a fault where that isn't one way that there is here."""
    handlers = [name for name in ("httpGet", "tcpSocket", "exec", "grpc") if name in fields]
    for name in ("exec", "grpc"):
        if name in fields:
            fields.fault(name, "is not supported here; supported are httpGet and tcpSocket")
    if len(handlers) > 1:
        fields.fault("", f"has {' and '.join(handlers)}; one is allowed")
    fields.ignore("exec", "grpc", "terminationGracePeriodSeconds")
    for name in handlers:
        if not port_known and "port" not in fields.fields(name):
            fields.fields(name).fault("port", "is missing; Knative fills it in for other probes only")
    return handlers


def _http_get(fields: Fields) -> tuple[str, tuple[tuple[str, str], ...]]:
    path = fields.text("path", "/") or "/"
    if fields.text("scheme", "HTTP") != "HTTP":
        fields.fault("scheme", "is not supported here; supported is HTTP")
    headers: list[tuple[str, str]] = []
    for header in fields.items("httpHeaders"):
        headers.append((header.required("name"), header.text("value")))
        header.finish()
    _target_port(fields)
    return (path if path.startswith("/") else f"/{path}"), tuple(headers)


def _target_port(fields: Fields) -> None:
    """The port is always the container's own; the runner chooses its number."""
    fields.ignore("port")
    if "host" in fields:
        fields.fault("host", "is not supported here; a probe asks its own process")
    fields.ignore("host")
    fields.finish()
