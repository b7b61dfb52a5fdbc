"""What a measure declares agrees with its topic and its contract."""

from __future__ import annotations

import polars as pl
import pytest

from schemas.codec.columnar import frame_dtypes
from schemas.contracts import record_schema
from tables.foundation.documents import Documents
from tables.foundation.effects import Outbox
from tables.measures.billing_status import BILLING
from tables.measures.fold import Fold, Total
from tables.measures.margin import MARGIN
from tables.measures.measure import Measure, Quantity, publish
from tables.measures.pipeline import PIPELINE
from tables.measures.utilization import UTILIZATION
from tests.support.catalogue import BY_NAME
from tests.support.topology import MemoryState

MEASURES = [MARGIN, UTILIZATION, BILLING, PIPELINE]


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_what_is_shown_has_the_types_of_the_topic_and_the_key_its_name(measure: Measure) -> None:
    outbox = Outbox(few=-1)
    publish(outbox, measure, [], [], removed=["gone"], timestamp_ms=1)
    topic = BY_NAME[measure.topic]
    assert topic.key == "|".join(measure.key)
    (columns,) = outbox.columns
    expected = frame_dtypes(record_schema(str(topic.record)))
    assert isinstance(columns.rows, pl.DataFrame)
    assert dict(columns.rows.schema) == expected


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_sums_are_the_same_when_they_are_read_again(measure: Measure) -> None:
    count = len(measure.sums) + 2 * measure.is_dated
    for sign in (1, -1):
        amounts = tuple(
            sign * (2**64 + at if at in measure.wide else 2**40 + at) for at in range(count)
        )
        assert measure.unpack(measure.pack(amounts)) == amounts


COUNTED = Measure(
    name="counted",
    topic="any",
    prefix="n:",
    key=("kind",),
    sums={"rows": Quantity.COUNT, "worth": Quantity.MONEY},
    columns={},
    shown={},
)


def test_a_total_is_kept_from_chunk_to_chunk_and_goes_when_nothing_is_left() -> None:
    documents = Documents(MemoryState())

    def chunk(*changes: tuple[str, int, int]) -> list[Total]:
        fold = Fold(COUNTED, documents)
        for key, rows, worth in changes:
            fold.add(key, (rows, worth))
        return fold.settle()

    assert [each[:4] for each in chunk(("b", 1, 5), ("a", 1, 2), ("b", 2, 1))] == [
        ("a", (0, 0), (1, 2), False),
        ("b", (0, 0), (3, 6), False),
    ]
    assert [each[:4] for each in chunk(("b", -3, -6))] == [("b", (3, 6), (0, 0), True)]
    assert documents.keys("n:") == ["n:a"]
    assert Fold(COUNTED, documents).stored(["a", "b"]) == [(1, 2), (0, 0)]


def test_nothing_is_written_of_a_total_that_never_was() -> None:
    documents = Documents(MemoryState())
    fold = Fold(COUNTED, documents)
    fold.touch("a")
    assert [total.is_stored for total in fold.settle()] == [False]
    assert documents.changes() == {}


def test_what_a_chunk_will_write_can_be_seen_before() -> None:
    documents = Documents(MemoryState())
    fold = Fold(COUNTED, documents)
    fold.add("a", (1, 2))
    fold.touch("a")
    assert [(each.before, each.after) for each in fold.look(["a", "b"])] == [
        ((0, 0), (1, 2)),
        ((0, 0), (0, 0)),
    ]
    assert (fold.keys(), documents.changes()) == (["a"], {})
    fold.settle()
    assert fold.stored_keys("") == ["a"]
