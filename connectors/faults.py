"""What a vendor's refusal means: rules as data, and the errors raised for them.

Statuses and codes are classified here for sources and sinks alike. Sending requests is
`connectors.http`; what a worker does about an error is the worker's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from schemas.errors import (
    CommandRejectedError,
    ContextValue,
    RateLimitedError,
    SchemaMismatchError,
    TargetBusyError,
)


class Action(Enum):
    """What to do about a refused request."""

    RETRY = "retry"  # the same request may succeed shortly
    REAUTHENTICATE = "reauthenticate"  # once, with a fresh token
    RATE_LIMITED = "rate limited"  # wait as told, then repeat
    QUOTA = "quota"  # an allowance is used up: stop asking for minutes, not seconds
    REJECT = "reject"  # this request will never be accepted
    FATAL = "fatal"  # no request of this client will be accepted until a person helps


@dataclass(frozen=True, slots=True)
class Fault:
    """One error a vendor reports in a body: its code, its text and the field it is about."""

    code: str | None = None
    detail: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Statuses from `first` to `last`, with one of `codes` (empty: any code), mean `action`."""

    first: int
    last: int
    action: Action
    codes: frozenset[str] = frozenset()

    def matches(self, status: int, code: str | None) -> bool:
        """Whether this rule speaks about such an answer."""
        return self.first <= status <= self.last and (not self.codes or code in self.codes)


def rule(status: int, action: Action, *codes: str) -> Rule:
    """Make a rule for one status, with these codes only or, without any, for all codes."""
    return Rule(status, status, action, frozenset(codes))


COMMON_RULES: Final = (
    rule(401, Action.REAUTHENTICATE),
    rule(403, Action.FATAL),
    rule(408, Action.RETRY),
    rule(425, Action.RETRY),
    rule(429, Action.RATE_LIMITED),
    Rule(500, 599, Action.RETRY),
    Rule(400, 499, Action.REJECT),
)
"""What a status means where the vendor says nothing else."""


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """How one vendor reports errors: the first of its rules that matches wins.

    `read_faults` turns a parsed error body into faults; it must accept any JSON value.
    """

    system: str
    read_faults: Callable[[object], Sequence[Fault]]
    rules: tuple[Rule, ...] = ()
    quota_pause_s: float = 900.0

    def classify(self, status: int, code: str | None) -> Action:
        """Return the action for an answer that was not expected."""
        for candidate in (*self.rules, *COMMON_RULES):
            if candidate.matches(status, code):
                return candidate.action
        return Action.REJECT


class VendorUnavailableError(TargetBusyError):
    """The vendor did not answer, or answered that it could not.

    `outcome_unknown` is True when a write may have taken effect all the same.
    """

    code = "transient.vendor_unavailable"

    def __init__(
        self, detail: str, *, outcome_unknown: bool, context: Mapping[str, ContextValue]
    ) -> None:
        super().__init__(detail, context=context)
        self.outcome_unknown = outcome_unknown


class VendorRejectedError(CommandRejectedError):
    """The vendor refused a request for good; `faults[0]` is the first reason it gave."""

    code = "record.vendor_rejected"

    def __init__(
        self, status: int, faults: Sequence[Fault], *, context: Mapping[str, ContextValue]
    ) -> None:
        self.status = status
        self.faults = tuple(faults) or (Fault(detail=f"status {status} without a reason"),)
        super().__init__(f"request refused: {self.faults[0].detail}", context=context)

    @property
    def vendor_code(self) -> str | None:
        """The vendor's own code of the first fault."""
        return self.faults[0].code

    @property
    def field(self) -> str | None:
        """The field the first fault is about."""
        return self.faults[0].field


class UnreadableBodyError(SchemaMismatchError):
    """A successful answer to a read whose body is not the JSON it claims to be."""

    code = "record.unreadable_body"


class QuotaExhaustedError(RateLimitedError):
    """An allowance of the account is used up: pause the connector, not only the request."""

    code = "transient.quota_exhausted"
