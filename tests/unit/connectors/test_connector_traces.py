"""Spans of capture, of commands and of requests, and the contexts that go with their records."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from aiohttp import web
from confluent_kafka import KafkaException, Producer
from prometheus_client import CollectorRegistry

from connectors.dispatch.commands import Command, Outcome
from connectors.dispatch.executor import TargetExecutor
from connectors.dispatch.intake import Intake
from connectors.dispatch.ledger import Ledger
from connectors.dispatch.metrics import DispatchMetrics
from connectors.dispatch.publisher import Publisher
from connectors.dispatch.retry import RetryPolicy
from connectors.dispatch.sink import Applied
from connectors.polled.bookmark import Batch, Bookmark, Change
from connectors.polled.kafka_log import KafkaLog
from connectors.toolkit.faults import Fault, VendorRejectedError, VendorUnavailableError
from connectors.toolkit.http import Limiter, VendorClient
from connectors.vendors.float.auth import POLICY
from runtime.kafka import KafkaSettings
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.tracing import HEADER, current_headers, is_sampled
from tests.support.catalogue import SOURCES
from tests.support.polled import START, make_config
from tests.support.sinks import FakeTarget, MemoryJournal, make_command
from tests.support.spans import KEPT, NOT_KEPT, SPAN, TRACE, place_of, recorded
from tests.support.topology import FixedRegistry
from tests.support.vendor_server import NoCredentials, serving

SERDE = Serde(cast(Registry, FixedRegistry()), SOURCES)
POLICY_AT_ONCE = RetryPolicy(
    settle_s=0.001, backoff_s=0.001, backoff_max_s=0.002, auth_retry_s=0.001
)
TOPIC = "process psa.command.netsuite"


class KeptProducer:
    """Keeps what is produced; a commit may fail."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.produced: list[tuple[str, dict[str, Any]]] = []
        self._failure = failure

    def __len__(self) -> int:
        return 0  # nothing is under way

    def poll(self, _timeout_s: float) -> int:
        return 0

    def begin_transaction(self) -> None: ...

    def produce(self, topic: str, **named: Any) -> None:
        self.produced.append((topic, named))

    def commit_transaction(self, _timeout_s: float) -> None:
        if self._failure is not None:
            raise self._failure


def capture(producer: KeptProducer) -> None:
    config = make_config(**{"topic.prefix": "src.float", "object.include.list": "role"})
    log = KafkaLog(KafkaSettings(bootstrap_servers="nowhere:1"), SERDE, config)
    log._producer = cast(Producer, producer)
    row = {"id": 7, "name": "Consultant"}
    changes = [Change(row_id, "c", None, row, 11, START) for row_id in ("7", "8")]
    log._commit(Batch("role", Bookmark(position=11), changes, [], {}))


def test_captured_changes_bear_the_contexts_of_their_traces() -> None:
    producer = KeptProducer()
    with recorded() as it:
        capture(producer)
        spans = it.spans
    borne = [dict(named["headers"])[HEADER].decode() for _, named in producer.produced[:2]]
    assert [(text[3:35], text[36:52], is_sampled(text)) for text in borne] == [
        (f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}", True) for span in spans
    ]
    assert len({text[3:35] for text in borne}) == 2
    assert "headers" not in producer.produced[2][1]  # the bookmark
    assert spans[0].start_time == int(START.timestamp() * 10**9) <= spans[0].end_time
    assert spans[0].name == "capture src.float.role"
    assert dict(spans[0].attributes)["psastream.object"] == "role"


def test_a_change_whose_trace_is_not_kept_says_so() -> None:
    producer, off = KeptProducer(), KeptProducer()
    with recorded(ratio=0.0) as it:
        capture(producer)
        assert it.spans == []
    capture(off)
    borne = [dict(named["headers"])[HEADER].decode() for _, named in producer.produced[:2]]
    assert list(map(is_sampled, borne)) == [False, False]
    assert not any("headers" in named for _, named in off.produced)


def test_a_capture_that_fails_is_told_on_its_spans() -> None:
    with recorded() as it, pytest.raises(Exception, match="down"):
        capture(KeptProducer(KafkaException(PlainError("down"))))
    assert {span.attributes["error.type"] for span in it.spans} == {"fatal"}


class PlainError:
    """Kafka's error that says nothing of what may be done."""

    def __init__(self, said: str) -> None:
        self._said = said

    def str(self) -> str:
        return self._said

    def txn_requires_abort(self) -> bool:
        return False

    fatal = retriable = txn_requires_abort


class Message:
    """A record of a command topic."""

    def __init__(self, value: bytes, headers: list[tuple[str, bytes]] | None) -> None:
        self.value = lambda: value
        self.headers = lambda: headers
        self.topic = lambda: "psa.command.netsuite"
        self.partition = self.offset = lambda: 0
        self.error = self.key = lambda: None


def read(headers: list[tuple[str, bytes]] | None) -> Command:
    value = SERDE.value(
        "psa.command.netsuite",
        {
            "command_id": "c", "target": "netsuite", "kind": "delete_project", "revision": 1,
            "natural_key": "k", "origin_key": "o", "payload": '{"project_id":"p"}',
        },
    )  # fmt: skip
    intake = Intake(_Silent(), SERDE, ["netsuite"], cast(Any, None))
    content = intake._decode(cast(Any, Message(value, headers))).content
    assert isinstance(content, Command)
    return content


class _Silent:
    def subscribe(self, *_: object, **__: object) -> None: ...


