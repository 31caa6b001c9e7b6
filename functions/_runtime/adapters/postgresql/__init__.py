"""PostgreSQL behind the ports: a schema a function, so that many functions share a database."""

from functions._runtime.adapters.postgresql.store import open_postgresql

__all__ = ["open_postgresql"]
