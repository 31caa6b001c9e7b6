"""API keys: made, listed, revoked. A key's text is in the answer that makes it and nowhere else, ever."""

from __future__ import annotations

from dataclasses import dataclass

from functions._runtime.errors import Conflict, Forbidden, NotFound
from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock, Documents, Identity, Ids, Principal
from functions.auth.fields import account_of, lifetime_s_of, list_of, name_of, page_of, role_of
from functions.auth.model import (
    FIRST_ACCOUNT,
    Account,
    ApiKey,
    BootstrapToken,
    Role,
    digest,
    key_text,
    lesser,
    new_secret,
)
from functions.auth.tokens import NO_STORE


@dataclass(frozen=True, slots=True)
class KeyMaker:
    """Makes keys and stores what may be stored of them."""

    keys: Documents
    clock: Clock
    ids: Ids

    async def __call__(
        self, account: Account, name: str, role: Role, lifetime_s: int | None = None
    ) -> tuple[ApiKey, str]:
        """A new key of `account`, and its text. Twice makes two."""
        secret, now_s = new_secret(), int(self.clock.now().timestamp())
        key = ApiKey(
            id=self.ids.new("key"),
            tenant=account.tenant,
            account=account.id,
            name=name,
            role=role,
            secret_sha256=digest(secret),
            created_at_s=now_s,
            expires_at_s=None if lifetime_s is None else now_s + lifetime_s,
        )
        await self.keys.put(key.id, key.body(), if_version=0)
        return key, key_text(key.id, secret)


@dataclass(frozen=True, slots=True)
class ApiKeys:
    """`/v1/api_keys`."""

    accounts: Documents
    keys: Documents
    make: KeyMaker
    identity: Identity
    bootstrap: BootstrapToken

    async def create(self, request: Request) -> Response:
        """Make a key: of one's own account, or, for an admin, of another account of the tenant."""
        caller, right = await self._maker(request)
        body = request.json_object()
        name, role, lifetime_s = name_of(body), role_of(body), lifetime_s_of(body)
        owner = await self._account(account_of(body, default=caller.id))
        if owner is None or owner.tenant != caller.tenant or (owner.id != caller.id and right != "admin"):
            raise NotFound("There is no such account.", param="account")
        if lesser(role, lesser(right, owner.role)) != role:
            raise Forbidden(
                f"A key of role {role} is more than this account or caller may have.", param="role"
            )
        key, text = await self.make(owner, name, role, lifetime_s)
        return Response.json({**key.shown(), "api_key": text}, 201, NO_STORE)

    async def list(self, request: Request) -> Response:
        """The caller's keys; an admin's list has those of the whole tenant."""
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        limit, after = page_of(request.query)
        index, value = ("tenant", caller.tenant) if "admin" in caller.roles else ("account", caller.subject)
        found = await self.keys.find(index, value, limit=limit + 1, after=after)
        keys = [ApiKey.of(document.body) for document in found]
        return Response.json(list_of([key.shown() for key in keys if key.tenant == caller.tenant], limit))

    async def revoke(self, request: Request) -> Response:
        """Remove a key: it gives no further token.

        A key that isn't the caller's is answered as an absent one is.
        """
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        key_id = request.path_params["id"]
        found = await self.keys.get(key_id)
        if found is None or not _may_revoke(caller, ApiKey.of(found.body)):
            raise NotFound("There is no such API key.")
        await self.keys.delete(key_id)
        return Response.json({"id": key_id, "object": "api_key.deleted", "deleted": True})

    async def _maker(self, request: Request) -> tuple[Account, Role]:
        """The account that asks for a key, and the right it asks with."""
        if self.bootstrap.is_in(request):
            first = await self._account(FIRST_ACCOUNT)
            if first is None:
                raise Conflict("There is no account yet; POST /bootstrap makes the first.")
            return first, "admin"
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        account = await self._account(caller.subject)
        if account is None or account.tenant != caller.tenant:
            raise Forbidden("Only accounts have API keys; this token is of none.")
        return account, "admin" if "admin" in caller.roles else "member"

    async def _account(self, account_id: str) -> Account | None:
        found = await self.accounts.get(account_id)
        return Account.of(found.body) if found else None


def _may_revoke(caller: Principal, key: ApiKey) -> bool:
    return key.tenant == caller.tenant and (key.account == caller.subject or "admin" in caller.roles)
