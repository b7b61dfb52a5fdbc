"""The HTTP client of every vendor: one place for time-outs, retries, authentication and faults.

A vendor differs only in data: an `Authenticator`, a `Limiter` and an `ErrorPolicy`, the table of
what its answers mean. Bodies are read within bounds (`connectors.toolkit.body`). This module knows
no record type and decides nothing about bookmarks or commands.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import aiohttp
import stamina

from connectors.toolkit.body import (
    ACCEPT_ENCODING,
    Bounds,
    UnusableBodyError,
    dump_json,
    parse_in_bounds,
    read_body,
)
from connectors.toolkit.faults import (
    DeleteLogIncompleteError,
    ErrorPolicy,
    Fault,
    Meaning,
    QuotaExhaustedError,
    RecordNotFoundError,
    Shape,
    UnclearAnswerError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from connectors.toolkit.spans import request_span
from runtime.sign_ins import sign_in_failed, signs_in_at
from runtime.tls import explain
from schemas.errors import (
    AuthenticationError,
    ContextValue,
    PsaStreamError,
    RateLimitedError,
    TransientError,
)

RETRY_AFTER_LIMIT_S: Final = 300.0
"""No server may park a client longer than this with one header."""


@dataclass(frozen=True, slots=True)
class Response:
    """An expected answer. `body` is the parsed JSON, or None where the answer has no content."""

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def server_at(self) -> datetime | None:
        """The server's clock (UTC, whole seconds), where the answer tells it."""
        return _http_date(self.headers.get("Date", ""))


_REFUSALS: Final = {
    Meaning.REFUSED_RECORD: VendorRejectedError,
    Meaning.NOT_FOUND: RecordNotFoundError,
    Meaning.LOG_INCOMPLETE: DeleteLogIncompleteError,
}


class Authenticator(Protocol):
    """Where request credentials come from."""

    async def headers(self) -> Mapping[str, str]:
        """Return the credential headers, fetching a token when there is none that is valid.

        Raises AuthenticationError when the credentials are refused, TransientError when the
        token endpoint does not answer.
        """
        ...

    def invalidate(self) -> None:
        """Forget the token: the vendor no longer accepts it."""
        ...


class Limiter:
    """A shared allowance: at most `max_in_flight` requests at once, started `per_second` apart."""

    def __init__(self, max_in_flight: int, per_second: float | None = None) -> None:
        self._slots = asyncio.Semaphore(max_in_flight)
        self._interval_s = 1.0 / per_second if per_second else 0.0
        self._next_start_s = 0.0

    def admit(self, method: str, *, is_read: bool) -> AbstractAsyncContextManager[None]:
        """Return the slot of a request; `is_read`: it can have no effect.

        The last thing that a request passes before it is sent: what it raises was not sent.
        """
        return self

    async def __aenter__(self) -> None:
        await self._slots.acquire()
        now_s = asyncio.get_running_loop().time()
        wait_s = self._next_start_s - now_s
        self._next_start_s = max(now_s, self._next_start_s) + self._interval_s
        try:
            if wait_s > 0:
                await asyncio.sleep(wait_s)
        except BaseException:
            self._slots.release()  # cancelled while waiting: the slot must not leak
            raise

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._slots.release()


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Return the seconds a `Retry-After` header asks for, at most RETRY_AFTER_LIMIT_S.

    The header holds whole seconds or an HTTP date (RFC 9110, 10.2.3). None where it is missing,
    neither, or asks for no wait: who repeats then waits as without it.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        wait_s = float(value[:10])
    else:
        until = _http_date(value)
        if until is None:
            return None
        wait_s = (until - now).total_seconds()
    return min(wait_s, RETRY_AFTER_LIMIT_S) if wait_s > 0 else None


def _http_date(text: str) -> datetime | None:
    """Return the instant of an HTTP date (UTC), None for anything else."""
    try:
        instant = parsedate_to_datetime(text)
        # "-0000" reads as a naive date; HTTP dates are UTC
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """Bounds of the retries inside one request."""

    attempts: int = 5
    total_s: float = 120.0
    wait_initial_s: float = 0.2
    wait_max_s: float = 20.0
    wait_jitter_s: float = 0.5


CONNECT_TIMEOUT_S: Final = 8.0
"""Longest wait for a connection, so that an address behind which nobody is gets known soon."""


class _Once:
    """Sends a write once: aiohttp repeats PUT and DELETE by itself where a connection is lost.

    The caller must have its lease checked, and look, before it repeats one.
    """

    def __init__(self) -> None:
        self._is_sent = False

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if self._is_sent:
            raise aiohttp.ServerDisconnectedError
        self._is_sent = True
        return await handler(request)


