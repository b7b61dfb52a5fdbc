"""From the previous release to this one and back, process by process, while people work.

The previous release is built from its commit and makes topics, contracts and state; this one goes
on with them, and then the previous one with what this one has written.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Final

import psycopg
import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient

from psastream.landscape import read_firm
from psastream.read_model.landing import landing_tables
from runtime.registry import Registry
from runtime.settings import Settings
from sandbox.demo.options import StoryLandscape
from sandbox.registry.compatibility import incompatibilities
from sandbox.registry.schema import parse
from tests.support.eventually import eventually
from tests.support.read_model import differences
from tests.upgrade.firm import DEADLINE_S, READY_S, Firm, founded
from tests.upgrade.releases import PRESENT, Release

pytestmark = pytest.mark.stack

MEASURE: Final = Path(__file__).with_name("project_days.sql")
UNLIKE_DAYS: Final = """
SELECT * FROM (
  SELECT project_ref, work_on, currency, SUM(seconds) AS seconds, COUNT(*) AS entries
  FROM psa.time_entry WHERE status = 'approved' GROUP BY ALL
) AS wanted
FULL JOIN (
  SELECT project_ref, work_on, currency, seconds, entries FROM psa.metric.project_days
) AS told USING (project_ref, work_on, currency)
WHERE (wanted.seconds, wanted.entries) IS DISTINCT FROM (told.seconds, told.entries)
"""
"""Days on which the firm's own measure tells another sum than its rows have."""
IN_THE_WAY: Final = re.compile(r"view (psa\.\w+) depends on view")
"""Of what the read model says that stands on its views."""
WORKERS: Final = ("worker-1", "worker-0")
"""In the order in which a StatefulSet replaces them."""


@pytest.fixture(scope="module")
def firm(release: Release) -> Iterator[Firm]:
    """A firm whose processes are all of the previous release, with a story behind it."""
    variables = {"PSASTREAM_MEASURES": str(MEASURE)}
    with founded(StoryLandscape(), variables) as firm:
        firm.deploy(release)
        for name in (*WORKERS, "poller", "dispatcher", "readmodel", "measures"):
            firm.start(name, release, is_awaited=False)
        firm.tell("firm", "deal", "refusal", "tax", "projects", "staffing", "hours")
        yield firm


def test_an_upgrade_under_load_loses_and_repeats_nothing(
    firm: Firm, release: Release, checked: Counter[str]
) -> None:
    def upgrade() -> None:
        firm.deploy(PRESENT)
        take_over_from_a_frozen_one(firm)
        for name in ("worker-0", "poller", "dispatcher", "readmodel"):
            firm.replace(name, PRESENT)

    changes = firm.while_working(upgrade)

    assert firm.differences() == []
    assert changes > 100
    firm.ask(PRESENT, "prove", "accounting")
    assert unlike_read_model(firm) == {}
    checked["changes during an upgrade"] += changes


def test_each_release_reads_what_the_other_writes(firm: Firm, checked: Counter[str]) -> None:
    """The registry asks only whether new readers read old records."""
    client = SchemaRegistryClient({"url": firm.layout.parts.registry_url})
    unlike: dict[str, list[str]] = {}
    for subject in client.get_subjects():
        versions = [
            parse(str(client.get_version(subject, version).schema.schema_str))
            for version in client.get_versions(subject)
        ]
        for reader, writer in permutations(versions, 2):
            found = incompatibilities(reader=reader, writer=writer)
            unlike.setdefault(subject, []).extend(map(str, found))
        checked["contracts of two releases"] += len(versions) > 1

    assert {subject: found for subject, found in unlike.items() if found} == {}


def test_state_of_another_layout_is_refused_and_computed_anew(firm: Firm) -> None:
    groups = ("normalize", "customer", "engagement", "project", "rollup", "measures")
    told = firm.findings(PRESENT, "state")
    refuse_and_rebuild(firm, PRESENT)

    assert told == {**dict.fromkeys(groups, "ok"), "measures": "fail"}
    assert firm.findings(PRESENT, "state") == dict.fromkeys(groups, "ok")


