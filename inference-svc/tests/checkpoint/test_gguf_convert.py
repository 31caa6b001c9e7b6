"""A GGUF file written as llama.cpp writes it, converted back: the same model, the same text."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import orjson
import pytest
from tokenizers import Tokenizer

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_convert import convert_gguf, damaged_files, is_converted
from inference.checkpoint.gguf_tokenizer import gguf_tokenizer
from inference.checkpoint.safetensors_writer import bfloat16
from inference.checkpoint.scratch import scratch_beside
from tests.checkpoint.gguf_file import LAYERS, TOKENS, write_gguf


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_gguf(tmp_path / "small.gguf")
    return tmp_path / "small.gguf"


def read_weights(folder: Path) -> dict[str, tuple[tuple[int, ...], np.ndarray[Any, Any]]]:
    """Every tensor of a bfloat16 safetensors file, by the format's description."""
    data = (folder / "model.safetensors").read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = orjson.loads(data[8:start])
    assert start % 8 == 0
    assert header.pop("__metadata__") == {"format": "pt"}
    weights = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        bits = np.frombuffer(data[start + begin : start + end], dtype="<u2").astype("<u4") << 16
        weights[name] = (tuple(entry["shape"]), bits.view("<f4").reshape(entry["shape"]))
    return weights


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3"])
def test_every_weight_comes_back_under_its_own_name_and_in_its_own_order(
    tmp_path: Path, architecture: str
) -> None:
    expected = write_gguf(tmp_path / "small.gguf", architecture=architecture)
    weights = read_weights(convert_gguf(tmp_path / "small.gguf", tmp_path / "out", print))
    assert weights.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(weights[name][1], values)


def test_the_configuration_follows_from_the_metadata(source: Path, tmp_path: Path) -> None:
    folder = convert_gguf(source, tmp_path / "out", print)
    config = orjson.loads((folder / "config.json").read_bytes())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert (config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]) == (4, 2, 16)
    assert (config["max_position_embeddings"], config["rope_theta"]) == (128, 50_000.0)
    assert config["tie_word_embeddings"] is True
    assert orjson.loads((folder / "generation_config.json").read_bytes()) == {"eos_token_id": 0}
    assert (folder / "chat_template.jinja").read_text() == "{{ messages[0]['content'] }}"


def test_the_tokenizer_splits_digits_and_merges_as_the_file_says(source: Path, tmp_path: Path) -> None:
    folder = convert_gguf(source, tmp_path / "out", print)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert tokenizer.encode("hello 12é<|end|>").tokens == [
        "he",
        "l",
        "lo",
        "Ġ",
        "1",
        "2",
        "Ã",
        "©",
        "<|end|>",
    ]
    assert tokenizer.decode(tokenizer.encode("hello 12é").ids) == "hello 12é"


def test_a_second_conversion_does_nothing_and_another_source_does(source: Path, tmp_path: Path) -> None:
    reports: list[str] = []
    folder = convert_gguf(source, tmp_path / "out", reports.append)
    before = {path.name: path.stat().st_ino for path in folder.iterdir()}
    reports.clear()
    convert_gguf(source, folder, reports.append)
    assert not reports
    assert {path.name: path.stat().st_ino for path in folder.iterdir()} == before
    os.utime(source, (1, 1))
    convert_gguf(source, folder, reports.append)
    assert reports
    assert damaged_files(folder) == []


def test_a_file_that_is_cut_or_changed_is_noticed(source: Path, tmp_path: Path) -> None:
    folder = convert_gguf(source, tmp_path / "out", print)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert is_converted(folder)  # quick: sizes only
    assert damaged_files(folder) == ["model.safetensors"]
    weights.write_bytes(data[:-1])
    assert not is_converted(folder)


@pytest.mark.parametrize(
    ("differences", "words"),
    [
        ({"architecture": "gemma3"}, "architecture is 'gemma3'; supported: llama, qwen2, qwen3"),
        ({"pre": "tekken"}, "pre-tokenizer is 'tekken'; supported:"),
        ({"tokenizer": "llama"}, "kind 'llama'; supported: gpt2"),
    ],
)
def test_what_cannot_be_converted_says_what_could_be(
    tmp_path: Path, differences: dict[str, str], words: str
) -> None:
    write_gguf(tmp_path / "odd.gguf", **differences)
    with pytest.raises(CheckpointError, match=words):
        convert_gguf(tmp_path / "odd.gguf", tmp_path / "out", print)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "odd.gguf"]


