"""What a vendor's answers mean: one table a vendor, and the errors raised for them.

A row says which answers it is about (method, status, code, shape, words) and what they mean, with
the public source that says so. The first row that matches wins, the vendor's before those of HTTP.
An answer that no row knows is `UNKNOWN`: a read is repeated, a write looked up; it is never taken
for a refusal. Sending requests is `connectors.toolkit.http`; what a worker does about an error is
the worker's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from schemas.errors import (
    CommandRejectedError,
    ContextValue,
    RateLimitedError,
    SchemaMismatchError,
    TargetBusyError,
)


class Meaning(Enum):
    """What an answer says about its request."""

    ACCEPTED = "accepted"
    RETRY = "retry"  # nothing was done; the same request may succeed shortly
    RATE_LIMITED = "rate limited"  # nothing was done; wait as told, then repeat
    QUOTA = "quota"  # an allowance is used up: stop asking for minutes, not seconds
    REAUTHENTICATE = "reauthenticate"  # once, with a fresh token
    REFUSED_RECORD = "refused: record"  # this content or this right; the other records flow on
    REFUSED_ACCOUNT = "refused: account"  # no request of this client, until a person helps
    NOT_FOUND = "not found"  # the vendor holds no such record
    LOG_INCOMPLETE = "delete log incomplete"  # deletes can only be found by absence
    UNKNOWN = "unknown"  # nobody can tell what was done


class Reason(Enum):
    """Which kind of cure a refused record waits for: how often it is tried again goes by this."""

    PERMISSION = "permission"  # a right of our role, on a kind of record
    CLOSED = "closed"  # a period, a lock or a workflow that a person opens
    SETTING = "setting"  # a currency or a feature of the account
    REFERENCE = "reference"  # a record it names that is not there
    CONFLICT = "conflict"  # another record that stands in its place
    VALIDATION = "validation"  # the content itself
    UNCLEAR = "unclear"  # an answer that nobody has written down
    LEFTOVER = "leftover"  # carried out, and something is left to tidy up
    APPROVAL = "approval"  # a person's word
    SHADOW = "shadow"  # the end of the shadow of its target or kind
    INTERNAL = "internal"  # our own check of the content: a newer version of us


class Shape(Enum):
    """What the body of an answer is."""

    JSON = "JSON"
    EMPTY = "empty"
    OTHER = "other"  # a page of a proxy, a cut document


@dataclass(frozen=True, slots=True)
class Fault:
    """One error a vendor reports in a body: its code, its text and the field it is about."""

    code: str | None = None
    detail: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Answers and their meaning.

    Statuses run from `first` to `last`; `codes`, `methods` (empty: any), `shape` (None: any) and
    `words` (a part of the vendor's text, any case) and `fields` narrow them. A code of None is "no
    code". `reason` counts where the meaning is a refusal. `evidence` names the public source.
    """

    first: int
    last: int
    meaning: Meaning
    evidence: str
    codes: frozenset[str | None] = frozenset()
    methods: frozenset[str] = frozenset()
    shape: Shape | None = None
    words: str = ""
    fields: frozenset[str | None] = frozenset()
    reason: Reason = Reason.VALIDATION

    def matches(self, method: str, status: int, fault: Fault, shape: Shape) -> bool:
        """Whether this row speaks about such an answer."""
        return (
            self.first <= status <= self.last
            and (not self.codes or fault.code in self.codes)
            and (not self.methods or method in self.methods)
            and (self.shape is None or shape is self.shape)
            and (not self.fields or fault.field in self.fields)
            and self.words.casefold() in fault.detail.casefold()
        )


def rule(
    statuses: int | tuple[int, int],
    meaning: Meaning,
    *codes: str | None,
    evidence: str,
    methods: Sequence[str] = (),
    shape: Shape | None = None,
    words: str = "",
    fields: Sequence[str] = (),
    reason: Reason = Reason.VALIDATION,
) -> Rule:
    """Make a row for one status or a range of them."""
    first, last = (statuses, statuses) if isinstance(statuses, int) else statuses
    return Rule(
        first, last, meaning, evidence, frozenset(codes), frozenset(methods), shape, words,
        frozenset(fields), reason,
    )  # fmt: skip


TEXT_MAX: Final = 1_000
"""Characters of one text of a vendor that are kept."""
FAULTS_MAX: Final = 20
"""Faults of one refusal whose texts are kept."""

_HTTP: Final = "RFC 9110 (HTTP Semantics), section "

