"""What a person can do about a rejection, by system, code and field.

Texts of a vendor follow its user's language, so the table goes by code and field, never by words.
"""

from __future__ import annotations

from typing import Final

from connectors.dispatch.commands import Problem

_REMEDIES: Final[dict[tuple[str, str, str | None], str]] = {
    ("netsuite", "USER_ERROR", "custentity_psa_tax_code"): (
        "set the PSA tax code on the subsidiary of the project; the project is then sent again"
    ),
    ("netsuite", "USER_ERROR", None): (
        "read the detail: a business rule or a right of the integration role stands against it"
    ),
    ("netsuite", "INVALID_CONTENT", "currency"): (
        "correct the currency at the source; or activate it in the ERP and change another field of "
        "the row at its source, so that it is sent again"
    ),
    ("netsuite", "INVALID_CONTENT", None): (
        "correct the value of the field at its source; the record is then sent again"
    ),
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

_GENERAL: Final = (
    "correct the cause at the source; the command is sent again once a field of it has changed"
)


def remedy(system: str, problem: Problem) -> str:
    """Return the remedy for a problem: for its field, else for its code, else the general one."""
    for field in (problem.field, None):
        known = _REMEDIES.get((system, problem.code, field))
        if known is not None:
            return known
    return _GENERAL
