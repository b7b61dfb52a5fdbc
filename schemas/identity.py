"""Canonical ids, correlation ids and natural keys.

Ids are minted by hashing the identity of the source row they stand for, so every process mints
the same id without asking another one, and a replay mints it again. The engagement is readable
in a project id, which is what routes anything known by its project to its engagement.
"""

from __future__ import annotations

import base64
import hashlib

_SEPARATOR = "\x1f"


def mint(prefix: str, *parts: str, length: int = 16) -> str:
    """Return `<prefix>-<length characters>`, a pure function of `parts` (lower-case base32)."""
    digest = hashlib.sha256(_SEPARATOR.join(parts).encode()).digest()
    # Whole bytes that hold `length` characters of 5 bits.
    head = digest[: -(-length * 5 // 8)]
    return f"{prefix}-{base64.b32encode(head).decode().lower()[:length]}"


def source_id(system: str, kind: str, native: str) -> str:
    """Return the id of a row at its source: `<system>:<kind>:<native id>`."""
    return f"{system}:{kind}:{native}"


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
    return mint("res", email.strip().lower())


def time_bill_id(time_entry_source_id: str, project_source_id: str) -> str:
    """Canonical id of the billing transaction of a time entry on a project."""
    return mint("tb", time_entry_source_id, project_source_id)


def correlation_id(root_source_id: str) -> str:
    """Correlation id of everything that the row with this source id leads to."""
    return mint("cor", root_source_id)


def command_id(target: str, kind: str, natural_key: str, revision: int, payload: str) -> str:
    """Idempotency key of a command. Upholds I8: identical input has one id."""
    return mint("cmd", target, kind, natural_key, str(revision), payload, length=24)
