"""Checks everything before anything starts: what can be read first, then what can be asked."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import psycopg

from connectors.debezium.client import ConnectorFile
from psastream.check.broker import BROKER, TOPICS, broker_findings, topic_findings
from psastream.check.certificates import (
    CERTIFICATES,
    certificate_findings,
)
from psastream.check.clocks import CLOCKS, Clock, asked_over_http, clock_findings
from psastream.check.connect import CONNECTORS, ask_connect, connector_findings
from psastream.check.databases import (
    DATABASES,
    POSTGRES,
    address_of,
    ask_database,
    away,
    database_findings,
    not_asked,
)
from psastream.check.files import OFFLINE, Configuration, Files, read_configuration
from psastream.check.findings import WIDTH, Finding, asked, failed, findings_json, lines_of
from psastream.check.metadata import METADATA
from psastream.check.read_model import READ_MODEL, ask_read_model, read_model_findings
from psastream.check.registry import SCHEMAS, ask_registry, schema_findings
from psastream.check.sign_in import SIGN_IN, ask_vendors, clock_of, sign_in_finding
from psastream.check.state import STATE, ask_layouts, state_findings
from psastream.exits import Exit
from psastream.landscape import FirmSystems
from psastream.read_model.landing import landing_tables
from psastream.verdict import Verdict
from runtime.access import HttpAccess
from runtime.brokers import PresentTopic, broker_traits, present_topics
from runtime.certificates import certificate_files
from runtime.registry import Registry
from runtime.rights import AccessRefusedError
from runtime.settings import READ_MODEL_VARIABLES, Settings
from schemas.errors import PsaStreamError
from streams.groups import make_groups

AREAS: Final = (
    CERTIFICATES, BROKER, TOPICS, STATE, SCHEMAS, CONNECTORS, DATABASES, READ_MODEL, SIGN_IN,
    METADATA, CLOCKS,
)  # fmt: skip
"""Of what is asked, in the order in which it is told."""


def check_all(files: Files, environment: Mapping[str, str] = os.environ, *, as_json: bool) -> Exit:
    """Print what is found. CONFIG where files or variables are wrong, FAILED where a part is."""
    configuration = read_configuration(files, environment, needs_addresses=True)
    findings = [*configuration.findings, *ask_all(configuration, environment)]
    if as_json:
        sys.stdout.write(json.dumps(findings_json(findings), indent=2) + "\n")
    else:
        print_findings(findings)
    return exit_of(findings)


def print_findings(findings: Sequence[Finding]) -> None:
    """Print findings as wide as the terminal."""
    width = shutil.get_terminal_size((WIDTH, 0)).columns
    sys.stdout.write("".join(f"{line}\n" for line in lines_of(findings, width)))
    sys.stdout.flush()


def exit_of(findings: Sequence[Finding]) -> Exit:
    """Return what findings come to as an exit code; what only warns is OK."""
    failing = {each.area for each in findings if each.verdict is Verdict.FAIL}
    if failing & set(OFFLINE):
        return Exit.CONFIG
    return Exit.FAILED if failing else Exit.OK


def ask_all(
    found: Configuration, environment: Mapping[str, str], *, makes: bool = False
) -> list[Finding]:
    """Ask every part that is named, all at once; one that fails holds up no other.

    `makes`: topics, contracts and connectors are made next, so that missing ones are no matter.
    A part whose address is not in the environment is left out then: it is started.
    """
    settings, firm = found.settings, found.firm
    if settings is None or firm is None:
        wrong = "variables" if settings is None else "the landscape"
        return [_skipped(area, "", f"{wrong} must be right first") for area in AREAS]
    jobs: list[Callable[[], list[Finding]]] = []
    if "PSASTREAM_BOOTSTRAP_SERVERS" in environment:
        copies = int(environment.get("PSASTREAM_REPLICATION_FACTOR", 1)) if makes else (
            settings.replication_factor
        )  # fmt: skip
        jobs.append(lambda: _of_kafka(settings, firm, copies, makes))
    if "PSASTREAM_REGISTRY_URL" in environment:
        jobs.append(lambda: _of_registry(settings, firm, makes))
    if (access := settings.connect) is not None:
        owner = settings.connector_owner
        jobs.append(partial(_of_connect, access, found.databases, makes, owner))
    elif found.databases and not makes:
        jobs.append(_unnamed_connect)
    jobs += [
        partial(_of_database, each, environment)
        for each in found.databases
        if each.config.get("connector.class") == POSTGRES
    ]
    is_named = not environment.keys().isdisjoint(READ_MODEL_VARIABLES)
    if is_named and (read_model := settings.now("read_model_url")):
        jobs.append(partial(_of_read_model, read_model, settings, firm, makes))
    jobs.append(lambda: _of_vendors(found))
    with ThreadPoolExecutor(len(jobs)) as threads:
        answers = list(threads.map(lambda job: job(), jobs))
    findings = [finding for answer in answers for finding in answer]
    shown = [file for each in found.sources for file in each.config.certificates]
    files = [*certificate_files(settings), *shown]
    findings += certificate_findings(files, datetime.now(UTC))
    findings += _of_unread(found.unread)
    return sorted(findings, key=lambda each: AREAS.index(each.area))


def _skipped(area: str, subject: str, why: str) -> Finding:
    return Finding(area, subject, Verdict.SKIP, f"not looked at: {why}")


def _of_unread(files: Files) -> list[Finding]:
    """Return the areas that wait for files of which every one can be used."""
    has_vendors, has_databases = bool(files.sources or files.sinks), bool(files.databases)
    named = {
        CONNECTORS: has_databases,
        DATABASES: has_databases,
        SIGN_IN: has_vendors,
        METADATA: bool(files.sources),
        CLOCKS: bool(files),
    }
    why = "every file must be right first"
    return [_skipped(area, "of the files", why) for area, is_named in named.items() if is_named]


def _of_kafka(settings: Settings, firm: FirmSystems, copies: int, makes: bool) -> list[Finding]:
    kafka = settings.kafka
    found = asked(BROKER, lambda: broker_findings(broker_traits(kafka), copies=copies))
    if found[0].verdict is Verdict.FAIL:
        return [*found, _skipped(TOPICS, "", "no broker answers")]
    names = [topic.name for topic in firm.topics]
    present: dict[str, PresentTopic] = {}

    def look() -> Iterator[Finding]:
        present.update(present_topics(kafka, names))
        return topic_findings(firm.topics, present, copies=copies, are_made=makes)

    found += asked(TOPICS, look)
    return found if makes else [*found, *_of_state(settings, firm, present)]


def _of_state(
    settings: Settings, firm: FirmSystems, present: Mapping[str, PresentTopic]
) -> list[Finding]:
    """What workers will say of the state; nothing where its logs are not there yet."""
    registry = Registry(settings.registry)
    groups = [
        group
        for group in make_groups(firm.mappings, registry, firm.landscape, firm.measures)
        if group.state_topic in present
    ]
    try:
        return list(state_findings(ask_layouts(settings.kafka, groups), groups))
    except AccessRefusedError as error:
        return [Finding(STATE, "", Verdict.SKIP, error.detail, error.hint)]
    except PsaStreamError as error:
        return failed(STATE, error)


def _of_registry(settings: Settings, firm: FirmSystems, makes: bool) -> list[Finding]:
    registry = Registry(settings.registry)
    found = asked(
        SCHEMAS, lambda: schema_findings(ask_registry(registry, firm.topics), are_made=makes)
    )
    return [*found, *_over_http("schema registry", settings.registry)]


def _of_connect(
    access: HttpAccess, connectors: Sequence[ConnectorFile], makes: bool, owner: str
) -> list[Finding]:
    found = asked(
        CONNECTORS,
        lambda: connector_findings(
            asyncio.run(ask_connect(access, connectors)), are_made=makes, owner=owner
        ),
        "check that Kafka Connect runs and that PSASTREAM_CONNECT_URL names it",
    )
    return [*found, *_over_http("Kafka Connect", access)]


def _unnamed_connect() -> list[Finding]:
    return [
        Finding(
            CONNECTORS,
            "Kafka Connect",
            Verdict.SKIP,
            "not named",
            "PSASTREAM_CONNECT_URL says where it is",
        )
    ]


def _of_database(connector: ConnectorFile, environment: Mapping[str, str]) -> list[Finding]:
    address = address_of(connector, environment)
    if isinstance(address, list):
        return [not_asked(connector, address)]
    try:
        told = ask_database(address, connector)
    except psycopg.Error as error:
        return [away(connector, address, error)]
    clock = Clock(f"database of {connector.name}", told.at, datetime.now(UTC))
    return [*database_findings(connector, told), *clock_findings(clock)]


def _of_read_model(url: str, settings: Settings, firm: FirmSystems, makes: bool) -> list[Finding]:
    kafka = None if makes else settings.kafka
    found = asked(
        READ_MODEL,
        lambda: read_model_findings(
            ask_read_model(url, landing_tables(firm.topics), kafka), is_made=makes
        ),
    )
    if not makes:
        return found
    # Nobody waits for it: the process that keeps it says the same, and tries again.
    return [
        replace(each, verdict=Verdict.WARN) if each.verdict is Verdict.FAIL else each
        for each in found
    ]


def _of_vendors(found: Configuration) -> list[Finding]:
    answers = asyncio.run(ask_vendors(found.sources, found.sinks))
    clocks = [finding for each in answers for finding in clock_findings(clock_of(each))]
    described = [finding for each in answers for finding in each.metadata]
    return [*map(sign_in_finding, answers), *described, *clocks]


def _over_http(name: str, access: HttpAccess) -> list[Finding]:
    return list(clock_findings(asked_over_http(name, access)))
