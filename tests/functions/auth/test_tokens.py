from __future__ import annotations

import pytest

from functions._runtime.http import Request, Response
from functions.auth.signing_keys import TOKEN_LIFETIME_S
from tests.functions.auth.world import CLIENT_SECRET, World, document

CREDENTIALS = [
    ("grant_type", "client_credentials"),
    ("client_id", "summarize"),
    ("client_secret", CLIENT_SECRET),
    ("tenant", "default"),
]


def with_field(name: str, value: str) -> list[tuple[str, str]]:
    return [(key, value if key == name else old) for key, old in CREDENTIALS]


def refusal(answer: Response) -> tuple[int, str]:
    return answer.status, document(answer)["error"]


async def test_an_api_key_is_exchanged_for_a_token_of_its_account() -> None:
    world = World()
    api_key = await world.bootstrap()
    answer = await world.exchange(api_key)
    assert document(answer)["expires_in"] == TOKEN_LIFETIME_S
    assert document(answer)["token_type"] == "Bearer"
    assert answer.headers["cache-control"] == "no-store"
    claims = await world.claims(answer)
    assert claims["sub"] == "acct_first"
    assert (claims["tenant"], claims["roles"]) == ("default", ["admin"])
    assert (claims["iat"], claims["exp"]) == (world.clock.now_s, world.clock.now_s + TOKEN_LIFETIME_S)
    assert claims["iss"] == "http://auth.hadal.svc.cluster.local"
    assert claims["aud"] == "hadal"


async def test_every_token_has_an_id_of_its_own() -> None:
    world = World()
    api_key = await world.bootstrap()
    first, second = [await world.claims(await world.exchange(api_key)) for _ in range(2)]
    assert first["jti"] != second["jti"]


async def test_a_key_that_is_about_to_expire_gives_a_token_that_ends_with_it() -> None:
    world = World()
    await world.bootstrap()
    body = {"name": "short", "expires_in_s": 60}
    api_key = document(await world.call("POST", "/v1/api_keys", body, bearer="admin"))["api_key"]
    answer = await world.exchange(api_key)
    assert document(answer)["expires_in"] == 60
    world.clock.pass_s(60)
    assert refusal(await world.exchange(api_key)) == (400, "invalid_request")


async def test_wrong_keys_of_every_kind_are_refused_alike() -> None:
    """Promise 19: nothing tells an unknown key from a wrong secret."""
    world = World()
    good = await world.bootstrap()
    key_id, secret = good.split("_")[1:]
    other = "A" if secret[-1] != "A" else "B"
    wrong = [
        "",
        "hdl_",
        good[:-1],
        good[:-1] + other,
        good + "A",
        f"hdl_{'0' * 32}_{secret}",
        f"hdl_{key_id}_{'é' * 43}",
        good.upper(),
        '{"$gt": ""}',
        good + "\n",
    ]
    answers = {(answer.status, answer.body) for answer in [await world.exchange(key) for key in wrong]}
    assert len(answers) == 1
    assert answers.pop()[0] == 400


async def test_a_demoted_account_gets_no_more_than_its_present_role() -> None:
    world = World()
    api_key = await world.bootstrap()
    kept = await world.accounts.get("acct_first")
    assert kept is not None
    await world.accounts.put(kept.key, {**kept.body, "role": "member"}, kept.version)
    assert (await world.claims(await world.exchange(api_key)))["roles"] == ["member"]


async def test_a_key_whose_account_is_gone_is_refused() -> None:
    world = World()
    api_key = await world.bootstrap()
    await world.accounts.delete("acct_first")
    assert refusal(await world.exchange(api_key)) == (400, "invalid_request")


async def test_a_service_gets_a_token_of_its_own_for_the_tenant_that_it_names() -> None:
    world = World()
    answer = await world.call("POST", "/token", form=CREDENTIALS)
    claims = await world.claims(answer)
    assert (claims["sub"], claims["tenant"], claims["roles"]) == ("summarize", "default", ["service"])


async def test_an_unknown_client_and_a_wrong_secret_are_refused_alike() -> None:
    world = World()
    answers = [
        await world.call("POST", "/token", form=with_field(name, value))
        for name, value in [
            ("client_id", "nobody"),
            ("client_id", ""),
            ("client_secret", "wrong"),
            ("client_secret", ""),
            ("client_secret", '{"$gt": ""}'),
        ]
    ]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    assert document(answers[0])["error"] == "invalid_client"


async def test_an_empty_secret_opens_no_client_even_if_the_client_is_unknown() -> None:
    world = World()
    form = [("grant_type", "client_credentials"), ("tenant", "default")]
    assert refusal(await world.call("POST", "/token", form=form)) == (401, "invalid_client")


@pytest.mark.parametrize("tenant", ["", "a b", "../x", '{"$gt":""}', "$where", "t" * 65, "ä"])
async def test_a_tenant_that_can_be_none_is_refused(tenant: str) -> None:
    """Promise 23: no operator of a query language comes through."""
    answer = await World().call("POST", "/token", form=with_field("tenant", tenant))
    assert refusal(answer) == (400, "invalid_request")


async def test_an_unknown_grant_is_refused_by_its_name() -> None:
    world = World()
    for form in (with_field("grant_type", "password"), [("client_id", "summarize")]):
        assert refusal(await world.call("POST", "/token", form=form)) == (400, "unsupported_grant_type")


async def test_a_parameter_that_stands_twice_is_refused() -> None:
    form = [*CREDENTIALS, ("tenant", "other")]
    assert refusal(await World().call("POST", "/token", form=form)) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("application/json", b'{"grant_type":"client_credentials"}'),
        ("", b"grant_type=client_credentials"),
        ("application/x-www-form-urlencoded", b"grant_type"),
        ("application/x-www-form-urlencoded", b"grant_type=%ff"),
        ("application/x-www-form-urlencoded", "grant_type=ä".encode()),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % index for index in range(21))),
    ],
)
async def test_a_body_that_is_no_form_is_refused(media_type: str, body: bytes) -> None:
    route, _ = World().router.match("POST", b"/token")
    answer = await route.handler(Request("POST", "/token", headers={"content-type": media_type}, body=body))
    assert refusal(answer) == (400, "invalid_request")


async def test_a_token_names_the_key_it_was_given_for() -> None:
    world = World()
    api_key = await world.bootstrap()
    claims = await world.claims(await world.exchange(api_key))
    assert claims["client_id"] == "key_" + api_key.split("_")[1]
