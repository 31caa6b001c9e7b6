"""A real S3 server, and a way through which a test may disturb what comes from it."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class S3Server:
    """Where it is, and who may come in."""

    endpoint: str
    key: str
    secret: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What boto3 reads."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def put(self, files: Mapping[str, bytes | Path], folder: str | None = None) -> str:
        """Put files into a folder (a new one where none is given) of the bucket `models`; its `s3://` URL."""
        client = self.client()
        location = folder or f"s3://models/{uuid.uuid4().hex[:8]}/small"
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        for name, content in files.items():
            body = content if isinstance(content, bytes) else content.read_bytes()
            client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=body)
        return location

    def make_bucket(self) -> None:
        """The bucket `models`."""
        self.client().create_bucket(Bucket="models")

    def client(self) -> Any:
        """As who may do everything, whatever the environment says."""
        import boto3

        credentials = {"aws_access_key_id": self.key, "aws_secret_access_key": self.secret}
        return boto3.client("s3", endpoint_url=self.endpoint, region_name="us-east-1", **credentials)


@dataclass
class Way:
    """What passes between a client and the server.

    `spoil` gets each part's range and its bytes, and returns what the client is sent of them: fewer break the
    connection off.
    """

    endpoint: str
    ranges: list[str]
    spoil: Callable[[str, bytes], bytes] = lambda _, content: content


@contextmanager
def disturbed(server: S3Server) -> Iterator[Way]:
    """A way to the server through which everything passes unless the test says otherwise."""
    target = urlsplit(server.endpoint)
    assert target.hostname

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connection = HTTPConnection(target.hostname or "", target.port)
            connection.request("GET", self.path, headers=dict(self.headers))
            answer = connection.getresponse()
            content = answer.read()
            asked = self.headers.get("Range")
            if asked:
                way.ranges.append(asked)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {
                    "transfer-encoding",
                    "content-length",
                    "connection",
                    "date",
                    "server",
                }:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            kept = way.spoil(asked, content) if asked else content
            self.wfile.write(kept)
            self.close_connection = len(kept) != len(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        way = Way(f"http://127.0.0.1:{proxy.server_port}", [])
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield way
        finally:
            proxy.shutdown()
            thread.join()
