"""When to try again. Pure: chance comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.faults import VendorUnavailableError
from schemas.errors import AuthenticationError, RateLimitedError, TransientError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waiting times of one target.

    `settle_s` is how long an attempt of unknown outcome may still land after we stopped waiting
    for it; a look-up before that proves nothing.
    """

    settle_s: float
    backoff_s: float
    backoff_max_s: float
    auth_retry_s: float

    def delay_s(
        self, error: TransientError | AuthenticationError, failures: int, *, chance: float
    ) -> float:
        """Return the wait after the `failures`-th failure in a row (from 1).

        Exponential between half and all of its bound (`chance`, 0..1, places it), never shorter
        than the target asks for, nor than it takes an unknown outcome to settle.
        """
        bound_s = min(self.backoff_max_s, self.backoff_s * 2.0 ** min(failures - 1, 30))
        delay_s = bound_s * (0.5 + 0.5 * chance)
        match error:
            case AuthenticationError():
                return max(delay_s, self.auth_retry_s)
            case RateLimitedError(retry_after_s=float(asked_s)):
                return max(delay_s, asked_s)
            case VendorUnavailableError(outcome_unknown=True):
                return max(delay_s, self.settle_s)
            case _:
                return delay_s
