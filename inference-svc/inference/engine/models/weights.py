"""A checkpoint's tensors, mapped from its safetensors files and handed out by name, each once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from torch import Tensor

_NUMBER_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}  # of the formats that models come in; others have 1
INDEX = "model.safetensors.index.json"


class CheckpointWeights:
    """The tensors of a folder in Hugging Face's layout: one file, or several with an index.

    The files are mapped: a tensor's pages are read when its values are.
    """

    def __init__(self, folder: Path) -> None:
        """Open the files.

        Raises:
            OSError: a file is missing or no safetensors file.
        """
        import safetensors

        self._folder = folder
        self._files: dict[str, Any] = {}
        for path in _files(folder):
            try:
                file = safetensors.safe_open(path, framework="pt")
            except safetensors.SafetensorError as error:
                raise OSError(f"{path.name} in {folder} is not a whole safetensors file") from error
            names: list[str] = list(file.keys())  # type: ignore[no-untyped-call]
            self._files |= dict.fromkeys(names, file)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def sizes(self) -> Iterator[tuple[str, tuple[int, ...], int]]:
        """Every tensor's name, its shape, and the bytes of a number; from the files' headers alone."""
        for name, file in self._files.items():
            part = file.get_slice(name)
            yield name, tuple(part.get_shape()), _NUMBER_BYTES.get(part.get_dtype(), 1)

    def take(self, name: str, *shape: int) -> Tensor:
        """A tensor in the file's number format, its memory still the file's.

        Raises:
            ValueError: there is no such tensor, or not of this shape.
        """
        if name not in self._files:
            raise ValueError(f"the checkpoint {self._folder.name} has no tensor {name}")
        tensor: Tensor = self._files[name].get_tensor(name)
        if tuple(tensor.shape) != shape:
            raise ValueError(f"the checkpoint's {name} has the shape {list(tensor.shape)}, not {list(shape)}")
        return tensor


def _files(folder: Path) -> Iterator[Path]:
    index = folder / INDEX
    if index.is_file():
        names = orjson.loads(index.read_bytes())["weight_map"].values()
        yield from (folder / name for name in sorted(set(names)))
    else:
        yield folder / "model.safetensors"
