"""What four bits cost the default model: its perplexity on a fixed text, packed, unpacked and converted.

Weights straight from the GGUF file in each form that the engine has (`QUANTIZE`), beside those unpacked into
float32, which are the file's own; and the safetensors that the service converts it to, which are rounded to
bfloat16. The chunks are of 256 tokens, so `auto` computes with what it has for many rows.
"""

from __future__ import annotations

from benchmarks._engine import default_model, run
from benchmarks._frame import Row, Table

EXACT = "float32, unpacked"
BAR_PERCENT = 1.0


async def main() -> Table:
    """Measure every form; the bar is of the difference to the exact one."""
    table = Table("Perplexity of SmolLM2-135M-Instruct, Q4_1")
    found: dict[str, float] = run("perplexities.py", default_model())
    exact = found.pop(EXACT)
    table.rows.append(Row(EXACT, exact, "", note=f"{exact:.3f}"))
    for form, perplexity in found.items():
        more_percent = (perplexity / exact - 1) * 100
        table.rows.append(Row(f"{form}: more", more_percent, "%", BAR_PERCENT, note=f"{perplexity:.3f}"))
    return table
