"""Brokers, Triggers, PingSources and SinkBindings."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Literal
from urllib.parse import urlsplit

from .durations import iso_duration_s
from .fields import Fields
from .metadata import read_metadata
from .model import Broker, Delivery, Destination, Filter, PingSource, SinkBinding, Trigger

CLASS = "eventing.knative.dev/broker.class"
CLASSES = ("Kafka", "MTChannelBasedBroker")
ORDER = "kafka.eventing.knative.dev/delivery.order"
SERVING = "serving.knative.dev/v1"
REFERENCES: dict[tuple[str, str], Literal["Service", "Broker"]] = {
    (SERVING, "Service"): "Service",
    ("eventing.knative.dev/v1", "Broker"): "Broker",
}
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9]*")
_EXTENSION = re.compile(r"[a-z0-9]+")


def read_broker(manifest: Fields) -> Broker:
    """A Broker of one of the two classes. Its `config` is the cluster's: partitions, replicas, servers."""
    metadata = read_metadata(manifest)
    klass = metadata.annotations.text(CLASS)
    if not klass:
        metadata.annotations.fault(CLASS, f"is missing; there are {' and '.join(CLASSES)}")
    elif klass not in CLASSES:
        metadata.annotations.fault(
            CLASS, f"{klass!r} is not supported here; supported are {', '.join(CLASSES)}"
        )
    spec = manifest.fields("spec")
    manifest.ignore("status")
    manifest.finish()
    if "config" in spec:
        config = spec.fields("config")
        for name in ("apiVersion", "kind", "name"):
            config.required(name)
        config.ignore("namespace")
        config.finish()
    spec.ignore("config")
    delivery = _delivery(spec.fields("delivery"), metadata.namespace)
    spec.finish()
    return Broker(metadata.name, metadata.namespace, metadata.where, klass, delivery)


def read_trigger(manifest: Fields) -> Trigger:
    """A Trigger, its filters as they stand: the eventing half compiles them."""
    metadata = read_metadata(manifest)
    order = metadata.annotations.text(ORDER, "unordered")
    if order not in ("ordered", "unordered"):
        metadata.annotations.fault(ORDER, f"{order!r} is not known; there are ordered and unordered")
    for key in metadata.annotations:
        if key.startswith("knative.dev/dependency") or key == "eventing.knative.dev/injection":
            metadata.annotations.fault(key, "is not supported here")
    spec = manifest.fields("spec")
    manifest.ignore("status")
    manifest.finish()
    legacy = spec.fields("filter")
    attributes = _attributes(legacy, "attributes") if "filter" in spec else None
    legacy.finish()
    filters = _filters(spec, "filters") if "filters" in spec else None
    trigger = Trigger(
        name=metadata.name,
        namespace=metadata.namespace,
        where=metadata.where,
        broker=spec.required("broker"),
        subscriber=_destination(spec.fields("subscriber"), metadata.namespace),
        filter_attributes=attributes,
        filters=filters,
        delivery=_delivery(spec.fields("delivery"), metadata.namespace),
        ordered=order == "ordered",
    )
    spec.finish()
    return trigger


def read_ping_source(manifest: Fields) -> PingSource:
    """A PingSource, its schedule as it stands."""
    metadata = read_metadata(manifest)
    spec = manifest.fields("spec")
    manifest.ignore("status")
    manifest.finish()
    content_type = spec.text("contentType") or None
    source = PingSource(
        name=metadata.name,
        namespace=metadata.namespace,
        where=metadata.where,
        schedule=spec.required("schedule"),
        sink=_destination(spec.fields("sink"), metadata.namespace),
        timezone=spec.text("timezone") or None,
        content_type=content_type,
        data=_ping_data(spec, content_type),
        ce_overrides=_overrides(spec),
    )
    spec.finish()
    return source


def read_sink_binding(manifest: Fields) -> SinkBinding:
    """A SinkBinding whose subject is Knative Services, by name or by labels."""
    metadata = read_metadata(manifest)
    spec = manifest.fields("spec")
    manifest.ignore("status")
    manifest.finish()
    subject = spec.fields("subject")
    if (subject.required("apiVersion"), subject.required("kind")) != (SERVING, "Service"):
        subject.fault("kind", f"only a Service of {SERVING} can be a subject here")
    namespace = subject.text("namespace", metadata.namespace)
    if namespace != metadata.namespace:
        subject.fault("namespace", f"{namespace!r} must be the binding's own, {metadata.namespace!r}")
    name = subject.text("name") or None
    selector = subject.fields("selector")
    labels = selector.text_map("matchLabels")
    selector.finish()
    subject.finish()
    if (name is None) == (not labels):
        subject.fault("", "needs either name or selector.matchLabels")
    binding = SinkBinding(
        name=metadata.name,
        namespace=metadata.namespace,
        where=metadata.where,
        sink=_destination(spec.fields("sink"), metadata.namespace),
        subject_name=name,
        subject_labels=labels,
        ce_overrides=_overrides(spec),
    )
    spec.finish()
    return binding


