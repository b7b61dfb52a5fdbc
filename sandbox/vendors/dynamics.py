"""What the ERPs of Dynamics 365 have in common: apps sign in at Entra, and lists are OData."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, TypeVar

from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.vendors import wire
from sandbox.vendors.effects import Operation
from sandbox.vendors.faults import bearer_token
from sandbox.vendors.frame import Frame, VendorError
from sandbox.vendors.secret import Credentials
from sandbox.vendors.site import Site, SiteSettings
from sandbox.vendors.wire import ExactJSONResponse

TOKEN_PATH: Final = "/login/oauth2/v2.0/token"  # noqa: S105 - a path, not a secret
_PAGE_SIZE: Final = re.compile(r"odata\.maxpagesize=(\d+)")


class DynamicsSettings(SiteSettings):
    """Adjustable behaviour of both."""

    requests_per_five_minutes: int = Field(default=6_000, ge=0)
    page_size: int = Field(ge=1)
    token_lifetime_s: float = 3_600
    denied_lists: tuple[str, ...] = ()  # that the integration has no right to write to


DynamicsSettingsT = TypeVar("DynamicsSettingsT", bound=DynamicsSettings)


class DynamicsApi(Frame[DynamicsSettingsT]):
    """Lists that an app reads and writes which has signed in with its secret.

    `written` are the lists that can be written to, and what one record is called; `ours` the field
    of each that bears our number. `secret` is the variable of the app's secret.
    """

    window_s = 300
    token_path = TOKEN_PATH
    written: ClassVar[Mapping[str, str]]
    ours: ClassVar[Mapping[str, str]]
    secret: ClassVar[str]
    tells_wait: ClassVar[bool]

    def __init__(self, site: Site[DynamicsSettingsT], credentials: Credentials) -> None:
        super().__init__(site)
        self._app = (credentials.client_id, credentials[self.secret])

    @property
    @abstractmethod
    def scope(self) -> str:
        """What an app signs in for."""

    def token_route(self) -> Route:
        """Where an app signs in."""
        return Route(TOKEN_PATH, self._sign_in, methods=["POST"])

    def check(self, request: Request) -> None:
        if not self._site.tokens.is_valid(bearer_token(request.headers)):
            raise VendorError(401)
        self.admit(self._site.settings.requests_per_five_minutes, tells_wait=self.tells_wait)

    def page_size(self, request: Request) -> int:
        """Rows of a page: as many as a client prefers, and no more than there may be."""
        found = _PAGE_SIZE.search(request.headers.get("prefer", ""))
        most = self._site.settings.page_size
        return max(min(int(found[1]), most) if found else most, 1)

    def effect(
        self,
        operation: Operation,
        name: str,
        row: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
    ) -> None:
        """Note that a record of a list was written."""
        number = str(row[self.ours[name]]).lower()
        self._site.record_effect(operation, self.written[name], number, body)

    async def _sign_in(self, request: Request) -> Response:
        form = wire.read_form(await request.body())
        if form.get("grant_type") != "client_credentials":
            return ExactJSONResponse({"error": "unsupported_grant_type"}, status_code=400)
        if form.get("scope") != self.scope:
            return ExactJSONResponse({"error": "invalid_scope"}, status_code=400)
        if (form.get("client_id"), form.get("client_secret")) != self._app:
            return ExactJSONResponse({"error": "invalid_client"}, status_code=401)
        lifetime_s = self._site.settings.token_lifetime_s
        token = self._site.tokens.issue(lifetime_s)
        return ExactJSONResponse(
            {"token_type": "Bearer", "expires_in": int(lifetime_s), "access_token": token}
        )
