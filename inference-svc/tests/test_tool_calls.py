from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.tool_calls import Reading, ToolCallReader
from inference.tool_formats import DEEPSEEK_V3, DEEPSEEK_V31, HERMES, LLAMA, ToolFormat

NAMES = ("sound", "dive-2")
ARGUMENTS = '{"text": "a \\"}</tool_call>{", "deep": [{"x": -1.5}, {}]}'


def read(form: ToolFormat, pieces: list[str], *, parallel: bool = True) -> tuple[str, list[tuple[Any, str]]]:
    """Content, and each call's name and arguments, in the order of their indexes."""
    reader = ToolCallReader(form, NAMES, parallel=parallel)
    readings: list[Reading] = [reader.push(piece) for piece in pieces]
    readings.append(reader.push("", last=True))
    calls: list[tuple[Any, str]] = []
    for piece in (piece for reading in readings for piece in reading.calls):
        if piece.id is not None:
            assert piece.index == len(calls)
            calls.append((piece.name, ""))
        assert piece.index == len(calls) - 1
        calls[-1] = (calls[-1][0], calls[-1][1] + piece.arguments)
    return "".join(reading.content for reading in readings), calls


def written(form: ToolFormat, *calls: tuple[str, str]) -> str:
    """The calls as the family's template writes them."""
    texts = [form.before.replace("NAME", name) + arguments + form.after for name, arguments in calls]
    begin, end = form.frames or ("", "")
    return begin + ("; " if form.between is None else form.between).join(texts) + end


@pytest.mark.parametrize("form", [HERMES, LLAMA, DEEPSEEK_V3, DEEPSEEK_V31])
@given(data=st.data())
def test_calls_are_the_same_however_the_text_is_cut(form: ToolFormat, data: st.DataObject) -> None:
    lead = "" if form is LLAMA else "Let me see.\n"
    text = lead + written(form, ("sound", ARGUMENTS), ("dive-2", "{}")) + "\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=20)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert read(form, pieces) == (lead.rstrip(), [("sound", ARGUMENTS), ("dive-2", "{}")])


@pytest.mark.parametrize("form", [HERMES, LLAMA, DEEPSEEK_V3, DEEPSEEK_V31])
@given(text=st.text(alphabet='<>/{}[]":, \n`tool_calname', max_size=60), cut=st.integers(0, 60))
def test_text_without_calls_is_content_letter_by_letter(form: ToolFormat, text: str, cut: int) -> None:
    assert read(form, [text[:cut], text[cut:]]) == (text, [])


def test_a_call_is_told_before_its_arguments_are_whole_and_they_come_as_they_are_written() -> None:
    reader = ToolCallReader(HERMES, NAMES, parallel=True)
    head = reader.push('<tool_call>\n{"name": "sound", "arguments": ')
    assert head.calls == []
    (begun, piece) = reader.push('{"dep').calls
    assert (begun.index, begun.name, begun.arguments) == (0, "sound", "")
    assert begun.id is not None
    assert begun.id.startswith("call_")
    assert piece.arguments == '{"dep'
    assert [piece.arguments for piece in reader.push('th": 3').calls] == ['th": 3']


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "unknown", "arguments": {"a": 1}}\n</tool_call>',
        '<tool_call>\n{"name": "sound", "arguments": 3',
        "<tool_call>\nsound(depth=3)\n</tool_call> then",
        '<tool_call>\n[{"name": "sound"}, {"name": "unknown"}]\n</tool_call>',
        "<tool_call>",
    ],
)
def test_what_only_looks_like_a_call_is_content(text: str) -> None:
    assert read(HERMES, list(text)) == (text, [])


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ('{"arguments": {"a": 1}, "name": "sound"}', [("sound", {"a": 1})]),
        ('{"name": "sound"}', [("sound", {})]),
        ('{"name": "sound", "arguments": "{\\"a\\": 1}"}', [("sound", {"a": 1})]),
        ('[{"name": "sound", "arguments": {}}, {"name": "dive-2"}]', [("sound", {}), ("dive-2", {})]),
    ],
)
def test_other_orders_and_lists_of_calls_are_read_when_they_are_whole(body: str, calls: list[Any]) -> None:
    content, found = read(HERMES, list(f"Well. <tool_call>{body}</tool_call> So."))
    assert content == "Well. So."
    assert [(name, orjson.loads(arguments)) for name, arguments in found] == calls


def test_arguments_that_break_off_are_told_as_far_as_they_came() -> None:
    text = '<tool_call>\n{"name": "sound", "arguments": {"depth": '
    assert read(HERMES, [text]) == ("", [("sound", '{"depth": ')])


def test_a_llama_call_may_name_its_type_and_comes_first_or_not_at_all() -> None:
    call = '{"type": "function", "name": "sound", "parameters": {}}'
    assert read(LLAMA, list(f"\n{call}")) == ("", [("sound", "{}")])
    assert read(LLAMA, list(f"See: {call}")) == (f"See: {call}", [])


def test_an_answer_that_begins_with_a_brace_is_held_back_only_for_a_head() -> None:
    reader = ToolCallReader(LLAMA, NAMES, parallel=True)
    text = '{"list": "' + "x" * 400
    assert reader.push(text).content == text


def test_one_call_is_enough_where_they_may_not_be_parallel() -> None:
    reader = ToolCallReader(HERMES, NAMES, parallel=False)
    reader.push(HERMES.before.replace("NAME", "sound") + '{"a": ')
    assert not reader.is_done
    reader.push("1}")
    assert reader.is_done


def test_a_list_of_calls_is_one_call_where_they_may_not_be_parallel() -> None:
    several = '<tool_call>[{"name": "sound"}, {"name": "dive-2"}]</tool_call>'
    assert read(HERMES, [several], parallel=False) == ("", [("sound", "{}")])