def _destination(fields: Fields, namespace: str) -> Destination:
    uri = fields.text("uri") or None
    if "ref" in fields:
        ref = fields.fields("ref")
        kind, api = ref.required("kind"), ref.required("apiVersion")
        known = REFERENCES.get((api, kind))
        if known is None:
            supported = " and ".join(f"{kind} of {api}" for api, kind in REFERENCES)
            ref.fault("kind", f"{kind} of {api} is not supported here; supported are {supported}")
        if uri is not None and urlsplit(uri).scheme:
            fields.fault("uri", "must be relative where ref stands as well")
        target = Destination(fields.where, known, ref.text("namespace", namespace), ref.required("name"), uri)
        ref.finish()
        fields.finish()
        return target
    fields.ignore("ref")
    if uri is None:
        fields.fault("", "is missing: it needs ref or uri")
    elif urlsplit(uri).scheme != "http" or not urlsplit(uri).hostname:
        fields.fault("uri", f"{uri!r} must be an absolute http:// address; nothing else is spoken here")
    fields.finish()
    return Destination(fields.where, uri=uri)


def _delivery(fields: Fields, namespace: str) -> Delivery:
    policy = fields.text("backoffPolicy")
    if "backoffPolicy" in fields and policy not in ("linear", "exponential"):
        fields.fault("backoffPolicy", f"{policy!r} is not known; there are linear and exponential")
    delivery = Delivery(
        retry=fields.integer("retry"),
        backoff_policy="linear" if policy == "linear" else "exponential" if policy else None,
        backoff_delay_s=_iso(fields, "backoffDelay"),
        timeout_s=_iso(fields, "timeout", positive=True),
        dead_letter_sink=(
            _destination(fields.fields("deadLetterSink"), namespace) if "deadLetterSink" in fields else None
        ),
    )
    if fields.text("format", "binary") != "binary":
        fields.fault("format", "is not supported here; supported is binary")
    fields.ignore("deadLetterSink")
    fields.finish()
    return delivery


def _iso(fields: Fields, key: str, *, positive: bool = False) -> float | None:
    text = fields.text(key)
    if key not in fields:
        return None
    try:
        value = iso_duration_s(text)
    except ValueError as error:
        fields.fault(key, str(error))
        return None
    if positive and value <= 0:
        fields.fault(key, f"{text} must be more than zero")
    return value


def _attributes(fields: Fields, key: str) -> dict[str, str]:
    child = fields.fields(key)
    for name in child:
        if not _ATTRIBUTE.fullmatch(name):
            child.fault(name, "is no name of an attribute: a-z and 0-9, a letter first")
    return {name: child.text(name) for name in child}


def _filters(fields: Fields, key: str) -> tuple[Filter, ...]:
    found = [_filter(entry) for entry in fields.items(key)]
    return tuple(each for each in found if each is not None)


def _filter(fields: Fields) -> Filter | None:
    dialects = list(fields)
    if len(dialects) != 1:
        fields.fault(
            "", f"has {len(dialects)} dialects; exactly one of exact, prefix, suffix, all, any, not, cesql"
        )
        return None
    dialect = dialects[0]
    argument: Any
    match dialect:
        case "exact" | "prefix" | "suffix":
            argument = _attributes(fields, dialect)
        case "all" | "any":
            argument = _filters(fields, dialect)
        case "not":
            argument = _filter(fields.fields("not"))
        case "cesql":
            argument = fields.text("cesql")
        case _:
            fields.fault(dialect, "is not known; there are exact, prefix, suffix, all, any, not, cesql")
            return None
    if argument is None:
        return None
    return Filter(dialect, argument, fields.at(dialect), f"{fields.path}.{dialect}")


def _overrides(spec: Fields) -> dict[str, str]:
    overrides = spec.fields("ceOverrides")
    extensions = overrides.text_map("extensions")
    for name in extensions:
        if not _EXTENSION.fullmatch(name):
            overrides.fault("extensions", f"{name!r} is no name of an extension: a-z and 0-9")
    overrides.finish()
    return extensions


def _ping_data(spec: Fields, content_type: str | None) -> bytes | None:
    text, encoded = spec.text("data"), spec.text("dataBase64")
    if text and encoded:
        spec.fault("data", "stands beside dataBase64; one is allowed")
    data = text.encode()
    if encoded:
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            spec.fault("dataBase64", "is not base64")
    if data and content_type == "application/json":
        try:
            json.loads(data)
        except ValueError:
            spec.fault("data" if text else "dataBase64", "is not JSON, which contentType says that it is")
    return data or None
