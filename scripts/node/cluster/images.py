"""Images of the cluster's own programs: OCI archives round one static program each, imported, never pulled.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import re
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.node.build import NodeError

from .namespaces import Namespaces
from .place import CONTAINERD_SOCKET, STATE

REGISTRY = "dev.local"
"""Knative asks no registry for the tags of this one."""
_MEDIA = "application/vnd.oci.image"
_NOBODY = "65532:65532"
_HEX = 64
"""Characters of a sha256, which a blob's file is named by."""


@dataclass(frozen=True, slots=True)
class Image:
    """Files by the paths that they have inside, and what is run."""

    name: str
    files: Mapping[str, Path]
    entrypoint: Sequence[str]

    def write(self, archive: Path) -> None:
        """The image as an OCI archive."""
        config = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()],
            "os": "linux",
            "config": {
                "Entrypoint": list(self.entrypoint),
                "User": _NOBODY,
            },
            "rootfs": {"type": "layers", "diff_ids": []},
        }
        _write(archive, self.name, self.files, config, [], {})


def write_with_files(base: Path, name: str, files: Mapping[str, Path], archive: Path) -> None:
    """Write the image of the OCI archive `base` with files more, under another name."""
    with tarfile.open(base) as tar:
        found = {Path(each.name).name: tar.extractfile(each).read() for each in tar if each.isfile()}  # type: ignore[union-attr]
    blobs = {digest: content for digest, content in found.items() if len(digest) == _HEX}
    (entry,) = json.loads(found["index.json"])["manifests"]
    manifest = json.loads(blobs[_hex(entry["digest"])])
    config = json.loads(blobs[_hex(manifest["config"]["digest"])])
    _write(archive, name, files, config, manifest["layers"], blobs)


def of_program(program: Path, *words: str) -> Image:
    """A static program alone; its tag is that of its build, so that a newer one is another image."""
    return Image(image_name(program), {program.name: program}, (f"/{program.name}", *words))


def of_envoy(program: Path) -> Image:
    """Envoy, with the C library that it is linked to."""
    libraries = {str(path).lstrip("/"): path.resolve() for path in _libraries(program)}
    files = {"usr/local/bin/envoy": program, **libraries}
    name = f"{REGISTRY}/hadal-cluster/envoy:{program.parents[2].name}"
    return Image(name, files, ("/usr/local/bin/envoy",))


def image_name(program: Path) -> str:
    """What the image of a built program is called."""
    return f"{REGISTRY}/hadal-cluster/{program.name}:{program.parent.name}"


def import_missing(images: Sequence[Image], inside: Namespaces) -> int:
    """Import those that containerd hasn't got; how many they were.

    Raises:
        NodeError: containerd refused one.
    """
    there = set(ctr(inside, "images", "list", "-q").split())
    missing = [image for image in images if image.name not in there]
    archive = STATE / "image.tar"
    for image in missing:
        image.write(archive)
        import_archive(archive, inside)
    archive.unlink(missing_ok=True)
    return len(missing)


def import_archive(archive: Path, inside: Namespaces) -> None:
    """Import an OCI archive.

    Raises:
        NodeError: containerd refused it.
    """
    ctr(inside, "images", "import", str(archive))


def ctr(inside: Namespaces, *words: str) -> str:
    """What containerd's own client prints, for the images and containers of Kubernetes."""
    whole = inside.command("ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", *words)
    done = subprocess.run(whole, check=False, capture_output=True, text=True)
    if done.returncode:
        raise NodeError(f"ctr {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def _write(
    archive: Path,
    name: str,
    files: Mapping[str, Path],
    config: dict[str, Any],
    layers: list[Any],
    blobs: dict[str, bytes],
) -> None:
    """An archive of an image of `config` with a layer of `files` on `layers`, which are among `blobs`."""
    layer = _layer(files)
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    config["rootfs"]["diff_ids"].append(_digest(layer))
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_MEDIA}.manifest.v1+json",
        "config": _blob(blobs, f"{_MEDIA}.config.v1+json", json.dumps(config).encode()),
        "layers": [*layers, _blob(blobs, f"{_MEDIA}.layer.v1.tar+gzip", packed)],
    }
    entry = _blob(blobs, f"{_MEDIA}.manifest.v1+json", json.dumps(manifest).encode())
    entry["annotations"] = {"io.containerd.image.name": name}
    with tarfile.open(archive, "w") as tar:
        _add(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(tar, "index.json", json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode())
        for digest, content in blobs.items():
            _add(tar, f"blobs/sha256/{digest}", content)


def _layer(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        scratch = tarfile.TarInfo("tmp")
        scratch.type, scratch.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(scratch)
        for name, path in files.items():
            _add(tar, name, path.read_bytes(), 0o755)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), mode
    tar.addfile(entry, io.BytesIO(content))


def _blob(blobs: dict[str, bytes], media: str, content: bytes) -> dict[str, object]:
    digest = _digest(content)
    blobs[_hex(digest)] = content
    return {"mediaType": media, "digest": digest, "size": len(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _libraries(program: Path) -> list[Path]:
    done = subprocess.run(["ldd", str(program)], check=True, capture_output=True, text=True)
    return [Path(path) for path in re.findall(r"(/\S+\.so\S*)", done.stdout)]
