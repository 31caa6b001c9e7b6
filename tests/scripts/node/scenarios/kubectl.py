"""A kubectl that has what a test has put beside it, and writes down what it was told."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

HERE = Path(__file__).parent
WORDS = sys.argv[1:]
CLUSTER = json.loads((HERE / "cluster.json").read_text())


def main() -> None:
    """Do as kubectl does with the words that the adapter uses."""
    text = "" if "-f" not in WORDS else sys.stdin.read()
    with (HERE / "told.jsonl").open("a") as told:
        told.write(json.dumps({"words": WORDS, "text": text}) + "\n")
    if "proxy" in WORDS:
        print(f"Starting to serve on 127.0.0.1:{CLUSTER['port']}", flush=True)  # noqa: T201
        signal.pause()
    elif "pods" in WORDS:
        print(json.dumps({"items": CLUSTER["pods"]}))  # noqa: T201
    elif "get" in WORDS:
        name = WORDS[WORDS.index("get") + 1]
        states, looks = CLUSTER[name], sum(f'"{name}"' in line for line in (HERE / "told.jsonl").open())
        print(json.dumps(states[min(looks, len(states)) - 1]))  # noqa: T201
    elif "logs" in WORDS:
        if "--previous" in WORDS:
            sys.exit("there was none before")
        print(f"{WORDS[WORDS.index('logs') + 1]} wrote this")  # noqa: T201


if __name__ == "__main__":
    main()
