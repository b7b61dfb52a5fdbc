"""Records of `psa.command` as tables write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def command_record(
    target: str, kind: str, key: str, revision: int, content: dict[str, Any]
) -> dict[str, Any]:
    """Return a command for what `key` names at the target, issued now."""
    natural_key = f"{target}:{key}"
    return {
        "command_id": f"cmd-{natural_key}-{revision}",
        "target": target,
        "kind": kind,
        "natural_key": natural_key,
        "revision": revision,
        "payload": json.dumps(content, sort_keys=True, separators=(",", ":")),
        "origin_key": natural_key,
        "correlation_id": "cor-1",
        "amount": None,
        "currency": None,
        "issued_at": datetime.now(UTC),
    }
