"""The normalizer: what is published where, what is stale, what is refused, what is remembered."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from schemas.codec.framing import frame, unframe
from schemas.codec.record import AvroSchema, RecordCodec, load_schema
from schemas.envelope import UNAVAILABLE
from schemas.errors import RegistryUnavailableError
from schemas.routing import partition_of
from schemas.topics import PARTITIONS
from streams.agents.normalize import make_normalizer
from streams.engine import Accounting, ChunkHandler, Effects
from tests.support.catalogue import BY_NAME
from tests.support.source_events import (
    FakeRegistry,
    MemoryState,
    Published,
    Source,
    chunk_of,
    debezium_schema,
    golden_registry,
    golden_values,
    mapping_of,
    published,
)

ENTRIES = "src.inhouse.time_entries"


def entry(row_id: int = 9, **changes: Any) -> dict[str, Any]:
    row = {
        "id": row_id,
        "project_id": 4,
        "task_id": 5,
        "worker_email": "ada@example.com",
        "work_on": 20_543,
        "hours": Decimal("7.50"),
        "is_billable": True,
        "status": "approved",
        "bill_rate": Decimal("150.0000"),
        "cost_rate": Decimal("80.0000"),
        "currency": "EUR",
        "notes": "wrote code",
        "updated_at": "2026-01-01T00:00:00.000000Z",
    }
    return row | changes


class Bench:
    """A normalizer of one topic with its source, its registry and a state that commits."""

    def __init__(self, topic: str = ENTRIES) -> None:
        self.topic = topic
        self.registry = FakeRegistry()
        self.source = Source(topic, self.registry)
        self.state = MemoryState()
        self.normalize: ChunkHandler = make_normalizer(mapping_of(topic), self.registry)
        self._next = 0

    def snapshot_read(
        self, position: int | None, row: dict[str, Any], marker: str = "true"
    ) -> bytes:
        """A row of a database as the snapshot taken at a position found it."""
        schema_id, payload = unframe(self.source.change(position or 0, row, op="r"))
        codec = RecordCodec(self.registry.schemas[schema_id])
        envelope = codec.decode(payload)
        source = envelope["source"]
        assert isinstance(source, dict)
        source["snapshot"] = marker
        if position is None:
            source |= {"lsn": None, "sequence": None}
        return frame(schema_id, codec.encode(envelope))

    def feed(self, *values: bytes | None) -> Effects:
        chunk = chunk_of(self.topic, values, start=self._next)
        self._next += len(values)
        effects = self.normalize(chunk, self.state)
        self.state.commit(effects)
        return effects


def canonical(effects: Effects, entity: str = "time_entry") -> list[Published]:
    return [record for record in published(effects) if record.topic == f"psa.{entity}"]


def letters(effects: Effects) -> list[dict[str, Any]]:
    return [
        record.value for record in published(effects) if record.topic == "psa.dlq" and record.value
    ]


def project_partition(project: int) -> int:
    return partition_of(f"inhouse:project:{project}", PARTITIONS)


def test_a_record_goes_to_the_partition_of_its_project_under_a_key_that_names_both() -> None:
    (record,) = canonical(Bench().feed(Bench().source.change(1, entry())))
    assert record.partition == project_partition(4)
    assert record.key == "inhouse:project:4|inhouse:time_entry:9"


def test_i3_a_repeated_or_older_change_changes_nothing() -> None:
    bench = Bench()
    change = bench.source.change(5, entry())
    bench.feed(change)
    effects = bench.feed(change, bench.source.change(4, entry(hours=Decimal("1.00"))))
    assert effects.accounting == Accounting(stale=2)
    assert effects.state == {}
    assert effects.outputs == []


def test_of_several_changes_in_a_chunk_the_last_is_published_and_older_ones_are_stale() -> None:
    bench = Bench()
    effects = bench.feed(
        bench.source.change(5, entry(status="draft")),
        bench.source.change(7, entry(status="submitted")),
        bench.source.change(6, entry(status="rejected")),
        bench.source.change(8, entry(status="approved")),
    )
    assert [record.value["status"] for record in canonical(effects) if record.value] == ["approved"]
    assert effects.accounting == Accounting(applied=3, stale=1)


@pytest.mark.parametrize(
    "marker", ["true", "first", "first_in_data_collection", "last_in_data_collection", "last"]
)
@pytest.mark.parametrize("is_one_chunk", [False, True])
def test_i3_a_snapshot_does_not_overtake_a_change_it_could_not_see(
    marker: str, is_one_chunk: bool
) -> None:
    """The change was written at 450, the snapshot was taken at 500, then the change committed."""
    bench = Bench()
    read = bench.snapshot_read(500, entry(status="draft"), marker)
    change = bench.source.change(450, entry(status="approved"))
    feeds = [(read, change)] if is_one_chunk else [(read,), (change,)]
    records = [record for feed in feeds for record in canonical(bench.feed(*feed))]
    assert records[-1].value is not None
    assert records[-1].value["status"] == "approved"
    positions = [record.value["source_position"] for record in records if record.value]
    assert positions == ([450] if is_one_chunk else [1, 450])


@pytest.mark.parametrize("is_one_chunk", [False, True])
def test_a_later_snapshot_replaces_what_is_older_and_stays_below_what_it_could_not_see(
    is_one_chunk: bool,
) -> None:
    bench = Bench()
    values = [
        bench.source.change(100, entry(status="draft")),
        bench.snapshot_read(500, entry(status="submitted")),
        bench.source.change(450, entry(status="approved")),
    ]
    feeds = [values] if is_one_chunk else [[value] for value in values]
    records = [record for feed in feeds for record in canonical(bench.feed(*feed))]
    published = [
        (record.value["status"], record.value["source_position"])
        for record in records
        if record.value
    ]
    expected = [("draft", 100), ("submitted", 101), ("approved", 450)]
    assert published == (expected[-1:] if is_one_chunk else expected)


@pytest.mark.parametrize("is_one_chunk", [False, True])
def test_i3_a_snapshot_older_than_the_row_changes_nothing(is_one_chunk: bool) -> None:
    bench = Bench()
    change = bench.source.change(500, entry())
    late = [bench.snapshot_read(position, entry(status="draft")) for position in (499, 500)]
    feeds = [[change, *late]] if is_one_chunk else [[change], late]
    effects = [bench.feed(*feed) for feed in feeds]
    assert effects[-1].accounting == Accounting(applied=int(is_one_chunk), stale=2)
    assert sum(len(canonical(effect)) for effect in effects) == 1


def test_a_snapshot_brings_back_a_row_that_was_deleted() -> None:
    bench = Bench()
    bench.feed(bench.source.change(100, None, op="d", before=entry()))
    (record,) = canonical(bench.feed(bench.snapshot_read(500, entry())))
    assert record.value is not None
    assert record.value["source_position"] == 101


@pytest.mark.parametrize("marker", ["true", "incremental"])
def test_what_was_written_before_a_snapshot_and_committed_after_it_is_newer(marker: str) -> None:
    """An incremental read, too, bears the position of whatever was streamed last before it."""
    bench = Bench()
    bench.feed(bench.source.change(50, entry(status="draft"), op="c"))
    read = bench.snapshot_read(500, entry(status="submitted"), marker)
    (record,) = canonical(bench.feed(read))
    assert record.value is not None
    assert (record.value["status"], record.value["source_position"]) == ("submitted", 51)
    (record,) = canonical(bench.feed(bench.source.change(450, entry())))
    assert record.value is not None
    assert record.value["status"] == "approved"


def test_a_read_beside_the_stream_tells_no_position_and_stands_where_it_came() -> None:
    """So Debezium writes what an incremental snapshot reads: in order with changes of the row."""
    bench = Bench()
    bench.feed(bench.source.change(50, entry(status="draft")))
    read = bench.snapshot_read(None, entry(status="submitted"), "incremental")
    (record,) = canonical(bench.feed(read))
    assert record.value is not None
    assert (record.value["status"], record.value["source_position"]) == ("submitted", 51)
    (record,) = canonical(bench.feed(bench.source.change(60, entry())))
    assert record.value is not None
    assert record.value["status"] == "approved"
    (first,) = canonical(bench.feed(bench.snapshot_read(None, entry(id=8), "incremental")))
    assert first.value is not None
    (letter,) = letters(bench.feed(bench.snapshot_read(None, entry(id=7))))
    assert letter["detail"] == "the source gives no comparable position"


def test_a_polled_read_keeps_its_own_position() -> None:
    bench = Bench("src.float.role")
    role = {"id": 1, "name": "Engineer"}
    bench.feed(bench.snapshot_read(500, role))
    assert bench.feed(bench.source.change(450, role)).accounting == Accounting(stale=1)
    assert bench.feed(bench.snapshot_read(500, role)).accounting == Accounting(stale=1)


def test_a_row_that_moves_is_deleted_where_it_was() -> None:
    bench = Bench()
    moved_to = next(p for p in range(5, 99) if project_partition(p) != project_partition(4))
    bench.feed(bench.source.change(1, entry()))
    effects = bench.feed(bench.source.change(2, entry(project_id=moved_to)))
    gone, moved = sorted(canonical(effects), key=lambda record: record.value is not None)
    assert (gone.partition, gone.value) == (project_partition(4), None)
    assert moved.partition == project_partition(moved_to)
    assert moved.value is not None
    assert gone.key == "inhouse:project:4|inhouse:time_entry:9"
    assert moved.key == f"inhouse:project:{moved_to}|inhouse:time_entry:9"


def test_a_row_that_moves_within_its_partition_is_deleted_before_it_comes_back() -> None:
    """Readers know the row by its id: behind the row, the deletion would take it along."""
    bench = Bench()
    same = next(p for p in range(5, 99) if project_partition(p) == project_partition(4))
    bench.feed(bench.source.change(1, entry()))
    gone, moved = canonical(bench.feed(bench.source.change(2, entry(project_id=same))))
    assert (gone.key, gone.value) == ("inhouse:project:4|inhouse:time_entry:9", None)
    assert moved.key == f"inhouse:project:{same}|inhouse:time_entry:9"
    assert gone.partition == moved.partition


def test_a_row_that_stays_with_its_project_leaves_no_tombstone() -> None:
    bench = Bench()
    bench.feed(bench.source.change(1, entry()))
    effects = bench.feed(bench.source.change(2, entry(hours=Decimal("1.00"))))
    assert [record.value is None for record in canonical(effects)] == [False]


def test_a_delete_that_carries_the_key_alone_finds_its_partition() -> None:
    bench = Bench()
    bench.feed(bench.source.change(1, entry(project_id=11)))
    only_key = entry(project_id=0, worker_email="", hours=Decimal("0.00"))
    effects = bench.feed(bench.source.change(2, None, op="d", before=only_key), None)
    (record,) = canonical(effects)
    assert (record.partition, record.value) == (project_partition(11), None)
    assert effects.accounting == Accounting(applied=1, stale=1)
    again = bench.feed(bench.source.change(1, entry(project_id=11)))
    assert again.accounting == Accounting(stale=1)


def test_a_delete_of_a_row_never_seen_is_remembered_but_not_published() -> None:
    bench = Bench()
    effects = bench.feed(bench.source.change(2, None, op="d", before=entry()))
    assert canonical(effects) == []
    assert effects.accounting == Accounting(applied=1)
    assert bench.feed(bench.source.change(1, entry())).accounting == Accounting(stale=1)
    assert len(canonical(bench.feed(bench.source.change(3, entry())))) == 1


def test_a_row_that_comes_and_goes_within_a_chunk_has_been_seen() -> None:
    """Who has ordered it would wait for it for good."""
    bench = Bench()
    effects = bench.feed(
        bench.source.change(1, entry(), op="c"),
        bench.source.change(2, entry(project_id=5)),
        bench.source.change(3, None, op="d", before=entry(project_id=5)),
    )
    key = "inhouse:project:5|inhouse:time_entry:9"
    assert [(r.key, r.value is None) for r in canonical(effects)] == [(key, False), (key, True)]
    assert effects.accounting == Accounting(applied=3)


def test_a_row_that_moves_and_goes_within_a_chunk_lies_nowhere() -> None:
    bench = Bench()
    bench.feed(bench.source.change(1, entry()))
    effects = bench.feed(
        bench.source.change(2, entry(project_id=5)),
        bench.source.change(3, None, op="d", before=entry(project_id=5)),
    )
    last = {(r.partition, r.key): r.value for r in canonical(effects)}
    names = [f"inhouse:project:{number}|inhouse:time_entry:9" for number in (4, 5)]
    assert sorted(key for _, key in last) == names
    assert set(map(str, last.values())) == {"None"}


def test_i12_an_unset_text_keeps_its_value() -> None:
    bench = Bench()
    bench.feed(bench.source.change(1, entry(notes="first")))
    (kept,) = canonical(bench.feed(bench.source.change(2, entry(notes=UNAVAILABLE))))
    assert kept.value is not None
    assert kept.value["notes"] == "first"
    effects = bench.feed(
        bench.source.change(3, entry(notes="second")),
        bench.source.change(4, entry(notes=UNAVAILABLE)),
    )
    assert [record.value["notes"] for record in canonical(effects) if record.value] == ["second"]
    effects = bench.feed(bench.source.change(5, entry(notes=UNAVAILABLE, status="draft")))
    assert [record.value["notes"] for record in canonical(effects) if record.value] == ["second"]


@pytest.mark.parametrize("text", [None, "", "ümlaut ☕"])
def test_null_and_empty_are_values_to_keep(text: str | None) -> None:
    bench = Bench()
    bench.feed(bench.source.change(1, entry(notes=text)))
    (kept,) = canonical(bench.feed(bench.source.change(2, entry(notes=UNAVAILABLE))))
    assert kept.value is not None
    assert kept.value["notes"] == text


def test_i12_an_unset_text_never_seen_is_null_and_not_the_placeholder() -> None:
    bench = Bench()
    (record,) = canonical(bench.feed(bench.source.change(1, entry(notes=UNAVAILABLE))))
    assert record.value is not None
    assert record.value["notes"] is None


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
@pytest.mark.parametrize("text", ["second", None])
@pytest.mark.parametrize("is_known", [True, False])
def test_i12_a_text_that_came_with_a_refused_row_is_the_value_all_the_same(
    cut: int, text: str | None, is_known: bool
) -> None:
    bench = Bench()
    changes = [
        bench.source.change(1, entry(notes="first")),
        bench.source.change(2, entry(notes=text, hours="999")),
        bench.source.change(3, entry(notes=UNAVAILABLE, hours="998")),
        bench.source.change(4, entry(notes=UNAVAILABLE)),
    ][not is_known :]
    effects = [bench.feed(*part) for part in (changes[:cut], changes[cut:]) if part]
    (*_, corrected) = canonical(effects[-1])
    assert corrected.value is not None
    assert corrected.value["notes"] == text
    accountings = [each.accounting for each in effects]
    assert sum(each.dead_lettered for each in accountings) == 2
    (moved,) = canonical(bench.feed(bench.source.change(5, entry(notes=UNAVAILABLE))))
    assert moved.value is not None
    assert moved.value["notes"] == text


def test_i12_a_text_that_came_after_it_is_not_published_with_a_row() -> None:
    bench = Bench()
    bench.feed(bench.source.change(1, entry(notes="first")))
    effects = bench.feed(
        bench.source.change(2, entry(notes=UNAVAILABLE)),
        bench.source.change(3, entry(notes="second", hours="999")),
    )
    assert [record.value["notes"] for record in canonical(effects) if record.value] == ["first"]


def test_i12_an_unset_text_that_nobody_keeps_is_refused() -> None:
    bench = Bench()
    (letter,) = letters(bench.feed(bench.source.change(1, entry(worker_email=UNAVAILABLE))))
    assert letter["detail"] == "worker_email was not sent by the source"


def test_a_broadcast_entity_goes_to_every_partition_and_leaves_all_of_them() -> None:
    bench = Bench("src.float.person")
    person = {"people_id": 1, "email": "a@b.c", "active": 1, "created": "2026-01-01 00:00:00"}
    effects = bench.feed(bench.source.change(1, person))
    assert [card.partition for card in canonical(effects, "rate_card")] == list(range(PARTITIONS))
    assert [each.partition for each in canonical(effects, "resource")] == list(range(PARTITIONS))
    effects = bench.feed(bench.source.change(2, None, op="d", before={"people_id": 1}))
    cards = canonical(effects, "rate_card")
    assert [(card.partition, card.value) for card in cards] == [(p, None) for p in range(4)]


def test_a_soft_deleted_row_is_a_delete() -> None:
    bench = Bench("src.salesforce.account")
    account = {"Id": "001A", "Name": "Acme", "IsDeleted": False}
    bench.feed(bench.source.change(1, account))
    effects = bench.feed(bench.source.change(2, account | {"IsDeleted": True}))
    assert [record.value for record in canonical(effects, "customer")] == [None]


@pytest.mark.parametrize(
    ("changes", "code", "detail"),
    [
        (
            {"hours": Decimal("-744.25")},
            "record.invalid_entity",
            "hours must lie between -744 and 24",
        ),
        (
            {"hours": Decimal("24.01")},
            "record.invalid_entity",
            "hours must lie between -744 and 24",
        ),
        ({"currency": "XXX"}, "record.invalid_entity", "currency must be an ISO 4217 code"),
        (
            {"bill_rate": Decimal("-1.0000")},
            "record.invalid_entity",
            "bill_rate must lie between 0 and 10000000000",
        ),
        ({"worker_email": " "}, "record.invalid_entity", "resource_id is missing"),
        ({"status": "lost"}, "record.unmapped_value", "status has no value of time_entry.status"),
    ],
)
def test_i5_a_record_that_breaks_a_rule_is_a_dead_letter_and_the_rest_flows(
    changes: dict[str, Any], code: str, detail: str
) -> None:
    bench = Bench()
    bad = bench.source.change(2, entry(2, **changes))
    effects = bench.feed(bench.source.change(1, entry(1)), bad, bench.source.change(3, entry(3)))
    assert [record.key for record in canonical(effects)] == [
        "inhouse:project:4|inhouse:time_entry:1",
        "inhouse:project:4|inhouse:time_entry:3",
    ]
    (letter,) = letters(effects)
    assert (letter["error_code"], letter["detail"]) == (code, detail)
    assert (letter["topic"], letter["partition"], letter["offset"]) == (ENTRIES, 0, 1)
    assert (letter["value"], letter["key"], letter["agent"]) == (bad, b"key", "normalize")
    assert effects.accounting == Accounting(applied=2, dead_lettered=1)


def test_a_refused_change_does_not_hide_the_row_from_its_correction() -> None:
    bench = Bench()
    bench.feed(bench.source.change(5, entry(hours=Decimal("25.00"))))
    assert bench.feed(bench.source.change(5, entry())).accounting == Accounting(applied=1)


def test_i3_a_refused_change_does_not_let_an_older_one_in() -> None:
    effects = (bench := Bench()).feed(
        bench.source.change(5, entry()),
        bench.source.change(6, entry(hours=Decimal("25.00"))),
        bench.source.change(4, entry(status="draft")),
    )
    assert effects.accounting == Accounting(applied=1, stale=1, dead_lettered=1)


def test_bytes_that_are_no_record_and_unknown_schemas_are_dead_letters() -> None:
    bench = Bench()
    good = bench.source.change(1, entry())
    effects = bench.feed(b"{}", good[:-3], frame(77, b"x"), good)
    assert effects.accounting == Accounting(applied=1, dead_lettered=3)
    assert [letter["error_code"] for letter in letters(effects)] == ["record.decode"] * 3
    assert [letter["offset"] for letter in letters(effects)] == [0, 1, 2]


def test_an_envelope_without_position_is_a_dead_letter() -> None:
    bench = Bench("src.float.role")
    role = {"id": 1, "name": "Engineer"}
    (letter,) = letters(bench.feed(bench.source.change(-5, role)))
    assert letter["detail"] == "the source gives no comparable position"


def test_a_registry_that_is_down_is_waited_for() -> None:
    bench = Bench()
    value = bench.source.change(1, entry())
    bench.registry.failure = RegistryUnavailableError("the schema registry does not answer")
    with pytest.raises(RegistryUnavailableError):
        bench.feed(value)
    bench.registry.failure = None
    assert bench.feed(value).accounting == Accounting(applied=1)


def rewritten(schema: AvroSchema, column: str, avro: object) -> AvroSchema:
    """The table's envelope after the column was dropped (None) or retyped."""
    envelope = json.loads(schema.text)
    row = envelope["fields"][0]["type"][1]
    row["fields"] = [
        field if field["name"] != column else {"name": column, "type": avro}
        for field in row["fields"]
        if field["name"] != column or avro is not None
    ]
    return load_schema(envelope)


