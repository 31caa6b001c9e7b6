"""TGI's validation, case by case, over HTTP: the status, the type, and the words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.service import LIMITS, fake_model, running

PREFIX = "Input validation error: "
CASES = [
    ({"temperature": 0.0}, "`temperature` must be strictly positive"),
    ({"temperature": -1}, "`temperature` must be strictly positive"),
    ({"repetition_penalty": 0.0}, "`repetition_penalty` must be strictly positive"),
    ({"frequency_penalty": 2.1}, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"top_p": 0.0}, "`top_p` must be > 0.0 and < 1.0"),
    ({"typical_p": 1.0}, "`typical_p` must be > 0.0 and < 1.0"),
    ({"top_k": 0}, "`top_k` must be strictly positive"),
    ({"top_k": -3}, "`top_k` must be strictly positive"),
    ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
    (
        {"max_new_tokens": -1},
        "`parameters.max_new_tokens` must be an integer from 0 to 4294967295. Given: integer -1",
    ),
    (
        {"max_new_tokens": 62},
        "`inputs` tokens + `max_new_tokens` must be <= 64. Given: 3 `inputs` tokens and 62 `max_new_tokens`",
    ),
    ({"best_of": 3, "do_sample": True}, "`best_of` must be > 0 and <= 2. Given: 3"),
    ({"best_of": 2}, "you must use sampling when `best_of` is > 1"),
    ({"best_of": 2, "do_sample": True, "seed": 1}, "`seed` must not be set when `best_of` > 1"),
    ({"stop": ["a", "b", "c", "d", "e"]}, "`stop` supports up to 4 stop sequences. Given: 5"),
    ({"stop": [""]}, "`stop` sequences cannot be empty"),
    ({"stop": [1]}, "`parameters.stop` must be a string or a list of strings. Given: array"),
    ({"top_n_tokens": 6}, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    ({"truncate": 0}, "`truncate` must be strictly positive and less than 48. Given: 0"),
    ({"truncate": 49}, "`truncate` must be strictly positive and less than 48. Given: 49"),
    ({"temperature": "hot"}, "`parameters.temperature` must be a number. Given: string 'hot'"),
    ({"details": 1}, "`parameters.details` must be a boolean. Given: integer 1"),
    (
        {"top_k": True},
        "`parameters.top_k` must be an integer from -2147483648 to 2147483647. Given: boolean True",
    ),
    ({"seed": -1}, "`parameters.seed` must be an integer from 0 to 18446744073709551615. Given: integer -1"),
    ({"grammar": "a+"}, "`parameters.grammar` must be an object. Given: string 'a+'"),
    ({"grammar": {"value": "a"}}, "missing field `parameters.grammar.type`"),
    (
        {"grammar": {"type": "xml", "value": "a"}},
        "`parameters.grammar.type` must be one of json, json_schema, regex. Given: 'xml'",
    ),
    (
        {"grammar": {"type": "json", "value": "{"}},
        "`parameters.grammar.value` must be a JSON schema: it is not JSON",
    ),
    (
        {"grammar": {"type": "json", "value": [1]}},
        "`parameters.grammar.value` must be a JSON schema: an object",
    ),
    (
        {"grammar": {"type": "json_schema", "value": {"name": "x"}}},
        "missing field `parameters.grammar.value.schema`",
    ),
    (
        {"grammar": {"type": "json", "value": {"type": "strange"}}},
        "the grammar can't be compiled: Invalid type: strange",
    ),
    ({"watermark": True}, "watermark is not supported"),
    ({"adapter_id": "x"}, "`adapter_id` is not supported: no adapters are loaded"),
]


@pytest.mark.parametrize(("parameters", "message"), CASES, ids=[str(case[0]) for case in CASES])
async def test_a_parameter_out_of_range_is_refused_in_tgis_words(
    parameters: dict[str, Any], message: str
) -> None:
    paths = ["/generate", "/"] if "best_of" in parameters else ["/generate", "/", "/generate_stream"]
    async with running(fake_model("yes")) as service:
        for path in paths:
            status, body = await service.post(path, {"inputs": "abc", "parameters": parameters})
            assert (status, body) == (422, {"error": PREFIX + message, "error_type": "validation"})
        assert not service.engine.requests


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"best_of": 2, "do_sample": True}, "`best_of` != 1 is not supported when streaming tokens"),
        (
            {"decoder_input_details": True},
            "`decoder_input_details` == true is not supported when streaming tokens",
        ),
    ],
)
async def test_what_a_stream_cannot_have_is_refused(parameters: object, message: str) -> None:
    async with running(fake_model("yes")) as service:
        status, body = await service.post("/generate_stream", {"inputs": "abc", "parameters": parameters})
    assert (status, body["error"]) == (422, PREFIX + message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"inputs": ""}, "`inputs` cannot be empty"),
        ({}, "missing field `inputs`"),
        ({"inputs": 7}, "`inputs` must be a string. Given: integer 7"),
        ({"inputs": "abc", "parameters": []}, "`parameters` must be an object. Given: array"),
        ([], "`body` must be an object. Given: array"),
        ({"inputs": "x" * 49}, "`inputs` must have less than 48 tokens. Given: 49"),
    ],
)
async def test_a_body_of_the_wrong_shape_names_the_field(body: object, message: str) -> None:
    async with running(fake_model("yes")) as service:
        assert await service.post("/generate", body) == (
            422,
            {"error": PREFIX + message, "error_type": "validation"},
        )


async def test_best_of_is_refused_where_the_operator_allows_none() -> None:
    async with running(fake_model("yes", limits=replace(LIMITS, max_best_of=1))) as service:
        _, body = await service.post(
            "/generate", {"inputs": "a", "parameters": {"best_of": 2, "do_sample": True}}
        )
    assert body["error"] == PREFIX + "`best_of` != 1 is not allowed for this endpoint"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b'{"inputs": NaN}',
        b'\xef\xbb\xbf{"inputs": "a"}',
        b'{"inputs": "\xff"}',
        b'{"inputs": "\\ud800"}',
    ],
    ids=["empty", "cut", "NaN", "BOM", "not UTF-8", "lone surrogate"],
)
async def test_a_body_that_is_no_json_is_a_400(raw: bytes) -> None:
    """Promise 32: odd JSON is 400, never 500."""
    async with (
        running(fake_model("yes")) as service,
        service.http.post(service.url + "/generate", data=raw) as response,
    ):
        assert response.status == 400
        assert (await response.json())["error_type"] == "malformed_json"


async def test_deeply_nested_json_is_a_400() -> None:
    """Promise 32: JSON of any depth is 400, never 500."""
    async with running(fake_model("yes")) as service:
        async with service.http.post(service.url + "/generate", data=b"[" * 9_000) as response:
            assert response.status == 400


async def test_a_body_over_the_limit_is_a_413() -> None:
    """Promise 31: an oversize body is 413."""
    async with running(fake_model("yes")) as service:
        status, body = await service.post("/generate", {"inputs": "x" * 20_000})
    assert (status, body["error_type"]) == (413, "payload_too_large")
