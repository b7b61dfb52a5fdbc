"""Asks every part how it is; one that is not named or does not answer holds up no other."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, TypeVar

from connectors.debezium.client import ConnectClient, ConnectorStatus
from connectors.dispatch.dispatcher import GROUP_ID as DISPATCH_GROUP
from connectors.dispatch.exceptions import OPEN
from connectors.dispatch.journal import EXCEPTIONS
from connectors.systems import Systems
from psastream.exceptions import Row, is_shadowed, read_exceptions, sums_of
from psastream.landscape import FirmSystems
from psastream.letters import TOPIC as LETTERS
from psastream.letters import Letter, counted, read_letters
from psastream.status.model import (
    ConnectorState,
    ExceptionState,
    GroupState,
    LetterState,
    Money,
    NumberState,
    SourceState,
    Status,
    TargetState,
    Unknown,
)
from psastream.status.probes import Answer, ask_processes, polled_states, target_states
from psastream.worker import APP_IDS, app_id_of
from runtime.access import HttpAccess
from runtime.kafka import KafkaSettings, require_broker
from runtime.offsets import (
    UNREAD_S,
    Place,
    committed_offsets,
    group_members,
    newest_at,
    present_places,
    spans,
    unread_since,
)
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.settings import Settings
from schemas.errors import PsaStreamError
from schemas.topics import METRICS, command_topic
from streams.groups import make_groups

CONNECT_TIMEOUT_S: Final = 5.0
REACH_S: Final = 8.0
"""Longest wait for a broker to answer."""
SURE_S: Final = 15.0
"""Longest wait for unread records where nothing goes on before it is known whether there are any:
marks of transactions count as such until then."""
DISPATCH: Final = "dispatch"
"""What the dispatchers are called beside the agent groups."""

T = TypeVar("T")


@dataclass(slots=True)
class Unanswered:
    """What could not be asked so far."""

    told: list[Unknown] = field(default_factory=list)

    def asked(self, part: str, ask: Callable[[], T], otherwise: T) -> T:
        """Return what a part answers; where it ends in an error of ours, tell that."""
        try:
            return ask()
        except PsaStreamError as error:
            self.told.append(Unknown(part, error.detail, error.hint))
            return otherwise

    def unnamed(self, part: str, remedy: str) -> None:
        """Tell of a part whose address is not configured."""
        self.told.append(Unknown(part, "not named", remedy, is_failure=False))


def gather(settings: Settings, firm: FirmSystems, now: Callable[[], datetime]) -> Status:
    """Ask every part. Raises nothing of ours: what does not answer is in `unknown`."""
    unanswered = Unanswered()
    with ThreadPoolExecutor(3) as threads:
        answers = threads.submit(ask_processes, settings.processes)
        connectors = threads.submit(_connectors, settings, unanswered)
        kafka = threads.submit(_kafka, settings, firm, unanswered)
    if not settings.processes:
        unanswered.unnamed("processes", "PSASTREAM_PROCESSES says where they serve /metrics")
    return assembled(
        now(),
        firm,
        answers=answers.result(),
        connectors=connectors.result(),
        kafka=kafka.result(),
        unknown=unanswered.told,
        to_be_polled=_polled(settings, firm) if settings.processes else (),
    )


def _polled(settings: Settings, firm: FirmSystems) -> list[str]:
    """Return the systems that a poller is to read; others are databases."""
    systems = Systems(settings.systems)
    return [name for name, bundle in firm.bundles.items() if systems.vendor(bundle.vendor).source]


@dataclass(slots=True)
class OfKafka:
    """What the topics tell. None: they could not be read."""

    groups: list[GroupState] = field(default_factory=list)
    newest: dict[str, datetime] | None = None
    exceptions: list[Row] | None = None
    letters: list[Letter] | None = None


def assembled(
    at: datetime,
    firm: FirmSystems,
    *,
    answers: Sequence[Answer],
    connectors: Sequence[ConnectorState],
    kafka: OfKafka,
    unknown: Iterable[Unknown],
    to_be_polled: Collection[str] = (),
) -> Status:
    """Put together what the parts told. Pure.

    `to_be_polled`: systems that one of the processes is to tell of.
    """
    samples = [sample for answer in answers for sample in answer.samples]
    polled, dispatched = polled_states(samples), target_states(samples)
    waiting = None if kafka.exceptions is None else [
        row for row in kafka.exceptions if row["status"] == OPEN
    ]  # fmt: skip
    newest = kafka.newest
    return Status(
        at=at,
        processes=[answer.process for answer in answers],
        groups=kafka.groups,
        connectors=connectors,
        sources=_sources(firm, newest or {}, polled, to_be_polled)
        if newest is not None or polled
        else [],
        targets=[
            _target(target, dispatched.get(target), waiting)
            for target in firm.targets
            if waiting is not None or target in dispatched
        ],
        exceptions=None
        if waiting is None
        else _exceptions([row for row in waiting if not is_shadowed(row)]),
        dead_letters=None if kafka.letters is None else _letters(kafka.letters),
        numbers=[]
        if newest is None
        else [NumberState(name, newest.get(name)) for name in _measures(firm)],
        unknown=list(unknown),
    )


def _sources(
    firm: FirmSystems,
    newest: Mapping[str, datetime],
    polled: Mapping[str, SourceState],
    to_be_polled: Collection[str],
) -> list[SourceState]:
    states = []
    for system, bundle in firm.bundles.items():
        captured = [newest[each.name] for each in bundle.topics.values() if each.name in newest]
        unpolled = SourceState(system, is_polled=False if system in to_be_polled else None)
        state = polled.get(system, unpolled)
        states.append(replace(state, captured_at=max(captured, default=None)))
    return states


def _target(target: str, told: TargetState | None, waiting: Sequence[Row] | None) -> TargetState:
    state = told or TargetState(target)
    if waiting is None:
        return state
    ours = [row for row in waiting if row["system"] == target and row["revision"] is not None]
    refused = [row for row in ours if not is_shadowed(row)]
    held = sum(bool(row["is_held"]) for row in refused)
    shadowed = len(ours) - len(refused)
    return replace(state, refused=len(refused), held=held, shadowed=shadowed)


def _exceptions(waiting: Sequence[Row]) -> ExceptionState:
    counts = Counter(row["currency"] for row in waiting if row["amount"] is not None)
    return ExceptionState(
        len(waiting),
        min((row["raised_at"] for row in waiting), default=None),
        [Money(name, amount, counts[name]) for name, amount in sums_of(waiting).items()],
    )


def _letters(letters: Iterable[Letter]) -> list[LetterState]:
    return [LetterState(topic, code, count, last) for topic, code, count, last in counted(letters)]


def _measures(firm: FirmSystems) -> list[str]:
    return [topic.name for topic in (*METRICS, *(own.topic for own in firm.measures))]


def _connectors(settings: Settings, unanswered: Unanswered) -> list[ConnectorState]:
    access = settings.connect
    if access is None:
        unanswered.unnamed("connectors", "PSASTREAM_CONNECT_URL says where Kafka Connect is")
        return []
    return unanswered.asked(
        "connectors", lambda: connector_states(asyncio.run(_ask_connect(access))), []
    )


async def _ask_connect(access: HttpAccess) -> dict[str, ConnectorStatus]:
    client = ConnectClient(access, timeout_s=CONNECT_TIMEOUT_S, attempts=1)
    try:
        return await client.statuses()
    finally:
        await client.close()


def connector_states(statuses: Mapping[str, ConnectorStatus]) -> list[ConnectorState]:
    """Return connectors as the status has them."""
    return [
        ConnectorState(
            name,
            status.state,
            status.tasks,
            status.is_running,
            status.traces[0].partition("\n")[0] if status.traces else "",
        )
        for name, status in statuses.items()
    ]


def _kafka(settings: Settings, firm: FirmSystems, unanswered: Unanswered) -> OfKafka:
    return unanswered.asked(
        "kafka", lambda: _ask_kafka(settings.kafka, settings, firm, unanswered), OfKafka()
    )


def _ask_kafka(
    kafka: KafkaSettings, settings: Settings, firm: FirmSystems, unanswered: Unanswered
) -> OfKafka:
    require_broker(kafka.client(), timeout_s=REACH_S)
    serde = Serde.of(settings)
    reads = reads_of(settings, firm)
    sources = [each.name for it in firm.bundles.values() for each in it.topics.values()]
    told = [*sources, *_measures(firm)]
    read = [topic for topics in reads.values() for topic in topics]
    present = present_places(kafka, {*read, *told, EXCEPTIONS, LETTERS})
    found = OfKafka(
        groups=_groups(kafka, reads, present),
        newest=newest_at(kafka, [place for topic in told for place in present.get(topic, ())]),
    )
    if EXCEPTIONS in present:
        found.exceptions = unanswered.asked(
            "exceptions", lambda: read_exceptions(kafka, serde), found.exceptions
        )
    if LETTERS in present:
        found.letters = unanswered.asked(
            "dead letters", lambda: read_letters(kafka, serde), found.letters
        )
    return found


def reads_of(settings: Settings, firm: FirmSystems) -> dict[str, list[str]]:
    """Return what each agent group reads, and the dispatchers where commands go anywhere."""
    dispatched = {DISPATCH: _commands(firm)} if firm.targets else {}
    return {**_agent_groups(settings, firm), **dispatched}


def _agent_groups(settings: Settings, firm: FirmSystems) -> dict[str, list[str]]:
    registry = Registry(settings.registry)
    groups = make_groups(firm.mappings, registry, firm.landscape, firm.measures)
    return {group.name: list(group.handlers()) for group in groups}


def unread_groups(settings: Settings, firm: FirmSystems) -> list[GroupState]:
    """Return what each agent group has not read yet.

    Raises BrokerUnavailableError, RegistryUnavailableError.
    """
    kafka = settings.kafka
    require_broker(kafka.client())
    reads = _agent_groups(settings, firm)
    present = present_places(kafka, {topic for topics in reads.values() for topic in topics})
    return _groups(kafka, reads, present, timeout_s=SURE_S)


def _commands(firm: FirmSystems) -> list[str]:
    return [command_topic(target).name for target in firm.targets]


def _groups(
    kafka: KafkaSettings,
    reads: Mapping[str, Sequence[str]],
    present: Mapping[str, list[Place]],
    *,
    timeout_s: float = UNREAD_S,
) -> list[GroupState]:
    members: dict[str, int] = {}
    lags: dict[Place, int] = {}
    positions: dict[Place, int] = {}
    has_read: dict[str, bool] = {}
    readers = {each: DISPATCH_GROUP if each == DISPATCH else app_id_of(each) for each in reads}
    for reader in (*APP_IDS, DISPATCH_GROUP):
        groups = [group for group in reads if readers[group] == reader]
        topics = [topic for group in groups for topic in reads[group]]
        places = [place for topic in topics for place in present.get(topic, ())]
        committed = committed_offsets(kafka, reader, places)
        has_read[reader] = bool(committed)
        members |= dict.fromkeys(groups, group_members(kafka, reader))
        for place, (start, end) in spans(kafka, places).items():
            at = max(start, committed.get(place, start))
            if at < end:
                positions[place], lags[place] = at, end - at
    unread = unread_since(kafka, positions, timeout_s=timeout_s)
    states = []
    for group, names in reads.items():
        mine = [place for name in names for place in present.get(name, ()) if place in unread]
        written = [since for place in mine if (since := unread[place]) is not None]
        states.append(
            GroupState(
                group,
                members[group],
                sum(lags[place] for place in mine),
                min(written, default=None),
                tuple(name for name in names if name not in present),
                is_dry_run=group == DISPATCH and not has_read[DISPATCH_GROUP],
            )
        )
    return states
