"""What a person can do about a rejection, by system, code and field.

Texts of a vendor follow its user's language, so the table goes by code and field, never by words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from connectors.dispatch.commands import Problem
from connectors.faults import Reason

_REMEDIES: Final[dict[tuple[str, str, str | None], str]] = {
    ("netsuite", "USER_ERROR", "custentity_psa_tax_code"): (
        "set the PSA tax code on the subsidiary of the project"
    ),
    ("netsuite", "USER_ERROR", None): (
        "read the detail: a business rule or a right of the integration role stands against it"
    ),
    ("netsuite", "INVALID_CONTENT", "currency"): (
        "correct the currency at the source, or activate it in the ERP"
    ),
    ("netsuite", "INVALID_CONTENT", None): ("correct the value of the field at its source"),
    ("netsuite", "INVALID_KEY_OR_REF", None): (
        "the record refers to one that the ERP does not hold: check that it was not deleted there"
    ),
    ("float", "DUPLICATE_PROJECT_CODE", None): (
        "archive or merge the younger projects with this code; psastream keeps the oldest"
    ),
    ("float", "422", "project_code"): (
        "the code is in use or too long: free it in the resource manager"
    ),
}

_GENERAL: Final[Mapping[Reason, str]] = {
    Reason.PERMISSION: "give the role of the integration the right that the detail names",
    Reason.CLOSED: "open the period, end the lock or workflow, or correct the date",
    Reason.SETTING: "switch the currency or feature on in the target, or correct the source",
    Reason.REFERENCE: "check that the record that it refers to is there, and was not deleted",
    Reason.CONFLICT: "rename, merge or archive the other record, or correct the source",
    Reason.VALIDATION: "correct the cause at the source, or change the rule in the target",
    Reason.UNCLEAR: "read the answer in the detail, and ask the vendor what it stands for",
    Reason.LEFTOVER: "tidy up what the detail names",
    Reason.INTERNAL: "report it: psastream cannot make this command",
}

_AGAIN: Final = "; tried again by itself, or now: psastream exceptions retry"


def remedy(system: str, problem: Problem) -> str:
    """Return the remedy for a problem: for its field, else for its code, else for its reason."""
    for field in (problem.field, None):
        known = _REMEDIES.get((system, problem.code, field))
        if known is not None:
            return known + _AGAIN
    return _GENERAL[problem.reason] + _AGAIN
