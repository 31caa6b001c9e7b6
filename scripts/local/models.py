"""Which model answers: a server that is there already, or weights for the model service of our own."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .console import Console, StartError

ENGINE = Path(__file__).parents[2] / "inference-svc"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
ANSWERS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Model:
    """What stands behind the Service `inference`: the server at `url`, or our own, with a checkpoint."""

    url: str | None = None
    folder: Path | None = None


def choose(option: str | None, models: Path, console: Console) -> Model:
    """What `--model` means; weights are fetched and converted into `models` once.

    Raises:
        StartError: there is no such model, or its server doesn't answer.
    """
    if option is not None and option.startswith(("http://", "https://")):
        return Model(url=_reachable(option.rstrip("/").removesuffix("/v1")))
    folder, source = _source(option, models)
    if source is None:
        return Model(folder=folder)
    python = ENGINE / ".venv/bin/python"
    with console.step("the model's weights"):
        prepared = subprocess.run(
            [python, "-m", "inference.prepare", "--out", folder, *source],
            cwd=ENGINE,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            check=False,
        )
    if prepared.returncode:
        raise StartError(
            f"--model {option or 'default'}: the weights could not be prepared; the reason stands above."
        )
    return Model(folder=folder)


def _source(option: str | None, models: Path) -> tuple[Path, list[str] | None]:
    """Where the weights will stand, and what makes them (None: they are there)."""
    if option is None:
        return models / "SmolLM2-135M-Instruct", ["--default"]
    path = Path(option).expanduser().absolute()
    if path.suffix == ".gguf" and path.is_file():
        return models / path.stem, ["--gguf", str(path)]
    if path.is_dir():
        if not (path / "config.json").exists():
            raise StartError(
                f"--model {option}: this folder holds no config.json;"
                " name the folder of a Hugging Face checkpoint."
            )
        return path, None
    if HUB_ID.fullmatch(option):
        return models / option.replace("/", "--"), ["--model", option]
    raise StartError(
        f"--model {option}: there is no such folder or file; name a Hugging Face folder, a GGUF file,"
        " a hub id (owner/name), or the URL of an OpenAI-compatible server."
    )


def _reachable(url: str) -> str:
    try:
        with urllib.request.urlopen(f"{url}/v1/models", timeout=ANSWERS_WITHIN_S) as answer:  # noqa: S310  http(s)
            json.load(answer)["data"]
    except (OSError, urllib.error.URLError, ValueError, KeyError, TypeError):
        raise StartError(
            f"--model {url}: no OpenAI-compatible server answers GET {url}/v1/models within"
            f" {ANSWERS_WITHIN_S:g} s; start it first, or correct the URL."
        ) from None
    return url