def test_the_way_back_under_load_loses_and_repeats_nothing(
    firm: Firm, release: Release, checked: Counter[str]
) -> None:
    firm.tell("invoices")

    def go_back() -> None:
        firm.deploy(release)
        take_back_the_read_model(firm, release)
        for name in ("dispatcher", "poller", "worker-1.anew", "worker-0"):
            firm.replace(name, release)

    changes = firm.while_working(go_back)
    firm.tell("corrections")

    assert firm.differences() == []
    assert changes > 100
    firm.ask(PRESENT, "prove", "accounting")
    assert unlike_read_model(firm) == {}
    checked["changes on the way back"] += changes


def test_the_previous_release_refuses_the_newer_layout_too(firm: Firm, release: Release) -> None:
    firm.stack.stop("dispatcher")  # which it asks for
    refuse_and_rebuild(firm, release)
    firm.start("dispatcher", release)


def take_over_from_a_frozen_one(firm: Firm) -> None:
    """Give the name of a worker that hangs to a new one on another volume; let the old come back.

    As their transactional ids are of two releases, nothing but the group tells them apart: who
    joined first is refused, and in the end the old one is killed.
    """
    old, new = "worker-1", "worker-1.anew"
    with firm.frozen(old):
        firm.start(new, PRESENT)
        known = len(firm.stack.log(old))
    eventually(lambda: len(firm.stack.log(old)) > known, deadline_s=READY_S)  # it is back
    firm.stack.kill(old)

    def works() -> bool:
        if not firm.stack.is_running(new):  # refused, while the old one had the name
            firm.start(new, PRESENT)
        return firm.is_ready(new)

    eventually(works, deadline_s=READY_S)


def take_back_the_read_model(firm: Firm, release: Release) -> None:
    """Start the read model of a release, and drop the views of a later one that it names."""
    name = "readmodel"
    firm.stack.stop(name)
    known = len(firm.stack.log(name))
    firm.start(name, release, is_awaited=False)

    def said() -> str:
        return firm.stack.log(name)[known:]

    eventually(lambda: firm.is_ready(name) or IN_THE_WAY.search(said()), deadline_s=READY_S)
    if views := sorted(set(IN_THE_WAY.findall(said()))):
        with psycopg.connect(firm.layout.parts.read_model_url, autocommit=True) as connection:
            connection.execute(f"DROP VIEW {', '.join(views)}")
    eventually(lambda: firm.is_ready(name), deadline_s=READY_S)


def refuse_and_rebuild(firm: Firm, release: Release) -> None:
    """Start the measures of a release on the totals of another one, then have them computed anew.

    Raises AssertionError unless they are refused, and agree with their rows in the end.
    """
    firm.stack.stop("measures")
    firm.start("measures", release, is_awaited=False)
    gone = firm.exit()
    assert (gone.name, gone.exit_code) == ("measures", 1)
    assert "fatal.state_layout" in gone.log_tail and "psastream rebuild measures" in gone.log_tail
    # It is refused while the name of who has stopped is in its group.
    eventually(lambda: firm.can(release, "rebuild", "measures"), deadline_s=DEADLINE_S)
    firm.start("measures", release)
    eventually(lambda: not firm.rows(UNLIKE_DAYS), deadline_s=DEADLINE_S)


def unlike_read_model(firm: Firm) -> dict[str, list[str]]:
    """Wait until the read model has read everything; where it does not hold what topics hold.

    Each of its views answers.
    """
    settings = Settings.from_env({**firm.layout.parts.variables, **firm.variables})
    wanted = landing_tables(read_firm(settings).topics)
    registry = Registry(firm.layout.parts.registry_url)

    def found() -> dict[str, list[str]]:
        with psycopg.connect(firm.layout.parts.read_model_url) as connection:
            for (view,) in connection.execute(
                "SELECT viewname FROM pg_views WHERE schemaname = 'psa'"
            ).fetchall():
                connection.execute(f'SELECT * FROM psa."{view}" LIMIT 1')
            [schema] = connection.execute(
                "SELECT 'psa_landing_' || id FROM read_model.generation WHERE state = 'live'"
            ).fetchone() or ("",)
            held = connection.execute(
                "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
                " WHERE table_schema = %s GROUP BY 1",
                (schema,),
            ).fetchall()
            columns = {name: set(names) for name, names in held}
            # Those of which a release has all columns: the other one may have more.
            tables = [each for each in wanted if {*each.columns} <= columns.get(each.name, set())]
            assert len(tables) > len(wanted) / 2
            return differences(connection, schema, tables, firm.layout.parts.kafka, registry)

    eventually(lambda: not found(), deadline_s=60)
    return found()
