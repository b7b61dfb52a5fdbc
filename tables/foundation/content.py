"""What is compared and sent: named values, and the hash of their canonical JSON."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from schemas.canonical_json import Payload, canonical_json


def content_hash(payload: Payload) -> str:
    """Return a hash of the payload's canonical JSON."""
    return hashlib.sha256(canonical_json(payload).encode()).hexdigest()[:24]


def fields_of(source: object, names: Sequence[str]) -> Payload:
    """Return fields of what is wanted or of what is held, which bear the same names."""
    return {name: getattr(source, name) for name in names}
