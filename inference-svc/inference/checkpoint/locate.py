"""From `MODEL_ID` to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_convert import convert_gguf
from inference.checkpoint.hub import fetch_from_hub, is_hub_id, link_folder
from inference.checkpoint.s3 import check_s3_url, fetch_from_s3, is_s3_url, s3_cache_folder, s3_folder_name

_NEEDED = ("config.json", "tokenizer.json")
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder in Hugging Face's layout, and the hub's commit where there is one."""

    folder: Path
    revision: str | None = None


def _is_path(model_id: str) -> bool:
    if is_s3_url(model_id):
        return False
    return model_id.startswith(("/", ".", "~")) or model_id.endswith(".gguf") or Path(model_id).exists()


def _missing(folder: Path) -> list[str]:
    """What a checkpoint has and this folder hasn't."""
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    weights = any(path.is_file() for path in folder.glob("*.safetensors"))
    return missing if weights else [*missing, "*.safetensors"]


def check_folder(folder: Path) -> None:
    """Find out whether a folder is a checkpoint.

    Raises:
        CheckpointError: with what it lacks.
    """
    if missing := _missing(folder):
        raise CheckpointError(
            f"the model folder {folder} is not a checkpoint: it has no {', no '.join(missing)}"
        )


def check_model_id(model_id: str) -> None:
    """Find out quickly, without the network, whether the model can be there.

    Raises:
        CheckpointError: a path that leads nowhere or to something else, or a name that is no hub id.
    """
    path = Path(model_id).expanduser()
    if is_s3_url(model_id):
        check_s3_url(model_id)
    elif not _is_path(model_id):
        if not is_hub_id(model_id):
            raise CheckpointError(
                f"the model {model_id!r} is neither a path that exists, nor an s3:// URL, nor a Hugging Face "
                "hub id"
            )
    elif not path.exists():
        raise CheckpointError(f"the model {model_id} isn't there: give a folder, a .gguf file, or a hub id")
    elif path.is_dir():
        check_folder(path)
    elif path.suffix != ".gguf":
        raise CheckpointError(f"the model {model_id} is a file, but no .gguf file")


def checkpoint_name(model_id: str) -> str:
    """What a model is called by where it is: its folder, its file without the ending, or its hub id."""
    if is_s3_url(model_id):
        return s3_folder_name(model_id)
    path = Path(model_id).expanduser()
    if not _is_path(model_id):
        return model_id
    return path.stem if path.is_file() else path.resolve().name


def locate_checkpoint(model_id: str, revision: str | None, cache_folder: Path, report: Report) -> Checkpoint:
    """Find a checkpoint; fetch or convert it first where needed, which may take minutes; `report` each step.

    Raises:
        CheckpointError: the model isn't there or can't be used.
    """
    check_model_id(model_id)
    path = Path(model_id).expanduser()
    if is_s3_url(model_id):
        folder = fetch_from_s3(model_id, s3_cache_folder(model_id, cache_folder), report)
        check_folder(folder)
        return Checkpoint(folder)
    if not _is_path(model_id):
        folder = fetch_from_hub(model_id, revision, report)
        check_folder(folder)
        return Checkpoint(folder, folder.name)
    if path.is_file():
        return Checkpoint(convert_gguf(path, cache_folder / path.stem, report))
    return Checkpoint(path)


def check_adapter(location: str) -> None:
    """Find out quickly, without the network, whether an adapter can be there.

    Raises:
        CheckpointError: a folder that isn't there or is no adapter, or a name that is no hub id.
    """
    if is_s3_url(location):
        check_s3_url(location)
    elif _is_path(location):
        _check_adapter_folder(Path(location).expanduser())
    elif not is_hub_id(location.partition("@")[0]):
        raise CheckpointError(
            f"the adapter {location!r} is neither a folder that exists, nor an s3:// URL, nor a hub id"
        )


def locate_adapter(location: str, cache_folder: Path, report: Report) -> Path:
    """The folder of an adapter, fetched first where needed; `@revision` may stand behind a hub id.

    Raises:
        CheckpointError: it isn't there or can't be used.
    """
    check_adapter(location)
    if _is_path(location):
        return Path(location).expanduser()
    if is_s3_url(location):
        folder = fetch_from_s3(location, s3_cache_folder(location, cache_folder), report)
    else:
        hub_id, _, revision = location.partition("@")
        folder = fetch_from_hub(hub_id, revision or None, report)
    _check_adapter_folder(folder)
    return folder


def _check_adapter_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise CheckpointError(f"the adapter {folder} isn't there: give a folder or a hub id")
    if missing := [name for name in _ADAPTER_FILES if not (folder / name).is_file()]:
        raise CheckpointError(f"the folder {folder} is not an adapter: it has no {', no '.join(missing)}")


def place_checkpoint(model_id: str, revision: str | None, target: Path, report: Report) -> Path:
    """Make a checkpoint stand in the folder `target`, unless it does; a folder is left where it is.

    A GGUF file is converted, a folder on S3 fetched; of a model on the hub, `target` gets links to the files
    in the hub's cache.
    Return where the checkpoint stands.

    Raises:
        CheckpointError: the model isn't there or can't be used, or the target is taken.
    """
    check_model_id(model_id)
    if is_s3_url(model_id):
        check_folder(fetch_from_s3(model_id, target, report))
        return target
    path = Path(model_id).expanduser()
    if _is_path(model_id):
        return path if path.is_dir() else convert_gguf(path, target, report)
    if not _missing(target):
        return target
    source = fetch_from_hub(model_id, revision, report)
    check_folder(source)
    link_folder(source, target)
    return target
