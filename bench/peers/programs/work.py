"""Work A without any stream: what a row adds to which totals, for the Python programs beside this.

The programs run in virtual environments of their own, so nothing of the project is imported.
Decimals are handled as the scaled integers they are on the wire: exact, and faster than `Decimal`.
"""

from __future__ import annotations

import json
import os
from datetime import date, timedelta
from functools import lru_cache
from io import BytesIO
from operator import neg, sub
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

from fastavro import parse_schema, schemaless_reader, schemaless_writer

BOOTSTRAP_SERVERS = os.environ["BENCH_BOOTSTRAP_SERVERS"]
REGISTRY_URL = os.environ["BENCH_REGISTRY_URL"]
GROUP = os.environ["BENCH_GROUP"]
SOURCE_TOPIC = os.environ["BENCH_SOURCE_TOPIC"]
MARGIN_TOPIC = os.environ["BENCH_MARGIN_TOPIC"]
UTILIZATION_TOPIC = os.environ["BENCH_UTILIZATION_TOPIC"]
PARTITIONS = int(os.environ["BENCH_PARTITIONS"])
MARGIN_SCHEMA_ID = int(os.environ["BENCH_MARGIN_SCHEMA_ID"])
UTILIZATION_SCHEMA_ID = int(os.environ["BENCH_UTILIZATION_SCHEMA_ID"])
FOLDER = Path(os.environ["BENCH_FOLDER"])
HOLD_S = int(os.environ["BENCH_HOLD_MS"] or 0) / 1000

EPOCH = date(1970, 1, 1)
MARGIN, UTILIZATION = 0, 1
Amounts = tuple[int, ...]


class Contribution(NamedTuple):
    """What an approved row adds: a key and amounts of either total."""

    margin: tuple[str, Amounts]
    utilization: tuple[str, Amounts]


def without_logical_types(schema: Any) -> Any:
    """Return the schema as it is on the wire, which reads decimals as bytes and dates as ints."""
    if isinstance(schema, dict):
        drop = ("logicalType", "precision", "scale")
        return {name: without_logical_types(v) for name, v in schema.items() if name not in drop}
    if isinstance(schema, list):
        return [without_logical_types(part) for part in schema]
    return schema


@lru_cache(maxsize=64)
def _writer_schema(schema_id: bytes) -> Any:
    with urlopen(f"{REGISTRY_URL}/schemas/ids/{int.from_bytes(schema_id)}") as response:
        return parse_schema(without_logical_types(json.loads(json.load(response)["schema"])))


@lru_cache(maxsize=4096)
def _month_and_week(day: int) -> tuple[str, str]:
    on = EPOCH + timedelta(days=day)
    week = on.isocalendar()
    return f"{on:%Y-%m}", f"{week.year:04}-W{week.week:02}"


def contribution(value: bytes | None) -> Contribution | None:
    """Return what the framed row contributes, None if nothing."""
    if value is None:
        return None
    payload = BytesIO(value)
    payload.seek(5)
    row = schemaless_reader(payload, _writer_schema(value[1:5]))
    if row["status"] != "approved":
        return None
    month, week = _month_and_week(row["work_on"])
    hours = int.from_bytes(row["hours"], signed=True)
    billable = hours if row["is_billable"] else 0
    revenue = billable * int.from_bytes(row["bill_rate"], signed=True)
    cost = hours * int.from_bytes(row["cost_rate"], signed=True)
    return Contribution(
        (f"{row['project_ref']}|{month}|{row['currency']}", (hours, revenue, cost)),
        (f"{row['resource_id']}|{week}", (billable, hours)),
    )


def deltas(old: Contribution | None, new: Contribution | None) -> list[tuple[int, str, Amounts]]:
    """Return (MARGIN or UTILIZATION, key, amounts to add): the old retracted, the new added."""
    additions = []
    for total in (MARGIN, UTILIZATION):
        if old and new and old[total][0] == new[total][0]:
            amounts = tuple(map(sub, new[total][1], old[total][1]))
            if any(amounts):
                additions.append((total, new[total][0], amounts))
            continue
        if old:
            additions.append((total, old[total][0], tuple(map(neg, old[total][1]))))
        if new:
            additions.append((total, new[total][0], new[total][1]))
    return additions


class AmountsCodec:
    """Amounts as a framed record of decimals, with a schema beside the peers."""

    def __init__(self, name: str, schema_id: int) -> None:
        schema = json.loads((Path(__file__).parent.parent / f"{name}.avsc").read_text())
        self._schema = parse_schema(without_logical_types(schema))
        self._names = [field["name"] for field in schema["fields"]]
        self._frame = b"\0" + schema_id.to_bytes(4)

    def encode(self, amounts: Amounts) -> bytes:
        """Return the framed record."""
        record = {
            name: amount.to_bytes(amount.bit_length() // 8 + 1, signed=True)
            for name, amount in zip(self._names, amounts, strict=True)
        }
        payload = BytesIO()
        payload.write(self._frame)
        schemaless_writer(payload, self._schema, record)
        return payload.getvalue()

    def decode(self, value: bytes) -> Amounts:
        """Return the amounts of a framed record."""
        payload = BytesIO(value)
        payload.seek(5)
        record = schemaless_reader(payload, self._schema)
        return tuple(int.from_bytes(amount, signed=True) for amount in record.values())


CODECS = (
    AmountsCodec("margin", MARGIN_SCHEMA_ID),
    AmountsCodec("utilization", UTILIZATION_SCHEMA_ID),
)
OUTPUTS = (MARGIN_TOPIC, UTILIZATION_TOPIC)