class VendorClient:
    """Requests to one vendor. Use as an async context manager, or call `close`."""

    def __init__(
        self,
        base_url: str,
        auth: Authenticator,
        policy: ErrorPolicy,
        *,
        user_agent: str,
        timeout_s: float,
        limiter: Limiter,
        retry: RetrySettings | None = None,
        bounds: Bounds | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`tls` verifies the server instead of the authorities that the system trusts."""
        signs_in_at(policy.system)
        self._tls = tls
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._policy = policy
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_TIMEOUT_S)
        self._limiter = limiter
        self._retry = retry or RetrySettings()
        self._bounds = bounds or Bounds()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> VendorClient:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        headers: Mapping[str, str] | None = None,
        absent_ok: bool = False,
        retry: bool = True,
        is_read: bool | None = None,
    ) -> Response:
        """Send one request and return the answer if the vendor accepted it.

        With `absent_ok`, "there is no such record" is an answer too, with the vendor's status.
        `retry=True` repeats it within the bounds of `RetrySettings`: for requests that may be
        repeated. `is_read` tells that no effect is possible; by default GET and HEAD are reads.
        A refused token is replaced once.

        Raises what `ErrorPolicy` makes of the answer: RateLimitedError, QuotaExhaustedError,
        VendorUnavailableError (with `outcome_unknown`), AuthenticationError, VendorRejectedError,
        RecordNotFoundError, DeleteLogIncompleteError; UnreadableBodyError for an accepted read
        that is not JSON.
        """
        call = _Call(
            method, path, params, json, headers or {}, absent_ok,
            method in {"GET", "HEAD"} if is_read is None else is_read,
        )  # fmt: skip
        if not retry:
            return await self._authenticated(call)
        bounds = self._retry
        async for attempt in stamina.retry_context(
            on=_Backoff(bounds), attempts=bounds.attempts, timeout=bounds.total_s
        ):
            with attempt:
                return await self._authenticated(call)
        raise AssertionError("stamina either returns or raises")

    async def _authenticated(self, call: _Call) -> Response:
        try:
            return await self._send(call)
        except _TokenRefusedError:
            self._auth.invalidate()
        try:
            return await self._send(call)
        except _TokenRefusedError as error:
            sign_in_failed(self._policy.system)
            raise AuthenticationError(
                f"{self._policy.system} refuses a fresh token: {error.detail}",
                hint="check the credentials that auth.* of its connector file names, and the rights"
                " of their user",
                context=error.context,
            ) from error

    async def _send(self, call: _Call) -> Response:
        headers = {
            "User-Agent": self._user_agent,
            "Accept": "application/json",
            "Accept-Encoding": ACCEPT_ENCODING,
            **call.headers,
            **await self._auth.headers(),
        }
        data: bytes | None = None
        if call.json is not None:
            data = dump_json(call.json)
            headers.setdefault("Content-Type", "application/json")
        try:
            async with self._limiter.admit(call.method, is_read=call.is_read):
                with request_span(self._policy.system, call.method, self._base_url) as answered:
                    async with self._open_session().request(
                        call.method,
                        self._url(call),
                        params=call.params,
                        middlewares=() if call.is_read else (_Once(),),
                        data=data,
                        headers=headers,
                        allow_redirects=False,  # credentials go to the configured host only
                        ssl=True if self._tls is None else self._tls,
                    ) as answer:
                        status, answer_headers = answer.status, answer.headers.copy()
                        content = await self._read(answer)
                    answered(status)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            why = explain(error)
            reason = f"no connection to {urlsplit(self._base_url).netloc.rpartition('@')[2]}"
            reason += f": {why}" if why else ""
            raise self._unavailable(call, reason, unknown=False) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            why = explain(error) or type(error).__name__
            reason = f"no complete answer ({why})"
            raise self._unavailable(call, reason, unknown=not call.is_read) from error
        return self._judge(call, await self._understand(status, answer_headers, content))

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes | UnusableBodyError:
        try:
            return await read_body(answer, self._bounds)
        except UnusableBodyError as error:
            return error

    async def _understand(
        self, status: int, headers: Mapping[str, str], content: bytes | UnusableBodyError
    ) -> _Answer:
        if isinstance(content, UnusableBodyError):
            return _Answer(status, headers, None, Shape.OTHER, str(content))
        if not content.strip():
            return _Answer(status, headers, None, Shape.EMPTY, "")
        try:
            body = await parse_in_bounds(content, self._bounds)
        except UnusableBodyError as error:
            return _Answer(status, headers, None, Shape.OTHER, str(error))
        return _Answer(status, headers, body, Shape.JSON, "")

    def _url(self, call: _Call) -> str:
        """The address of a call, on the configured host whatever the path holds.

        Raises UnreadableBodyError for a path that would leave it: it came out of an answer.
        """
        if not call.path.startswith("/"):
            raise UnreadableBodyError(
                f"{self._policy.system} points to an address outside its API",
                hint="a path below the configured url begins with a slash",
                context={"system": self._policy.system, "method": call.method},
            )
        return self._base_url + call.path

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                auto_decompress=False,  # `connectors.toolkit.body` unpacks, up to a limit
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _judge(self, call: _Call, answer: _Answer) -> Response:
        """Return the answer, or raise what it means."""
        faults = tuple(self._policy.read_faults(answer.body)) if answer.body is not None else ()
        meaning = self._policy.classify(
            answer.status, faults, method=call.method, shape=answer.shape
        )
        if meaning is Meaning.ACCEPTED and answer.shape is Shape.OTHER:
            raise self._unreadable(call, answer)
        if meaning is Meaning.ACCEPTED or (meaning is Meaning.NOT_FOUND and call.absent_ok):
            return Response(answer.status, answer.headers, answer.body)
        raise self._error(call, answer, meaning, faults)

    def _unreadable(self, call: _Call, answer: _Answer) -> PsaStreamError:
        problem = answer.problem
        if not call.is_read:  # it was accepted, but nobody can tell what came of it
            return self._unavailable(call, f"unreadable answer: {problem}", unknown=True)
        error = UnreadableBodyError(
            f"{self._policy.system} sent a body that cannot be used: {problem}",
            hint="a proxy, a truncated page, or a page too large: lower page.size",
            context=self._context(call),
        )
        error.headers = answer.headers
        return error

    def _error(
        self,
        call: _Call,
        answer: _Answer,
        meaning: Meaning,
        faults: Sequence[Fault],
    ) -> PsaStreamError:
        status = answer.status
        code = next((fault.code for fault in faults), None)
        context = {**self._context(call), "status": status, "vendor_code": code}
        system = self._policy.system
        if refusal := _REFUSALS.get(meaning):
            reason = self._policy.reason(status, faults, method=call.method, shape=answer.shape)
            return refusal(status, faults, context=context, reason=reason)
        match meaning:
            case Meaning.RATE_LIMITED:
                told = answer.headers.get(self._policy.wait_header)
                wait_s = parse_retry_after(told, datetime.now(UTC))
                return RateLimitedError(
                    f"{system} asks to slow down", retry_after_s=wait_s, context=context
                )
            case Meaning.QUOTA:
                return QuotaExhaustedError(
                    f"{system} has no requests left",
                    retry_after_s=self._policy.quota_pause_s,
                    context=context,
                )
            case Meaning.REAUTHENTICATE:
                said = f"status {status}" if code is None else f"status {status}, {code}"
                return _TokenRefusedError(said, context=context)
            case Meaning.REFUSED_ACCOUNT:
                return AuthenticationError(
                    f"{system} denies access: {code or status}",
                    hint="check the rights of the integration user",
                    context=context,
                )
            case _:  # to be repeated, or not to be told
                is_unknown = meaning is Meaning.UNKNOWN and not call.is_read
                return _unclear(
                    f"{system} answered {status}", faults, is_unknown=is_unknown, context=context
                )

    def _unavailable(self, call: _Call, detail: str, *, unknown: bool) -> VendorUnavailableError:
        return VendorUnavailableError(
            f"{self._policy.system}: {detail}",
            outcome_unknown=unknown,
            context=self._context(call),
        )

    def _context(self, call: _Call) -> dict[str, ContextValue]:
        return {"system": self._policy.system, "method": call.method, "path": call.path}


def _unclear(
    detail: str,
    faults: Sequence[Fault],
    *,
    is_unknown: bool,
    context: Mapping[str, ContextValue],
) -> VendorUnavailableError:
    status = context["status"]
    if isinstance(status, int) and status >= 500:
        return VendorUnavailableError(detail, outcome_unknown=is_unknown, context=context)
    is_in_words = any(fault.code or fault.detail for fault in faults)
    return UnclearAnswerError(
        detail, outcome_unknown=is_unknown, context=context, is_in_words=is_in_words
    )


class _TokenRefusedError(TransientError):
    """Signal inside this module: the token must be replaced."""


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    params: Mapping[str, str] | None
    json: object | None
    headers: Mapping[str, str]
    absent_ok: bool
    is_read: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came back. `problem` says why a body of another shape cannot be used."""

    status: int
    headers: Mapping[str, str]
    body: Any
    shape: Shape
    problem: str


class _Backoff:
    """Tells stamina whether and when to repeat one request: as asked, never below our schedule."""

    def __init__(self, settings: RetrySettings) -> None:
        self._settings = settings
        self._failures = 0

    def __call__(self, error: Exception) -> bool | float:
        if isinstance(error, QuotaExhaustedError) or not isinstance(
            error, TransientError | UnreadableBodyError
        ):
            return False
        settings = self._settings
        own_s = min(settings.wait_max_s, settings.wait_initial_s * 2.0**self._failures)
        own_s += random.uniform(0, settings.wait_jitter_s)  # noqa: S311 - spreads clients
        self._failures += 1
        asked_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
        return max(own_s, asked_s or 0.0)
