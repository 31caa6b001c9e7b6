"""SQLite behind the ports: one file a function, shared by its replicas on one machine."""

from functions._runtime.adapters.sqlite.store import open_sqlite

__all__ = ["open_sqlite"]
