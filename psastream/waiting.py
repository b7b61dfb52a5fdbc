"""Rows of sources that wait for what they look up, as the state of the normalizer has them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import typer

from psastream.lines import say
from runtime.kafka import read_topic
from runtime.registry import Registry
from runtime.sealing import sealing_of
from runtime.settings import Settings
from schemas.topics import NORMALIZE, state_topic
from tables.lookups import SEEKERS, Reason, read_seeker

_PREFIX: Final = SEEKERS.encode()
_TOLD: Final = {
    Reason.MISSING: "{lookup}: there is no {detail}",
    Reason.CYCLE: "{lookup}: the parents of {detail} lead back to it",
    Reason.SEVERAL: "{lookup}: several rows name it: {detail}",
    Reason.UNREADABLE: "{lookup}: it cannot be read: {detail}",
    Reason.UNFIT: "what it looks up breaks a rule: {detail}",
}


@dataclass(frozen=True, slots=True)
class Waiting:
    """A row that waits, for which lookup, and why."""

    id: str
    lookup: str
    reason: Reason
    detail: str

    def __str__(self) -> str:
        return f"{self.id} waits. " + _TOLD[self.reason].format(
            lookup=self.lookup, detail=self.detail
        )


def show_waiting(settings: Settings, *, as_json: bool) -> None:
    """Print the rows that wait. Raises BrokerUnavailableError."""
    sealing = sealing_of(settings, Registry(settings.registry).schema)
    log = read_topic(settings.kafka, state_topic(NORMALIZE))
    found = waiting_of(
        (
            each.partition(),
            each.key(),
            value if sealing is None or value is None else sealing.open(value),
        )
        for each in log
        for value in [each.value()]
    )
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], indent=2))
        return
    for each in found:
        say(str(each))
    say(f"rows that wait: {len(found)}")


def waiting_of(records: Iterable[tuple[int, bytes, bytes | None]]) -> list[Waiting]:
    """Return the rows that wait by the records (partition, key, value) of a state log, in order."""
    found: dict[str, Waiting] = {}
    for _, key, value in records:
        if not key.startswith(_PREFIX):
            continue
        row_id = key.removeprefix(_PREFIX).decode()
        found.pop(row_id, None)
        wait = None if value is None else read_seeker(value).wait
        if wait is not None:
            found[row_id] = Waiting(row_id, wait.lookup, wait.reason, wait.detail)
    return [found[row_id] for row_id in sorted(found)]