def test_a_command_has_the_context_of_its_record_while_tracing_is_on() -> None:
    borne = [(HEADER, KEPT.encode())]
    assert read(borne).traceparent is None
    with recorded():
        assert read(borne).traceparent == KEPT
        assert read(None).traceparent is None
        assert read(borne) == read(None)


class Asking(FakeTarget):
    """Asks a vendor, and notes the headers that a record would bear which is published now."""

    def __init__(self, client: VendorClient, failures: list[Exception]) -> None:
        super().__init__()
        self.client, self.failures = client, failures
        self.borne: list[list[tuple[str, bytes]]] = []

    async def execute(self, command: Command, known_id: str | None) -> Applied:
        self.borne.append(current_headers())
        await self.client.request("GET", "/customers/Ada%20Lovelace")
        if self.failures:
            raise self.failures.pop(0)
        return await super().execute(command, known_id)


def carry_out(command: Command, *failures: Exception) -> tuple[list[list[Any]], list[Outcome]]:
    """Carry a command out; the headers of records during each attempt, and what came of it."""
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        asked.append(dict(request.headers))
        return web.json_response({})

    async def work() -> tuple[list[list[Any]], list[Outcome]]:
        async with serving(answer) as url, asyncio.TaskGroup() as group:
            client = VendorClient(
                url, NoCredentials(), POLICY, user_agent="t", timeout_s=5, limiter=Limiter(1)
            )
            target, journal, finished = (
                Asking(client, [*failures]),
                MemoryJournal(),
                asyncio.Event(),
            )
            executor = TargetExecutor(
                "netsuite", target, journal, Ledger({}, {}), policy=POLICY_AT_ONCE,
                max_in_flight=1, metrics=DispatchMetrics(CollectorRegistry()),
                spawn=group.create_task,
            )  # fmt: skip
            executor.submit(command, finished.set)
            await finished.wait()
            await executor.drain(5)
            await client.close()
            return target.borne, [outcome for _, outcome in journal.outcomes]

    done = asyncio.run(work())
    assert not any(HEADER in {name.lower() for name in each} for each in asked)
    return done


def test_every_attempt_of_a_traced_command_is_a_span_with_its_requests() -> None:
    command = replace(make_command(command_id="c1", correlation_id="cor-1"), traceparent=KEPT)
    lost = VendorUnavailableError("Ada is away", outcome_unknown=False, context={})
    with recorded() as it:
        borne, outcomes = carry_out(command, lost)
        first, second = [span for span in it.spans if span.name == TOPIC]
        requests = [span for span in it.spans if span.name == "GET"]

    assert [outcome.status.value for outcome in outcomes] == ["succeeded"]
    assert [place_of(span) for span in (first, second)] == [(TRACE, SPAN)] * 2
    ids = [f"{span.context.span_id:016x}" for span in (first, second)]
    assert [place_of(span) for span in requests] == [(TRACE, each) for each in ids]
    assert [headers[0][1].decode().split("-")[2] for headers in borne] == ids
    assert first.attributes["error.type"] == "transient.vendor_unavailable"
    assert "psastream.command.status" not in first.attributes
    assert second.attributes["psastream.command.status"] == "succeeded"
    assert second.attributes["psastream.correlation_id"] == "cor-1"
    assert requests[0].attributes["http.response.status_code"] == 200
    told = "".join(span.to_json() for span in it.spans)
    assert "Ada" not in told and "netsuite:project:a" not in told


def refusal() -> VendorRejectedError:
    return VendorRejectedError(400, [Fault("INVALID_KEY", "Ada costs 90", "name")], context={})


@pytest.mark.parametrize("traceparent", [None, NOT_KEPT])
def test_a_refusal_is_always_told_in_a_trace_and_other_outcomes_are_not(
    traceparent: str | None,
) -> None:
    issued_at = datetime(2026, 3, 2, tzinfo=UTC)
    command = replace(make_command(), traceparent=traceparent, issued_at=issued_at)
    with recorded(ratio=0.0) as it:
        carry_out(command)
        assert it.spans == []
        _, [outcome] = carry_out(command, refusal())
        [span] = it.spans
    assert outcome.problem is not None
    assert span.attributes["psastream.command.status"] == "rejected"
    assert span.attributes["error.type"] == outcome.problem.reason.value
    assert span.attributes["psastream.command.id"] == command.command_id
    assert span.start_time == int(issued_at.timestamp() * 10**9)
    assert "Ada" not in span.to_json()


def test_nothing_is_made_of_a_command_without_tracing() -> None:
    borne, _ = carry_out(replace(make_command(), traceparent=KEPT))
    assert borne == [[]]


def test_a_record_that_is_published_bears_the_context_of_the_attempt() -> None:
    producer = KeptProducer()
    publisher = Publisher(cast(Producer, producer), SERDE)
    intent = {
        "command_id": "c", "target": "t", "natural_key": "k", "revision": 1, "attempt": 1,
        "started_at": START,
    }  # fmt: skip

    async def publish() -> None:
        task = asyncio.ensure_future(publisher.publish("psa.command_intent", "k", intent))
        await asyncio.sleep(0)  # produced; nobody acknowledges it
        task.cancel()

    asyncio.run(publish())
    with recorded() as it:
        span = it.tracing.start("x", "INTERNAL", {}, parent=KEPT)
        with it.tracing.as_current(span):
            asyncio.run(publish())
    off, on = [named.get("headers") for _, named in producer.produced]
    assert off is None
    assert on is not None and on[0][1].decode().startswith(f"00-{TRACE}-")
