"""Which addresses a store may have."""

from __future__ import annotations

import pytest

from functions._runtime.store import store_url


@pytest.mark.parametrize(
    "url",
    [
        "memory:",
        "sqlite:store.db",
        "sqlite:/data/a b.db",
        "postgresql://ann:s%2Fecret@db.example.com:5432/hadal",
        "postgresql://db/hadal?sslmode=verify-full",
        "postgresql://one:5432,two:5432/hadal",
        "postgresql://[::1]:5432/hadal",
        "mongodb://db/hadal",
        "mongodb://ann:secret@one:27017,two:27017/hadal?replicaSet=rs0",
        "mongodb+srv://ann:secret@cluster.example.com/hadal",
    ],
)
def test_a_good_address_is_taken_as_it_is(url: str) -> None:
    assert store_url(url) == url


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("", "should be memory:, sqlite:"),
        ("canary", "should be memory:, sqlite:"),
        ("memory:canary", "should be memory:, sqlite:"),
        ("postgres://ann:canary@db/hadal", "postgresql://<user>:<password>@<host>/<database>"),
        ("mysql://ann:canary@db/hadal", "should be memory:, sqlite:"),
        ("sqlite:", "names no file"),
        ("postgresql:canary", "names no server"),
        ("postgresql:///canary", "names no server"),
        ("postgresql://ann:canary@db:port/hadal", "names no server"),
        ("postgresql://ann:can/ary@db/hadal", "%XX"),
        ("postgresql://ann:canary@db", "names no database"),
        ("postgresql://ann:canary@db/", "names no database"),
        ("postgresql://ann:canary@db/a/b", "names no database"),
        ("mongodb://ann:canary@db", "names no database"),
        ("mongodb://ann:canary@/hadal", "names no server"),
        ("mongodb://ann:canary@[::1/hadal", "names no server"),
    ],
)
def test_a_bad_address_says_what_would_be_right_and_shows_no_password(url: str, right: str) -> None:
    with pytest.raises(ValueError, match="should be") as caught:
        store_url(url)
    assert right in str(caught.value)
    assert "canary" not in str(caught.value) and "can/ary" not in str(caught.value)
