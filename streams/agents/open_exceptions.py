"""Open exceptions of tables, kept in the state, so that the worker that owns them counts them.

What a table publishes decides, not the table: none is forgotten. A key is PREFIX and the identity
of the exception, its value `<system>|<code>`; one that is resolved has no key.
"""

from __future__ import annotations

from typing import Final

from tables.foundation.effects import Outbox, Record
from tables.foundation.exceptions import TOPIC

PREFIX: Final = b"exception|"


def kept(outbox: Outbox) -> dict[bytes, bytes | None]:
    """Return what the exceptions of a chunk change in the state."""
    return {
        PREFIX + emit.key.encode(): _label(emit.record)
        for emit in outbox.emits
        if emit.topic == TOPIC
    }


def _label(record: Record | None) -> bytes | None:
    if record is None or record["status"] != "open":
        return None
    return f"{record['system']}|{record['error_code']}".encode()
