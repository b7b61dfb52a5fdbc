"""Canonical ids, correlation ids and natural keys.

Ids are minted by hashing the identity of the source row they stand for, so every process mints
the same id without asking another one, and a replay mints it again. The engagement is readable
in a project id, which is what routes anything known by its project to its engagement.
"""

from __future__ import annotations

import base64
import hashlib
import re
from enum import Enum
from typing import Final

_SEPARATOR = "\x1f"

ZERO_WIDTH: Final = "\u200b\u200c\u200d\u2060\ufeff"
BLANKS: Final = "".join(chr(code) for code in range(0x3001) if chr(code).isspace()) + ZERO_WIDTH
"""What is pasted along with a text and cannot be seen: white space of any kind, and no space."""

_CASE_SUFFIXED: Final = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-5]{3})?")
_SUFFIX: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_NUMBERS: Final = re.compile(r"[0-9]+(?:[^0-9A-Za-z][0-9]+)*")


class IdForm(Enum):
    """What a system's own ids are like, where people write one id in several spellings."""

    PLAIN = "plain"  # each spelling is an id of its own
    CASE_SUFFIX = "case_suffix"  # 15 letters and digits, and 3 more that tell the letters' case
    ANY_CASE = "any_case"  # case does not count


def mint(prefix: str, *parts: str, length: int = 16) -> str:
    """Return `<prefix>-<length characters>`, a pure function of `parts` (lower-case base32)."""
    digest = hashlib.sha256(_SEPARATOR.join(parts).encode()).digest()
    # Whole bytes that hold `length` characters of 5 bits.
    head = digest[: -(-length * 5 // 8)]
    return f"{prefix}-{base64.b32encode(head).decode().lower()[:length]}"


def source_id(system: str, kind: str, native: str) -> str:
    """Return the id of a row at its source: `<system>:<kind>:<native id>`."""
    return f"{system}:{kind}:{native}"


def typed(text: str | None) -> str | None:
    """Return an id as it was meant by who typed it: without blanks; None if nothing is left."""
    return (text or "").translate(dict.fromkeys(map(ord, ZERO_WIDTH))).strip(BLANKS) or None


def native_id(form: IdForm, text: str | None) -> str | None:
    """Return the native id that a text stands for, in the one spelling it has here.

    No id holds what separates the parts of keys: `|`, and `#` before the number of a time bill.
    """
    native = typed(text)
    if native is None:
        return None
    if form is IdForm.CASE_SUFFIX:
        native = case_suffixed(native)
    if form is IdForm.ANY_CASE:
        native = native.lower()
    return native.replace("|", "%7C").replace("#", "%23")


def case_suffixed(text: str) -> str:
    """Return the 18 characters of an id of `IdForm.CASE_SUFFIX`; what is none stays as it is.

    The last 3 tell which of the first 15 are capitals: one letter for each 5, bit i for the i-th.
    Screens show 15, of which the case counts; of 18 it need not be kept, and is restored.
    """
    if not _CASE_SUFFIXED.fullmatch(text):
        return text
    if len(text) == 15:
        return text + _suffix(text)
    cases = [_SUFFIX.index(letter) for letter in text[15:].upper()]
    restored = "".join(
        letter.upper() if cases[at // 5] >> at % 5 & 1 else letter.lower()
        for at, letter in enumerate(text[:15])
    )
    # A capital bit at a digit: 18 characters that are no record id.
    return restored + text[15:].upper() if _suffix(restored) == text[15:].upper() else text


def _suffix(text: str) -> str:
    """Return the last 3 characters of a record id of 15."""
    capitals = [letter.isupper() for letter in text]
    return "".join(
        _SUFFIX[sum(is_capital << bit for bit, is_capital in enumerate(capitals[at : at + 5]))]
        for at in (0, 5, 10)
    )


VendorOrder = tuple[str, bool, tuple[tuple[int, str], ...], str]


def vendor_order(source_id: str) -> VendorOrder:
    """Return the key that sorts source ids as their vendors count them up: the oldest first.

    Numbers, also several of them (`5012-3`), are compared as numbers; other ids as texts, capitals
    first.
    """
    kind, _, native = source_id.rpartition(":")
    numbers: tuple[tuple[int, str], ...] = ()
    if _NUMBERS.fullmatch(native):
        digits = (part.lstrip("0") for part in re.findall("[0-9]+", native))
        numbers = tuple((len(part), part) for part in digits)
    return kind, not numbers, numbers, native


def customer_id(account_source_id: str) -> str:
    """Canonical customer id of the CRM account (or ERP customer) with this source id."""
    return mint("cus", account_source_id)


def engagement_id(opportunity_source_id: str) -> str:
    """Canonical engagement id of the opportunity with this source id."""
    return mint("eng", opportunity_source_id, length=12)


def project_id(engagement: str, country_code: str) -> str:
    """Canonical id of the project of an engagement in a country; at most 32 characters."""
    return f"{engagement}-{country_code.lower()}"


def is_project_id(text: str) -> bool:
    """Whether the text has the form of a canonical project id."""
    parts = text.split("-")
    return len(parts) == 3 and parts[0] == "eng" and len(parts[1]) == 12 and len(parts[2]) == 2


def engagement_of(project: str) -> str:
    """Engagement a canonical project id belongs to."""
    return project.rpartition("-")[0]


def resource_id(email: str) -> str:
    """Canonical resource id of the person with this e-mail address."""
    return mint("res", (typed(email) or "").lower())


def time_bill_id(time_entry_source_id: str, project_source_id: str) -> str:
    """Canonical id of the billing transaction of a time entry on a project."""
    return mint("tb", time_entry_source_id, project_source_id)


def correlation_id(root_source_id: str) -> str:
    """Correlation id of everything that the row with this source id leads to."""
    return mint("cor", root_source_id)


def command_id(target: str, kind: str, natural_key: str, revision: int, payload: str) -> str:
    """Idempotency key of a command. Upholds I8: identical input has one id."""
    return mint("cmd", target, kind, natural_key, str(revision), payload, length=24)
