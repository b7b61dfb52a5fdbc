"""What a person can do about a rejection: what the vendor's table says, else what its reason does.

Texts of a vendor follow its user's language, so a table goes by code and field, never by words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connectors.dispatch.commands import Problem
from connectors.toolkit.faults import Reason

Remedies = Mapping[tuple[str, str | None], str]
"""Of one vendor, by its code and by the field of the record, None for any field."""

_GENERAL: Final[Mapping[Reason, str]] = {
    Reason.PERMISSION: "give the role of the integration the right that the detail names",
    Reason.CLOSED: "open the period, end the lock or workflow, or correct the date",
    Reason.SETTING: "switch the currency or feature on in the target, or correct the source",
    Reason.REFERENCE: "check that the record that it refers to is there, and was not deleted",
    Reason.CONFLICT: "rename, merge or archive the other record, or correct the source",
    Reason.VALIDATION: "correct the cause at the source, or change the rule in the target",
    Reason.UNCLEAR: "read the answer in the detail, and ask the vendor what it stands for",
    Reason.LEFTOVER: "tidy up what the detail names",
    Reason.APPROVAL: "psastream commands approve its natural key, or commands refuse; a newer"
    " version of it needs its own approval",
    Reason.SHADOW: "compare it with what others have written; out of shadow in the sink's file,"
    " its kind is sent, unless the target holds it by then",
    Reason.INTERNAL: "report it: psastream cannot make this command",
}

_AGAIN: Final = "; tried again by itself, or now: psastream exceptions retry"


def remedy(problem: Problem, remedies: Remedies) -> str:
    """Return the remedy for a problem: for its field, else for its code, else for its reason."""
    for field in (problem.field, None):
        known = remedies.get((problem.code, field))
        if known is not None:
            return known + _AGAIN
    is_asked = problem.reason in (Reason.APPROVAL, Reason.SHADOW)  # trying alone ends nothing
    return _GENERAL[problem.reason] + ("" if is_asked else _AGAIN)
