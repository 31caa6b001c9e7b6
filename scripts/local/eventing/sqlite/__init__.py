"""The Broker's storage in one SQLite file."""

from __future__ import annotations
