"""How often a refused command is tried again, by the kind of cure it waits for. Pure.

A cure that is a field of the command brings a new command by itself. Any other (a right given
back, a period opened, a currency switched on) tells nobody: only trying shows it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from connectors.toolkit.faults import Reason

MINUTE_S: Final = 60.0
HOUR_S: Final = 3_600.0
DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Pace:
    """Pauses between trials of commands that are refused for one and the same cause.

    The first pause is `first_s`; each further one doubles up to `longest_s`. `probes` commands are
    tried after a pause; only when one is taken do the others follow. `is_shared`: the cause lies
    outside the records, so commands that come in meanwhile are not even sent.
    """

    first_s: float
    longest_s: float
    cure: str
    probes: int = 1
    is_shared: bool = False

    def pause_s(self, refusals: int, identity: str) -> float:
        """Return the pause after so many refusals in a row (from 1).

        Between three quarters and all of its bound; the identity places it, so that many causes do
        not wait for the same second, and every process computes the same.
        """
        bound_s = min(self.longest_s, self.first_s * 2.0 ** min(max(refusals, 1) - 1, 30))
        return bound_s * (0.75 + 0.25 * _fraction(f"{identity}|{refusals}"))

    def believed_s(self, due_at_s: float, now_s: float) -> float:
        """Return when a pause ends. None is so long: a clock was ahead that went back."""
        return due_at_s if due_at_s <= now_s + self.longest_s else now_s


PACES: Final[Mapping[Reason, Pace]] = {
    Reason.PERMISSION: Pace(
        MINUTE_S, HOUR_S, "the right is given back to the role of the integration", is_shared=True
    ),
    Reason.CLOSED: Pace(
        5 * MINUTE_S, 6 * HOUR_S, "the period is opened, or the lock or workflow is ended", probes=3
    ),
    Reason.SETTING: Pace(
        5 * MINUTE_S, 6 * HOUR_S, "the currency or feature is switched on in the account"
    ),
    Reason.REFERENCE: Pace(
        MINUTE_S, 6 * HOUR_S, "the record that it names is there (again)", probes=3
    ),
    Reason.CONFLICT: Pace(
        15 * MINUTE_S, DAY_S, "the other record is renamed, merged or archived", probes=3
    ),
    Reason.VALIDATION: Pace(
        15 * MINUTE_S, DAY_S, "the rule is changed, or the content is corrected", probes=3
    ),
    Reason.UNCLEAR: Pace(5 * MINUTE_S, 6 * HOUR_S, "the target answers clearly", probes=3),
    Reason.LEFTOVER: Pace(HOUR_S, DAY_S, "what was left over is tidied up", probes=3),
    Reason.APPROVAL: Pace(HOUR_S, DAY_S, "a person approves it", probes=3),
    Reason.SHADOW: Pace(HOUR_S, DAY_S, "its target or kind is out of shadow", probes=8),
    Reason.INTERNAL: Pace(HOUR_S, DAY_S, "a newer version of psastream runs", probes=3),
}
"""The pauses of each reason."""


def _fraction(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32
