"""Who touches what on Kafka: a user for each process of a firm, and for people. Pure.

A process asks for no more than it needs, so each right has its reason beside it. Which rights
those are, a broker that refuses everything else has shown (`tests/access`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from connectors.dispatch.decisions import DECISIONS as COMMAND_DECISIONS
from connectors.dispatch.dispatcher import GROUP_ID as DISPATCH_GROUP
from connectors.dispatch.journal import DEAD_LETTERS, EXCEPTIONS, INTENTS, RESULTS
from connectors.dispatch.references import RECORD_NAMES
from connectors.dispatch.signals import GROUP as SIGNALS_GROUP
from connectors.dispatch.signals import REQUESTS
from connectors.polled.kafka_log import GROUP as SOURCE_LOG_GROUP
from connectors.polled.kafka_log import transactional_id
from psastream.access.capture import CONNECT_GROUP, Capture, platform_topics
from psastream.access.rights import Operation, Resource, Right, User, merged
from psastream.erasure import TOPICS as NAMING
from psastream.landscape import FirmSystems
from psastream.letter_decisions import TRANSACTIONAL_ID as DECISIONS_ID
from psastream.letters import DECISIONS
from psastream.letters import GROUP as LETTERS_GROUP
from psastream.query.session import public_topics
from psastream.read_model.following import GROUP as READ_MODEL_GROUP
from psastream.read_model.landing import landing_tables
from psastream.remains import searched
from psastream.worker import APP_ID, APP_IDS, MEASURES_APP_ID, app_id_of
from runtime.brokers import PROBE_ID
from runtime.kafka import READ_GROUP
from schemas.topics import (
    BOOKMARKS,
    CANONICAL,
    INTERNAL,
    KEYS,
    SOURCE_ORDERS,
    STATE_LOGS,
    command_topic,
    state_topic,
)
from streams.engine.settings import RECOVERY, WORKER

CLUSTER: Final = "kafka-cluster"
"""How Kafka calls the one resource of its kind."""
_READ: Final = (Operation.READ,)
_WRITE: Final = (Operation.WRITE,)
_READ_WRITE: Final = (Operation.READ, Operation.WRITE)
_DESCRIBE: Final = (Operation.DESCRIBE,)
_REPLACE: Final = (Operation.CREATE, Operation.DELETE)
_MAKE: Final = (Operation.CREATE, Operation.DESCRIBE)

Reads = Mapping[str, Iterable[str]]
"""Topics that each agent group reads (`GroupSpec.handlers`), by the name of the group."""


@dataclass(frozen=True, slots=True)
class Connectors:
    """The connectors of a firm: names of those that poll, by system, and what captures databases.

    `objects`: those that are polled, by system.
    """

    polled: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    captures: tuple[Capture, ...] = ()


def users_of(firm: FirmSystems, reads: Reads, connectors: Connectors) -> tuple[User, ...]:
    """Return every user of a firm.

    The watcher of connectors and `psastream schemas` are none: they ask Connect and the registry.
    """
    users = [_worker(firm, reads, APP_ID, "psastream-worker", "psastream worker")]
    if firm.measures:
        name, purpose = "psastream-measures", "psastream worker --measures"
        users.append(_worker(firm, reads, MEASURES_APP_ID, name, purpose))
    users += [_poller(firm, system, connectors) for system in connectors.polled]
    users += [_dispatcher(firm, target) for target in firm.targets]
    users.append(_read_model(firm))
    if connectors.captures:
        users.append(_connect(connectors.captures))
    if firm.is_sealed:
        users.append(_custodian(firm))
    return (
        *users,
        _deployer(firm, reads),
        _reader(firm),
        _operator(firm, reads),
        _maintainer(firm, reads),
    )


def together(name: str, purpose: str, users: Iterable[User]) -> User:
    """Return a user for a process that does the work of several: it has the rights of all."""
    return User(name, purpose, merged(right for user in users for right in user.rights))


def _keys(firm: FirmSystems, operations: tuple[Operation, ...]) -> Iterator[Right]:
    """What a firm that encrypts needs in each process."""
    if firm.is_sealed:
        yield _topic(KEYS.name, operations, "keys of records that are encrypted")
        yield _whole_reads()


def _user(name: str, purpose: str, rights: Iterator[Right]) -> User:
    return User(name, purpose, merged(rights))


def _topic(name: str, operations: tuple[Operation, ...], why: str) -> Right:
    return Right(Resource.TOPIC, name, operations, why)


def _topics(names: Iterable[str], operations: tuple[Operation, ...], why: str) -> Iterator[Right]:
    return (_topic(name, operations, why) for name in names)


def _group(name: str, operations: tuple[Operation, ...], why: str) -> Right:
    return Right(Resource.GROUP, name, operations, why)


def _transactions(name: str, why: str, *, is_prefix: bool = False) -> Right:
    return Right(Resource.TRANSACTIONAL_ID, name, _WRITE, why, is_prefix)


def _whole_reads() -> Right:
    """What reads a topic from its beginning to its end: `runtime.kafka.read_topic`."""
    return _group(READ_GROUP, _DESCRIBE, "reading topics whole")


def _worker(firm: FirmSystems, reads: Reads, app_id: str, name: str, purpose: str) -> User:
    groups = [group for group in reads if app_id_of(group) == app_id]

    def rights() -> Iterator[Right]:
        for group in groups:
            yield from _topics(reads[group], _READ, f"read by {group}")
            yield _topic(state_topic(group), _READ_WRITE, f"state of {group}")
        unmade = _unmade(firm, reads)
        for topic in firm.topics:
            writers = [group for group in groups if group in topic.owner.split(", ")]
            if writers and topic not in STATE_LOGS and topic.name not in unmade:
                yield _topic(topic.name, _WRITE, f"written by {', '.join(writers)}")
        yield _topic(DEAD_LETTERS, _WRITE, "records that cannot be processed")
        if app_id == APP_ID:
            yield _topic(EXCEPTIONS, _WRITE, "what tables find that people must see")
            why = "how long dead letters are kept that nobody has decided about"
            yield _topic(DEAD_LETTERS, (Operation.READ, Operation.DESCRIBE_CONFIGS), why)
            yield _topic(DECISIONS, _READ, why)
            yield _group(LETTERS_GROUP, _DESCRIBE, why)
        yield from _keys(firm, _READ_WRITE)
        yield _group(app_id, _READ, "workers share partitions")
        yield _group(app_id + RECOVERY, _DESCRIBE, "state is restored from its log")
        yield _transactions(app_id + WORKER, "state, outputs and offsets at once", is_prefix=True)

    return _user(name, purpose, rights())


def _unmade(firm: FirmSystems, reads: Reads) -> set[str]:
    """Return topics that no mapping of a firm makes rows of, and internal ones that nobody reads.

    Nothing is written to them.
    """
    made = {target.topic.name for mapping in firm.mappings for target in mapping.targets}
    read = {topic for topics in reads.values() for topic in topics}
    return {
        *(topic.name for topic in CANONICAL if topic.name not in made),
        *(topic.name for topic in INTERNAL if topic.name not in read),
    }


def _poller(firm: FirmSystems, system: str, connectors: Connectors) -> User:
    topics = firm.bundles[system].topics
    polled = connectors.objects.get(system, tuple(topics))
    connector = connectors.polled[system]

    def rights() -> Iterator[Right]:
        yield from _topics((topics[obj].name for obj in polled), _WRITE, "rows that were polled")
        yield _topic(DEAD_LETTERS, _WRITE, "rows that do not fit their contract")
        yield _topic(BOOKMARKS.name, _READ_WRITE, "where it was, and what it has published")
        yield _topic(SOURCE_ORDERS.name, _READ_WRITE, "what people order, and what came of it")
        yield from _keys(firm, _READ_WRITE)
        yield _group(SOURCE_LOG_GROUP, _DESCRIBE, "asking for the ends of the bookmarks")
        yield _whole_reads()
        yield _transactions(transactional_id(connector), "rows and bookmark at once")

    purpose = f"psastream poll, {system}"
    return _user(f"psastream-poller-{_dashed(system)}", purpose, rights())


def _dispatcher(firm: FirmSystems, target: str) -> User:
    def rights() -> Iterator[Right]:
        yield _topic(command_topic(target).name, _READ, "commands to carry out")
        others = [command_topic(each).name for each in firm.targets if each != target]
        why = "who leads the group assigns the partitions of all dispatchers"
        yield from _topics(others, _DESCRIBE, why)
        yield from _topics(
            (INTENTS, RESULTS, EXCEPTIONS), _READ_WRITE, "what was attempted, and what came of it"
        )
        yield _topic(DEAD_LETTERS, _WRITE, "records that are no command")
        yield _topic(REQUESTS, _READ, "what people want tried again")
        yield _topic(COMMAND_DECISIONS, _READ, "what people have decided about commands")
        yield from _topics(RECORD_NAMES, _READ, "records whose change may end a refusal")
        yield from _keys(firm, _READ_WRITE)
        yield _group(DISPATCH_GROUP, _READ, "dispatchers share partitions")
        yield _group(SIGNALS_GROUP, _DESCRIBE, "reading from the ends on")
        yield _whole_reads()

    purpose = f"psastream dispatch, {target}"
    return _user(f"psastream-dispatcher-{_dashed(target)}", purpose, rights())


def _read_model(firm: FirmSystems) -> User:
    def rights() -> Iterator[Right]:
        names = (table.topic.name for table in landing_tables(firm.topics))
        yield from _topics(names, _READ, "a table of the read model")
        yield from _keys(firm, _READ)
        yield _group(READ_MODEL_GROUP, _DESCRIBE, "following topics")
        yield _whole_reads()

    return _user("psastream-read-model", "psastream readmodel run, rebuild, status", rights())


def _connect(captures: Iterable[Capture]) -> User:
    found = tuple(captures)
    own = [topic.name for topic in platform_topics(())]

    def rights() -> Iterator[Right]:
        operations = (*_READ_WRITE, Operation.DESCRIBE_CONFIGS)
        yield from _topics(own, operations, "connectors, their offsets and states")
        for capture in found:
            yield from _topics(capture.topics, _WRITE, f"{capture.name} captures it")
            if capture.heartbeat:
                yield _topic(capture.heartbeat, _WRITE, f"{capture.name} tells that it lives")
            if capture.history and capture.history_group:
                why = f"{capture.name} keeps the schemas of its tables"
                yield _topic(capture.history, operations, why)
                yield _group(capture.history_group, _READ, why)
        yield _group(CONNECT_GROUP, _READ, "workers of Connect share connectors")

    return _user("psastream-connect", "Kafka Connect with Debezium", rights())


def _deployer(firm: FirmSystems, reads: Reads) -> User:
    def rights() -> Iterator[Right]:
        operations = (*_MAKE, Operation.DESCRIBE_CONFIGS)
        names = (topic.name for topic in firm.topics)
        yield from _topics(names, operations, "made where it is missing; its settings are checked")
        why = "settings of the brokers are checked"
        yield Right(Resource.CLUSTER, CLUSTER, (Operation.DESCRIBE_CONFIGS,), why)
        yield _transactions(PROBE_ID, "checked: can a transaction begin")
        yield from _topics(map(state_topic, reads), _READ, "checked: the layout of the state")
        yield _whole_reads()

    return _user("psastream-deployer", "psastream topics apply, check", rights())


def _reader(firm: FirmSystems) -> User:
    def rights() -> Iterator[Right]:
        names = (topic.name for topic in public_topics(firm.topics))
        yield from _topics(names, _READ, "rows and records that are asked for")
        yield from _keys(firm, _READ)
        yield _whole_reads()

    purpose = "psastream sql, export, topics read, commands, exceptions list, dlq list"
    return _user("psastream-reader", purpose, rights())


def _operator(firm: FirmSystems, reads: Reads) -> User:
    purpose = (
        "psastream status, prove, waiting, exceptions retry, commands stop and approve, dlq"
        " release, connectors sweep and pause; what readers may"
    )
    return _user("psastream-operator", purpose, _operator_rights(firm, reads))


def _operator_rights(firm: FirmSystems, reads: Reads) -> Iterator[Right]:
    yield from _reader(firm).rights
    yield from _keys(firm, _READ_WRITE)
    for bundle in firm.bundles.values():
        for topic in bundle.topics.values():
            why = "status and proofs; records that are released"
            yield _topic(topic.name, _READ_WRITE, why)
    read = dict.fromkeys(topic for topics in reads.values() for topic in topics)
    yield from _topics(read, _READ, "status and proofs")
    yield from _topics(map(state_topic, reads), _READ, "proofs; rows that wait")
    yield _topic(REQUESTS, _WRITE, "exceptions retry, release")
    yield _topic(SOURCE_ORDERS.name, _READ_WRITE, "connectors sweep, resync, pause, resume, status")
    yield _topic(COMMAND_DECISIONS, _WRITE, "commands stop, start, approve, refuse")
    yield _topic(DECISIONS, _WRITE, "dlq release, discard")
    yield _transactions(DECISIONS_ID, "a decision and the record it lets through at once")
    for group in (*APP_IDS, DISPATCH_GROUP):
        yield _group(group, _DESCRIBE, "where it stands, and who is in it")


def _maintainer(firm: FirmSystems, reads: Reads) -> User:
    def rights() -> Iterator[Right]:
        for app_id in dict.fromkeys(map(app_id_of, reads)):
            yield _group(app_id, _READ, "positions are set back; nobody may be in it")
        yield _group(DISPATCH_GROUP, _DESCRIBE, "nobody may be in it")
        read = dict.fromkeys(topic for topics in reads.values() for topic in topics)
        yield from _topics(read, _READ, "read again from its first record")
        yield from _topics(map(state_topic, reads), _REPLACE, "a group is computed from nothing")
        yield _topic(EXCEPTIONS, _READ_WRITE, "findings of a group that forgets")
        yield from _keys(firm, _READ_WRITE)
        yield _whole_reads()

    return _user("psastream-maintainer", "psastream reread, rebuild", rights())


def _custodian(firm: FirmSystems) -> User:
    def rights() -> Iterator[Right]:
        yield _topic(KEYS.name, _READ_WRITE, "keys are made, kept anew and destroyed")
        for topic in NAMING:
            yield _topic(topic.name, _READ_WRITE, "rows are published without names")
        yield _topic(DEAD_LETTERS, _READ, "which tell of a person")
        names = (topic.name for topic in searched(firm.topics))
        yield from _topics(names, _READ, "told: what names a person there")
        yield _whole_reads()

    return _user("psastream-custodian", "psastream keys, erase", rights())


def _dashed(system: str) -> str:
    """A system's name as a part of a user's, which Kubernetes takes."""
    return system.replace("_", "-")
