"""Runs the clauses on a system: on each object of its folder that its vendor's API has."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TypeVar

from aiohttp import web
from pydantic import BaseModel, ValidationError
from structlog.testing import capture_logs

from connectors.polled.config import PolledConfig
from connectors.polled.source import PolledSource
from connectors.singer.source import SingerConnectorConfig, SingerSource
from connectors.systems import packaged_landscape, read_text
from connectors.toolkit.config import read_document
from connectors.toolkit.vendor import Vendor
from psastream.conformance import answers, capturing, deltas, lists, queues, rows, runs, writing
from psastream.conformance.bench import (
    NOON,
    Bench,
    BrokenClauseError,
    Network,
    Sample,
    Subject,
)
from psastream.conformance.clauses import (
    CLAUSES,
    DATABASE_CLAUSES,
    FIRST,
    FIRST_OF_TABLES,
    OF_TAPS_TOO,
    SINK_CLAUSES,
    TAP_CLAUSES,
    Clause,
    DatabaseClause,
    SinkClause,
)
from psastream.conformance.databases import DatabaseBench, DatabaseSubject, Registry
from psastream.conformance.documented import FILE, Api, read_api
from psastream.conformance.keys import certificate_file, key_file
from psastream.conformance.paths import load
from psastream.conformance.server import DocumentedApi
from psastream.conformance.tapped import DocumentedTap
from psastream.conformance.targets import Order, SinkBench, SinkSubject
from psastream.conformance.timing import run_jumping
from schemas.errors import ConfigError
from schemas.landscape import Landscape
from schemas.mapping.compiled import ObjectMapping
from schemas.system import SystemBundle
from schemas.topics import NORMALIZE
from streams.engine import ChunkHandler
from streams.groups import make_groups

SAMPLES: Final = "samples"
COMMANDS: Final = "commands"
ALL: Final = "all clauses"
TAPS: Final = "singer"
Model = TypeVar("Model", bound=BaseModel)
_PLACEHOLDER: Final = re.compile(r"\$\{env:(\w+)\}")
MODULES: Final = (lists, answers, deltas, queues, rows, runs, writing, capturing)
"""Their import puts the clauses on the list."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What became of a clause on an object: `broken` by what was seen, or `spared` for a reason."""

    obj: str
    clause: str
    broken: str = ""
    spared: str = ""

    @property
    def holds(self) -> bool:
        """Whether the object holds to it."""
        return not self.broken and not self.spared


def read_subject(folder: Path, system: SystemBundle, vendor: Vendor) -> Subject | None:
    """Return what of a folder reads, None where nothing does.

    Raises ConfigError naming what it lacks.
    """
    file = f"{system.name}/{FILE}"
    hint = "psastream docs conformance says what a folder must hold to be tested"
    api = read_api(read_text(folder / FILE, file, hint), file)
    if vendor.source is None:
        if api.objects:
            raise ConfigError(f"nothing polls {system.name}", hint=hint)
        return None
    if not api.objects:
        raise ConfigError(f"{file} says nothing of what is read", hint=hint)
    document = read_document(folder / api.connector)
    if unknown := sorted(api.objects.keys() - system.topics.keys()):
        raise ConfigError(f"{file}: {system.name} has no {', '.join(unknown)}", hint=hint)
    samples = {obj: read_samples(folder, obj) for obj in api.objects}
    environment = {**_canaries(document), **api.environment}
    environment |= {name: str(key_file()) for name in api.keys}
    environment |= {name: str(certificate_file()) for name in api.certificates}
    raw = {obj: [sample.row for sample in found] for obj, found in samples.items()}
    make = partial(_account, api, raw, environment)
    shape = partial(vendor.shape, system)
    if system.vendor == TAPS:
        make_tap = partial(DocumentedTap, api, raw, environment)
        tapped = partial(_tapped, system)
        return Subject(
            system, vendor.source, document, environment, make_tap, shape, samples, tapped
        )
    return Subject(system, vendor.source, document, environment, make, shape, samples)


def _tapped(system: SystemBundle, config: PolledConfig, tap: Any) -> PolledSource:
    assert isinstance(config, SingerConnectorConfig)
    return SingerSource(config, system, tap)


