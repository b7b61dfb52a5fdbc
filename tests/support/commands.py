"""Records of `psa.command` as tables write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any


def project_content(project_id: str, name: str, **fields: object) -> dict[str, Any]:
    """Return what an order of a project says; of the fields of one target alone nothing."""
    return {
        "project_id": project_id,
        "name": name,
        "customer_id": "cus-1",
        "legal_entity_id": None,
        "currency": "EUR",
        "starts_on": "2026-03-02",
        "billing_type": "time_and_materials",
        "tax_code": None,
        "service_lines": "advisory",
        "contract_value": "125000.5",
        "correlation_id": "cor-1",
        **fields,
    }


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
