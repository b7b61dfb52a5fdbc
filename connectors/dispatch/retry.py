"""When to try again. Pure: chance comes in as an argument."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from schemas.errors import AuthenticationError, RateLimitedError, TransientError

CLOCK_SKEW_S: Final = 60.0
"""How far the clocks of two hosts may be apart. Clocks further apart need no more than a longer
wait where ours is behind; where ours is ahead, an attempt could be looked up too soon."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waiting times of one target.

    `settle_s` is how long an attempt of unknown outcome may still land, and stay invisible, after
    we stopped waiting for it; a look-up before that proves nothing. `attempt_s` bounds an attempt
    as a whole, from its intent on.
    """

    settle_s: float
    backoff_s: float
    backoff_max_s: float
    auth_retry_s: float
    attempt_s: float = 60.0

    def heir_wait_s(self, intent_age_s: float | None) -> float:
        """Return how long to wait before an attempt of another process is looked up.

        `intent_age_s` is its age by our clock, None where it has no stamp. It may still be under
        way: until its deadline, and then as long as it takes to settle. A stamp of the future is
        not believed, and no stamp makes the wait longer than that from now on.
        """
        longest_s = self.attempt_s + self.settle_s
        if intent_age_s is None or intent_age_s < 0:
            return longest_s
        return min(longest_s, max(0.0, longest_s + CLOCK_SKEW_S - intent_age_s))

    def backoff_of(self, failures: int, *, chance: float) -> float:
        """Return the pause after so many failures in a row (from 1).

        Exponential, between half and all of its bound: `chance`, 0..1, places it.
        """
        bound_s = min(self.backoff_max_s, self.backoff_s * 2.0 ** min(failures - 1, 30))
        return bound_s * (0.5 + 0.5 * chance)

    def delay_s(
        self, error: TransientError | AuthenticationError, failures: int, *, chance: float
    ) -> float:
        """Return the wait after the `failures`-th failure in a row (from 1).

        Never shorter than the target asks for, nor than it takes an unknown outcome to settle.
        """
        delay_s = self.backoff_of(failures, chance=chance)
        match error:
            case AuthenticationError():
                return max(delay_s, self.auth_retry_s)
            case RateLimitedError(retry_after_s=float(asked_s)):
                return max(delay_s, asked_s)
            case TransientError(outcome_unknown=True):
                return max(delay_s, self.settle_s)
            case _:
                return delay_s
