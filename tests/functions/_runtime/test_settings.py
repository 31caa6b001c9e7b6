from __future__ import annotations

from dataclasses import dataclass

import pytest

from functions._runtime.settings import InvalidSettings, at_least, http_url, read, variable
from functions._runtime.store import store_url


@dataclass(frozen=True, slots=True)
class Settings:
    url: str = variable("URL", parse=http_url)
    store: str = variable("STORE", default="memory:", parse=store_url, secret=True)
    count: int = variable("COUNT", default=3, parse=at_least(1))
    ratio: float = variable("RATIO", default=0.5)
    is_on: bool = variable("ON", default=False)
    key: str = variable("KEY", default="", secret=True)
    derived: str = "not from the environment"


def test_what_the_environment_says_goes_before_the_defaults() -> None:
    environ = {"URL": "https://a.b/c/", "STORE": "sqlite:/x/y.db", "COUNT": "7", "RATIO": "2", "ON": "true"}
    assert read(Settings, environ) == Settings(
        url="https://a.b/c", store="sqlite:/x/y.db", count=7, ratio=2.0, is_on=True
    )


def test_an_empty_variable_counts_as_absent() -> None:
    assert read(Settings, {"URL": "http://a", "COUNT": ""}).count == 3


def test_every_bad_variable_is_reported_at_once() -> None:
    environ = {"STORE": "postgres:x", "COUNT": "0", "RATIO": "half", "ON": "maybe"}
    with pytest.raises(InvalidSettings) as raised:
        read(Settings, environ)
    assert raised.value.problems == [
        "URL is not set; it is needed",
        "STORE is wrong (its value isn't shown): should be memory:, sqlite:<path of a file>,"
        " postgresql://<user>:<password>@<host>/<database> or mongodb://<user>:<password>@<host>/<database>",
        "COUNT is '0': should be at least 1",
        "RATIO is 'half': should be a number",
        "ON is 'maybe': should be true or false",
    ]


@pytest.mark.parametrize("text", ["x", "ftp://a", "http://", "http:///path", "//a"])
def test_an_address_must_be_one(text: str) -> None:
    with pytest.raises(InvalidSettings):
        read(Settings, {"URL": text})


def test_a_number_that_is_none_is_below_every_least() -> None:
    with pytest.raises(ValueError, match="at least"):
        at_least(0.1)("nan")


def test_a_secret_is_in_no_error_and_no_repr() -> None:
    """Promise 62."""

    def refuse(_: str) -> str:
        raise ValueError("should be longer")

    @dataclass(frozen=True, slots=True)
    class Secretive:
        key: str = variable("KEY", parse=refuse, secret=True)

    with pytest.raises(InvalidSettings) as raised:
        read(Secretive, {"KEY": "canary"})
    assert raised.value.problems == ["KEY is wrong (its value isn't shown): should be longer"]
    assert "canary" not in repr(read(Settings, {"URL": "http://a", "KEY": "canary"}))
