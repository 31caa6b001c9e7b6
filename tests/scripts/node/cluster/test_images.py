"""Images made without any tool for images."""

from __future__ import annotations

import gzip
import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

from scripts.node.cluster.images import Image, image_name


def unpacked(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar}  # type: ignore[union-attr]


def test_an_archive_leads_from_its_index_to_the_program(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF and so on")
    image = Image("dev.local/x/program:1", {"bin/program": program}, ("/bin/program", "-v"))
    image.write(tmp_path / "image.tar")
    files = unpacked(tmp_path / "image.tar")

    def blob(descriptor: dict[str, Any]) -> bytes:
        content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert hashlib.sha256(content).hexdigest() == descriptor["digest"].removeprefix("sha256:")
        assert len(content) == descriptor["size"]
        return content

    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == "dev.local/x/program:1"
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    assert config["config"] == {
        "Entrypoint": ["/bin/program", "-v"],
        "User": "65532:65532",
    }
    (layer,) = manifest["layers"]
    plain = gzip.decompress(blob(layer))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    (tmp_path / "layer.tar").write_bytes(plain)
    with tarfile.open(tmp_path / "layer.tar") as tar:
        assert tar.getmember("bin/program").mode == 0o755
        assert tar.extractfile("bin/program").read() == program.read_bytes()  # type: ignore[union-attr]
        assert tar.getmember("tmp").mode == 0o1777


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x")
    for name in ("one", "two"):
        Image("dev.local/x/program:1", {"program": program}, ("/program",)).write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_program_built_anew_is_another_image(tmp_path: Path) -> None:
    assert image_name(Path("/cache/0123/etcd")) != image_name(Path("/cache/4567/etcd"))
