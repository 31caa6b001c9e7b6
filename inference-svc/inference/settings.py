"""The service's settings: TGI's names, from flags and the environment, read once.

Flags go before the environment, which goes before the defaults. Every bad value is reported together.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.settings_reader import SettingsReader

DTYPES = ("auto", "float32", "bfloat16", "float16")
QUANTIZE = ("auto", "packed", "unpacked", "none")
KERNELS = ("auto", "torch", "native", "triton")
PACKING = ("auto", "float16-weights", "native", "onednn", "plain")
ENGINES = ("auto", "transformers")
LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """One or more settings can't be used; the text names each on a line of its own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What an operator decides. `None` for a token limit means: as much as the model takes.

    `models` has the other models' locations by their names, `lora_adapters` those of the default model's
    adapters.
    """

    model_id: str
    models: Mapping[str, str]
    lora_adapters: Mapping[str, str]
    model_memory_budget: int | None
    served_model_name: str | None
    revision: str | None
    model_cache_dir: Path
    hostname: str
    port: int
    dtype: str
    num_threads: int | None
    engine: str
    quantize: str
    kernels: str
    packing: str
    speculate: int
    cuda_graphs: tuple[int, ...]
    max_batch_total_tokens: int | None
    max_input_tokens: int | None
    max_total_tokens: int | None
    max_concurrent_requests: int
    max_best_of: int
    max_stop_sequences: int
    max_top_n_tokens: int
    max_client_batch_size: int
    payload_limit_bytes: int
    log_level: str


@dataclass(frozen=True, slots=True)
class _Option:
    """One setting: its variable (its flag follows from it), its default as text, and what it is for."""

    variable: str
    default: str
    meaning: str

    @property
    def flag(self) -> str:
        return "--" + self.variable.lower().replace("_", "-")


_OPTIONS = (
    _Option("MODEL_ID", "", "the model: a folder, a .gguf file, s3://bucket/folder, or a hub id"),
    _Option(
        "SERVED_MODEL_NAME", "", "the name in /v1/models and answers (default: the folder's name or hub id)"
    ),
    _Option(
        "MODELS",
        "",
        "other models that may be loaded: name=location, or a hub id alone, with commas between; "
        "a location is what MODEL_ID may be",
    ),
    _Option(
        "LORA_ADAPTERS",
        "",
        "adapters of the default model in PEFT's form: name=location, or a hub id alone, with commas "
        "between; a hub id may have @revision behind it",
    ),
    _Option(
        "MODEL_MEMORY_BUDGET",
        "",
        "bytes that all models may take, weights and caches (default: no bound for one model, nine tenths of "
        "the free memory for several)",
    ),
    _Option("REVISION", "", "branch, tag or commit of a hub id"),
    _Option("MODEL_CACHE_DIR", "~/.cache/hadal-inference", "folder for converted weights"),
    _Option("HOSTNAME", "0.0.0.0", "address to listen on"),  # noqa: S104 (a container's port)
    _Option("PORT", "3000", "port to listen on; 0 takes a free one"),
    _Option("DTYPE", "auto", "number format: " + ", ".join(DTYPES)),
    _Option("NUM_THREADS", "", "threads of one step (default: the machine's cores)"),
    _Option(
        "ENGINE", "auto", "auto: our own where it computes the model, else transformers; or transformers"
    ),
    _Option(
        "QUANTIZE",
        "auto",
        "a GGUF's own blocks: auto (where they are faster), packed (least memory), unpacked (exact), "
        "none (computed from its conversion); packed and unpacked are refused where there are no blocks "
        "that can be computed",
    ),
    _Option(
        "KERNELS",
        "auto",
        "what computes a layer beside its products: auto (chosen by the machine), torch, "
        "native (C++, on a CPU), triton (on a GPU)",
    ),
    _Option(
        "PACKING",
        "auto",
        "how weights are held: auto (chosen by the machine), float16-weights (float32 rows), "
        "native (C++, bfloat16 rows), onednn, plain",
    ),
    _Option(
        "SPECULATE",
        "8",
        "most tokens of an answer that a step guesses from what came before, where that pays; 0: none",
    ),
    _Option(
        "CUDA_GRAPHS",
        "0",
        "numbers of sequences, with commas between, for which decode steps are recorded on a GPU; 0 for none",
    ),
    _Option(
        "MAX_BATCH_TOTAL_TOKENS",
        "",
        "tokens that the cache has room for (default: a quarter of the free memory, at most 1 GiB)",
    ),
    _Option("MAX_INPUT_TOKENS", "", "longest prompt (default: MAX_TOTAL_TOKENS - 1)"),
    _Option("MAX_TOTAL_TOKENS", "", "longest prompt and answer together (default: the model's window)"),
    _Option("MAX_CONCURRENT_REQUESTS", "128", "requests served or queued at once; more get 429"),
    _Option("MAX_BEST_OF", "2", "largest `best_of`"),
    _Option("MAX_STOP_SEQUENCES", "4", "most `stop` sequences a request"),
    _Option("MAX_TOP_N_TOKENS", "5", "largest `top_n_tokens` and `top_logprobs`"),
    _Option("MAX_CLIENT_BATCH_SIZE", "4", "most answers of one request: its prompts times `n`"),
    _Option("PAYLOAD_LIMIT", "2000000", "largest request body in bytes"),
    _Option("LOG_LEVEL", "info", ", ".join(LOG_LEVELS)),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m inference",
        description="Serve one language model through TGI's HTTP contract.",
        epilog="Each flag is also an environment variable: --model-id is MODEL_ID.",
    )
    for option in _OPTIONS:
        shown = f" (default: {option.default})" if option.default else ""
        parser.add_argument(option.flag, dest=option.variable, metavar="VALUE", help=option.meaning + shown)
    return parser


def _token_limits(reader: SettingsReader) -> tuple[int | None, int | None]:
    most = 2**31 - 1
    total = reader.optional_integer("MAX_TOTAL_TOKENS", 2, most)
    longest_input = reader.optional_integer("MAX_INPUT_TOKENS", 1, most)
    if total is not None and longest_input is not None and longest_input >= total:
        reader.wrong.append(
            f"MAX_INPUT_TOKENS must be less than MAX_TOTAL_TOKENS. Given: {longest_input} and {total}"
        )
    return longest_input, total


def read_settings(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Read the settings of a process.

    Args:
        arguments: the command line without the program's name.
        environment: the variables.

    Raises:
        SettingsError: with every value that can't be used.
        SystemExit: for `--help` and unknown flags, as argparse does.
    """
    flags = vars(_parser().parse_args(arguments))
    reader = SettingsReader(flags, environment, {option.variable: option.default for option in _OPTIONS})
    longest_input, total = _token_limits(reader)
    settings = Settings(
        model_id=reader.required("MODEL_ID", "a folder, a .gguf file, s3://bucket/folder, or a hub id"),
        models=reader.named_locations("MODELS"),
        lora_adapters={
            name.partition("@")[0]: location
            for name, location in reader.named_locations("LORA_ADAPTERS").items()
        },
        model_memory_budget=reader.optional_integer("MODEL_MEMORY_BUDGET", 1, 2**63),
        served_model_name=reader.text("SERVED_MODEL_NAME") or None,
        revision=reader.text("REVISION") or None,
        model_cache_dir=Path(reader.text("MODEL_CACHE_DIR")).expanduser(),
        hostname=reader.hostname(),
        port=reader.integer("PORT", 0, 65535),
        dtype=reader.one_of("DTYPE", DTYPES),
        num_threads=reader.optional_integer("NUM_THREADS", 1, 1024),
        engine=reader.one_of("ENGINE", ENGINES),
        quantize=reader.one_of("QUANTIZE", QUANTIZE),
        kernels=reader.one_of("KERNELS", KERNELS),
        packing=reader.one_of("PACKING", PACKING),
        speculate=reader.integer("SPECULATE", 0, 64),
        cuda_graphs=reader.sizes("CUDA_GRAPHS", 1024),
        max_batch_total_tokens=reader.optional_integer("MAX_BATCH_TOTAL_TOKENS", 64, 2**31),
        max_input_tokens=longest_input,
        max_total_tokens=total,
        max_concurrent_requests=reader.integer("MAX_CONCURRENT_REQUESTS", 1, 100_000),
        max_best_of=reader.integer("MAX_BEST_OF", 1, 100),
        max_stop_sequences=reader.integer("MAX_STOP_SEQUENCES", 0, 1000),
        max_top_n_tokens=reader.integer("MAX_TOP_N_TOKENS", 0, 1000),
        max_client_batch_size=reader.integer("MAX_CLIENT_BATCH_SIZE", 1, 10_000),
        payload_limit_bytes=reader.integer("PAYLOAD_LIMIT", 1, 2**31 - 1),
        log_level=reader.one_of("LOG_LEVEL", LOG_LEVELS),
    )
    if reader.wrong:
        raise SettingsError("\n".join(reader.wrong))
    return settings
