"""A firm's story, traced: every way from a change to what a vendor answered is one trace.

Every change is traced, so every traced record is worked alone, and at the end the books must agree
all the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.kafka import KafkaSettings, read_topic
from runtime.registry import Registry
from runtime.serde import Serde
from runtime.tracing import traceparent_of
from schemas.topics import state_topic
from tests.e2e.test_canaries import leaks, pay_of, people_of, secrets_of
from tests.support.eventually import eventually
from tests.support.kept_demo import KeptDemo, keeping
from tests.traces.received import Received, Span, collecting

pytestmark = pytest.mark.stack

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5
WRITES = {"POST", "PUT", "PATCH", "DELETE"}
DEAL = "capture src.salesforce.opportunity"
PROJECT = "process psa.command.netsuite"
ENTRIES = 30


@dataclass(frozen=True)
class Story:
    demo: KeptDemo
    received: Received


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("traces")
    data_dir = folder / "demo"
    command = [sys.executable, "-m", "psastream", "demo", "--keep", "--entries", str(ENTRIES)]
    with collecting(folder) as received, pytest.MonkeyPatch.context() as variables:
        variables.setenv("PSASTREAM_TRACES_URL", received.url)
        variables.setenv("PSASTREAM_TRACES_RATIO", "1")
        variables.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        command += ["--data-dir", str(data_dir)]
        with keeping(command, Path.cwd(), folder / "demo.log", data_dir) as demo:
            yield Story(demo, received)


@pytest.fixture(scope="module")
def answered(story: Story) -> Span:
    """A write to the ERP that a deal of the CRM brought about."""

    def found() -> Span | None:
        for span in story.received.spans:
            if span.name in WRITES and span.attributes.get("psastream.system") == "netsuite":
                try:
                    way = story.received.way_to(span)
                except KeyError:  # not all of it is there yet
                    continue
                if way[0].name == DEAL:
                    return span
        return None

    return eventually(found, deadline_s=30)


def test_a_trace_leads_from_a_change_of_a_vendor_to_another_ones_answer(
    story: Story, answered: Span
) -> None:
    way = story.received.way_to(answered)
    assert [(span.service, span.kind) for span in (way[0], way[-2], way[-1])] == [
        ("psastream-poller", PRODUCER),
        ("psastream-dispatcher", CONSUMER),
        ("psastream-dispatcher", CLIENT),
    ]
    assert way[1].name == DEAL.replace("capture", "process")
    assert way[-2].name == PROJECT
    assert {(span.service, span.kind) for span in way[1:-2]} == {("psastream-worker", CONSUMER)}
    groups = [span.attributes["psastream.group"] for span in way[1:-2]]
    assert groups[0] == "normalize" and "engagement" in groups
    assert way[-2].attributes["psastream.command.status"] == "succeeded"
    assert way[-2].attributes["psastream.correlation_id"].startswith("cor-")
    assert 200 <= int(way[-1].attributes["http.response.status_code"]) < 300
    starts = [span.start_ns for span in way]
    assert starts == sorted(starts)


def test_what_came_of_a_command_is_worked_in_the_same_trace(story: Story, answered: Span) -> None:
    dispatched = story.received.way_to(answered)[-2]
    receipts = eventually(
        lambda: [
            span
            for span in story.received.named("process psa.command_result")
            if (span.trace, span.parent) == (dispatched.trace, dispatched.id)
        ],
        deadline_s=30,
    )
    assert {span.attributes["psastream.group"] for span in receipts} == {"engagement"}


def test_a_change_that_debezium_captured_begins_when_the_database_made_it(story: Story) -> None:
    captured = [
        span
        for span in story.received.spans
        if span.name.startswith("capture ") and span.service == "psastream-worker"
    ]
    assert captured
    assert all(not span.parent and span.start_ns <= span.end_ns for span in captured)
    assert any(span.start_ns < span.end_ns for span in captured)
    first = {span.trace for span in captured}
    ends = {span.name for span in story.received.spans if span.trace in first}
    assert {"process psa.time_entry", "process psa.internal.partial"} <= ends


def test_every_span_stands_where_it_says(story: Story) -> None:
    def orphans() -> list[Span]:
        known = story.received.by_id()
        return [
            span
            for span in story.received.spans
            if (span.parent and (span.trace, span.parent) not in known)
            or any(link not in known for link in span.links)
        ]

    eventually(lambda: not orphans(), deadline_s=30)
    joined = [span for span in story.received.spans if span.links]
    assert all(trace == span.trace for span in joined for trace, _ in span.links)


def test_contexts_travel_in_the_headers_of_records(story: Story) -> None:
    kafka = KafkaSettings(bootstrap_servers=story.demo.addresses["kafka"])
    known = eventually(story.received.by_id, deadline_s=30)
    for topic, service in (
        ("src.salesforce.opportunity", "psastream-poller"),
        ("psa.project", "psastream-worker"),
        ("psa.command.netsuite", "psastream-worker"),
        ("psa.command_result", "psastream-dispatcher"),
    ):
        texts = [traceparent_of(message.headers()) for message in read_topic(kafka, topic)]
        borne = [known.get((text[3:35], text[36:52])) for text in texts if text]
        assert borne, topic
        assert {span.service for span in borne if span} == {service}, topic
    for message in read_topic(kafka, state_topic("project")):
        assert not message.headers()


def test_no_secret_no_person_and_no_pay_is_in_a_span(story: Story) -> None:
    serde = Serde(Registry(story.demo.addresses["schema registry"]))
    canaries = {
        "secret": secrets_of(story.demo),
        "person": people_of(story.demo, serde),
        "pay": pay_of(story.demo, serde),
    }
    assert all(len(found) >= 3 for found in canaries.values())
    said = {"spans": "\n".join({span.text for span in story.received.spans})}
    assert len(said["spans"]) > 10_000
    assert leaks(canaries, said) == []


def test_the_books_agree(story: Story) -> None:
    assert "all books agree" in story.demo.printed
