"""Checkpoints from S3, or what speaks its protocol: the files in `s3://bucket/folder`, kept on this machine.

Endpoint, region and credentials are boto3's (`AWS_ENDPOINT_URL_S3`, `AWS_ACCESS_KEY_ID`, a Pod's role). Every
part of a file is asked for by the entity tag that the listing told, so that all of them are of one version.
Where a file `SHA256SUMS` lies beside the others, in `sha256sum`'s form, what it names is held against it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import orjson

from inference.checkpoint.errors import CheckpointError
from inference.checkpoint.gguf_convert import Report, file_sha256
from inference.checkpoint.parts import PARALLEL_PARTS, Changed, RemoteFile, fetch_files
from inference.checkpoint.scratch import kept_beside

RECORD = ".fetched.json"
CHECKSUMS = "SHA256SUMS"
_PATTERNS = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", CHECKSUMS)
_URL = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]+)/(?P<prefix>[^?#]*[^/?#])/*")
_SUM = re.compile(r"(?P<digest>[0-9a-f]{64}) [ *](\./)?(?P<name>\S.*)")


def is_s3_url(location: str) -> bool:
    """Whether this is meant to be a place on S3."""
    return location.startswith("s3://")


def check_s3_url(location: str) -> None:
    """Find out, without the network, whether this could be a folder on S3.

    Raises:
        CheckpointError: it has no bucket or no folder, or names a GGUF file.
    """
    if not _URL.fullmatch(location) or location.endswith(".gguf"):
        raise CheckpointError(f"{location!r} is no folder on S3: give s3://bucket/folder")


def s3_folder_name(location: str) -> str:
    """The last part of the folder's path."""
    return location.rstrip("/").rpartition("/")[2]


def s3_cache_folder(location: str, cache_folder: Path) -> Path:
    """Where in the cache the files are kept: as the hub's cache does, with the whole path in one name."""
    return cache_folder / location.rstrip("/").removeprefix("s3://").replace("/", "--")


def fetch_from_s3(location: str, target: Path, report: Report) -> Path:
    """Have the files of a folder on S3 in the folder `target`, and return it; what is there already is kept.

    `target` appears whole or not at all. What an interrupted fetch has got is not fetched again. A target
    whose files have changed on S3 is replaced; without a network, it is taken as it is.

    Raises:
        CheckpointError: they can't be had, aren't what their checksums say, or the target is taken.
    """
    import botocore.exceptions as aws

    check_s3_url(location)
    kept = _record(target)
    if target.exists() and any(target.iterdir()) and not (target / RECORD).is_file():
        raise CheckpointError(f"{target} is there and holds other files; give another folder")
    try:
        with _told(location), kept_beside(target) as scratch:
            return _fetch(location, target, scratch, report)
    except CheckpointError as error:
        unreachable = isinstance(error.__cause__, (aws.ConnectionError, aws.HTTPClientError))
        if unreachable and kept and kept["location"] == location:
            report(f"{location} can't be reached: taking what was fetched before")
            return target
        raise


def _fetch(location: str, target: Path, scratch: Path, report: Report) -> Path:
    bucket, prefix = _parts_of(location)
    client = _client()
    files = _listed(client, bucket, prefix)
    if not files:
        raise CheckpointError(f"there are no files of a model in {location}")
    record = {"location": location, "files": {file.name: [file.etag, file.size_bytes] for file in files}}
    if _record(target) == record:
        shutil.rmtree(scratch)
        return target
    total = sum(file.size_bytes for file in files)
    report(f"fetching {len(files)} files, {total / 1e6:.0f} MB, from {location}")
    folder = fetch_files(client, bucket, files, scratch, report)
    _check_sums(folder, report)
    (folder / RECORD).write_bytes(orjson.dumps(record))
    if target.exists():
        shutil.rmtree(scratch / "old", ignore_errors=True)  # of one that was killed just here
        target.rename(scratch / "old")
    folder.rename(target)
    shutil.rmtree(scratch)
    return target


def _parts_of(location: str) -> tuple[str, str]:
    found = _URL.fullmatch(location)
    assert found is not None  # noqa: S101 (it was checked)
    return found["bucket"], found["prefix"] + "/"


def _client() -> Any:
    import boto3
    from botocore.config import Config

    retries = {"mode": "standard", "total_max_attempts": 4}
    limits = {"max_pool_connections": PARALLEL_PARTS, "connect_timeout": 10, "read_timeout": 60}
    return boto3.Session().client("s3", config=Config(retries=retries, **limits))  # not a session of others


def _listed(client: Any, bucket: str, prefix: str) -> list[RemoteFile]:
    """The files right below the prefix that a server of models reads, by name."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/")
    found = (entry for page in pages for entry in page.get("Contents", ()))
    files = (
        RemoteFile(entry["Key"].removeprefix(prefix), entry["Key"], entry["Size"], entry["ETag"])
        for entry in found
    )
    wanted = (file for file in files if any(fnmatch(file.name, pattern) for pattern in _PATTERNS))
    return sorted(wanted, key=lambda file: file.name)


def _check_sums(folder: Path, report: Report) -> None:
    wanted = _sums(folder / CHECKSUMS)
    if wanted:
        report("computing checksums")
    for name, digest in wanted.items():
        if (folder / name).is_file() and file_sha256(folder / name) != digest:
            (folder / name).unlink()  # which of its parts are wrong can't be told
            raise CheckpointError(f"what was fetched as {name} doesn't have the checksum of {CHECKSUMS}")


def _sums(file: Path) -> Mapping[str, str]:
    if not file.is_file():
        return {}
    found = [_SUM.fullmatch(line) for line in file.read_text(errors="replace").splitlines() if line]
    if not all(found):
        raise CheckpointError(f"{CHECKSUMS} isn't in sha256sum's form")
    return {sum_["name"]: sum_["digest"] for sum_ in found if sum_}


def _record(target: Path) -> Mapping[str, Any] | None:
    """What the target was fetched from; None where it wasn't, or isn't whole."""
    try:
        record: Mapping[str, Any] = orjson.loads((target / RECORD).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    sizes = {name: size for name, (_, size) in record["files"].items()}
    there = {path.name: path.stat().st_size for path in target.iterdir() if path.name in sizes}
    return record if there == sizes else None


@contextmanager
def _told(location: str) -> Iterator[None]:
    """Errors as one line for an operator."""
    import botocore.exceptions as aws

    try:
        yield
    except Changed as error:
        raise CheckpointError(
            f"{error} in {location} changed while it was fetched; run this again"
        ) from error
    except aws.NoCredentialsError as error:
        raise CheckpointError(
            f"there are no credentials for {location}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        ) from error
    except aws.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown")
        raise CheckpointError(f"{location} can't be fetched: S3 answers {code}") from error
    except aws.BotoCoreError as error:
        raise CheckpointError(
            f"{location} can't be fetched ({type(error).__name__}): check AWS_ENDPOINT_URL_S3 and the network"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{location} can't be written here: {error.strerror or error}") from error
