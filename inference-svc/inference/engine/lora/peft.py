"""An adapter's folder in PEFT's form: `adapter_config.json` and `adapter_model.safetensors`.

Source: PEFT's `LoraConfig` and the names under which it saves; Hu et al., "LoRA", 2021; for `use_rslora`,
Kalajdzievski, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", 2023. What would change the
product in a way that isn't computed here is refused by the name of its field, rather than left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from torch import Tensor

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
# How the matrices begin: another way loses what the adapter was trained beside.
_BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")
_FIELDS = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "corda_config",
        "ensure_weight_tying",
        "eva_config",
        "exclude_modules",
        "inference_mode",
        "init_lora_weights",
        "layers_pattern",
        "layers_to_transform",
        "loftq_config",
        "lora_alpha",
        "lora_dropout",
        "lora_ga_config",
        "megatron_config",
        "megatron_core",
        "peft_type",
        "peft_version",
        "qalora_group_size",
        "r",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
        "use_rslora",
    }
)
"""What is read here, or tells only how the adapter was trained; anything else must be unset."""
_TENSOR = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True, slots=True)
class LowRank:
    """`up @ down * scale` is added to a weight: `down` is [rank, in], `up` [out, rank]."""

    down: Tensor
    up: Tensor
    scale: float


@dataclass(frozen=True, slots=True)
class PeftAdapter:
    """An adapter as it lies in its files, which are mapped. `modules` are named as in the base model."""

    name: str
    modules: Mapping[str, LowRank]


def read_adapter(name: str, folder: Path) -> PeftAdapter:
    """Read an adapter.

    Raises:
        OSError: a file is missing or damaged.
        ValueError: of a kind that isn't computed here, or its tensors don't fit together; names the field.
    """
    config = _read_config(name, folder)
    rank = int(config["r"])
    scale = float(config["lora_alpha"]) / (math.sqrt(rank) if config.get("use_rslora") else rank)
    sides: dict[str, dict[str, Tensor]] = {}
    for tensor_name, tensor in _tensors(folder).items():
        found = _TENSOR.fullmatch(tensor_name)
        if not found:
            raise ValueError(f"the adapter {name} has {tensor_name}, which is no matrix of a linear layer")
        sides.setdefault(found["module"], {})[found["side"]] = tensor
    if not sides:
        raise ValueError(f"the adapter {name} has no tensors")
    return PeftAdapter(
        name, {module: _low_rank(name, module, pair, rank, scale) for module, pair in sides.items()}
    )


def adapter_numbers(folder: Path) -> int:
    """How many numbers an adapter's matrices have, from the file's header alone.

    Raises:
        OSError: the file is missing or damaged.
    """
    with _opened(folder) as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118


def _read_config(name: str, folder: Path) -> dict[str, Any]:
    config: dict[str, Any] = orjson.loads((folder / CONFIG).read_bytes())
    if config.get("peft_type") != "LORA":
        raise ValueError(f"the adapter {name} has the peft_type {config.get('peft_type')!r}, not 'LORA'")
    if (beginning := config.get("init_lora_weights")) not in _BEGINNINGS:
        raise ValueError(
            f"the adapter {name} has init_lora_weights {beginning!r}, which changes the base model"
        )
    if missing := [field for field in ("r", "lora_alpha") if not config.get(field)]:
        raise ValueError(f"the adapter {name} doesn't tell {missing[0]}")
    for field, value in config.items():
        if field not in _FIELDS and value and (field, value) != ("bias", "none"):
            raise ValueError(f"the adapter {name} has {field}, which isn't supported")
    return config


def _low_rank(name: str, module: str, pair: Mapping[str, Tensor], rank: int, scale: float) -> LowRank:
    if pair.keys() != {"A", "B"}:
        raise ValueError(f"the adapter {name} has only lora_{next(iter(pair))} of {module}")
    down, up = pair["A"], pair["B"]
    if down.ndim != 2 or up.ndim != 2 or len(down) != rank or up.shape[1] != rank:
        raise ValueError(
            f"the adapter {name} has shapes {list(down.shape)} and {list(up.shape)} for {module}, "
            f"not those of the rank {rank}"
        )
    return LowRank(down, up, scale)


def _tensors(folder: Path) -> dict[str, Tensor]:
    with _opened(folder) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def _opened(folder: Path) -> Any:
    import safetensors

    try:
        return safetensors.safe_open(folder / WEIGHTS, framework="pt")
    except safetensors.SafetensorError as error:
        raise OSError(f"{WEIGHTS} in {folder} is not a whole safetensors file") from error
