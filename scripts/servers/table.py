"""Which servers there are. Another one is a file beside this, and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.servers.mongodb import MongoDb
from scripts.servers.postgresql import PostgreSql
from scripts.servers.s3 import S3
from scripts.servers.server import Server

SERVERS: Mapping[str, Server] = {
    "mongodb": MongoDb(),
    "postgresql": PostgreSql(),
    "s3": S3(),
}
