from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from inference.chat_template import ChatTemplate, read_chat_template
from inference.errors import TemplateError
from inference.tool_formats import DEEPSEEK_V3, DEEPSEEK_V31, HERMES, LLAMA, ToolFormat, tool_format_of

HI = [{"role": "user", "content": "<hi> & é"}]


def rendered(source: str, messages: list[dict[str, Any]] | None = None, **tokens: str) -> str:
    return ChatTemplate(source, tokens).render(messages or HI)


def test_special_tokens_and_the_generation_prompt_are_known_to_the_template() -> None:
    source = "{{ bos_token }}{{ messages[0].content }}{% if add_generation_prompt %}>{% endif %}"
    assert rendered(source, bos_token="<s>") == "<s><hi> & é>"


def test_json_is_written_as_json_dumps_does_without_html_escapes() -> None:
    assert rendered("{{ messages | tojson }}") == '[{"role": "user", "content": "<hi> & é"}]'
    assert rendered("{{ {'a': 1} | tojson(indent=4) }}") == '{\n    "a": 1\n}'


CALLING: list[dict[str, Any]] = [
    {"role": "user", "content": "how deep?"},
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"id": "1", "type": "function", "function": {"name": "sound", "arguments": '{"at": "sea"}'}}
        ],
    },
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ messages[1].tool_calls[0].function.arguments | tojson }}", '{"at": "sea"}'),
        ("{{ messages[1]['tool_calls'][0]['function']['arguments']|tojson }}", '{"at": "sea"}'),
        ("{{ 'x' + messages[1].tool_calls[0]['function']['arguments'] }}", 'x{"at": "sea"}'),
        ("{% if messages[1]['content'] is none %}nothing{% endif %}", "nothing"),
        ("{{ messages[1].content + '.' }}", "."),
        ("{{ 'no' if messages[1].reasoning_content is none }}{{ messages[1].content + '.' }}", "."),
    ],
)
def test_a_call_is_given_to_a_template_as_the_template_reads_it(source: str, expected: str) -> None:
    assert rendered(source, CALLING) == expected


def test_arguments_that_are_no_json_stay_text() -> None:
    function = {"name": "sound", "arguments": '{"at'}
    messages = [{"role": "assistant", "content": "", "tool_calls": [{"function": function}]}]
    assert rendered("{{ messages[0].tool_calls[0].function.arguments | tojson }}", messages) == '"{\\"at"'


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{% if tools %}<tool_call>{\\"name\\": .., \\"arguments\\": ..}</tool_call>', HERMES),
        ('{% if tools is not none %}{"name": function name, "parameters": dictionary}', LLAMA),
        ("{{ tools }}<｜tool▁call▁begin｜>function<｜tool▁sep｜>{{ name }}\n```json", DEEPSEEK_V3),
        ("{{ tools }}<｜tool▁call▁begin｜>{{ name }}<｜tool▁sep｜>", DEEPSEEK_V31),
        ("{{ tools }}<tool_call>\n<function=name>\n<parameter=a>", None),
        ("<｜tool▁call▁begin｜>function{{ message.tool_calls }}", None),
        ("{{ messages }}", None),
    ],
)
def test_the_form_of_calls_is_told_from_the_templates_text(source: str, expected: ToolFormat | None) -> None:
    assert tool_format_of(source) is expected


def test_blocks_leave_no_lines_of_their_own_and_loops_can_be_left() -> None:
    body = "  {% if number == 2 %}{% break %}{% endif %}\n{{ number }}\n"
    source = "{% for number in [1, 2, 3] %}\n" + body + "{% endfor %}\n."
    assert rendered(source) == "1\n."


def test_the_block_that_marks_training_text_is_its_content() -> None:
    assert rendered("a{% generation %}b{% endgeneration %}c") == "abc"


def test_a_refusal_of_the_template_reaches_the_caller_in_its_own_words() -> None:
    with pytest.raises(TemplateError, match="roles must alternate"):
        rendered("{{ raise_exception('roles must alternate') }}")


@pytest.mark.parametrize(
    "source",
    ["{{ messages[3].content.x }}", "{{ messages[0].content + 1 }}", "{{ 1 / 0 }}", "{{ absent.content }}"],
)
def test_any_other_failure_says_no_more_than_that_it_failed(source: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(source)
    assert str(caught.value) == "the model's chat template can't be filled with these messages"


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__base__.__subclasses__() }}",
    ],
)
def test_a_template_can_neither_reach_out_nor_change_anything(source: str) -> None:
    messages = list(HI)
    with pytest.raises(TemplateError):
        rendered(source, messages)
    assert messages == HI


def test_a_template_that_closes_the_last_message_is_cut_where_the_message_is_continued() -> None:
    source = (
        "{% for message in messages %}<{{ message.role }}>{{ message.content | trim }}<end>\n{% endfor %}"
    )
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": " one, two "}]
    assert rendered(source, messages) == "<user>one<end>\n<assistant>one, two "


def test_a_beginning_that_also_stands_in_the_closing_of_the_message_is_not_taken_for_it() -> None:
    source = "{% for message in messages %}{{ message.content }}<|im_end|>{% endfor %}"
    assert rendered(source, [*HI, {"role": "assistant", "content": "e"}]) == "<hi> & é<|im_end|>e"


def test_the_template_is_found_in_its_own_file_or_in_the_configuration(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    config = {"chat_template": "{{ eos_token }}", "eos_token": {"content": "</s>"}, "pad_token": None}
    (tmp_path / "tokenizer_config.json").write_bytes(orjson.dumps(config))
    template = read_chat_template(tmp_path)
    assert template is not None
    assert template.render(HI) == "</s>"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]
    (tmp_path / "tokenizer_config.json").write_bytes(orjson.dumps({"chat_template": named}))
    template = read_chat_template(tmp_path)
    assert template is not None
    assert template.render(HI) == "plain"
    (tmp_path / "chat_template.jinja").write_text("from the file")
    template = read_chat_template(tmp_path)
    assert template is not None
    assert template.render(HI) == "from the file"


def test_a_template_that_is_no_jinja_is_told_at_start(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{% for %}")
    with pytest.raises(ValueError, match="can't be compiled"):
        read_chat_template(tmp_path)


def test_a_guideline_reaches_a_template_that_judges_by_it() -> None:
    template = ChatTemplate("{% if guideline is defined %}by {{ guideline }}{% else %}freely{% endif %}", {})
    assert template.render(HI, guideline="no shouting") == "by no shouting"
    assert template.render(HI) == "freely"
