"""From `MODEL_ID` to a checkpoint folder."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_convert import convert_gguf

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_NEEDED = ("config.json", "tokenizer.json")
_PATTERNS = ["*.json", "*.safetensors", "*.jinja"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in Hugging Face's layout, the name to serve it by, and the hub's commit where there is one."""

    folder: Path
    name: str
    revision: str | None = None


def _is_path(model_id: str) -> bool:
    return model_id.startswith(("/", ".", "~")) or model_id.endswith(".gguf") or Path(model_id).exists()


def check_model_id(model_id: str) -> None:
    """Find out quickly, without the network, whether the model can be there.

    Raises:
        CheckpointError: a path that leads nowhere or to something else, or a name that is no hub id.
    """
    path = Path(model_id).expanduser()
    if not _is_path(model_id):
        if not _HUB_ID.fullmatch(model_id):
            raise CheckpointError(
                f"the model {model_id!r} is neither a path that exists nor a Hugging Face hub id"
            )
    elif not path.exists():
        raise CheckpointError(f"the model {model_id} isn't there: give a folder, a .gguf file, or a hub id")
    elif path.is_dir():
        _check_folder(path)
    elif path.suffix != ".gguf":
        raise CheckpointError(f"the model {model_id} is a file, but no .gguf file")


def _check_folder(folder: Path) -> None:
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if not any(folder.glob("*.safetensors")):
        missing.append("*.safetensors")
    if missing:
        raise CheckpointError(
            f"the model folder {folder} is not a checkpoint: it has no {', no '.join(missing)}"
        )


def locate_checkpoint(
    model_id: str, revision: str | None, cache_folder: Path, report: Callable[[str], None]
) -> Checkpoint:
    """Find a checkpoint; fetch or convert it first where needed, which may take minutes; `report` each step.

    Raises:
        CheckpointError: the model isn't there or can't be used.
    """
    check_model_id(model_id)
    path = Path(model_id).expanduser()
    if not _is_path(model_id):
        return _from_hub(model_id, revision, report)
    if path.is_file():
        folder = convert_gguf(path, cache_folder / path.stem, report)
        return Checkpoint(folder, path.stem)
    return Checkpoint(path, path.resolve().name)


def _from_hub(model_id: str, revision: str | None, report: Callable[[str], None]) -> Checkpoint:
    import huggingface_hub

    report(f"fetching {model_id} from the Hugging Face hub, or from its cache on this machine")
    try:
        folder = Path(
            huggingface_hub.snapshot_download(model_id, revision=revision, allow_patterns=_PATTERNS)
        )
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the model {model_id} can't be fetched from the Hugging Face hub ({type(error).__name__}): "
            "check the id, the access to it (HF_TOKEN), and the network; or give a folder or a .gguf file"
        ) from error
    _check_folder(folder)
    return Checkpoint(folder, model_id, folder.name)
