from __future__ import annotations

import logging
import sys

import orjson

from inference.logs import JsonFormatter


def test_a_record_is_one_line_of_json_with_what_was_added_to_it() -> None:
    record = logging.makeLogRecord(
        {"name": "inference", "levelname": "INFO", "msg": "a %s", "args": ("b\nc",), "port": 7}
    )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    fields = orjson.loads(line)
    assert (fields["message"], fields["level"], fields["logger"], fields["port"]) == (
        "a b\nc",
        "info",
        "inference",
        7,
    )
    assert fields["time"].endswith("+00:00")


def test_an_exception_goes_with_its_record() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        record = logging.makeLogRecord({"msg": "x", "exc_info": sys.exc_info()})
    assert "ValueError: why" in orjson.loads(JsonFormatter().format(record))["exception"]
