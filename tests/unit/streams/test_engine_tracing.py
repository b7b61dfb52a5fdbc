"""What is traced of a chunk, and what of its outputs: exactly what comes of traced records."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.tracing import HEADER, Tracing, trace_of
from streams.engine import Chunk, Effects, Output, OutputBatch, State
from streams.engine.batches import group_outputs
from streams.engine.contract import joined
from streams.engine.tracing import TRACES_MAX, ChunkTracing
from streams.engine.transport import _noted
from tests.support.engine_fakes import FakePartition
from tests.support.engine_processor import add_up, numbers, running
from tests.support.spans import KEPT, NOT_KEPT, OTHER, SPAN, TRACE, place_of, recorded


def tracing_of(made: Tracing, *, begins: bool = False) -> ChunkTracing:
    return ChunkTracing(
        made, "app", begins=lambda _: begins, changed_at_ms=lambda value: int(value) - 1_000
    )


def cut(made: Tracing, chunk: Chunk) -> list[tuple[int, int, list[str]]]:
    return [
        (part.start_offset, part.end_offset, list(contexts))
        for part, contexts in tracing_of(made).parts(chunk)
    ]


def test_a_chunk_is_cut_around_what_is_traced() -> None:
    chunk = replace(
        numbers(10, *range(7)),
        end_offset=20,  # a control record at its end
        contexts={9: OTHER, 10: NOT_KEPT, 12: KEPT, 13: KEPT, 14: OTHER, 20: OTHER},
    )
    with recorded() as it:
        assert cut(it.tracing, chunk) == [
            (10, 12, []), (12, 14, [KEPT, KEPT]), (14, 15, [OTHER]), (15, 20, []),
        ]  # fmt: skip
        assert cut(it.tracing, replace(chunk, contexts={10: NOT_KEPT})) == [(10, 20, [])]
        parts = [part for part, _ in tracing_of(it.tracing).parts(chunk)]
    assert joined(parts) == replace(chunk, offsets=list(chunk.offsets))


def test_no_more_traces_of_a_chunk_go_on_than_it_may_cost() -> None:
    texts = [f"00-{number:032x}-{'d' * 16}-01" for number in range(1, TRACES_MAX + 9)]
    chunk = replace(numbers(0, *range(len(texts))), contexts=dict(enumerate(texts)))
    with recorded() as it:
        parts = cut(it.tracing, chunk)
    assert parts[-1] == (TRACES_MAX, len(texts), [])
    assert [part[2] for part in parts[:-1]] == [[text] for text in texts[:TRACES_MAX]]


def test_a_change_without_a_context_begins_a_trace_when_its_source_made_it() -> None:
    chunk = replace(
        numbers(0, 5_000, 6_000), topic="src.x", timestamps_ms=[5_500] * 2, contexts={1: NOT_KEPT}
    )
    with recorded(ratio=1.0) as it:
        (_, [context]), (_, none) = tracing_of(it.tracing, begins=True).parts(chunk)
        captured = it.named("capture src.x")
    assert list(none) == []  # whoever captured it chose otherwise
    assert place_of(captured) == (trace_of(context), "")
    assert (captured.start_time, captured.end_time) == (4_000 * 10**6, 5_500 * 10**6)
    assert captured.attributes["messaging.kafka.offset"] == 0


def test_the_share_of_changes_that_is_asked_for_begins_traces() -> None:
    with recorded(ratio=0.01) as it:
        found = [len(list(it.tracing.draws(1_000))) for _ in range(300)]
        assert 2_500 < sum(found) < 3_500
        assert all(0 <= at < 50 for _ in range(500) for at in it.tracing.draws(50))
    with recorded(ratio=0.0) as it:
        assert list(it.tracing.draws(1_000)) == []


def test_outputs_of_a_traced_record_bear_its_context_and_no_others() -> None:
    made: list[tuple[list[int], Effects]] = []

    def handler(chunk: Chunk, state: State) -> Effects:
        made.append((list(chunk.offsets), add_up(chunk, state)))
        return made[-1][1]

    async def work(tracing: ChunkTracing) -> None:
        async with running(FakePartition(), handler=handler, tracing=tracing) as it:
            it.submit(replace(numbers(0, 1, 2, 3, 4), contexts={1: KEPT}))
            for _ in range(3):
                await it.done()

    with recorded() as it:
        asyncio.run(work(tracing_of(it.tracing)))
        span = it.named("process numbers")

    assert [offsets for offsets, _ in made] == [[0], [1], [2, 3]]
    [(name, value)] = made[1][1].headers
    assert (name, value.decode()[:36]) == (HEADER, f"00-{TRACE}-")
    assert value.decode().split("-")[2] == f"{span.context.span_id:016x}"
    assert [list(effects.headers) for _, effects in (made[0], made[2])] == [[], []]
    assert int(made[2][1].state[b"sum"] or 0) == 10
    assert place_of(span) == (TRACE, SPAN)
    assert dict(span.attributes) == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "numbers",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 1,
        "messaging.batch.message_count": 1,
        "messaging.consumer.group.name": "app",
        "psastream.group": "g",
        "psastream.applied": 1,
    }


def test_a_span_whose_work_fails_names_the_kind_of_error_and_nothing_of_it() -> None:
    def handler(chunk: Chunk, state: State) -> Effects:
        raise RuntimeError("Ada Lovelace earns 90")

    async def work(tracing: ChunkTracing) -> None:
        async with running(FakePartition(), handler=handler, tracing=tracing) as it:
            it.submit(replace(numbers(0, 1), contexts={0: KEPT}))
            await it.failed()

    with recorded() as it:
        asyncio.run(work(tracing_of(it.tracing)))
        [span] = it.spans
    assert span.attributes["error.type"] == "RuntimeError"
    assert "Ada" not in span.to_json()


def test_all_records_of_a_chunks_effects_bear_its_headers() -> None:
    effects = Effects(
        outputs=[Output("a", 0, b"k", b"v", [("own", b"1")]), OutputBatch("b", [0], [b"k"], [b"v"])]
    )
    plain = group_outputs(effects, 1)
    assert plain == {("a", 0): [(b"k", b"v", 1, [("own", b"1")])], ("b", 0): [(b"k", b"v", 1, [])]}
    effects.headers = [(HEADER, b"c")]
    borne = group_outputs(effects, 1)
    assert [each[0][3] for each in borne.values()] == [
        [("own", b"1"), (HEADER, b"c")],
        [(HEADER, b"c")],
    ]


@pytest.mark.parametrize(
    ("headers", "contexts"),
    [
        ([(HEADER, KEPT.encode())], {7: KEPT}),
        ([(HEADER, OTHER.encode()), ("x", None), (HEADER, KEPT.encode())], {7: KEPT}),
        ([(HEADER, b"00-nonsense")], {}),
        ([(HEADER, f"ff-{TRACE}-{SPAN}-01".encode())], {}),
        ([(HEADER, f"00-{'0' * 32}-{SPAN}-01".encode())], {}),
        ([(HEADER, b"\xff" * 55)], {}),
        ([(HEADER, None)], {}),
        ([("tracestate", b"a=b")], {}),
        ([], {}),
    ],
)
def test_contexts_are_read_from_headers(headers: list[Any], contexts: dict[int, str]) -> None:
    found: dict[int, str] = {}
    record = SimpleNamespace(offset=7, headers=headers)
    assert list(_noted([record], found)) == [record]
    assert found == contexts
