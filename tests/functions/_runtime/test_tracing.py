from __future__ import annotations

import pytest

from functions._runtime.tracing import trace_from

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_a_trace_goes_on_with_a_span_of_its_own() -> None:
    trace = trace_from({"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "tracestate": "a=1"})
    assert trace.trace_id == TRACE
    assert trace.traceparent.startswith(f"00-{TRACE}-")
    assert trace.traceparent.endswith("-01")
    assert "b7ad6b7169203331" not in trace.traceparent
    assert trace.headers()["tracestate"] == "a=1"


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "x",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331",
        f"00-{TRACE}-b7ad6b7169203331-01\n",
    ],
)
def test_a_traceparent_that_is_none_begins_a_new_trace(sent: str) -> None:
    trace = trace_from({"traceparent": sent, "tracestate": "a=1"})
    assert len(trace.trace_id) == 32
    assert trace.trace_id.lower() != TRACE
    assert "tracestate" not in trace.headers()


def test_an_events_own_trace_goes_before_the_carriers() -> None:
    other = "1" * 32
    headers = {
        "ce-traceparent": f"00-{TRACE}-b7ad6b7169203331-01",
        "traceparent": f"00-{other}-{'2' * 16}-01",
    }
    assert trace_from(headers).trace_id == TRACE


def test_a_later_version_of_the_header_is_read_as_far_as_it_is_known() -> None:
    assert trace_from({"traceparent": f"01-{TRACE}-b7ad6b7169203331-01-more"}).trace_id == TRACE
