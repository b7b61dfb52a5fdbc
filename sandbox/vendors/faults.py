"""Faults a vendor can be told to commit: which request gets which, and how it is carried out.

Draws depend on the seed and the order of requests alone, so a failing run can be repeated.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from enum import StrEnum
from typing import Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ABORT_EXTENSION = "psastream.abort"
"""Key of the ASGI extension that drops the connection without an answer."""


_ABORT_DEADLINE_S = 5.0


class FaultKind(StrEnum):
    """What goes wrong."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    UNAVAILABLE = "unavailable"
    CONNECTION_RESET = "connection_reset"  # before anything was executed
    DELAY = "delay"
    COMMIT_THEN_TIMEOUT = "commit_then_timeout"  # executed, silent for delay_s, then reset
    COMMIT_THEN_ERROR = "commit_then_error"  # executed, answered as if the server had failed
    HALF_PAGE = "half_page"  # status 200, JSON cut in the middle
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - a kind of fault, not a secret


_COMMITTED = (FaultKind.COMMIT_THEN_TIMEOUT, FaultKind.COMMIT_THEN_ERROR)


class FaultRule(BaseModel):
    """When a fault happens: for the next `count` matching requests, each with `probability`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    count: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    scope: Literal["read", "write", "any"] = "any"
    path: str = ""
    """Only requests whose path contains this; token requests are spared unless it names them."""
    delay_s: float = Field(default=0.0, ge=0)


class FaultPlan:
    """The rules of one vendor; the first that matches and draws wins."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)  # noqa: S311 - faults must repeat
        self._rules: list[tuple[FaultRule, int | None]] = []
        self._cleared: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)  # by path
        self.drawn: Counter[str] = Counter()

    def add(self, rule: FaultRule) -> None:
        self._rules.append((rule, rule.count))

    def clear(self, path: str | None = None) -> None:
        """End all rules, or those of a path; let go of the requests that they delay."""
        paths = {rule.path for rule, _ in self._rules} | self._cleared.keys()
        ended = paths if path is None else {path}
        self._rules = [it for it in self._rules if it[0].path not in ended]
        for each in ended & self._cleared.keys():
            self._cleared.pop(each).set()

    async def pause(self, rule: FaultRule) -> None:
        """Return after the delay of a rule, or when it is cleared."""
        try:
            async with asyncio.timeout(rule.delay_s):
                await self._cleared[rule.path].wait()
        except TimeoutError:
            return

    def draw(self, *, path: str, is_write: bool, is_token_request: bool) -> FaultRule | None:
        """The fault this request meets, if any."""
        for index, (rule, left) in enumerate(self._rules):
            if not _matches(rule, path, is_write, is_token_request):
                continue
            if self._random.random() >= rule.probability:
                continue
            if left is not None:
                self._rules[index] = (rule, left - 1)
                if left == 1:
                    del self._rules[index]
            self.drawn[rule.kind.value] += 1
            return rule
        return None


def _matches(rule: FaultRule, path: str, is_write: bool, is_token_request: bool) -> bool:
    if is_token_request and not rule.path:
        return False
    if rule.kind in _COMMITTED and not is_write:
        return False
    wanted = rule.scope == "any" or (rule.scope == "write") == is_write
    return wanted and rule.path in path


class Dialect(Protocol):
    """What a fault needs to know of the vendor it happens at."""

    def is_token_request(self, path: str) -> bool: ...

    def is_write(self, method: str, path: str) -> bool: ...

    def refusal(self, status: int) -> Response:
        """The vendor's own error answer for 401, 429, 500 or 503."""

    def revoke(self, token: str) -> None: ...


_REFUSALS = {
    FaultKind.RATE_LIMITED: 429,
    FaultKind.SERVER_ERROR: 500,
    FaultKind.UNAVAILABLE: 503,
    FaultKind.EXPIRED_TOKEN: 401,
}


class FaultInjection:
    """ASGI middleware that carries out the faults drawn from a plan."""

    def __init__(self, app: ASGIApp, plan: FaultPlan, dialect: Dialect) -> None:
        self._app = app
        self._plan = plan
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        rule = self._plan.draw(
            path=scope["path"],
            is_write=self._dialect.is_write(scope["method"], scope["path"]),
            is_token_request=self._dialect.is_token_request(scope["path"]),
        )
        if rule is None:
            await self._app(scope, receive, send)
        elif rule.kind in _REFUSALS:
            if rule.kind is FaultKind.EXPIRED_TOKEN:
                self._dialect.revoke(bearer_token(Headers(scope=scope)))
            await self._dialect.refusal(_REFUSALS[rule.kind])(scope, receive, send)
        else:
            await self._misbehave(rule, scope, receive, send)

    async def _misbehave(self, rule: FaultRule, scope: Scope, receive: Receive, send: Send) -> None:
        match rule.kind:
            case FaultKind.CONNECTION_RESET:
                await _abort(scope, receive)
            case FaultKind.COMMIT_THEN_TIMEOUT:
                await self._app(scope, receive, _swallow)
                await _wait_for_client(receive, rule.delay_s)
                await _abort(scope, receive)
            case FaultKind.COMMIT_THEN_ERROR:
                await self._app(scope, receive, _swallow)
                await self._dialect.refusal(500)(scope, receive, send)
            case FaultKind.HALF_PAGE:
                await self._app(scope, receive, _Halver(send))
            case _:
                await self._plan.pause(rule)
                await self._app(scope, receive, send)


class _Halver:
    """Passes on an answer with the second half of its body missing."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message = {}
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            return
        self._body += message.get("body", b"")
        if message.get("more_body"):
            return
        half = self._body[: len(self._body) // 2]
        headers = [pair for pair in self._start["headers"] if pair[0] != b"content-length"]
        headers.append((b"content-length", str(len(half)).encode()))
        await self._send({**self._start, "headers": headers})
        await self._send({"type": "http.response.body", "body": half})


async def _swallow(message: Message) -> None:
    """Send nothing: the client is not to learn the outcome."""


async def _wait_for_client(receive: Receive, delay_s: float) -> None:
    """Return when the client hangs up, after `delay_s` at the latest."""
    try:
        async with asyncio.timeout(delay_s):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return


async def _abort(scope: Scope, receive: Receive) -> None:
    abort = scope.get("extensions", {}).get(ABORT_EXTENSION)
    if abort is None:
        raise ConnectionResetError("connection reset by fault")
    abort()
    # Returning before the server has noticed would count as a handler that forgot to answer.
    await _wait_for_client(receive, _ABORT_DEADLINE_S)


def bearer_token(headers: Headers) -> str:
    """The token of an Authorization header; "" where there is none."""
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() in ("bearer", "oauth") else ""
