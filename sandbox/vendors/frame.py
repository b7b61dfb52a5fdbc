"""What surrounds the handlers of a vendor's API: a guard, a limit, error answers, faults."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Generic

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from sandbox.vendors.faults import FaultInjection
from sandbox.vendors.limits import RateWindow
from sandbox.vendors.site import InvalidRowError, SettingsT, Site, UnknownRowError

Handler = Callable[[Request], Awaitable[Response]]


class VendorError(Exception):
    """An answer other than success: `code` is the vendor's word for it, `field` its place."""

    def __init__(
        self,
        status: int,
        message: str = "",
        *,
        code: str = "",
        field: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.code = code
        self.field = field
        self.retry_after_s = retry_after_s


class Frame(ABC, Generic[SettingsT]):
    """One vendor's API; also the dialect for its faults.

    A subclass says which routes there are, who may ask, and how an error is told. `window_s` is
    what its limit counts requests over, `token_path` the end of the path that gives tokens, and
    `reads` are ends of paths that change nothing, whatever the method.
    """

    window_s: ClassVar[float]
    token_path: ClassVar[str] = ""
    reads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, site: Site[SettingsT]) -> None:
        self._site = site
        self._window = RateWindow(self.window_s)

    @abstractmethod
    def routes(self) -> Sequence[BaseRoute]:
        """Where the handlers are, each `guarded`."""

    @abstractmethod
    def check(self, request: Request) -> None:
        """Raises VendorError for a request that nobody answers."""

    @abstractmethod
    def told(self, error: VendorError) -> Response:
        """The vendor's answer for an error, but for Retry-After."""

    def create_app(self) -> ASGIApp:
        """The ASGI application, faults included."""
        kinds = (VendorError, InvalidRowError, UnknownRowError, HTTPException)
        app = Starlette(
            routes=self.routes(), exception_handlers=dict.fromkeys(kinds, self._answer_error)
        )
        return FaultInjection(app, self._site.faults, self)

    def guarded(self, handler: Handler) -> Handler:
        """A handler that only those reach who may ask."""

        async def endpoint(request: Request) -> Response:
            self.check(request)
            return await handler(request)

        return endpoint

    def admit(self, limit: int, *, tells_wait: bool = True) -> None:
        """Count a request. Raises VendorError for one too many; `tells_wait`: with Retry-After."""
        if not self._window.has_room(limit):
            wait_s = max(self._window.retry_after_s(), 1) if tells_wait else None
            raise VendorError(429, retry_after_s=wait_s)
        self._window.count()

    def is_token_request(self, path: str) -> bool:
        return bool(self.token_path) and path.endswith(self.token_path)

    def is_write(self, method: str, path: str) -> bool:
        is_read = method == "GET" or path.endswith(self.reads)
        return not is_read and not self.is_token_request(path)

    def refused(self, error: InvalidRowError) -> VendorError:
        """What a record that cannot be is refused with."""
        return VendorError(422, str(error))

    def refusal(self, status: int) -> Response:
        return self.told(VendorError(status))

    def revoke(self, token: str) -> None:
        """A static token was never issued and does not lapse; the refusal alone is the fault."""
        self._site.tokens.revoke(token)

    async def _answer_error(self, request: Request, error: Exception) -> Response:
        match error:
            case VendorError():
                found = error
            case InvalidRowError():
                found = self.refused(error)
            case HTTPException():
                found = VendorError(error.status_code)
            case _:
                found = VendorError(404)
        response = self.told(found)
        if found.retry_after_s is not None:
            response.headers["Retry-After"] = str(found.retry_after_s)
        return response
