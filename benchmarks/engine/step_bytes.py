"""How many bytes of weights one step reads: all but the table of embeddings, of which it reads a row a token.

`python step_bytes.py CHECKPOINT BYTES_A_NUMBER`, of one whose output matrix isn't tied to the table.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

from inference.engine.models.weights import CheckpointWeights

sizes = {name: math.prod(shape) for name, shape, _ in CheckpointWeights(Path(sys.argv[1])).sizes()}
print(int(sys.argv[2]) * (sum(sizes.values()) - sizes["model.embed_tokens.weight"]))
