"""The status: what parts told in a real run, what is made of it, and what of those that fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, Gauge
from typer.testing import CliRunner

from connectors.debezium.client import ConnectClient
from connectors.toolkit.faults import UnreadableBodyError
from psastream.cli import app
from psastream.lines import shown_age
from psastream.status.gathering import OfKafka, assembled, connector_states, reads_of
from psastream.status.model import (
    ConnectorState,
    GroupState,
    ProcessState,
    SourceState,
    Status,
    TargetState,
    Unknown,
    status_json,
)
from psastream.status.probes import (
    Answer,
    ask_processes,
    polled_states,
    read_samples,
    target_states,
)
from psastream.status.screen import screen_of, verdict_line
from psastream.verdict import Verdict, worst
from runtime.prometheus import serve_metrics
from runtime.settings import Settings
from schemas.landscape import Landscape, Role, System
from tests.support.catalogue import FIRM
from tests.support.vendor_server import serving
from tests.unit.streams.test_metrics_port import free_port

RECORDED = Path(__file__).parent / "recorded"
POLLER = (RECORDED / "poller.txt").read_text()
DISPATCHER = (RECORDED / "dispatcher.txt").read_text()
AT = datetime(2026, 11, 28, 9, 59, 30, tzinfo=UTC)
AGO = AT - timedelta(minutes=2)


def exception(**fields: Any) -> dict[str, Any]:
    return {
        "status": "open",
        "system": "netsuite",
        "revision": 1,
        "is_held": False,
        "reason": "permission",
        "amount": None,
        "currency": None,
        "raised_at": AGO,
        **fields,
    }


def letter(topic: str, code: str) -> dict[str, Any]:
    return {"topic": topic, "error_code": code, "raised_at": AGO}


def running(text: str = POLLER, **kafka: Any) -> Status:
    """A status of a firm whose parts told what they told in a real run."""
    url = "http://127.0.0.1:9102"
    answers = [
        Answer(ProcessState("poller", url, True, True), tuple(read_samples(text))),
        Answer(ProcessState("dispatcher", url, True, True), tuple(read_samples(DISPATCHER))),
    ]
    told: dict[str, Any] = {
        "groups": [GroupState("normalize", 1, 0)],
        "newest": {"src.netsuite.customer": AGO, "psa.metric.project_margin": AGO},
        "exceptions": [],
        "letters": [],
    }
    connectors = connectors_of("connect.json")
    of_kafka = OfKafka(**(told | kafka))
    return assembled(AT, FIRM, answers=answers, connectors=connectors, kafka=of_kafka, unknown=[])


def connectors_of(file: str) -> list[ConnectorState]:
    async def ask(text: str) -> list[ConnectorState]:
        async def answer(request: web.Request) -> web.Response:
            assert request.path_qs == "/connectors?expand=status"
            return web.Response(text=text, content_type="application/json")

        async with serving(answer) as url:
            client = ConnectClient(url, attempts=1)
            try:
                return connector_states(await client.statuses())
            finally:
                await client.close()

    path = RECORDED / file
    return asyncio.run(ask(path.read_text() if path.exists() else file))


def line_with(status: Status, text: str) -> str:
    (line,) = [line for line in screen_of(status)[1:] if text in line]
    return line


def test_what_runs_is_well() -> None:
    status = running()
    assert status.verdict() is Verdict.OK
    assert screen_of(status)[0] == "psastream, 2026-11-28 09:59:30 UTC: all is well"
    assert "  ok    float       nothing captured; polled 10s ago" in screen_of(status)
    assert "captured 2m ago; polled 10s ago" in line_with(status, "captured 2m ago")
    assert line_with(status, "inhouse-psa").split() == [
        "ok",
        "inhouse-psa",
        "RUNNING,",
        "tasks",
        "RUNNING",
    ]
    assert line_with(status, "project_margin").endswith("2m ago")


def test_pollers_tell_objects_and_the_oldest_of_their_last_polls() -> None:
    states = polled_states(read_samples(POLLER))
    assert {name: state.objects for name, state in states.items()} == {
        "salesforce": 3,
        "netsuite": 5,
        "float": 7,
    }
    oldest = states["netsuite"].polled_at
    assert oldest == datetime.fromtimestamp(1.795859959782125e09, UTC)
    assert states["salesforce"].quota_ratio == 0.9998165
    assert not any(state.stopped or state.unpolled for state in states.values())


@pytest.mark.parametrize(
    ("line", "verdict", "said"),
    [
        (
            'psastream_source_stopped{object="project",reason="schema",system="netsuite"} 1.0',
            Verdict.FAIL,
            "stopped: project (schema)",
        ),
        (
            'psastream_source_errors_total{object="employee",reason="u",system="netsuite"} 2.0',
            Verdict.WARN,
            "no complete poll yet: employee",
        ),
        (
            'psastream_source_quota_remaining_ratio{system="netsuite"} 0.1',
            Verdict.WARN,
            "10% of its requests left",
        ),
    ],
)
def test_a_source_that_is_not_read_is_told(line: str, verdict: Verdict, said: str) -> None:
    status = running(f"{POLLER}{line}\n")
    assert status.verdict() is verdict
    assert verdict_line(status) == f"{verdict.value}: netsuite"
    assert said in line_with(status, said)


def test_a_system_was_captured_when_the_newest_record_of_its_topics_was_written() -> None:
    newest = {"src.netsuite.customer": AGO, "src.netsuite.project": AT, "src.float.role": AGO}
    captured = {each.system: each.captured_at for each in running(newest=newest).sources}
    assert captured == {"salesforce": None, "netsuite": AT, "float": AGO, "inhouse": None}


def test_where_exceptions_cannot_be_read_dispatchers_still_tell_of_targets() -> None:
    status = running(exceptions=None)
    assert status.exceptions is None
    assert [(each.target, each.is_paused, each.refused) for each in status.targets] == [
        ("netsuite", False, None),
        ("float", False, None),
    ]
    silent = assembled(
        AT, FIRM, answers=[], connectors=[], kafka=OfKafka(exceptions=[]), unknown=[]
    )
    assert [(each.target, each.is_paused) for each in silent.targets] == [
        ("netsuite", None),
        ("float", None),
    ]
    assert assembled(AT, FIRM, answers=[], connectors=[], kafka=OfKafka(), unknown=[]).targets == []


def test_a_poller_that_falls_silent_is_a_failure() -> None:
    silent = replace(running(), at=AT + timedelta(minutes=16))
    assert {name for name, verdict in silent.verdicts() if verdict is Verdict.FAIL} == {
        "salesforce",
        "netsuite",
        "float",
    }


def test_a_source_whose_poller_is_gone_is_not_well() -> None:
    """Of the records that it captured before, only their age tells."""
    newest = {"src.netsuite.customer": AGO, "src.inhouse.project": AGO}
    gone = assembled(
        AT,
        FIRM,
        answers=[Answer(ProcessState("poller", "http://127.0.0.1:9102"))],
        connectors=[],
        kafka=OfKafka(newest=newest),
        unknown=[],
        to_be_polled=["salesforce", "netsuite", "float"],
    )
    assert {name: verdict for name, verdict in gone.verdicts() if verdict is not Verdict.OK} == {
        "poller": Verdict.FAIL,
        "netsuite": Verdict.FAIL,
        "salesforce": Verdict.WARN,  # which nobody has ever read: as `check` says
        "float": Verdict.WARN,
    }
    assert line_with(gone, "nobody polls it; captured").endswith("captured 2m ago")
    assert status_json(gone)["sources"][0]["is_polled"] is False


@pytest.mark.parametrize(
    ("interval_s", "silent", "verdict"),
    [
        (0.5, timedelta(seconds=59), Verdict.OK),
        (0.5, timedelta(seconds=61), Verdict.WARN),
        (0.5, timedelta(minutes=16), Verdict.FAIL),
        (600, timedelta(minutes=29), Verdict.OK),
        (600, timedelta(minutes=31), Verdict.FAIL),
    ],
)
def test_a_poll_is_late_after_three_intervals(
    interval_s: float, silent: timedelta, verdict: Verdict
) -> None:
    state = SourceState(
        "float",
        is_polled=True,
        objects=1,
        polled_at=AT - silent,
        interval=timedelta(seconds=interval_s),
    )
    assert state.verdict(AT) is verdict
    line = line_with(Status(AT, sources=[state]), "float")
    said = f"not polled since {AT - silent:%Y-%m-%d %H:%M:%S}, to be every {interval_s:g} s"
    assert (said in line) is (verdict is not Verdict.OK)
    assert status_json(Status(AT, sources=[state]))["sources"][0]["interval"] == interval_s


def test_a_poller_tells_what_it_is_to_poll_before_it_has() -> None:
    line = 'psastream_source_poll_interval_seconds{object="person",system="float"} 60.0'
    state = polled_states(read_samples(f"{line}\n"))["float"]
    assert (state.unpolled, state.verdict(AT)) == (("person",), Verdict.WARN)


def test_an_object_that_a_person_has_paused_is_told_and_is_not_late() -> None:
    old = AT.timestamp() - 86_400
    lines = [
        f'psastream_source_last_success_timestamp_seconds{{object="person",system="float"}} {old}',
        'psastream_source_paused{object="person",system="float"} 1.0',
        'psastream_source_poll_interval_seconds{object="role",system="float"} 60.0',
        'psastream_source_poll_interval_seconds{object="person",system="float"} 60.0',
        'psastream_source_paused{object="role",system="float"} 1.0',
        'psastream_source_paused{object="project",system="float"} 0.0',
    ]
    state = polled_states(read_samples("\n".join(lines) + "\n"))["float"]
    assert (state.paused, state.unpolled, state.polled_at) == (("person", "role"), (), None)
    assert (state.objects, state.verdict(AT)) == (2, Verdict.WARN)
    assert "paused by a person: person, role" in line_with(Status(AT, sources=[state]), "float")
    assert status_json(Status(AT, sources=[state]))["sources"][0]["paused"] == ["person", "role"]


def test_a_target_is_paused_where_one_dispatcher_says_so() -> None:
    paused = DISPATCHER.replace(
        'psastream_target_paused{target="netsuite"} 0.0',
        'psastream_target_paused{target="netsuite"} 1.0',
    )
    states = target_states([*read_samples(DISPATCHER), *read_samples(paused)])
    assert {name: state.is_paused for name, state in states.items()} == {
        "netsuite": True,
        "float": False,
    }
    assert states["netsuite"].verdict() is Verdict.FAIL


def test_a_target_tells_which_kinds_are_stopped() -> None:
    stopped = """psastream_commands_stopped{kind="upsert_project",target="float"} 1.0
