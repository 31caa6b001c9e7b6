"""How model families write calls of tools, told from a checkpoint's chat template.

Sources: the templates of Qwen2.5 and Qwen3 (the form of Hermes 2 Pro), DeepSeek-V3, R1 and V3.1, Llama 3.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = r"(?P<name>[A-Za-z0-9_-]{1,64})"


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One family's form.

    Attributes:
        opening: what announces a call. A brace alone does so only where nothing was said before it.
        header: from the opening up to the brace of the arguments; its group `name` is the function's.
        filler: characters without meaning between the arguments and `closing`.
        closing: what ends a call; empty where nothing does.
        frames: marks around all calls of an answer.
        before: what stands before the arguments of a call of NAME, as the template writes it.
        after: what stands behind them.
        between: what separates two calls; None where the template takes one call an answer.
    """

    opening: str
    header: re.Pattern[str]
    filler: str
    closing: str
    frames: tuple[str, ...]
    before: str
    after: str
    between: str | None

    @property
    def marks(self) -> tuple[str, ...]:
        """The texts that may be tokens of their own, and special ones."""
        named = re.findall(r"<[^<>\s]+>", self.before + self.after)
        return tuple(dict.fromkeys((*self.frames, *named)))


HERMES = ToolFormat(
    opening="<tool_call>",
    header=re.compile(r'<tool_call>\s*\{\s*"name"\s*:\s*"' + _NAME + r'"\s*,\s*"arguments"\s*:\s*(?=\{)'),
    filler=" \t\r\n}",
    closing="</tool_call>",
    frames=(),
    before='<tool_call>\n{"name": "NAME", "arguments": ',
    after="}\n</tool_call>",
    between="\n",
)
LLAMA = ToolFormat(
    opening="{",
    header=re.compile(
        r'\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"'
        + _NAME
        + r'"\s*,\s*"parameters"\s*:\s*(?=\{)'
    ),
    filler=" \t\r\n};",
    closing="",
    frames=(),
    before='{"name": "NAME", "parameters": ',
    after="}",
    between=None,
)
_DEEPSEEK_FRAMES = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
DEEPSEEK_V3 = ToolFormat(
    opening="<｜tool▁call▁begin｜>",
    header=re.compile(
        r"<｜tool▁call▁begin｜>\s*function\s*<｜tool▁sep｜>\s*" + _NAME + r"\s*```(?:json)?\s*(?=\{)"
    ),
    filler=" \t\r\n`",
    closing="<｜tool▁call▁end｜>",
    frames=_DEEPSEEK_FRAMES,
    before="<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
    after="\n```<｜tool▁call▁end｜>",
    between="\n",
)
DEEPSEEK_V31 = ToolFormat(
    opening="<｜tool▁call▁begin｜>",
    header=re.compile(r"<｜tool▁call▁begin｜>\s*" + _NAME + r"\s*<｜tool▁sep｜>\s*(?=\{)"),
    filler=" \t\r\n",
    closing="<｜tool▁call▁end｜>",
    frames=_DEEPSEEK_FRAMES,
    before="<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>",
    after="<｜tool▁call▁end｜>",
    between="",
)


def tool_format_of(template: str) -> ToolFormat | None:
    """The form that a chat template writes its calls in; None where it has no tools, or in another form."""
    if not re.search(r"\btools\b", template):
        return None
    if "<｜tool▁call▁begin｜>" in template:
        return DEEPSEEK_V3 if "```json" in template else DEEPSEEK_V31
    if "<tool_call>" in template:
        return HERMES if re.search(r'arguments\\?"', template) else None
    return LLAMA if re.search(r'\{\\?"name\\?":.*\\?"parameters\\?":', template, re.DOTALL) else None
