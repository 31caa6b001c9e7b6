"""What a person sees of the runner: steps as they are done, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class StartError(Exception):
    """The runner can't start; the message is the one line that the user is shown (exit status 2)."""


class Console:
    """Prints one line a step, with the time that it took."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._live = sys.stderr.isatty()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Announce `what`, and when it is done say how long it took."""
        began_s = time.monotonic()
        if self._live:
            print(f"  … {what}", end="", file=sys.stderr, flush=True)
        yield
        start = "\r" if self._live else ""
        print(f"{start}  ✓ {what} ({time.monotonic() - began_s:.1f} s)", file=sys.stderr, flush=True)

    def say(self, text: str = "") -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)

    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began_s


def welcome(url: str, api_key: str | None, model: str) -> str:
    """What to do next: the address, the key (known at the first start only), three things to paste."""
    key = api_key or "$HADAL_API_KEY"
    shown = (
        f"  API key    {api_key}\n             (shown this once; `scripts/run api-key NAME` makes another)"
        if api_key
        else "  API key    the one shown at the first start (`scripts/run api-key NAME` makes another)"
    )
    return f"""
Hadal is ready.

  Address    {url}/v1
{shown}

1. Ask something:

curl {url}/v1/chat/completions -H "Authorization: Bearer {key}" -H 'Content-Type: application/json' \\
  -d '{{"model": "{model}", "temperature": 0,
       "messages": [{{"role": "user", "content": "What is the capital of France?"}}]}}'

2. The same from Python, streamed, in a conversation that is remembered (pip install openai):

from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="{key}")
conversation = client.conversations.create()
for chunk in client.chat.completions.create(model="{model}", stream=True, temperature=0,
        messages=[{{"role": "user", "content": "What is the capital of France?"}}],
        extra_body={{"conversation": conversation.id}}):
    print(chunk.choices[0].delta.content or "", end="", flush=True)

3. Its second turn:

answer = client.chat.completions.create(model="{model}", temperature=0,
        messages=[{{"role": "user", "content": "Which river runs through it?"}}],
        extra_body={{"conversation": conversation.id}})
print(answer.choices[0].message.content)

Ctrl-C stops everything; the next start finds all of it.
"""