@pytest.mark.parametrize(
    "content", [b"", b"not a gguf file at all, but long enough", b"GGUF\x03\0\0\0" + b"\xff" * 64]
)
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.gguf").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a whole GGUF file"):
        convert_gguf(tmp_path / "odd.gguf", tmp_path / "out", print)


def test_a_folder_that_is_something_else_is_left_alone(source: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(CheckpointError, match="no conversion of a GGUF file"):
        convert_gguf(source, tmp_path / "mine", print)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def _die_while_converting(source: Path, target: Path) -> None:
    def die(line: str) -> None:
        if "checksums" in line:
            os.kill(os.getpid(), signal.SIGKILL)

    convert_gguf(source, target, die)


def test_a_conversion_that_is_killed_leaves_no_half_folder_and_the_next_one_succeeds(
    source: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    process = multiprocessing.get_context("spawn").Process(
        target=_die_while_converting, args=(source, target)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not target.exists()
    assert (tmp_path / ".out.partial").exists()
    convert_gguf(source, target, print)
    assert damaged_files(target) == []
    assert not (tmp_path / ".out.partial").exists()


def test_the_scratch_folder_goes_also_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="stop"), scratch_beside(tmp_path / "out") as scratch:
        (scratch / "half").write_text("x")
        raise RuntimeError("stop")
    assert [path.name for path in tmp_path.iterdir()] == [".out.lock"]


def test_bfloat16_rounds_to_the_nearest_and_ties_to_even() -> None:
    values = np.array([1.0, 1.00390625, 1.01171875, 3.14159274, -2.5, 0.0], dtype=np.float32)
    bits = np.frombuffer(bfloat16(values), dtype="<u2").astype("<u4") << 16
    expected = np.array([1.0, 1.0, 1.015625, 3.140625, -2.5, 0.0], dtype=np.float32)
    np.testing.assert_array_equal(bits.view("<f4"), expected)


@pytest.mark.parametrize(
    ("pre", "text", "pieces"),
    [
        ("gpt-2", "it's 2024", ["it", "'s", "Ġ2024"]),
        ("smollm", "it's 2024", ["it", "'s", "Ġ", "2", "0", "2", "4"]),
        ("llama-bpe", "it's 20245", ["it", "'s", "Ġ", "202", "45"]),
        ("qwen2", "it's 20245", ["it", "'s", "Ġ", "2", "0", "2", "4", "5"]),
    ],
)
def test_each_pre_tokenizer_splits_as_its_models_do(pre: str, text: str, pieces: list[str]) -> None:
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre,
        "tokenizer.ggml.tokens": TOKENS,
        "tokenizer.ggml.token_type": [1] * len(TOKENS),
        "tokenizer.ggml.merges": [],
    }
    split = gguf_tokenizer(metadata).pre_tokenizer.pre_tokenize_str(text)
    assert [piece for piece, _ in split] == pieces


@pytest.mark.slow
def test_transformers_reads_what_was_converted(
    source: Path, tmp_path: Path, checkpoint: Callable[[str], Path]
) -> None:
    import torch
    import transformers

    expected = write_gguf(tmp_path / "again.gguf")
    folder = convert_gguf(source, tmp_path / "out", print)
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values())
    weights = dict(model.named_parameters())
    for name, values in expected.items():
        torch.testing.assert_close(weights[name].data, torch.from_numpy(values))
    assert model.config.rope_parameters["rope_theta"] == 50_000.0


def test_a_conversion_keeps_the_blocks_without_the_vocabulary(source: Path, tmp_path: Path) -> None:
    folder = convert_gguf(source, tmp_path / "converted", print)
    kept, whole = gguf.GGUFReader(folder / "model.gguf"), gguf.GGUFReader(source)
    assert "tokenizer.ggml.tokens" in whole.fields
    assert "tokenizer.ggml.tokens" not in kept.fields
    assert kept.fields["llama.block_count"].contents() == LAYERS
    assert [(t.name, t.tensor_type, t.data.tobytes()) for t in kept.tensors] == [
        (t.name, t.tensor_type, t.data.tobytes()) for t in whole.tensors
    ]
    assert not damaged_files(folder)