def after_migration(bench: Bench, column: str, avro: object, value: object) -> Effects:
    schema = rewritten(debezium_schema(ENTRIES), column, avro)
    old = RecordCodec(debezium_schema(ENTRIES)).decode(bench.source.change(2, entry(2))[5:])
    after = old["after"]
    assert isinstance(after, dict)
    new = old | {"after": after | {column: value}}
    if avro is None:
        new = old | {"after": {name: item for name, item in after.items() if name != column}}
    migrated = frame(bench.registry.add(schema), RecordCodec(schema).encode(new))
    return bench.feed(bench.source.change(1, entry(1)), migrated, bench.source.change(3, entry(3)))


def test_a_column_the_database_dropped_is_not_read_as_null() -> None:
    effects = after_migration(Bench(), "currency", None, None)
    assert [letter["error_code"] for letter in letters(effects)] == ["record.schema_mismatch"]
    assert effects.accounting == Accounting(applied=2, dead_lettered=1)


def test_a_decimal_the_database_made_finer_is_refused_rather_than_rounded() -> None:
    finer = {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 4}
    effects = after_migration(Bench(), "hours", finer, Decimal("7.1234"))
    assert [letter["error_code"] for letter in letters(effects)] == ["record.schema_mismatch"]


def test_an_added_column_changes_nothing() -> None:
    bench = Bench()
    schema = json.loads(debezium_schema(ENTRIES).text)
    schema["fields"][0]["type"][1]["fields"].insert(
        0, {"name": "colour", "type": ["null", "string"], "default": None}
    )
    wider = load_schema(schema)
    old = RecordCodec(debezium_schema(ENTRIES)).decode(bench.source.change(1, entry())[5:])
    after = old["after"]
    assert isinstance(after, dict)
    value = RecordCodec(wider).encode(old | {"after": after | {"colour": "red"}})
    (record,) = canonical(bench.feed(frame(bench.registry.add(wider), value)))
    assert record.value is not None
    assert record.value["work_on"] == date(2026, 3, 31)