def _account(
    api: Api,
    samples: Mapping[str, list[dict[str, Any]]],
    environment: Mapping[str, str],
    clock: Callable[[], datetime],
) -> DocumentedApi:
    if api.server is None:
        return DocumentedApi(api, samples, environment, clock)
    made = _named(api.server)(api, samples, environment, clock)
    assert isinstance(made, DocumentedApi)
    return made


def _canaries(document: Mapping[str, Any]) -> dict[str, str]:
    """Values of the variables that a connector file names: found wherever one gets out."""
    names = {name for value in document.values() for name in _PLACEHOLDER.findall(str(value))}
    return {name: f"canary-{name.lower()}-7f3a" for name in sorted(names)}


def read_samples(folder: Path, obj: str) -> Sequence[Sample]:
    """Return the sample rows of an object. Raises ConfigError where there is none."""
    return _read_list(folder, obj, Sample)


def _read_list(folder: Path, name: str, model: type[Model]) -> list[Model]:
    """Return the samples of a file. Raises ConfigError where there is none."""
    file = f"{folder.name}/{SAMPLES}/{name}.json"
    hint = "psastream docs conformance shows what stands in it"
    text = read_text(folder / SAMPLES / f"{name}.json", file, hint)
    try:
        found = [model.model_validate(each) for each in load(text)]
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise ConfigError(f"{file}: {where}: {problem['msg']}", hint=hint) from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{file} is no list in JSON: {error}", hint=hint) from error
    if not found:
        raise ConfigError(f"{file} has nothing in it", hint=hint)
    return found


def _named(server: str) -> Any:
    module, _, name = server.partition(":")
    return getattr(import_module(module), name)


def read_database_subject(folder: Path, system: SystemBundle) -> DatabaseSubject:
    """Return what of a folder Debezium captures. Raises ConfigError naming what it lacks."""
    file = f"{system.name}/{FILE}"
    hint = "psastream docs conformance says what a folder of a database must hold to be tested"
    database = read_api(read_text(folder / FILE, file, hint), file).database
    if database is None:
        raise ConfigError(f"{file} says nothing of its database", hint=hint)
    if unknown := sorted(database.tables.keys() - system.topics.keys()):
        raise ConfigError(f"{file}: {system.name} has no {', '.join(unknown)}", hint=hint)
    if any(mapping.source is not None for mapping in system.mappings):
        raise ConfigError(
            f"{system.name}: only what is captured from a PostgreSQL is held to clauses",
            hint="psastream system try shows what becomes of rows of other databases",
        )
    document = read_document(folder / database.connector)
    samples = {table: read_samples(folder, table) for table in database.tables}
    return DatabaseSubject(system, packaged_landscape(), database, document, samples, normalizers)


def normalizers(
    mappings: Sequence[ObjectMapping], registry: Registry, landscape: Landscape
) -> Mapping[str, ChunkHandler]:
    """Return what normalizes, as a worker has it: handlers by topic."""
    groups = make_groups(mappings, registry, landscape)
    [found] = [each.agents for each in groups if each.name == NORMALIZE]
    return {agent.topic: agent.handler for agent in found}


def conform_database(
    subject: DatabaseSubject, tables: Collection[str] = (), clauses: Collection[str] = ()
) -> list[Finding]:
    """Return what became of each clause of databases on each table; on all by default."""
    names = [*FIRST_OF_TABLES, *(each for each in DATABASE_CLAUSES if each not in FIRST_OF_TABLES)]
    chosen = [DATABASE_CLAUSES[name] for name in names if not clauses or name in clauses]
    found: list[Finding] = []
    for table in subject.database.tables:
        if not tables or table in tables:
            for clause in chosen:
                found.append(_try_table(subject, table, clause, found))
    return found


def _try_table(
    subject: DatabaseSubject, table: str, clause: DatabaseClause, found: Sequence[Finding]
) -> Finding:
    if first := _first_broken(found, table, FIRST_OF_TABLES):
        return Finding(table, clause.name, spared=f"{first!r} is broken")
    bench = DatabaseBench(subject, table)
    if bench.mapping is None and clause.name not in FIRST_OF_TABLES[:1]:
        return Finding(table, clause.name, spared="nothing is made of it but what others look up")
    if clause.name == "any order" and not bench.mapping_looks_up:
        return Finding(table, clause.name, spared="it looks nothing up")
    try:
        with capture_logs():
            clause.check(bench)
    except BrokenClauseError as error:
        return Finding(table, clause.name, broken=str(error))
    return Finding(table, clause.name)


