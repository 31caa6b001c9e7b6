"""MongoDB's protocol by mongo-java-server over an H2 file.

It is no MongoDB: it has the atomicity of a document and the indexes that the adapter rests on, and neither
replica sets nor users. A real one is in `compose.yaml`.
"""

from __future__ import annotations

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from scripts.servers.debian import need, program
from scripts.servers.maven import JAVA, class_path
from scripts.servers.server import Command, Place

HEAP = ("-Xms64m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
ASK_MS = 500


class MongoDb:
    """The server `mongodb`."""

    port = 27017

    def install(self) -> None:
        """A JDK (the source is compiled as it starts), and the jars."""
        need(program("javac"), "a JDK", ("default-jdk-headless",))
        class_path("mongodb")

    def prepare(self, place: Place) -> None:
        """Make the data folder."""
        place.data.mkdir(parents=True, exist_ok=True)

    def command(self, place: Place) -> Command:
        """Java on our own `main`."""
        java = need(program("java"), "Java", ("default-jdk-headless",))
        file = str(place.data / "store.mv")
        return Command(
            (java, *HEAP, "-cp", class_path("mongodb"), str(JAVA / "MongoDb.java"), file, str(place.port))
        )

    def is_ready(self, place: Place) -> bool:
        """Whether it answers a ping."""
        with MongoClient[dict[str, object]](self.url(place), serverSelectionTimeoutMS=ASK_MS) as client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
            return True

    def url(self, place: Place) -> str:
        """The database `hadal`; there are no users."""
        return f"mongodb://127.0.0.1:{place.port}/hadal"