def test_an_empty_chunk_does_nothing() -> None:
    effects = Bench().feed()
    assert (effects.accounting, effects.state, effects.outputs) == (Accounting(), {}, [])


def test_what_debezium_really_writes_is_read() -> None:
    registry, state = golden_registry(), MemoryState()
    normalize = make_normalizer(mapping_of(ENTRIES), registry)
    values = [value for _, value in golden_values(ENTRIES)]
    effects = normalize(chunk_of(ENTRIES, values), state)
    # Entry 1: read, then updated without its long notes. Entry 2 takes hours back.
    assert effects.accounting == Accounting(applied=5)
    record = next(each for each in canonical(effects) if each.key.endswith("|inhouse:time_entry:1"))
    assert record.value is not None
    assert record.value["status"] == "approved"
    assert record.value["notes"].startswith("long note ")
    assert record.value["work_on"] == date(2026, 3, 31)
    assert record.value["bill_rate"] == Decimal("150.1234")
    assert record.value["source_position"] == 28_446_128


@pytest.mark.parametrize("table", ["projects", "tasks", "expenses"])
def test_what_debezium_really_writes_for_other_tables_is_read(table: str) -> None:
    topic = f"src.inhouse.{table}"
    values = [value for _, value in golden_values(topic)]
    normalize = make_normalizer(mapping_of(topic), golden_registry())
    effects = normalize(chunk_of(topic, values), MemoryState())
    assert effects.accounting == Accounting(applied=len(values))
    entity = BY_NAME[f"psa.{table.removesuffix('s')}"]
    assert [record.topic for record in published(effects)] == [entity.name]


