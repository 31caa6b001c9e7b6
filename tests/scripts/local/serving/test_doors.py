"""Who is reached at which door, and how a request changes on its way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.local.http import Client, ClientResponse, Request
from scripts.local.manifests.model import Service, SourceLocation, TrafficTarget
from scripts.local.serving import Activator, External, Inner, Outer
from tests.scripts.local.http.wire import connected, serving

HERE = SourceLocation("app.yaml", 1)
INGRESS = "kafka-broker-ingress.knative-eventing.svc.cluster.local"


def a_service(name: str, cluster_local: bool) -> Service:
    return Service(name, "hadal", HERE, "app", ("run",), cluster_local=cluster_local)


SERVICES = [a_service("gateway", False), a_service("shop", False), a_service("chat", True)]


def named(name: str) -> Callable[[Request], object]:
    """A server that says who it is, and what it was asked."""

    async def answer(request: Request) -> None:
        body = (await request.body(1_000_000)).decode()
        headers = {key.decode(): value.decode() for key, value in request.headers}
        said = {"who": name, "target": request.target.decode(), "headers": headers, "body": body}
        request.reply(
            200, [(b"x-answer", b"1"), (b"connection", b"x-hop"), (b"x-hop", b"1")], json.dumps(said).encode()
        )

    return answer


class Doors:
    """Both doors over Services that are servers in this process."""

    def __init__(self, outer: int, inner: int, client: Client) -> None:
        self.outer = outer
        self.inner = inner
        self.client = client

    async def ask(
        self,
        port: int,
        host: str,
        target: str = "/",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
    ) -> ClientResponse:
        """An answer at a door."""
        fields = [(b"host", host.encode())]
        fields += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        method = b"POST" if body else b"GET"
        return await self.client.request(method, "127.0.0.1", port, target.encode(), fields, body)

    async def who(self, port: int, host: str, target: str = "/") -> str:
        """The name of who answered, or the status and the text of a refusal."""
        response = await self.ask(port, host, target)
        body = (await response.read(100_000)).decode()
        return json.loads(body)["who"] if response.status == 200 else f"{response.status} {body.strip()}"

    async def json(self, *asked: object, **more: object) -> dict[str, object]:
        """What the answering server says that it saw."""
        response = await self.ask(*asked, **more)  # type: ignore[arg-type]
        return dict(json.loads(await response.read(2_000_000)))


@asynccontextmanager
async def open_doors(
    data: Path, chat: Callable[[Request], object] | None = None, services: Sequence[Service] = SERVICES
) -> AsyncIterator[Doors]:
    """Both doors, with a server of this process for each Service."""
    client = Client()
    async with (
        serving(named("gateway")) as gateway,
        serving(named("shop")) as shop,
        serving(chat or named("chat")) as talking,
    ):
        external = {
            name: External(f"http://127.0.0.1:{server.port}")
            for name, server in (("gateway", gateway), ("shop", shop), ("chat", talking))
        }
        activator = Activator(
            services, data, images={}, proxy="", bound=lambda _: {}, secret=lambda *_: "", external=external
        )
        ingress = named("ingress")
        async with (
            serving(Outer(services, activator)) as outer,
            serving(Inner(services, activator, ingress, [INGRESS])) as inner,  # type: ignore[arg-type]
        ):
            yield Doors(outer.port, inner.port, client)
        await activator.stop(0)
    await client.close()


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path) as both:
        yield both


@pytest.mark.parametrize(
    ("host", "who"),
    [
        ("localhost:8080", "gateway"),
        ("10.1.2.3", "gateway"),
        ("[::1]:8080", "gateway"),
        ("anything.example.com", "gateway"),
        ("gateway.hadal.example.com", "gateway"),
        ("shop.hadal.localhost:8080", "shop"),
        ("SHOP.hadal.127.0.0.1.sslip.io", "shop"),
        ("shop.other.localhost", "gateway"),
        ("chat.hadal.svc.cluster.local", "404 no Service is reachable from outside under this host"),
        ("chat.hadal.localhost", "404 no Service is reachable from outside under this host"),
    ],
)
async def test_only_what_is_public_is_reached_from_outside(doors: Doors, host: str, who: str) -> None:
    """Promise 24."""
    assert await doors.who(doors.outer, host) == who


@pytest.mark.parametrize(
    ("host", "target", "who"),
    [
        ("chat.hadal.svc.cluster.local", "/", "chat"),
        ("chat.hadal.svc.cluster.local.", "/", "chat"),
        ("chat.hadal.svc:80", "/", "chat"),
        ("chat.hadal", "/", "chat"),
        ("ignored", "http://chat.hadal.svc.cluster.local/v1", "chat"),
        ("ignored", "HTTP://CHAT.hadal.svc.cluster.local:80?a=b", "chat"),
        (INGRESS, "/hadal/default", "ingress"),
        ("127.0.0.1:1234", "/hadal/default", "ingress"),
        ("ignored", f"http://{INGRESS}/hadal/default", "ingress"),
        ("ignored", "http://user@chat.hadal/", "chat"),
    ],
)
async def test_names_inside_lead_to_services_and_to_brokers(
    doors: Doors, host: str, target: str, who: str
) -> None:
    assert await doors.who(doors.inner, host, target) == who


@pytest.mark.parametrize("host", ["example.com", "169.254.169.254", "ghost.hadal.svc.cluster.local", "chat"])
async def test_the_inner_door_is_no_open_proxy(doors: Doors, host: str) -> None:
    """Promise 24."""
    answer = await doors.who(doors.inner, "ignored", f"http://{host}/")
    assert answer.startswith(f"502 {host} is no name inside; there are chat.hadal.svc.cluster.local")


@pytest.mark.parametrize(("name", "is_public"), [("shop", True), ("chat", False)])
async def test_a_tag_is_an_address_wherever_its_service_has_one(
    tmp_path: Path, name: str, is_public: bool
) -> None:
    tagged = [replace(each, traffic=(TrafficTarget(each.where, None, 100, "new"),)) for each in SERVICES]
    async with open_doors(tmp_path, services=tagged) as doors:
        assert await doors.who(doors.inner, f"new-{name}.hadal.svc.cluster.local") == name
        outside = await doors.who(doors.outer, f"new-{name}.hadal.example.com")
        assert outside.startswith(name if is_public else "404")


async def test_an_absolute_target_arrives_as_a_path(doors: Doors) -> None:
    seen = await doors.json(doors.inner, "ignored", "http://chat.hadal/v1/a?b=c")
    assert seen["target"] == "/v1/a?b=c"


async def test_a_caller_outside_cannot_say_where_it_comes_from(doors: Doors) -> None:
    """Promise 25."""
    forged = {
        "x-forwarded-for": "6.6.6.6",
        "forwarded": "for=6.6.6.6",
        "x-forwarded-host": "evil",
        "x-a": "kept",
    }
    seen = await doors.json(doors.outer, "localhost", "/", forged)
    headers = seen["headers"]
    assert isinstance(headers, dict)
    assert "6.6.6.6" not in str(headers)
    assert "x-forwarded-host" not in headers
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["forwarded"] == "for=127.0.0.1;proto=http"
    assert headers["k-proxy-request"] == "activator"
    assert headers["x-a"] == "kept"


async def test_a_hop_inside_adds_to_where_a_request_came_from(doors: Doors) -> None:
    before = {"x-forwarded-for": "1.2.3.4", "x-request-id": "abc"}
    headers = (await doors.json(doors.inner, "chat.hadal", "/", before))["headers"]
    assert isinstance(headers, dict)
    assert headers["x-forwarded-for"] == "1.2.3.4, 127.0.0.1"
    assert headers["x-request-id"] == "abc"


async def test_a_request_without_an_id_gets_one(doors: Doors) -> None:
    ids = [(await doors.json(doors.outer, "localhost"))["headers"]["x-request-id"] for _ in range(2)]  # type: ignore[index]
    assert len(set(ids)) == 2


async def test_fields_of_one_connection_are_not_passed_on(doors: Doors) -> None:
    fields = {"connection": "x-mine, keep-alive", "x-mine": "1", "te": "trailers", "proxy-authorization": "x"}
    response = await doors.ask(doors.outer, "localhost", "/", fields)
    seen = json.loads(await response.read(100_000))["headers"]
    assert not {"connection", "x-mine", "te", "proxy-authorization"} & set(seen)
    assert response.header(b"x-answer") == b"1"
    assert response.header(b"x-hop") is None


async def test_bodies_pass_both_ways(doors: Doors) -> None:
    body = b"x" * 900_000
    assert (await doors.json(doors.outer, "localhost", body=body))["body"] == body.decode()


async def test_a_stream_passes_as_it_comes(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    async def stream(request: Request) -> None:
        reply = request.start(200, [(b"content-type", b"text/event-stream")])
        await reply.write(b"data: one\n\n")
        await go_on.wait()
        await reply.write(b"data: two\n\n")
        reply.end()

    async with open_doors(tmp_path, stream) as doors, connected(doors.inner) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: chat.hadal\r\n\r\n")
        await wire.until(b"data: one\n\n\r\n")
        go_on.set()
        assert await wire.until(b"0\r\n\r\n") == b"b\r\ndata: two\n\n\r\n0\r\n\r\n"


async def test_a_service_that_dies_in_its_answer_leaves_no_proper_end(tmp_path: Path) -> None:
    """Promise 52."""

    async def dying(request: Request) -> None:
        reply = request.start(200, [])
        await reply.write(b"one")
        reply.abort()

    async with open_doors(tmp_path, dying) as doors, connected(doors.inner) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: chat.hadal\r\n\r\n")
        answer = await wire.rest()
    assert b"one" in answer
    assert not answer.endswith(b"0\r\n\r\n")


async def test_a_service_that_says_nothing_is_a_bad_gateway(tmp_path: Path) -> None:
    def leaving(request: Request) -> None:
        request.start(200, []).abort() if request.target == b"/never" else request._exchange.cut(request)

    async with open_doors(tmp_path, leaving) as doors:
        answer = await doors.who(doors.inner, "chat.hadal")
    assert answer == "502 chat did not answer: its process ended or closed the connection"


async def test_a_client_that_leaves_is_left_at_once_by_the_service_too(tmp_path: Path) -> None:
    """Promise 35."""
    begun, left = asyncio.Event(), asyncio.Event()

    async def endless(request: Request) -> None:
        begun.set()
        try:
            reply = request.start(200, [])
            await reply.write(b"one")
            await asyncio.Event().wait()
        finally:
            left.set()

    async with open_doors(tmp_path, endless) as doors, connected(doors.inner) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: chat.hadal\r\n\r\n")
        await begun.wait()
        wire.close()
        await asyncio.wait_for(left.wait(), 1)


async def test_a_slow_reader_holds_the_service_back(tmp_path: Path) -> None:
    """Promise 30."""
    written = 0

    async def flood(request: Request) -> None:
        nonlocal written
        reply = request.start(200, [])
        for _ in range(1_000):
            await reply.write(b"x" * 65_536)
            written += 65_536
        reply.end()

    async with open_doors(tmp_path, flood) as doors, connected(doors.inner) as wire:
        await wire.send(b"GET / HTTP/1.1\r\nHost: chat.hadal\r\nConnection: close\r\n\r\n")
        await wire.line()
        await asyncio.sleep(0.2)
        held = written
        await asyncio.sleep(0.2)
        assert written == held < 30_000_000
        assert len(await wire.rest()) > 65_536_000


async def test_a_server_elsewhere_is_not_shown_what_belongs_inside(doors: Doors) -> None:
    seen = await doors.json(doors.inner, "chat.hadal", "/", {"authorization": "Bearer inside"})
    headers = seen["headers"]
    assert isinstance(headers, dict)
    assert "authorization" not in headers
    assert headers["host"].startswith("127.0.0.1:")
