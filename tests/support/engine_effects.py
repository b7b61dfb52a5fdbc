"""What the target systems were made to do, against what was ordered. Shares no code with dispatch.

Every order changes the name of its record, so equal effects are doubled ones.
"""

import json
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Difference = tuple[str, str]
"""Kind (lost, doubled, wrong) and text."""

_DONE = {"succeeded", "adopted"}
_STATUSES = {*_DONE, "superseded"}

_BOOKS = {
    "netsuite": ("customer", "externalid", "companyname"),
    "float": ("projects", "project_code", "name"),
}
"""Of each target the records that orders are about: object, fields of id and of name."""


def effects_differences(
    admin_url: str,
    orders: Sequence[Mapping[str, Any]],
    statuses: Mapping[str, Sequence[str]],
    customers: Mapping[str, str],
    figures: Mapping[str, bytes],
) -> Iterator[Difference]:
    """Compare effects and records with the orders, and those of regions with their figures.

    `statuses` is what the journal says of each command: one that was superseded has no effect.
    """
    by_record: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for order in orders:
        by_record[order["target"], order["id"]].append(order)
    effects: dict[tuple[str, str], list[str]] = defaultdict(list)
    for effect in _get(admin_url, "effects"):
        effects[effect["vendor"], effect["external_id"]].append(effect["content"])
    books = _get(admin_url, "books")
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for target, (table, id_field, name_field) in _BOOKS.items():
        for row in books[target][table]:
            names[target, row[id_field]].append(row[name_field])

    for at, ordered in by_record.items():
        newest = max(ordered, key=lambda order: int(order["revision"]))
        what = f"{at[0]} {at[1]}"
        times = Counter(effects[at])
        told = [set(statuses.get(order["command_id"], ())) for order in ordered]
        done = sum(bool(status & _DONE) for status in told)
        if sum(times.values()) > min(done, len(times)):
            yield "doubled", f"{what}: {sum(times.values())} effects, {done} orders carried out"
        if len(times) < done:
            yield "lost", f"{what}: {len(times)} effects, {done} orders carried out"
        for order, status in zip(ordered, told, strict=True):
            if not status or (order is newest and not status & _DONE) or status - _STATUSES:
                yield "lost", f"{order['command_id']}: {sorted(status)}"
        if names[at] != [newest["name"]]:
            kind = "doubled" if len(names[at]) > 1 else "lost"
            yield kind, f"{what}: {names[at]} instead of {newest['name']} ({newest['revision']})"
    for region, figure in figures.items():
        held = names["netsuite", customers.get(region, "")]
        if held != [figure.decode()]:
            yield "wrong", f"customer of {region}: {held} instead of {figure.decode()}"


def _get(admin_url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{admin_url}/admin/{path}", timeout=60) as answer:
        return json.load(answer)
