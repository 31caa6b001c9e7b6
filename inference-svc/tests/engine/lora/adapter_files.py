"""Adapters in PEFT's form with random matrices, and checkpoints into whose weights they are merged."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import torch
from safetensors.torch import load_file, save_file

DENSE = r"(q|k|v|o|gate|up|down)_proj"
LATENT = r"(q|q_a|q_b|o|gate|up|down)_proj|kv_a_proj_with_mqa"
CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "nowhere",
    "bias": "none",
    "use_dora": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "megatron_core": "megatron.core",
    "init_lora_weights": True,
}


def modules_of(checkpoint: Path, targets: str) -> Iterator[tuple[str, int, int]]:
    """Name, outputs and inputs of the linear layers whose last name is one of `targets`."""
    for name, weight in load_file(checkpoint / "model.safetensors").items():
        module = name.removesuffix(".weight")
        if name != module and re.fullmatch(targets, module.rpartition(".")[2]) and ".experts." not in module:
            yield module, *weight.shape


def write_adapter(
    folder: Path,
    checkpoint: Path,
    *,
    targets: str = DENSE,
    rank: int = 4,
    alpha: float = 12.0,
    seed: int = 1,
    rslora: bool = False,
    **config: Any,
) -> Path:
    """An adapter for `checkpoint` whose changes are as large as the weights, so that answers differ."""
    folder.mkdir(parents=True)
    random = torch.Generator().manual_seed(seed)
    tensors: dict[str, torch.Tensor] = {}
    for module, outputs, inputs in modules_of(checkpoint, targets):
        prefix = f"base_model.model.{module}"
        tensors[f"{prefix}.lora_A.weight"] = torch.randn(rank, inputs, generator=random) / 5
        tensors[f"{prefix}.lora_B.weight"] = torch.randn(outputs, rank, generator=random) / 5
    save_file(tensors, folder / "adapter_model.safetensors")
    told = CONFIG | {"r": rank, "lora_alpha": alpha, "use_rslora": rslora} | config
    (folder / "adapter_config.json").write_bytes(orjson.dumps(told))
    return folder


def merged(checkpoint: Path, adapter: Path, target: Path) -> Path:
    """The checkpoint with the adapter's product added to its weights."""
    config = orjson.loads((adapter / "adapter_config.json").read_bytes())
    scale = config["lora_alpha"] / (math.sqrt(config["r"]) if config["use_rslora"] else config["r"])
    shutil.copytree(checkpoint, target)
    weights = load_file(checkpoint / "model.safetensors")
    matrices = load_file(adapter / "adapter_model.safetensors")
    for name, down in matrices.items():
        if ".lora_A." in name:
            module = name.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
            change = matrices[name.replace(".lora_A.", ".lora_B.")] @ down * scale
            weights[f"{module}.weight"] = weights[f"{module}.weight"] + change
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target
