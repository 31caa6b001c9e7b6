"""Programs that write down what they are asked, in place of the real ones."""

from __future__ import annotations

import sys
from pathlib import Path

SCRIPT = f"""#!{sys.executable}
import sys
words = sys.argv[1:]
with open({{log!r}}, "a") as log:
    print({{name!r}}, *words, file=log)
{{body}}
"""


def program(folder: Path, name: str, body: str = "") -> Path:
    """Put a program on a PATH; return where it writes down its calls, one a line, with its name."""
    log = folder / "asked"
    file = folder / name
    file.write_text(SCRIPT.format(log=str(log), name=name, body=body))
    file.chmod(0o755)
    return log
