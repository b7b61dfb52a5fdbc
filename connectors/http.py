"""The HTTP client of every vendor: one place for time-outs, retries, authentication and faults.

A vendor differs only in data: an `Authenticator`, a `Limiter` and an `ErrorPolicy`, the table of
what its answers mean. JSON numbers are read as `Decimal`, so no amount ever passes
through a float (I7). This module knows no record type and decides nothing about bookmarks or
commands.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Protocol

import aiohttp
import stamina

from connectors.faults import (
    DeleteLogIncompleteError,
    ErrorPolicy,
    Fault,
    Meaning,
    QuotaExhaustedError,
    RecordNotFoundError,
    Shape,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
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
        try:
            return parsedate_to_datetime(self.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return None


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
    """Return the seconds a `Retry-After` header asks for, clamped to 0..RETRY_AFTER_LIMIT_S.

    The header holds seconds or an HTTP date; None when it is missing or neither.
    """
    if value is None:
        return None
    try:
        wait_s = float(value)
    except ValueError:
        try:
            until = parsedate_to_datetime(value)
        except ValueError:
            return None
        if until.tzinfo is None:  # "-0000" reads as a naive date; HTTP dates are UTC
            until = until.replace(tzinfo=UTC)
        wait_s = (until - now).total_seconds()
    if not math.isfinite(wait_s):
        return None
    return min(max(wait_s, 0.0), RETRY_AFTER_LIMIT_S)


def parse_json(data: bytes) -> Any:
    """Parse JSON with exact numbers. Raises ValueError for anything else."""
    return jsonlib.loads(data, parse_float=Decimal)


def dump_json(value: object) -> bytes:
    """Encode JSON; decimals become strings of exactly their digits."""
    return jsonlib.dumps(value, default=_decimal_as_text, separators=(",", ":")).encode()


def _decimal_as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    msg = f"cannot encode {type(value).__name__} as JSON"
    raise TypeError(msg)


@dataclass(frozen=True, slots=True)
class RetrySettings:
    """Bounds of the retries inside one request."""

    attempts: int = 5
    total_s: float = 120.0
    wait_initial_s: float = 0.2
    wait_max_s: float = 20.0
    wait_jitter_s: float = 0.5


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
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._auth = auth
        self._policy = policy
        self._user_agent = user_agent
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._limiter = limiter
        self._retry = retry or RetrySettings()
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
            on=_backoff,
            attempts=bounds.attempts,
            timeout=bounds.total_s,
            wait_initial=bounds.wait_initial_s,
            wait_max=bounds.wait_max_s,
            wait_jitter=bounds.wait_jitter_s,
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
            raise AuthenticationError(
                f"{self._policy.system} refuses a fresh token",
                hint="check the integration user, its role and its certificate",
                context=error.context,
            ) from error

    async def _send(self, call: _Call) -> Response:
        headers = {
            "User-Agent": self._user_agent,
            "Accept": "application/json",
            **call.headers,
            **await self._auth.headers(),
        }
        data: bytes | None = None
        if call.json is not None:
            data = dump_json(call.json)
            headers.setdefault("Content-Type", "application/json")
        try:
            async with (
                self._limiter,
                self._open_session().request(
                    call.method,
                    self._base_url + call.path,
                    params=call.params,
                    data=data,
                    headers=headers,
                    allow_redirects=False,
                ) as answer,
            ):
                status, answer_headers = answer.status, answer.headers.copy()
                content = await answer.read()
        except aiohttp.ClientConnectorError as error:
            raise self._unavailable(call, "no connection", unknown=False) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = f"no complete answer ({type(error).__name__})"
            raise self._unavailable(call, reason, unknown=not call.is_read) from error
        return self._judge(call, status, answer_headers, content)

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self._session

    def _judge(
        self, call: _Call, status: int, headers: Mapping[str, str], content: bytes
    ) -> Response:
        """Return the answer, or raise what it means."""
        body, shape = _read(content)
        faults = tuple(self._policy.read_faults(body)) if shape is Shape.JSON else ()
        meaning = self._policy.classify(status, faults, method=call.method, shape=shape)
        if meaning is Meaning.ACCEPTED and shape is Shape.OTHER:
            raise self._unreadable(call)
        if meaning is Meaning.ACCEPTED or (meaning is Meaning.NOT_FOUND and call.absent_ok):
            return Response(status, headers, body)
        raise self._error(call, status, meaning, faults, headers.get("Retry-After"))

    def _unreadable(self, call: _Call) -> PsaStreamError:
        if not call.is_read:  # it was accepted, but nobody can tell what came of it
            return self._unavailable(call, "unreadable answer", unknown=True)
        return UnreadableBodyError(
            f"{self._policy.system} sent a body that is not JSON",
            hint="a proxy or a truncated page",
            context=self._context(call),
        )

    def _error(
        self,
        call: _Call,
        status: int,
        meaning: Meaning,
        faults: Sequence[Fault],
        retry_after: str | None,
    ) -> PsaStreamError:
        code = next((fault.code for fault in faults), None)
        context = {**self._context(call), "status": status, "vendor_code": code}
        system = self._policy.system
        if refusal := _REFUSALS.get(meaning):
            return refusal(status, faults, context=context)
        match meaning:
            case Meaning.RATE_LIMITED:
                wait_s = parse_retry_after(retry_after, datetime.now(UTC))
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
                return _TokenRefusedError(f"{system} refuses the token", context=context)
            case Meaning.REFUSED_ACCOUNT:
                return AuthenticationError(
                    f"{system} denies access: {faults[0].detail if faults else status}",
                    hint="check the rights of the integration user",
                    context=context,
                )
            case _:  # to be repeated, or not to be told
                return VendorUnavailableError(
                    f"{system} answered {status}",
                    outcome_unknown=meaning is Meaning.UNKNOWN and not call.is_read,
                    context=context,
                )

    def _unavailable(self, call: _Call, detail: str, *, unknown: bool) -> VendorUnavailableError:
        return VendorUnavailableError(
            f"{self._policy.system}: {detail}",
            outcome_unknown=unknown,
            context=self._context(call),
        )

    def _context(self, call: _Call) -> dict[str, ContextValue]:
        return {"system": self._policy.system, "method": call.method, "path": call.path}


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


def _read(content: bytes) -> tuple[Any, Shape]:
    """Return the parsed body, None where it is empty or not JSON, and its shape."""
    if not content.strip():
        return None, Shape.EMPTY
    try:
        return parse_json(content), Shape.JSON
    except ValueError:
        return None, Shape.OTHER


def _backoff(error: Exception) -> bool | float:
    """Tell stamina whether to retry: as the vendor asked, by its own schedule, or not at all."""
    if isinstance(error, QuotaExhaustedError):
        return False
    if isinstance(error, RateLimitedError) and error.retry_after_s is not None:
        return error.retry_after_s
    return isinstance(error, TransientError | UnreadableBodyError)
