from __future__ import annotations

import logging

import orjson
import pytest

from functions._runtime.logs import Log, take_over_library_logs
from functions._runtime.tracing import current_trace, trace_from


class Lines(list[str]):
    def last(self) -> dict[str, object]:
        line: dict[str, object] = orjson.loads(self[-1])
        return line


@pytest.fixture
def lines() -> Lines:
    return Lines()


def test_a_line_says_when_who_and_in_which_request(lines: Lines) -> None:
    log = Log("chat", write=lines.append)
    token = current_trace.set(trace_from({"x-request-id": "r1"}))
    log.info("turn_started", turn_id="t1")
    current_trace.reset(token)
    line = lines.last()
    assert line["level"], line["function"] == ("info", "chat")
    assert (line["event"], line["turn_id"], line["request_id"]) == ("turn_started", "t1", "r1")
    assert len(str(line["trace_id"])) == 32
    assert str(line["time"]).endswith("Z")


def test_lines_below_the_level_are_not_written(lines: Lines) -> None:
    log = Log("chat", "warning", lines.append)
    log.info("a")
    log.debug("b")
    log.warning("c")
    assert len(lines) == 1


@pytest.mark.parametrize(
    "name",
    (
        *("authorization", "Authorization", "api_key", "client_secret", "password", "access_token", "cookie"),
        *("prompt", "messages", "message", "content", "body", "credential"),
    ),
)
def test_a_field_that_holds_a_secret_or_words_is_removed(lines: Lines, name: str) -> None:
    """Promise 62."""
    Log("chat", write=lines.append).info("event", **{name: "canary"})
    assert "canary" not in lines[-1]


@pytest.mark.parametrize(
    "text",
    [
        "hdl_abc123_canaryCANARY0",
        "Bearer canary.canary",
        "bearer canary",
        "Basic Y2FuYXJ5canary",
        "eyJhbGciOiJFUzI1NiJ9.canary.canary",
        "sk-canary-canary",
    ],
)
def test_what_looks_like_a_credential_is_removed_wherever_it_stands(lines: Lines, text: str) -> None:
    """Promise 62."""
    Log("chat", write=lines.append).info("event", url=f"http://x/?key={text}", nested={"list": [text]})
    assert "canary" not in lines[-1].lower()
    assert lines.last()["event"] == "event"


def test_token_counts_are_no_tokens(lines: Lines) -> None:
    Log("chat", write=lines.append).info("turn", prompt_count=1, total_tokens=7)
    assert lines.last()["total_tokens"] == 7


def test_an_exception_is_logged_without_what_it_says(lines: Lines) -> None:
    """Promise 62."""

    def fail() -> None:
        try:
            raise KeyError("canary")
        except KeyError as error:
            raise ValueError("canary") from error

    try:
        fail()
    except ValueError as error:
        Log("chat", write=lines.append).error("failed", error=error)
    assert "canary" not in lines[-1]
    assert lines.last()["error"] == "builtins.ValueError from builtins.KeyError"
    assert any(frame.endswith(" fail") for frame in lines.last()["frames"])  # type: ignore[attr-defined]


def test_a_value_that_isnt_json_doesnt_break_the_line(lines: Lines) -> None:
    Log("chat", write=lines.append).info("event", value=object(), text="\ud800", raw=b"canary")
    assert lines.last()["value"] == "<object>"
    assert "canary" not in lines[-1]


def test_libraries_log_into_the_same_form(lines: Lines) -> None:
    root = logging.getLogger()
    before = root.handlers, root.level
    try:
        take_over_library_logs(Log("chat", write=lines.append))
        logging.getLogger("some.library").warning("it said %s", "canary")
        logging.getLogger("some.library").info("unheard")
    finally:
        root.handlers, root.level = before
    assert len(lines) == 1
    assert (lines.last()["logger"], lines.last()["text"]) == ("some.library", "it said %s")