@pytest.mark.fault("B1", place="schemas/mapping/rules.py")
@pytest.mark.parametrize("days", [6_661_026, 2_932_897, 95_026_601, 2**31 - 1, -719_163, -(2**31)])
def test_b1_a_date_that_python_cannot_hold_is_refused(days: int) -> None:
    """6,661,026 days: 20206-01-05; PostgreSQL holds it, Debezium sends it."""
    bench = Bench()
    effects = bench.feed(
        bench.source.change(1, entry(1, work_on=days)), bench.source.change(2, entry(2))
    )
    (letter,) = letters(effects)
    assert (letter["offset"], letter["error_code"]) == (0, "record.invalid_entity")
    assert "work_on" in letter["detail"]
    assert [record.key for record in canonical(effects)] == [
        "inhouse:project:4|inhouse:time_entry:2"
    ]


@pytest.mark.fault("B1", place="schemas/mapping/rules.py")
@pytest.mark.parametrize("days", [2_932_896, -719_162])
def test_the_first_and_last_date_pass(days: int) -> None:
    bench = Bench()
    (record,) = canonical(bench.feed(bench.source.change(1, entry(work_on=days))))
    assert record.value is not None
    assert record.value["work_on"] in (date.min, date.max)


@pytest.mark.fault("B1", place="schemas/mapping/loader.py")
def test_a_change_at_no_time_is_refused() -> None:
    bench = Bench()
    effects = bench.feed(bench.source.change(1, entry(), ts_ms=2**62))
    assert len(letters(effects)) == 1
    assert canonical(effects) == []
