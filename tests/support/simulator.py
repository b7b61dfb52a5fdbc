"""Simulated targets: execute commands and show what they hold, late and out of order.

ERPs and a resource tool reduced to rows by external id. Commands of one natural key run in
order, those of different keys in any; a crash delivers a command again. What a row holds is read
back some time later, and intermediate contents are never seen, as with polling.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from tests.support.histories import Feeder
from tests.support.oracle import payload

RESOURCE_TOOL = "float"
OURS = ("correlation_id", "seen_id")
NO_TAX_CODE = "Please enter value(s) for: Tax Code"
KINDS = {
    "upsert_customer": "customer",
    "upsert_project": "project",
    "delete_project": "project",
    "update_project_budget": "project",
    "upsert_time_bill": "time_bill",
    "delete_time_bill": "time_bill",
}
SCALES = {"hours": 2, "budget_hours": 2, "bill_rate": 4}


@dataclass
class Targets:
    """Rows of the targets: (target, entity, external id) → (source id, content)."""

    feeder: Feeder
    seed: int
    rows: dict[tuple[str, str, str], tuple[str, dict[str, Any]]] = field(default_factory=dict)
    created: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    deleted: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    effects: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # natural key of a project → reason

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._read: Counter[tuple[str, int]] = Counter()
        self._queues: dict[str, list[dict[str, Any]]] = {}
        self._applied: dict[str, int] = {}  # natural key → last revision executed
        self._unseen: set[tuple[str, str, str]] = set()
        self._shown: dict[tuple[str, str, str], str] = {}  # → source id of the row last read

    def step(self) -> bool:
        """Execute a command or show a row; return whether there was anything to do."""
        self._fetch()
        waiting, unseen = sorted(self._queues), sorted(self._unseen)
        if not waiting and not unseen:
            return False
        if self._random.randrange(len(waiting) + len(unseen)) < len(waiting):
            self._work(self._random.choice(waiting))
        else:
            self.show(self._random.choice(unseen))
        return True

    def settle(self, limit: int) -> None:
        """Work until nobody has anything to do. Fails beyond a number of steps: a loop."""
        for _ in range(limit):
            self.feeder.topology.run()
            if not self.step():
                return
        raise AssertionError(f"commands and observations go on after {limit} steps")

    def edit(self, number: int) -> None:
        """Let somebody else change or delete a row whose present content has been seen."""
        seen = sorted(self.rows.keys() - self._unseen)
        if not seen:
            return
        key = self._random.choice(seen)
        source_id, content = self.rows[key]
        if self._random.random() < 0.3:
            del self.rows[key]
            self.deleted[key] += 1
        else:
            name = "currency" if key[1] == "time_bill" else "name"
            self.rows[key] = source_id, {**content, name: f"edit {number}"}
        self._unseen.add(key)

    def replay(self) -> None:
        """Deliver every command ever issued again."""
        self._read.clear()

    def show(self, key: tuple[str, str, str]) -> None:
        """Let the poller read a row as it is now, or notice that it is gone."""
        self._unseen.discard(key)
        topic = f"psa.{key[1]}"
        shown = self._shown.pop(key, None)
        now = self.rows.get(key)
        if shown is not None and (now is None or now[0] != shown):
            self.feeder.delete(topic, shown)
        if now is not None:
            self._shown[key] = now[0]
            self.feeder.upsert(topic, *now)

    def _fetch(self) -> None:
        for target in (*self.feeder.erps, RESOURCE_TOOL):
            for partition, log in enumerate(
                self.feeder.topology.topics.get(f"psa.command.{target}", [])
            ):
                start = self._read[target, partition]
                for _, _, value in log[start:]:
                    assert value is not None
                    command = self.feeder.topology.decode(value)
                    if command["kind"] == "withdraw":  # nobody wants it any more
                        self._queues.pop(str(command["natural_key"]), None)
                        continue
                    self._queues.setdefault(str(command["natural_key"]), []).append(command)
                self._read[target, partition] = len(log)

    def _work(self, natural_key: str) -> None:
        queue = self._queues[natural_key]
        if self._random.random() < 0.3:
            del queue[:-1]  # overtaken: only the latest counts
        command = queue[0]
        if self._random.random() < 0.8:  # else: it crashes before it commits, and comes again
            queue.pop(0)
        if not queue:
            del self._queues[natural_key]
        if command["revision"] > self._applied.get(natural_key, 0):
            self._applied[natural_key] = command["revision"]
            self._execute(command)

    def _execute(self, command: dict[str, Any]) -> None:
        content = payload(command)
        entity = KINDS[command["kind"]]
        name = command["natural_key"]
        key = (command["target"], entity, name.rpartition(":")[2])
        if command["kind"] == "upsert_project" and command["target"] != RESOURCE_TOOL:
            if content["tax_code"] is None:
                self._result(command, NO_TAX_CODE)
                self.refused[name] = NO_TAX_CODE
                return
            self.refused.pop(name, None)
        if command["kind"].startswith("delete_"):
            self.refused.pop(name, None)
            self.deleted[key] += self.rows.pop(key, None) is not None
        elif key in self.rows or command["kind"] != "update_project_budget":
            self._write(key, content)
        if command["kind"] in ("upsert_project", "delete_project"):
            self._result(command, None, self.rows.get(key))
        self.effects += 1
        self._unseen.add(key)

    def _write(self, key: tuple[str, str, str], content: dict[str, Any]) -> None:
        if key not in self.rows:
            self.created[key] += 1
            count = sum(n for other, n in self.created.items() if other[:2] == key[:2])
            self.rows[key] = f"{key[0]}:{key[1]}:{count - 1}", _identity(key)
        source_id, former = self.rows[key]
        held = {name: _value(name, value) for name, value in content.items() if name not in OURS}
        self.rows[key] = source_id, {**former, **held}

    def _result(
        self,
        command: dict[str, Any],
        error: str | None,
        row: tuple[str, dict[str, Any]] | None = None,
    ) -> None:
        fields = ("command_id", "target", "kind", "natural_key", "revision", "origin_key")
        result = {name: command[name] for name in fields}
        result.update(status="rejected" if error else "succeeded", error_detail=error)
        result["target_id"] = row and row[0].rpartition(":")[2]
        self.feeder.topology.put(
            "psa.command_result", command["natural_key"], result, command["origin_key"]
        )


def _identity(key: tuple[str, str, str]) -> dict[str, Any]:
    target, entity, external_id = key
    if entity == "customer":
        return {"source_system": target, "customer_id": external_id}
    if entity == "time_bill":
        return {"time_bill_id": external_id}
    return {
        "source_system": target,
        "project_id": external_id,
        "engagement_id": external_id.rpartition("-")[0],
    }


def _value(name: str, text: Any) -> Any:
    """Return a payload's value as the canonical record has it."""
    if text is None or isinstance(text, Decimal):
        return text
    if name.endswith("_on"):
        return date.fromisoformat(text)
    is_money = name in ("contract_value", "budget_cost", "budget_revenue")
    if is_money or name in SCALES:
        return Decimal(text).quantize(Decimal(1).scaleb(-SCALES.get(name, 6)))
    return text