COMMON_RULES: Final = (
    rule(200, Meaning.ACCEPTED, evidence=f"{_HTTP}15.3.1"),
    rule(202, Meaning.UNKNOWN, evidence=f"{_HTTP}15.3.3: it might or might not be acted upon"),
    rule((300, 399), Meaning.UNKNOWN, evidence=f"{_HTTP}15.4: the answer is elsewhere"),
    rule(401, Meaning.REAUTHENTICATE, evidence=f"{_HTTP}15.5.2"),
    rule(425, Meaning.RETRY, evidence="RFC 8470, section 5.2: not processed, may be sent again"),
    rule(429, Meaning.RATE_LIMITED, evidence="RFC 6585, section 4"),
    rule((500, 599), Meaning.UNKNOWN, evidence=f"{_HTTP}15.6: failed while it was being done"),
)
"""What a status means where the vendor says nothing else."""


@dataclass(frozen=True, slots=True)
class ErrorPolicy:
    """The answers of one vendor.

    `read_faults` turns a parsed error body into faults; it must accept any JSON value.
    `wait_header` tells how long to wait where requests come too fast, in the form of Retry-After.
    """

    system: str
    read_faults: Callable[[object], Sequence[Fault]]
    rules: tuple[Rule, ...] = ()
    quota_pause_s: float = 900.0
    wait_header: str = "Retry-After"

    def classify(
        self,
        status: int,
        faults: Sequence[Fault] = (),
        *,
        method: str = "GET",
        shape: Shape = Shape.JSON,
    ) -> Meaning:
        """Return the meaning of an answer: that of the first row that matches any fault."""
        row = self._row(status, faults, method, shape)
        return row.meaning if row else Meaning.UNKNOWN

    def reason(
        self,
        status: int,
        faults: Sequence[Fault] = (),
        *,
        method: str = "GET",
        shape: Shape = Shape.JSON,
    ) -> Reason:
        """Return which cure a refusal waits for, by the same row."""
        row = self._row(status, faults, method, shape)
        return row.reason if row else Reason.UNCLEAR

    def _row(self, status: int, faults: Sequence[Fault], method: str, shape: Shape) -> Rule | None:
        for row in (*self.rules, *COMMON_RULES):
            for fault in faults or (Fault(),):
                if row.matches(method, status, fault, shape):
                    return row
        return None


def text_or_none(value: object) -> str | None:
    """Return a vendor's text or whole number as text of bounded length; None for anything else.

    Half of a surrogate pair, as left by who cuts texts in UTF-16, cannot be written anywhere.
    """
    if isinstance(value, str):
        return value[:TEXT_MAX].encode(errors="replace").decode() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


class VendorUnavailableError(TargetBusyError):
    """The vendor did not answer, or nobody can tell what its answer stands for."""

    code = "transient.vendor_unavailable"

    def __init__(
        self, detail: str, *, outcome_unknown: bool, context: Mapping[str, ContextValue]
    ) -> None:
        super().__init__(detail, outcome_unknown=outcome_unknown, context=context)


class UnclearAnswerError(VendorUnavailableError):
    """The vendor answered about this record, but in a way that nobody has written down.

    `is_in_words`: it gave a code or a text where the vendor's errors have theirs, so that it is no
    page of something that stands before it.
    """

    code = "transient.unclear_answer"

    def __init__(
        self,
        detail: str,
        *,
        outcome_unknown: bool,
        context: Mapping[str, ContextValue],
        is_in_words: bool = False,
    ) -> None:
        super().__init__(detail, outcome_unknown=outcome_unknown, context=context)
        self.is_in_words = is_in_words


class VendorRejectedError(CommandRejectedError):
    """The vendor refuses this record as it is now; `faults[0]` is the first reason it gave.

    The message names the code alone: a vendor's words may repeat what the record says of people.
    """

    code = "record.vendor_rejected"

    def __init__(
        self,
        status: int,
        faults: Sequence[Fault],
        *,
        context: Mapping[str, ContextValue],
        reason: Reason = Reason.VALIDATION,
    ) -> None:
        self.status = status
        self.reason = reason
        self.faults = tuple(faults) or (Fault(detail=f"status {status} without a reason"),)
        super().__init__(f"request refused: {self.faults[0].code or status}", context=context)

    @property
    def vendor_code(self) -> str | None:
        """The vendor's own code of the first fault."""
        return self.faults[0].code

    @property
    def field(self) -> str | None:
        """The field the first fault is about."""
        return self.faults[0].field


class RecordNotFoundError(VendorRejectedError):
    """The vendor holds no record of that id."""

    code = "record.vendor_not_found"


class DeleteLogIncompleteError(VendorRejectedError):
    """The vendor no longer knows all deletes of the window asked for: compare all rows instead."""

    code = "record.delete_log_incomplete"


class UnreadableBodyError(SchemaMismatchError):
    """A successful answer to a read whose body is not the JSON it claims to be.

    `headers`: those of the answer, where it came whole.
    """

    code = "record.unreadable_body"
    headers: Mapping[str, str] = MappingProxyType({})


class QuotaExhaustedError(RateLimitedError):
    """An allowance of the account is used up: pause the connector, not only the request."""

    code = "transient.quota_exhausted"
