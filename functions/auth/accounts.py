"""Accounts: the first by the bootstrap token, the others by an admin of their tenant."""

from __future__ import annotations

from dataclasses import dataclass

from functions._runtime.errors import Conflict, Forbidden, Unauthorized, VersionConflict
from functions._runtime.http import Request, Response
from functions._runtime.ports import Clock, Documents, Identity, Ids, Principal
from functions.auth.api_keys import KeyMaker
from functions.auth.fields import list_of, name_of, page_of, role_of
from functions.auth.model import FIRST_ACCOUNT, Account, BootstrapToken, Role
from functions.auth.tokens import NO_STORE


@dataclass(frozen=True, slots=True)
class Accounts:
    """`/bootstrap` and `/v1/accounts`.

    Attributes:
        first_tenant: the tenant of the first admin.
    """

    accounts: Documents
    make_key: KeyMaker
    identity: Identity
    bootstrap_token: BootstrapToken
    first_tenant: str
    clock: Clock
    ids: Ids

    async def bootstrap(self, request: Request) -> Response:
        """Make the first admin and its key, once. Of two at once the store lets one win.

        A crash between the two writes leaves an admin without a key: `POST /v1/api_keys` with the bootstrap
        token gives it one, as it does for a lost key.
        """
        if not self.bootstrap_token.is_in(request):
            raise Unauthorized("This needs the deployment's bootstrap token: Authorization: Bearer <token>.")
        try:
            account = await self._add(FIRST_ACCOUNT, self.first_tenant, "admin", "admin")
        except VersionConflict:
            message = (
                "The first admin is there; POST /v1/api_keys with the bootstrap token makes it another key."
            )
            raise Conflict(message, code="already_bootstrapped") from None
        _, text = await self.make_key(account, "bootstrap", "admin")
        return Response.json({"api_key": text, "account": account.id}, 201, NO_STORE)

    async def create(self, request: Request) -> Response:
        """Make an account in the admin's own tenant, whatever the body says about tenants."""
        caller = await self._admin(request)
        body = request.json_object()
        account = await self._add(self.ids.new("acct"), caller.tenant, name_of(body), role_of(body))
        return Response.json(account.shown(), 201)

    async def list(self, request: Request) -> Response:
        """The accounts of the admin's tenant."""
        caller = await self._admin(request)
        limit, after = page_of(request.query)
        found = await self.accounts.find("tenant", caller.tenant, limit=limit + 1, after=after)
        return Response.json(list_of([Account.of(document.body).shown() for document in found], limit))

    async def _admin(self, request: Request) -> Principal:
        caller = await self.identity.authenticate(request.headers.get("authorization"))
        if "admin" not in caller.roles:
            raise Forbidden("Accounts are an admin's to see and to make.")
        return caller

    async def _add(self, account_id: str, tenant: str, name: str, role: Role) -> Account:
        account = Account(account_id, tenant, name, role, int(self.clock.now().timestamp()))
        await self.accounts.put(account.id, account.body(), if_version=0)
        return account
