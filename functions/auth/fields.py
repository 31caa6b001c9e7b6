"""The fields of requests about accounts and keys, checked one by one. Others than these change nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from functions._runtime.errors import BadRequest
from functions.auth.model import ROLES, Role

LONGEST_NAME_CHARACTERS = 100
LONGEST_LIFETIME_S = int(timedelta(days=3660).total_seconds())
LARGEST_PAGE = 100
DEFAULT_PAGE = 20

_ID = re.compile(r"[a-z]{3,10}_[0-9a-z]{1,40}", re.ASCII)


def name_of(body: Mapping[str, Any]) -> str:
    """The field `name`, which people tell keys and accounts apart by."""
    name = body.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME_CHARACTERS:
        raise BadRequest(
            f"'name' has to be a text of 1 to {LONGEST_NAME_CHARACTERS} characters.", param="name"
        )
    return name.strip()


def role_of(body: Mapping[str, Any]) -> Role:
    """The field `role`; the least one where there is none."""
    asked = body.get("role")
    if asked is None:
        return ROLES[0]
    for role in ROLES:
        if asked == role:
            return role
    raise BadRequest(f"'role' has to be one of {', '.join(ROLES)}.", param="role")


def lifetime_s_of(body: Mapping[str, Any]) -> int | None:
    """The field `expires_in_s`; None where the key is to be good until it is revoked."""
    lifetime_s = body.get("expires_in_s")
    if lifetime_s is None:
        return None
    if type(lifetime_s) is not int or not 0 < lifetime_s <= LONGEST_LIFETIME_S:
        limits = f"a whole number of seconds from 1 to {LONGEST_LIFETIME_S}"
        raise BadRequest(f"'expires_in_s' has to be {limits}.", param="expires_in_s")
    return lifetime_s


def account_of(body: Mapping[str, Any], default: str) -> str:
    """The field `account`, an account's id."""
    account = body.get("account", default)
    if not isinstance(account, str) or not _ID.fullmatch(account):
        raise BadRequest("'account' has to be the id of an account, such as acct_0198….", param="account")
    return account


def page_of(query: Mapping[str, str]) -> tuple[int, str | None]:
    """`limit` and `after` of a list request, as on OpenAI's surface."""
    limit, after = query.get("limit", str(DEFAULT_PAGE)), query.get("after")
    if not (limit.isascii() and limit.isdigit() and len(limit) < 4 and 1 <= int(limit) <= LARGEST_PAGE):
        raise BadRequest(f"'limit' has to be a number from 1 to {LARGEST_PAGE}.", param="limit")
    if after is not None and not _ID.fullmatch(after):
        raise BadRequest("'after' has to be the id of the last entry of the page before.", param="after")
    return int(limit), after


def list_of(shown: list[dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page in the form of OpenAI's lists; `shown` is longer than `limit` where another page follows."""
    data = shown[:limit]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": len(shown) > limit,
    }
