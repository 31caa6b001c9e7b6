"""Checkpoints from the Hugging Face hub, kept in its own cache on this machine."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.scratch import scratch_beside

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_PATTERNS = ["*.json", "*.safetensors", "*.jinja"]


def is_hub_id(model_id: str) -> bool:
    """Whether this could name a model on the hub."""
    return bool(_HUB_ID.fullmatch(model_id))


def fetch_from_hub(model_id: str, revision: str | None, report: Callable[[str], None]) -> Path:
    """Return the folder of a checkpoint in the hub's cache, fetched first where it isn't there.

    The folder's name is the commit. Without a network, what the cache has is taken.

    Raises:
        CheckpointError: it can't be had.
    """
    import huggingface_hub

    report(f"fetching {model_id} from the Hugging Face hub, or from its cache on this machine")
    try:
        return Path(huggingface_hub.snapshot_download(model_id, revision=revision, allow_patterns=_PATTERNS))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"the model {model_id} can't be fetched from the Hugging Face hub ({type(error).__name__}): "
            "check the id, the access to it (HF_TOKEN), and the network; or give a folder or a .gguf file"
        ) from error


def link_folder(source: Path, target: Path) -> None:
    """Make `target` a folder of links to the files of `source`; it appears whole or not at all.

    Raises:
        CheckpointError: the target is there and is something else, or can't be written.
    """
    if target.exists() and not all(path.is_symlink() for path in target.iterdir()):
        raise CheckpointError(f"{target} is there and holds other files; give another folder")
    try:
        with scratch_beside(target) as scratch:
            folder = scratch / "links"
            folder.mkdir()
            for path in source.iterdir():
                (folder / path.name).symlink_to(path.resolve())
            if target.exists():
                target.rename(scratch / "old")
            folder.rename(target)
    except OSError as error:
        raise CheckpointError(f"{target} can't be written: {error.strerror or error}") from error
