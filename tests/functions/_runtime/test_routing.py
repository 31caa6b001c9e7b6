from __future__ import annotations

import pytest

from functions._runtime.errors import MethodNotAllowed, NotFound
from functions._runtime.http import Request, Response, Route
from functions._runtime.routing import Router


async def nothing(request: Request) -> Response:
    return Response()


ROUTER = Router(
    [
        Route("GET", "/", nothing),
        Route("GET", "/v1/things", nothing),
        Route("POST", "/v1/things", nothing),
        Route("GET", "/v1/things/{id}", nothing),
        Route("GET", "/v1/things/{id}/parts/{part}", nothing),
        Route("GET", "/v1/things/latest", nothing),
    ]
)


@pytest.mark.parametrize(
    ("path", "pattern", "values"),
    [
        (b"/", "/", {}),
        (b"/v1/things", "/v1/things", {}),
        (b"/v1/things/7", "/v1/things/{id}", {"id": "7"}),
        (b"/v1/things/latest", "/v1/things/latest", {}),
        (b"/v1/things/a%2Fb/parts/%C3%A4", "/v1/things/{id}/parts/{part}", {"id": "a/b", "part": "ä"}),
    ],
)
def test_a_path_finds_its_route(path: bytes, pattern: str, values: dict[str, str]) -> None:
    route, found = ROUTER.match("GET", path)
    assert (route.path, found) == (pattern, values)


@pytest.mark.parametrize(
    "path",
    [b"/v1", b"/v1/things/", b"//v1/things", b"/v1/things/7/parts", b"/v1/things/7/x/1", b"/V1/things"],
)
def test_a_path_of_no_route_is_not_found(path: bytes) -> None:
    with pytest.raises(NotFound):
        ROUTER.match("GET", path)


def test_head_is_served_where_get_is() -> None:
    assert ROUTER.match("HEAD", b"/v1/things")[0].method == "GET"


def test_a_wrong_method_names_the_right_ones() -> None:
    with pytest.raises(MethodNotAllowed) as raised:
        ROUTER.match("PUT", b"/v1/things")
    assert raised.value.headers == {"allow": "GET, HEAD, POST"}


def test_a_route_given_twice_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="twice"):
        Router([Route("GET", "/a", nothing), Route("GET", "/a", nothing)])
