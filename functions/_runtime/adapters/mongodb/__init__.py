"""MongoDB behind the ports: a prefix a function, so that many functions share a database."""

from functions._runtime.adapters.mongodb.store import open_mongodb

__all__ = ["open_mongodb"]
