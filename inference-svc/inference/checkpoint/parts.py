"""Large files from S3 in parts, several at once; a fetch that was interrupted goes on where it was.

A file has its full length from the start. A journal tells which parts are in it, each written down once the
part is on the disk; it begins with the file's entity tag, so that parts of another version don't count.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.checkpoint.gguf_convert import Report

PART_BYTES = 32 << 20
PARALLEL_PARTS = 8
_READ_BYTES = 1 << 20
_ATTEMPTS = 5
_PAUSE_S = 0.5  # before the second attempt; twice as long before each further one


class Changed(Exception):  # noqa: N818 (it tells what happened to a file, whose name is the text)
    """A file is no longer what the listing told."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file as the listing tells it."""

    name: str
    key: str
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class _Part:
    file: RemoteFile
    index: int

    @property
    def start(self) -> int:
        return self.index * PART_BYTES

    @property
    def size_bytes(self) -> int:
        return min(PART_BYTES, self.file.size_bytes - self.start)


def fetch_files(client: Any, bucket: str, files: Sequence[RemoteFile], scratch: Path, report: Report) -> Path:
    """Have all `files` whole in a folder in `scratch`, and return it; `report` each tenth of their bytes.

    Raises:
        Changed: a file is another one by now.
        botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError: one can't be had.
        OSError: one can't be written.
    """
    journals = [_Journal.of(scratch, file) for file in files]
    missing = [(journal, part) for journal in journals for part in journal.missing()]
    total = sum(file.size_bytes for file in files)
    tenths = _Tenths(total, total - sum(part.size_bytes for _, part in missing), report)
    with ThreadPoolExecutor(PARALLEL_PARTS) as pool:
        futures: dict[Future[None], _Part] = {
            pool.submit(_fetch_part, client, bucket, part, journal): part for journal, part in missing
        }
        try:
            for future in as_completed(futures):
                future.result()
                tenths.add(futures[future].size_bytes)
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    _remove_others(scratch / "files", files)
    return scratch / "files"


def _remove_others(folder: Path, files: Sequence[RemoteFile]) -> None:
    """What an earlier listing had and this one hasn't."""
    for path in folder.iterdir():
        if path.name not in {file.name for file in files}:
            path.unlink()


@dataclass(frozen=True, slots=True)
class _Journal:
    """Which parts of a file are on the disk."""

    file: RemoteFile
    data: Path
    path: Path

    @classmethod
    def of(cls, scratch: Path, file: RemoteFile) -> _Journal:
        """Go on with what is there, or begin anew."""
        for folder in ("files", "parts"):
            (scratch / folder).mkdir(exist_ok=True)
        journal = cls(file, scratch / "files" / file.name, scratch / "parts" / file.name)
        head = f"{file.etag} {file.size_bytes} {PART_BYTES}"
        lines = journal._lines()
        if lines[:1] != [head]:
            lines = [head]
            with journal.data.open("wb") as data:
                data.truncate(file.size_bytes)
        journal.path.write_text("".join(f"{line}\n" for line in lines))
        return journal

    def missing(self) -> Iterator[_Part]:
        there = {int(line) for line in self._lines()[1:]}
        count = -(-self.file.size_bytes // PART_BYTES)
        return (_Part(self.file, index) for index in range(count) if index not in there)

    def write_down(self, part: _Part) -> None:
        with self.path.open("a") as journal:  # one short write, which others don't cut in two
            journal.write(f"{part.index}\n")

    def _lines(self) -> list[str]:
        """Whole lines; none without the file itself."""
        if not (self.path.is_file() and self.data.is_file()):
            return []
        return self.path.read_text().split("\n")[:-1]


def _fetch_part(client: Any, bucket: str, part: _Part, journal: _Journal) -> None:
    """Fetch a part; a connection that breaks is tried again, from the part's beginning."""
    import botocore.exceptions as aws

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _write_part(client, bucket, part, journal.data)
        except aws.ClientError as error:
            if error.response.get("Error", {}).get("Code") in {"PreconditionFailed", "NoSuchKey"}:
                raise Changed(part.file.name) from error
            raise
        except (aws.ConnectionError, aws.HTTPClientError, aws.IncompleteReadError):
            if attempt == _ATTEMPTS:
                raise
            time.sleep(_PAUSE_S * 2 ** (attempt - 1) * (0.5 + random.random()))  # noqa: S311 (no secret)
        else:
            journal.write_down(part)
            return


def _write_part(client: Any, bucket: str, part: _Part, data: Path) -> None:
    from botocore.exceptions import IncompleteReadError

    last = part.start + part.size_bytes - 1
    answer = client.get_object(
        Bucket=bucket, Key=part.file.key, Range=f"bytes={part.start}-{last}", IfMatch=part.file.etag
    )
    got = 0
    with data.open("r+b", buffering=0) as file:
        for chunk in answer["Body"].iter_chunks(_READ_BYTES):
            os.pwrite(file.fileno(), chunk, part.start + got)
            got += len(chunk)
        os.fdatasync(file.fileno())
    if got != part.size_bytes:
        raise IncompleteReadError(actual_bytes=got, expected_bytes=part.size_bytes)


@dataclass(slots=True)
class _Tenths:
    """Reports each tenth of `total` bytes once."""

    total: int
    done: int
    report: Report

    def add(self, number: int) -> None:
        before, self.done = self.done, self.done + number
        tenth = 10 * self.done // self.total
        if tenth > 10 * before // self.total:
            self.report(f"fetched {tenth * 10} % of {self.total / 1e6:.0f} MB")