psastream_commands_stopped{kind="all",target="float"} 0.0
"""
    state = target_states([*read_samples(DISPATCHER), *read_samples(stopped)])["float"]
    assert (state.stopped, state.verdict()) == (("upsert_project",), Verdict.WARN)
    assert "open; stopped: upsert_project" in line_with(Status(AT, targets=[state]), "float  ")


def test_what_is_in_shadow_is_told_and_waits_for_nobody() -> None:
    status = running(exceptions=[exception(), exception(is_held=True, reason="shadow")])
    assert "1 refused, 0 held back; 1 in shadow" in line_with(status, "in shadow")
    assert status.exceptions is not None and status.exceptions.open == 1
    [target] = [each for each in status_json(status)["targets"] if each["refused"]]
    assert target["shadowed"] == 1


def test_a_target_tells_what_waits_and_what_is_held_back() -> None:
    status = running(
        exceptions=[exception(), exception(is_held=True), exception(revision=None)],
    )
    assert "open; 2 refused, 1 held back" in line_with(status, "refused")
    told = TargetState("float", is_paused=True, open={"queued": 7, "retrying": 0})
    assert line_with(Status(AT, targets=[told]), "float  ").endswith("paused; 7 queued")
    assert line_with(Status(AT, targets=[TargetState("float")]), "float").endswith(
        "not known whether open"
    )


def test_money_is_told_by_currency_the_most_first() -> None:
    rows = [
        exception(amount=Decimal("1000.004000"), currency="EUR"),
        exception(amount=Decimal("2.100000"), currency="EUR"),
        exception(amount=Decimal("41505.12"), currency="PLN"),
        exception(),
        exception(status="resolved", amount=Decimal(7), currency="USD"),
    ]
    status = running(exceptions=rows)
    screen = screen_of(status)
    at = screen.index("exceptions")
    assert [line.split() for line in screen[at + 1 : at + 4]] == [
        ["warn", "41,505.12", "PLN", "in", "1"],
        ["warn", "1,002.10", "EUR", "in", "2"],
        ["warn", "no", "money", "in", "1"],
    ]
    assert status.exceptions is not None and status.exceptions.open == 4
    assert status_json(status)["exceptions"]["money"][1]["amount"] == "1002.104000"
    assert status.verdict() is Verdict.WARN


def test_dead_letters_are_told_by_topic_and_code() -> None:
    found = [letter("src.float.person", "record.decode")] * 2
    status = running(letters=[*found, letter("psa.project", "record.poison")])
    assert line_with(status, "src.float.person").split()[:4] == [
        "warn",
        "2",
        "src.float.person",
        "record.decode,",
    ]
    assert verdict_line(status) == "warn: dead letters"


@pytest.mark.parametrize(
    ("state", "verdict", "said"),
    [
        (GroupState("project", 2, 0), Verdict.OK, "no lag"),
        (GroupState("project", 2, 12_004, AGO), Verdict.OK, "lag 12,004, oldest 2m"),
        (
            GroupState("project", 2, 9, AT - timedelta(minutes=6)),
            Verdict.WARN,
            "lag 9, oldest 6m",
        ),
        (GroupState("project", 0, 3), Verdict.FAIL, "nobody reads"),
        (
            GroupState("project", 0, 3, AGO, is_dry_run=True),
            Verdict.WARN,
            "lag 3, oldest 2m; no dispatcher has run so far, commands wait",
        ),
        (
            GroupState("project", 0, 0, None, ("psa.project",), is_dry_run=True),
            Verdict.FAIL,
            "psa.project is missing",
        ),
        (
            GroupState("project", 1, 0, None, ("psa.project", "psa.expense")),
            Verdict.FAIL,
            "psa.project is missing and 1 more; psastream topics apply",
        ),
    ],
)
def test_a_group_tells_its_lag_and_who_reads(
    state: GroupState, verdict: Verdict, said: str
) -> None:
    status = Status(AT, groups=[state])
    assert status.verdict() is verdict
    assert said in line_with(status, "project")


def test_where_no_commands_go_anywhere_nobody_need_read_them() -> None:
    settings = Settings(bootstrap_servers="b:1", registry_url="http://r")
    systems = {"inhouse": System(role=Role.PSA)}
    alone = replace(FIRM, landscape=Landscape(systems=systems))
    assert "dispatch" not in reads_of(settings, alone)
    assert reads_of(settings, FIRM)["dispatch"] == ["psa.command.netsuite", "psa.command.float"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("connect-paused.json", "PAUSED, tasks PAUSED"),
        (
            '{"x": {"status": {"connector": {"state": "RUNNING"}, "tasks": '
            '[{"state": "FAILED", "trace": "boom\\n at y"}]}}}',
            "RUNNING, tasks FAILED: boom",
        ),
    ],
)
def test_a_connector_that_does_not_run_is_a_failure(file: str, said: str) -> None:
    status = Status(AT, connectors=connectors_of(file))
    assert status.verdict() is Verdict.FAIL
    assert line_with(status, "tasks").endswith(said)


@pytest.mark.parametrize("text", ["[]", '{"x": 1}', '{"x": {"status": {}}}'])
def test_connectors_of_another_form_are_no_connectors(text: str) -> None:
    with pytest.raises(UnreadableBodyError):
        connectors_of(text)


def test_a_process_tells_why_it_is_not_ready() -> None:
    registry = CollectorRegistry()
    Gauge("psastream_target_paused", "as a dispatcher", ("target",), registry=registry).labels(
        "float"
    ).set(1)
    port, away = free_port(), free_port()
    serve_metrics(
        port,
        registry=registry,
        checks={"livez": lambda: True, "readyz": lambda: False},
        reasons=lambda: ["float.person is not ready"],
    )
    addresses = {"poller": f"http://127.0.0.1:{port}", "worker": f"http://127.0.0.1:{away}"}
    poller, worker = ask_processes(addresses)
    assert poller.process.is_live and not poller.process.is_ready
    assert target_states(poller.samples)["float"].is_paused
    status = Status(AT, processes=[poller.process, worker.process])
    assert line_with(status, "poller  ").endswith("not ready: float.person is not ready")
    assert line_with(status, "worker  ").endswith(f"does not answer at http://127.0.0.1:{away}")
    assert verdict_line(status) == "fail: poller, worker"


def test_what_is_not_named_is_no_failure_and_what_does_not_answer_is_one() -> None:
    unnamed = Status(AT, unknown=[Unknown("connectors", "not named", is_failure=False)])
    assert unnamed.verdict() is Verdict.SKIP
    assert verdict_line(unnamed) == "all is well"
    assert Status(AT, unknown=[Unknown("kafka", "away")]).verdict() is Verdict.FAIL


def test_no_line_is_wider_than_the_screen() -> None:
    long = "x" * 90
    status = Status(
        AT,
        processes=[
            ProcessState(long, f"http://{long}"),
            ProcessState("w", "u", True, False, [long]),
        ],
        groups=[GroupState(long, 0, 10**15, AGO, (long,))],
        connectors=[ConnectorState(long, long, [long] * 3, False, f"{long}\x1b[2J")],
        sources=[SourceState(long, AGO, 3, AGO, (long,), {long: long}, 0.1)],
        targets=[TargetState(long, None, {long: 10**9}, 10**9, 10**9)],
        unknown=[Unknown(long, long, long)],
    )
    lines = [*screen_of(status), *screen_of(running(letters=[letter(long, long)]))]
    assert max(map(len, lines)) == 80
    assert all(line.isprintable() for line in lines)
    assert max(map(len, screen_of(status, 40))) == 40


def test_json_has_every_part_with_its_verdict() -> None:
    shown = status_json(running(letters=[letter("psa.project", "record.poison")]))
    assert json.loads(json.dumps(shown)) == shown
    parts = [each for name, told in shown.items() if isinstance(told, list) for each in told]
    assert {each["verdict"] for each in parts} == {"ok", "warn"}
    assert shown["verdict"] == "warn"
    assert shown["sources"][1]["captured_at"] == "2026-11-28T09:57:30Z"
    assert set(shown) == {
        "verdict", "at", "processes", "groups", "connectors", "sources", "targets",
        "exceptions", "dead_letters", "numbers", "unknown",
    }  # fmt: skip


def environment(**variables: str) -> Mapping[str, str]:
    return {
        "PSASTREAM_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "PSASTREAM_REGISTRY_URL": "http://127.0.0.1:1",
        **variables,
    }


@pytest.mark.fault("D11", place="psastream/status/gathering.py")
def test_d11_where_nothing_answers_all_else_is_told_and_the_exit_code_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("psastream.status.gathering.REACH_S", 0.0)
    named = {
        "PSASTREAM_PROCESSES": f"worker=http://127.0.0.1:{free_port()}",
        "PSASTREAM_CONNECT_URL": f"http://127.0.0.1:{free_port()}",
    }
    shown = CliRunner().invoke(app, ["status"], env=dict(environment(**named)))
    assert shown.exit_code == 1, shown.output
    assert "fail: worker, connectors, kafka" in shown.output or (
        "fail: worker, kafka, connectors" in shown.output
    )
    told = CliRunner().invoke(app, ["status", "--json"], env=dict(environment()))
    parts = {each["part"]: each["verdict"] for each in json.loads(told.stdout)["unknown"]}
    assert parts == {"processes": "skip", "connectors": "skip", "kafka": "fail"}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("worker", "name=http://host:port"),
        ("worker=http://h:1/metrics", "without a path"),
        ("=http://h:1", "name=http://host:port"),
        ("a=http://h:1,a=http://h:2", "several are named a"),
    ],
)
def test_addresses_of_processes_that_are_none_are_refused(value: str, said: str) -> None:
    shown = CliRunner().invoke(app, ["status"], env=dict(environment(PSASTREAM_PROCESSES=value)))
    assert shown.exit_code == 2
    assert "PSASTREAM_PROCESSES" in shown.output and said in shown.output


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(-5, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")],
)
def test_ages_are_told_in_their_largest_unit(seconds: int, shown: str) -> None:
    assert shown_age(timedelta(seconds=seconds)) == shown


def test_the_worst_of_several_counts() -> None:
    assert worst([]) is Verdict.OK
    assert worst([Verdict.WARN, Verdict.SKIP]) is Verdict.WARN
    assert worst([Verdict.WARN, Verdict.FAIL, Verdict.OK]) is Verdict.FAIL
