"""Real servers on loopback, for tests and for tries: one small file a server, and a table of them.

with running("postgresql") as server: ... server.url
"""

from scripts.servers.lifecycle import Running, State, down, running, status, up
from scripts.servers.server import ServerFailed
from scripts.servers.table import SERVERS

__all__ = ["SERVERS", "Running", "ServerFailed", "State", "down", "running", "status", "up"]
