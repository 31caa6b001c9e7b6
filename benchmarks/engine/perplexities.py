"""The default model's perplexity in every form of its weights: `python perplexities.py MODEL`.

MODEL is a folder with `model.gguf`, the safetensors that were made of it, and `tokenizer.json`; the text is
`perplexity.txt` beside this script, which never changes. As one line of JSON: `{form: perplexity}`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from inference.engine.models import LoadOptions, load_gguf_model, load_model
from inference.engine.number_format import choose_number_format, cpu_instructions
from inference.engine.quantization.packing import MODES
from inference.engine.quantization.perplexity import perplexity
from inference.tokenizer import TextTokenizer

TEXT = Path(__file__).with_name("perplexity.txt")


def main() -> None:
    """Float32, and the number format that the service chooses here where that is another."""
    folder = Path(sys.argv[1])
    ids = (
        TextTokenizer.from_folder(folder)
        .encode(TEXT.read_text(encoding="utf-8"), add_special_tokens=False)
        .ids
    )
    chosen = choose_number_format("auto", "cpu", cpu_instructions()).dtype
    found: dict[str, float] = {}
    for dtype in dict.fromkeys(("float32", chosen)):
        found[f"{dtype}, converted"] = perplexity(load_model(folder, LoadOptions(dtype)), ids)
        for mode in MODES:
            model = load_gguf_model(folder / "model.gguf", LoadOptions(dtype, quantization=mode))
            found[f"{dtype}, {mode}"] = perplexity(model, ids)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