def _judge_database(
    folder: Path, system: SystemBundle, tables: Collection[str], clauses: Collection[str]
) -> list[Finding]:
    subject = read_database_subject(folder, system)
    if strange := sorted({*tables} - subject.samples.keys()):
        hint = f"documented are {', '.join(sorted(subject.samples))}"
        raise ConfigError(f"{FILE} documents no object {strange[0]}", hint=hint)
    found = [] if tables else _undocumented(system, subject.samples)
    if clauses and not {*clauses} & DATABASE_CLAUSES.keys():
        return found
    return found + conform_database(subject, tables, {*clauses} & DATABASE_CLAUSES.keys())


def _undocumented(system: SystemBundle, known: Collection[str]) -> list[Finding]:
    return [
        Finding(obj, ALL, spared=f"{FILE} does not document it")
        for obj in system.topics
        if obj not in known
    ]


def judge(
    folder: Path,
    system: SystemBundle,
    vendor: Vendor,
    objects: Collection[str] = (),
    clauses: Collection[str] = (),
) -> list[Finding]:
    """Return what became of each clause on what a folder reads and writes.

    `objects` are its objects, and the kinds of its commands; all by default. Raises ConfigError
    where the folder lacks what it is tested by, or there is no such object or clause.
    """
    every = CLAUSES.keys() | TAP_CLAUSES.keys() | SINK_CLAUSES.keys() | DATABASE_CLAUSES.keys()
    if unknown := sorted({*clauses} - every):
        raise ConfigError(f"there is no clause {unknown[0]}", hint=", ".join(CLAUSES))
    if all(topic.contract is None for topic in system.topics.values()):
        return _judge_database(folder, system, objects, clauses)
    source, sink = read_subject(folder, system, vendor), read_sink_subject(folder, system, vendor)
    kinds = {order.kind for order in sink.orders} if sink else set()
    known = {*(source.samples if source else ()), *kinds}
    if strange := sorted({*objects} - known):
        hint = f"documented are {', '.join(sorted(known))}"
        raise ConfigError(f"{FILE} documents no object {strange[0]}", hint=hint)
    asked, named = {*(objects or known)}, {*(clauses or every)}
    of_source = {*(clauses_of(source) if source else ())} & named
    found: list[Finding] = []
    if source is not None and not objects:
        found += _undocumented(system, source.samples)
    if source is not None and asked - kinds and of_source:
        found += conform(source, asked - kinds, of_source)
    if sink is not None and asked & kinds and named & SINK_CLAUSES.keys():
        found += conform_sink(sink, asked & kinds, named & SINK_CLAUSES.keys())
    return found


def conform(
    subject: Subject, objects: Collection[str] = (), clauses: Collection[str] = ()
) -> list[Finding]:
    """Return what became of each clause on each object; all of them by default."""
    known = clauses_of(subject)
    names = [*FIRST, *(name for name in known if name not in FIRST)]
    chosen = [known[name] for name in names if not clauses or name in clauses]
    judged = [obj for obj in subject.samples if not objects or obj in objects]
    return run_jumping(_conform(subject, judged, chosen))


def clauses_of(subject: Subject) -> Mapping[str, Clause]:
    """Return the clauses that are about what is read so, by name."""
    if subject.tapped is None:
        return CLAUSES
    return {name: CLAUSES[name] for name in OF_TAPS_TOO} | TAP_CLAUSES


def read_sink_subject(folder: Path, system: SystemBundle, vendor: Vendor) -> SinkSubject | None:
    """Return what of a folder writes, None where nothing does. Raises ConfigError."""
    file = f"{system.name}/{FILE}"
    hint = "psastream docs conformance says what a folder must hold to be tested"
    if vendor.sink is None:
        return None
    written = read_api(read_text(folder / FILE, file, hint), file).sink
    if written is None:
        raise ConfigError(f"{file} says nothing of its sink", hint=hint)
    orders = _read_list(folder, COMMANDS, Order)
    kinds = {kind.kind for kind in vendor.commands}
    if lacking := sorted(kinds - {order.kind for order in orders}):
        raise ConfigError(f"{system.name}: no sample command is {lacking[0]}", hint=hint)
    return SinkSubject(
        system.name,
        vendor,
        vendor.sink,
        read_document(folder / written.connector),
        orders,
        written,
        _named(written.server),
    )


