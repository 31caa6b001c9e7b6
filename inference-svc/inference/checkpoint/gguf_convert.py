"""A GGUF file as a bfloat16 checkpoint in Hugging Face's layout, converted once.

The result appears whole or not at all: it is written to a folder beside its place and renamed.
`conversion.json` in it names the source and the size and checksum of every file, so that a second run has
nothing to do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_config import GgufModel
from inference.checkpoint.safetensors_writer import FloatArray, LazyTensor, write_safetensors
from inference.checkpoint.scratch import scratch_beside

RECORD = "conversion.json"
RECORD_VERSION = 1
BLOCKS = "model.gguf"
"""The source's tensors as they are, beside what was made of them: an engine may compute from their blocks."""
Report = Callable[[str], None]


def file_sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_converted(folder: Path, source: Path | None = None) -> bool:
    """Whether a whole conversion stands here (of this source, if given): every file there with its size."""
    try:
        record = orjson.loads((folder / RECORD).read_bytes())
        sizes_fit = all(
            (folder / name).stat().st_size == file["bytes"] for name, file in record["files"].items()
        )
        same_source = source is None or record["source"] == _source_record(source)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return False
    return bool(record.get("version") == RECORD_VERSION and sizes_fit and same_source)


def damaged_files(folder: Path) -> list[str]:
    """Names of the files of a conversion whose checksum isn't the recorded one. Reads every byte."""
    files = orjson.loads((folder / RECORD).read_bytes())["files"]
    return [name for name, file in files.items() if file_sha256(folder / name) != file["sha256"]]


def convert_gguf(source: Path, target: Path, report: Report) -> Path:
    """Convert `source` into the folder `target`, unless that has been done; return the folder.

    Raises:
        CheckpointError: the file is no GGUF of a supported kind, or the target is taken or can't be written.
    """
    if is_converted(target, source):
        return target
    try:
        with scratch_beside(target) as scratch:
            if not is_converted(target, source):  # another process may have done it meanwhile
                convert_within(scratch, source, target, report)
    except OSError as error:
        raise CheckpointError(
            f"{source} can't be converted into {target}: {error.strerror or error}"
        ) from error
    return target


def convert_within(scratch: Path, source: Path, target: Path, report: Report) -> None:
    """Convert in a scratch folder, then put the result into its place; an older conversion is replaced.

    Raises:
        CheckpointError: the file is no GGUF of a supported kind, or the target is something else.
        OSError: a file can't be read or written.
    """
    if target.exists() and not (target / RECORD).is_file():
        raise CheckpointError(f"{target} is there and is no conversion of a GGUF file; give another folder")
    folder = scratch / "checkpoint"
    folder.mkdir()
    _write_checkpoint(source, folder, report)
    if target.exists():
        target.rename(scratch / "old")
    folder.rename(target)


def _source_record(source: Path) -> dict[str, Any]:
    """What tells one source file from another, quickly."""
    status = source.stat()
    return {"name": source.name, "bytes": status.st_size, "modified_ns": status.st_mtime_ns}


def _write_checkpoint(source: Path, folder: Path, report: Report) -> None:
    from inference.checkpoint.gguf_tokenizer import gguf_tokenizer, gguf_tokenizer_config

    report(f"reading {source.name}")
    reader = _open(source)
    metadata = {name: field.contents() for name, field in reader.fields.items()}
    model = GgufModel(metadata)
    tensors = _tensors(reader, model)
    gguf_tokenizer(metadata).save(str(folder / "tokenizer.json"))
    vocabulary_tokens = tensors["model.embed_tokens.weight"].shape[0]
    config = model.config(vocabulary_tokens, tied_embeddings="lm_head.weight" not in tensors)
    ending = ("bos_token_id", "eos_token_id")
    documents = {
        "config.json": config,
        "generation_config.json": {name: config[name] for name in ending if config[name] is not None},
        "tokenizer_config.json": gguf_tokenizer_config(metadata),
    }
    for name, document in documents.items():
        (folder / name).write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    if template := metadata.get("tokenizer.chat_template"):
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    write_safetensors(folder / "model.safetensors", tensors, _in_tenths(report))
    _write_blocks(reader, model, folder / BLOCKS)
    _write_record(source, folder, report)


def _write_blocks(reader: Any, model: GgufModel, place: Path) -> None:
    """The file without its vocabulary, whose reading takes seconds, and which stands in tokenizer.json."""
    import gguf

    writer = gguf.GGUFWriter(place, model.architecture)
    for name, field in reader.fields.items():
        if len(field.types) == 1 and not name.startswith("GGUF.") and name != "general.architecture":
            writer.add_key_value(name, field.contents(), field.types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _open(source: Path) -> Any:
    import gguf

    try:
        return gguf.GGUFReader(source)
    except (ValueError, IndexError) as error:
        raise CheckpointError(f"{source} is not a whole GGUF file") from error


def _tensors(reader: Any, model: GgufModel) -> dict[str, LazyTensor]:
    # GGUF names the fastest-running dimension first.
    return {
        model.tensor_name(tensor.name): LazyTensor(
            tuple(int(size) for size in reversed(tensor.shape)), partial(_values, tensor, model)
        )
        for tensor in reader.tensors
    }


def _values(tensor: Any, model: GgufModel) -> FloatArray:
    import gguf

    try:
        values: FloatArray = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
    except NotImplementedError as error:
        raise CheckpointError(
            f"the GGUF file's number format {tensor.tensor_type.name} can't be unpacked"
        ) from error
    return model.tensor(tensor.name, values)


def _in_tenths(report: Report) -> Callable[[int, int], None]:
    """Report each tenth of the bytes once."""
    shown = 0

    def progress(done_bytes: int, total_bytes: int) -> None:
        nonlocal shown
        tenth = done_bytes * 10 // total_bytes
        if tenth > shown:
            shown = tenth
            report(f"converting: {tenth * 10} % of {total_bytes / 1e6:.0f} MB")

    return progress


def _write_record(source: Path, folder: Path, report: Report) -> None:
    report("computing checksums")
    files = {
        path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.iterdir())
    }
    record = {"version": RECORD_VERSION, "source": _source_record(source), "files": files}
    (folder / RECORD).write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
