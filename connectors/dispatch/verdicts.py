"""What an answer or an error of a sink means for its command. Pure."""

from __future__ import annotations

from connectors.dispatch.commands import Outcome, Problem, Status
from connectors.dispatch.lease import LeaseLostError
from connectors.dispatch.sink import Applied
from connectors.toolkit.faults import (
    FAULTS_MAX,
    Reason,
    UnclearAnswerError,
    UnreadableBodyError,
    VendorRejectedError,
    VendorUnavailableError,
)
from schemas.errors import AuthenticationError, RateLimitedError, RecordError, TransientError


class UnforeseenError(UnclearAnswerError):
    """A fault of ours met one command; its outcome is unknown."""

    code = "transient.unforeseen"

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"an error nobody foresaw: {type(cause).__name__}", outcome_unknown=True, context={}
        )


class LateIntentError(TransientError):
    """An intent was acknowledged after the deadline of its attempt: nothing was sent."""

    code = "transient.late_intent"

    def __init__(self) -> None:
        super().__init__("the broker acknowledged the intent after the deadline of its attempt")


def carried_out(status: Status, attempts: int, applied: Applied) -> Outcome:
    """Return the outcome of a command whose content the target holds."""
    return Outcome(
        status,
        attempts,
        target_id=applied.target_id,
        warning=applied.warning,
        is_gone=applied.is_gone,
    )


def is_refusal(error: RecordError) -> bool:
    """Whether the target said no: only an answer that means it does, or our own check."""
    if isinstance(error, UnreadableBodyError):
        return False
    return not isinstance(error, VendorRejectedError) or 400 <= error.status < 500


def is_from_target(error: RecordError) -> bool:
    """Whether a refusal is an answer of the target: our own check asks nobody."""
    return isinstance(error, VendorRejectedError)


def is_outage(error: TransientError | AuthenticationError) -> bool:
    """Whether any other command might meet the same: no answer, or none that it could give.

    A target that asks to wait closes the gate by itself. An unclear answer is about its record, or
    its kind, where it is in the vendor's own words; one without may come from whatever stands
    before it, such as a proxy or a page of maintenance.
    """
    if isinstance(error, UnforeseenError | AuthenticationError | RateLimitedError):
        return False
    if isinstance(error, LeaseLostError | LateIntentError):
        return False
    return not isinstance(error, UnclearAnswerError) or not error.is_in_words


def is_of_kind(error: TransientError | AuthenticationError, *, is_alone: bool) -> bool:
    """Whether many others of its kind may meet the same, though it is no outage of the target.

    What is said of the account, too, where commands of other kinds are answered (`is_alone`).
    """
    if isinstance(error, LeaseLostError | LateIntentError):
        return False
    return is_alone or isinstance(error, UnclearAnswerError)


def rejected(attempts: int, error: RecordError) -> Outcome:
    """Return the outcome of a command that the target, or our own check, refuses."""
    if isinstance(error, VendorRejectedError):
        detail = "; ".join(fault.detail for fault in error.faults[:FAULTS_MAX])
        code = error.vendor_code or str(error.status)
        problem = Problem(code, detail, error.field, error.reason)
    else:
        problem = Problem(error.code, error.detail, reason=Reason.INTERNAL)
    return Outcome(Status.REJECTED, attempts, problem=problem)


def transient(error: RecordError) -> TransientError:
    """Return what an answer that is no refusal stands for: the command is repeated."""
    return VendorUnavailableError(
        error.detail,
        outcome_unknown=not isinstance(error, UnreadableBodyError),
        context=error.context,
    )


def check_deadline(deadline_s: float, now_s: float) -> None:
    """Raise LateIntentError where an attempt is not to begin any more."""
    if now_s >= deadline_s:
        raise LateIntentError


def too_late() -> VendorUnavailableError:
    """Return the error of an attempt that did not end by its deadline."""
    return VendorUnavailableError("no answer in time", outcome_unknown=True, context={})


def denied_alone(error: AuthenticationError) -> UnclearAnswerError:
    """Return what an error of the account stands for that one command meets and others do not."""
    return UnclearAnswerError(
        f"{error.detail}, for this command alone: others are answered",
        outcome_unknown=False,
        context=error.context,
    )


def unclear(error: TransientError | AuthenticationError, *, commands: int = 1) -> Problem:
    """Return what a person is told about answers, or failures, that nobody understands.

    `commands` of one kind wait for one and the same cause.
    """
    code = error.context.get("vendor_code") or error.context.get("status") or error.code
    told = f"{commands:,} commands of this kind wait: " if commands > 1 else ""
    return Problem(str(code), f"{told}{error.detail}", reason=Reason.UNCLEAR)