def conform_sink(
    subject: SinkSubject, kinds: Collection[str] = (), clauses: Collection[str] = ()
) -> list[Finding]:
    """Return what became of each clause of sinks on each sample command; of all by default."""
    orders = [order for order in subject.orders if not kinds or order.kind in kinds]
    chosen = [each for name, each in SINK_CLAUSES.items() if not clauses or name in clauses]
    with TemporaryDirectory() as directory:
        return run_jumping(_conform_sink(subject, orders, chosen, Path(directory)))


async def _conform_sink(
    subject: SinkSubject,
    orders: Sequence[Order],
    clauses: Sequence[SinkClause],
    directory: Path,
) -> list[Finding]:
    network = Network()
    found = []
    async with AsyncExitStack() as stack:
        network.url = await _serve(stack, network.answer)
        network.away = await _serve(stack, network.take)
        for order in orders:
            for clause in clauses:
                bench = SinkBench(subject, order, network, directory)
                broken = ""
                try:
                    await clause.check(bench)
                except BrokenClauseError as error:
                    broken = str(error)
                finally:
                    await bench.close()
                found.append(Finding(order.kind, clause.name, broken))
    return found


async def _conform(
    subject: Subject, objects: Collection[str], clauses: Sequence[Clause]
) -> list[Finding]:
    network = Network()
    found: list[Finding] = []
    seen: dict[object, str] = {}
    async with AsyncExitStack() as stack:
        network.url = await _serve(stack, network.answer)
        network.away = await _serve(stack, network.take)
        for obj in objects:
            alike = seen.setdefault(_kind_of(subject, obj), obj)
            for clause in clauses:
                if alike != obj and not clause.per_object:
                    found.append(Finding(obj, clause.name, spared=f"it is read as {alike} is"))
                elif first := _first_broken(found, obj):
                    found.append(Finding(obj, clause.name, spared=f"{first!r} is broken"))
                else:
                    found.append(await _try(subject, obj, network, clause))
    return found


def _first_broken(
    found: Sequence[Finding], obj: str, firsts: Collection[str] = FIRST
) -> str | None:
    broken = (each.clause for each in found if each.obj == obj and each.broken)
    return next((name for name in broken if name in firsts), None)


def _kind_of(subject: Subject, obj: str) -> object:
    """What objects have in common that are read in the same way."""
    documented = subject.make_account(lambda: NOON).documented(obj)
    lists = tuple(
        (each.method, each.shows, each.paging, each.since, each.window, each.tracks)
        for each in documented.lists
    )
    stamps = documented.changed_at and documented.changed_at.format
    own = (documented.order, documented.deletes, documented.parent is None, stamps)
    inner = (documented.within is None, documented.is_within_parent)
    return repr((*own, *inner, lists))


async def _try(subject: Subject, obj: str, network: Network, clause: Clause) -> Finding:
    bench = Bench(subject, obj, network)
    try:
        await bench.fresh(0)
        if reason := clause.spared(bench):
            return Finding(obj, clause.name, spared=reason)
        await clause.check(bench)
    except BrokenClauseError as error:
        return Finding(obj, clause.name, broken=str(error))
    finally:
        await bench.close()
    return Finding(obj, clause.name)


async def _serve(stack: AsyncExitStack, handler: Any) -> str:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


def listed() -> Iterator[tuple[str, str]]:
    """Yield name and sentence of every clause."""
    yield from ((clause.name, clause.says) for clause in CLAUSES.values())


def listed_of_sinks() -> Iterator[tuple[str, str]]:
    """Yield name and sentence of every clause of sinks."""
    yield from ((clause.name, clause.says) for clause in SINK_CLAUSES.values())


def listed_of_databases() -> Iterator[tuple[str, str]]:
    """Yield name and sentence of every clause of databases."""
    yield from ((clause.name, clause.says) for clause in DATABASE_CLAUSES.values())


def listed_of_taps() -> Iterator[tuple[str, str]]:
    """Yield name and sentence of every clause of taps."""
    yield from ((clause.name, clause.says) for clause in TAP_CLAUSES.values())
