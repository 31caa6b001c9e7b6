"""Encoding and decoding an event of 1 KB in every mode, against bare orjson and the SDK.

CPU microseconds of one event, best of many rounds, taken in turns so that a busy machine harms all alike.
The ratio is encode plus decode over what orjson takes to write and read the same event as one JSON object;
the strict validation of everything is in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks._frame import Row, Table
from events import CloudEvent, catalogue, http, jsonformat, kafka
from events.chat import Item, TurnStarted

BAR = 3.0
ROUNDS = 200
CALLS = 100
BATCH_EVENTS = 10

Work = Callable[[], object]


def sample() -> CloudEvent:
    """A turn of four messages, 1 KB as JSON."""
    messages = (
        ("user", "How deep is the hadal zone, and what lives down there? Please answer in two sentences."),
        (
            "assistant",
            "From about 6,000 to 11,000 metres: the trenches.\n\n- amphipods\n- snailfish\n- holothurians",
        ),
        ("user", "Which trench is the deepest, and how do we know?"),
        ("assistant", "The Mariana Trench: echo sounding puts its Challenger Deep at about 10,935 metres."),
    )
    items = tuple(Item(f"msg_01hv3m9f{n}a", role, text) for n, (role, text) in enumerate(messages))
    fact = TurnStarted("conv_01hv3m8k2q", "turn_01hv3m9c7d", "smollm2-135m", items, "2026-01-15T09:30:00Z")
    return catalogue.to_event(
        fact,
        id="01hv3m9c7fzz0q",
        source=fact.SOURCE,
        time="2026-01-15T09:29:00.123Z",
        subject=fact.conversation_id,
        tenant="acme",
        partitionkey=fact.conversation_id,
        extensions={"sequence": "0000000007", "traceparent": f"00-{'4bf92f35' * 4}-{'00f067aa' * 2}-01"},
    )


def best_us(works: dict[str, Work]) -> dict[str, float]:
    """CPU microseconds of a call of each."""
    best = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            start_ns = time.process_time_ns()
            for _ in range(CALLS):
                work()
            best[name] = min(best[name], (time.process_time_ns() - start_ns) / CALLS / 1000)
    return best


def pair(mode: str, encode: Work, decode: Work) -> dict[str, Work]:
    """What a mode does, under the names of its two directions."""
    return {f"{mode} encode": encode, f"{mode} decode": decode}


def ours(event: CloudEvent) -> dict[str, Work]:
    """Both directions of every mode."""
    structured, binary, batch = (
        http.to_structured(event),
        http.to_binary(event),
        http.to_batch([event] * BATCH_EVENTS),
    )
    record, structured_record = kafka.to_record(event), kafka.to_record(event, structured=True)
    return (
        pair("structured", lambda: http.to_structured(event), lambda: http.decode_one(*structured))
        | pair("binary", lambda: http.to_binary(event), lambda: http.decode_one(*binary))
        | pair("batched", lambda: http.to_batch([event] * BATCH_EVENTS), lambda: http.decode(*batch))
        | pair("Kafka binary", lambda: kafka.to_record(event), lambda: kafka.from_record(record))
        | pair(
            "Kafka structured",
            lambda: kafka.to_record(event, structured=True),
            lambda: kafka.from_record(structured_record),
        )
    )


def sdk(event: CloudEvent) -> dict[str, Work]:
    """The same of the CloudEvents SDK, which validates less."""
    from cloudevents import conversion
    from cloudevents import http as sdk_http

    theirs = sdk_http.CloudEvent(event.attributes(), event.json())
    structured: Any = conversion.to_structured(theirs)
    binary: Any = conversion.to_binary(theirs)
    return pair(
        "SDK structured", lambda: conversion.to_structured(theirs), lambda: sdk_http.from_http(*structured)
    ) | pair("SDK binary", lambda: conversion.to_binary(theirs), lambda: sdk_http.from_http(*binary))


async def main() -> Table:
    """Measures."""
    event = sample()
    text = jsonformat.to_json(event)
    document = orjson.loads(text)
    bare = pair("bare orjson", lambda: orjson.dumps(document), lambda: orjson.loads(text))
    works = bare | ours(event) | sdk(event)
    figures = best_us(works)
    floor_us = figures["bare orjson encode"] + figures["bare orjson decode"]
    table = Table(f"One event of {len(text)} bytes, {ROUNDS} rounds of {CALLS} calls")
    for name in dict.fromkeys(name.rpartition(" ")[0] for name in works):
        share = BATCH_EVENTS if name == "batched" else 1
        encode_us, decode_us = figures[f"{name} encode"] / share, figures[f"{name} decode"] / share
        bar = None if name.startswith(("SDK", "bare")) else BAR
        note = f"encode {encode_us:.1f} us, decode {decode_us:.1f} us"
        table.rows.append(Row(name, (encode_us + decode_us) / floor_us, "x", bar=bar, note=note))
    return table
