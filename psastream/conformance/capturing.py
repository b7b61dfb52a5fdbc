"""Clauses about databases: what Debezium tells of a row becomes its records, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from psastream.conformance.bench import BrokenClauseError, flat
from psastream.conformance.clauses import database_clause
from psastream.conformance.databases import STEP, DatabaseBench
from psastream.conformance.debezium import Column, Row
from psastream.conformance.seeds import seed
from schemas.envelope import UNAVAILABLE

MARKERS: Final = (
    "true", "first", "first_in_data_collection", "last_in_data_collection", "last", "incremental",
)  # fmt: skip
ROWS: Final = 5
_WIDE: Final = Decimal("12345678901234567890.123456789")
EXTREMES: Final[Mapping[str, tuple[Any, ...]]] = {
    "bigint": (0, -1, 2**63 - 1, -(2**63), 2**53 + 1),
    "integer": (0, -1, 2**31 - 1, -(2**31)),
    "smallint": (0, -1, 2**15 - 1),
    "numeric": (Decimal(0), Decimal("0.1"), Decimal("-0.01"), _WIDE, Decimal("1E-7"), "NaN",
                "Infinity"),
    "date": ("0001-01-01", "9999-12-31", "2024-02-29", 2_146_033_979, -2_147_472_691),
    "timestamp": ("0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "2026-03-29T02:30:00"),
    "timestamptz": ("0001-01-01T00:00:00+00:00", "2026-03-29T02:30:00.000001+02:00"),
    "time": ("00:00:00", "23:59:59.999999", "24:00:00"),
    "interval": ("00:00:00", "-01:30:00", "100:00:00.000001", "P0Y1M0DT0H0M0S"),
    "boolean": (True, False),
    "double precision": (0, Decimal("0.1"), Decimal("1e300")),
    "real": (0, Decimal("0.5")),
}  # fmt: skip
TEXTS: Final = ("", " ", "null", "0", "é 漢 🙂 \u202e", "a\tb\nc", '"; DROP', "x" * 4000)


def _filled(bench: DatabaseBench, count: int = ROWS) -> None:
    """Insert rows, each with what it looks up."""
    bench.fresh()
    for number in range(count):
        seed(bench, bench.row(number))
        bench.write(bench.row(number))
    bench.run()


def _varied(bench: DatabaseBench, number: int) -> Row:
    """The row of a number, changed."""
    known = next(
        row for row in bench.rows[bench.table].values()
        if row[bench.documented.key[0]] == bench.row(number)[bench.documented.key[0]]
    )  # fmt: skip
    return known | {bench.documented.vary: bench.documented.varied}


@database_clause("captured", "A table that is mapped is captured, into the topic that is read.")
def captured(bench: DatabaseBench) -> None:
    """Its name, by the connector file."""
    topic, expected = bench.debezium.topic(bench.table), bench.subject.system.topics[bench.table]
    if topic is None:
        raise BrokenClauseError("the connector file does not capture it")
    if topic != expected.name:
        raise BrokenClauseError(f"it is captured into {topic}; {expected.name} is read")
    if not bench.debezium.reads_rows:
        raise BrokenClauseError("rows that are there before the connector begins are never read")


@database_clause(
    "rows that are there", "What a snapshot reads makes the same records as what is streamed."
)
def rows_that_are_there(bench: DatabaseBench) -> None:
    """Rows that are inserted, and then read by every kind of snapshot."""
    _filled(bench)
    if not all(bench.published().values()):
        raise BrokenClauseError(f"nothing is made of rows like the sample: {_why(bench)}")
    expected = bench.truth()
    bench.require_truth(expected)
    for marker in MARKERS:
        bench.read(marker)
        bench.require_truth(expected)


def _why(bench: DatabaseBench) -> str:
    letters = bench.refused()
    return str(letters[0]["detail"]) if letters else "they wait for what they look up"


@database_clause("changed rows", "A changed row and a new one make the records of what they are.")
def changed_rows(bench: DatabaseBench) -> None:
    """One row changes and one comes."""
    _filled(bench)
    bench.write(_varied(bench, 1))
    bench.write(bench.row(9))
    seed(bench, bench.row(9))
    bench.require_truth()
    told = [*flat([[*records.values()] for records in bench.published().values()])]
    if not any(_is_said(bench.documented.varied, each) for each in told):
        raise BrokenClauseError(f"no record has what {bench.documented.vary} became")


@database_clause("own id", "Rows are told apart by their whole key, and by nothing else.")
def own_id(bench: DatabaseBench) -> None:
    """Rows that differ in one column of the key each, and then in all else."""
    _filled(bench, 2)
    ids = {name: set(rows) for name, rows in bench.published().items()}
    if any(len(found) != 2 for found in ids.values()):
        raise BrokenClauseError(f"two rows make {[len(each) for each in ids.values()]} records")
    bench.write(_varied(bench, 1))
    if {name: set(rows) for name, rows in bench.published().items()} != ids:
        raise BrokenClauseError("a row that changed got another id")
    for name in bench.documented.key[1:]:
        row = bench.row(0)
        other = row[name] + 1 if isinstance(row[name], int) else _other(row[name])
        before = bench.published()
        bench.write(row | {name: other})
        seed(bench, row | {name: other})
        if any(len(rows) != len(before[topic]) + 1 for topic, rows in bench.published().items()):
            raise BrokenClauseError(f"rows that differ in {name} are taken for one")


def _other(text: str) -> str:
    return text[:-1] + ("1" if text[-1] != "1" else "2")


@database_clause("changed key", "A row whose key changes makes its records under the new one.")
def changed_key(bench: DatabaseBench) -> None:
    """As Debezium tells it: the old key goes, the new one comes."""
    _filled(bench)
    row = bench.row(2)
    bench.remove(2)
    bench.write(row | {bench.documented.key[0]: bench.row(8)[bench.documented.key[0]]})
    bench.require_truth()


@database_clause("deleted rows", "A deleted row withdraws its records, and no other row's.")
def deleted_rows(bench: DatabaseBench) -> None:
    """One goes, is told once more, and comes back."""
    _filled(bench)
    bench.remove(2)
    bench.require_truth()
    bench.again(len(bench.told) - 1)
    bench.require_truth()
    bench.write(bench.row(2))
    bench.require_truth()


@database_clause("emptied table", "A truncated table withdraws all records of its rows.")
def emptied_table(bench: DatabaseBench) -> None:
    """TRUNCATE, and a row after it."""
    _filled(bench)
    bench.rows[bench.table].clear()
    bench.tell(bench.table, "t", None, None)
    bench.require_truth()
    bench.write(bench.row(1))
    bench.require_truth()


@database_clause("told again", "A change that is delivered again, or late, changes nothing.")
def told_again(bench: DatabaseBench) -> None:
    """Everything that was delivered is delivered again, after later changes."""
    _filled(bench)
    bench.write(_varied(bench, 1))
    bench.remove(2)
    expected = bench.truth()
    for number in range(len(bench.told)):
        bench.again(number)
        bench.require_truth(expected)


@database_clause(
    "around a snapshot", "What is committed after a snapshot is newer, wherever it was written."
)
def around_a_snapshot(bench: DatabaseBench) -> None:
    """A change is written, a snapshot is taken, the change is committed and told."""
    for marker in (MARKERS[0], MARKERS[-1]):
        _filled(bench)
        bench.lsn += 10 * STEP
        written_at = bench.lsn - 5 * STEP
        bench.read(marker)
        row = _varied(bench, 1)
        bench.rows[bench.table][tuple(row[name] for name in bench.documented.key)] = row
        bench.tell(bench.table, "u", None, row, lsn=written_at)
        bench.require_truth()


def _texts_of(bench: DatabaseBench) -> list[str]:
    keys = bench.documented.key
    return [
        name for name, each in bench.columns.items()
        if each.is_text and name not in keys and bench.row(1).get(name) is not None
    ]  # fmt: skip


@database_clause(
    "texts not sent",
    "A text that is not sent again is never published as its placeholder: it is kept, or refused.",
)
def texts_not_sent(bench: DatabaseBench) -> None:
    """Each text lies outside of its row while that changes; one that is long must be kept."""
    for name in _texts_of(bench):
        _filled(bench)
        before, refused = bench.published(), len(bench.refused())
        row = bench.row(1) | {name: UNAVAILABLE}
        if bench.documented.identity == "full":
            row = bench.row(1)  # the row before has it, and Debezium takes it from there
        bench.tell(bench.table, "u", None, row)
        found = bench.published()
        if UNAVAILABLE in flat([[*rows.values()] for rows in found.values()]):
            raise BrokenClauseError(f"{name}: the placeholder is published")
        if found != before:
            raise BrokenClauseError(f"{name}: what was published of it is overwritten")
        if name in bench.documented.long and len(bench.refused()) > refused:
            raise BrokenClauseError(f"{name} is long, and its row is refused as it changes")


@database_clause("unset columns", "A row with nulls makes its records, or is refused with a hint.")
def unset_columns(bench: DatabaseBench) -> None:
    """Each column that may be null is, in a row of its own."""
    nullable = [
        name for name, each in bench.columns.items()
        if each.is_nullable and name not in bench.documented.key
    ]  # fmt: skip
    _filled(bench, 1)
    for number, name in enumerate(nullable, 1):
        row = bench.row(number) | {name: None}
        bench.write(row)
        seed(bench, row)
    bench.require_truth()
    _require_hints(bench)


@database_clause(
    "exact columns", "A value is published exactly as the database has it, or its row is refused."
)
def exact_columns(bench: DatabaseBench) -> None:
    """Each column takes each extreme of its type, in a row of its own."""
    _filled(bench, 1)
    if bench.refused():
        raise BrokenClauseError(f"a row like the sample is refused: {_why(bench)}")
    sent: dict[str, tuple[str, Any]] = {}
    number = 1
    for name, column in bench.columns.items():
        if name in bench.documented.key:
            continue
        for value in _extremes(column):
            row = bench.row(number) | {name: value}
            sent[",".join(str(row[key]) for key in bench.documented.key)] = name, value
            bench.write(row)
            seed(bench, row)
            number += 1
    _require_hints(bench)
    copies = _copies(bench)
    for topic, records in bench.published().items():
        for row_id, record in records.items():
            name, value = sent.get(row_id.split(":", 2)[2], ("", None))
            for field in copies.get((topic, name), ()):
                if not _is_exact(value, record[field]):
                    raise BrokenClauseError(
                        f"{name} = {value!r} is published as {field} = {record[field]!r}"
                    )


def _extremes(column: Column) -> list[Any]:
    if column.is_text:
        return [*TEXTS]
    found = [*EXTREMES[column.kind]]
    if column.kind == "numeric" and column.scale is not None and column.precision is not None:
        least = Decimal(1).scaleb(-column.scale)
        found += [least, Decimal(10) ** (column.precision - column.scale) - least]
    return [each for each in found if column.kind != "numeric" or _fits(column, each)]


def _fits(column: Column, value: Any) -> bool:
    """Whether a number of that precision can be in the column: PostgreSQL refuses others."""
    if column.scale is None or not isinstance(value, Decimal):
        return value != "Infinity" or column.precision is None
    digits = column.precision or 38
    return value == round(value, column.scale) and abs(value) < 10 ** (digits - column.scale)


def _copies(bench: DatabaseBench) -> dict[tuple[str, str], list[str]]:
    """Fields that hold a column as it is, by topic and column."""
    found: dict[tuple[str, str], list[str]] = {}
    for target in bench.subject.system.objects[bench.table].targets:
        for field, rule in target.fields.items():
            if rule.is_copy:
                found.setdefault((f"psa.{target.entity}", str(rule.from_)), []).append(field)
    return found


def _is_exact(sent: Any, told: Any) -> bool:
    if isinstance(told, Decimal) and not isinstance(sent, bool):
        try:
            return told == Decimal(str(sent))
        except ArithmeticError:
            return False
    if told is None:
        return sent is None or isinstance(sent, int)  # of a date: infinity
    return sent == told or str(sent) == str(told)


@database_clause("new column", "A column that the table gets holds up no row.")
def new_column(bench: DatabaseBench) -> None:
    """The table gets a column; changes are written with another schema."""
    _filled(bench)
    row = _varied(bench, 1)
    bench.rows[bench.table][tuple(row[name] for name in bench.documented.key)] = row
    columns = {**bench.columns, "brand_new": Column("text")}
    bench.tell(bench.table, "u", None, row | {"brand_new": "x"}, columns=columns)
    bench.require_truth()


@database_clause("lost column", "A column that the table lost is never read as null.")
def lost_column(bench: DatabaseBench) -> None:
    """Each column that is read is dropped, and a row changes."""
    mapping = bench.mapping
    assert mapping is not None
    fields: Any = mapping.reader.parsed["fields"]
    [read] = [each["type"][1]["fields"] for each in fields if each["name"] == "after"]
    for name in (each["name"] for each in read):
        if name in bench.documented.key:
            continue
        _filled(bench)
        before = bench.published()
        columns = {other: each for other, each in bench.columns.items() if other != name}
        bench.tell(bench.table, "u", None, bench.row(1), columns=columns)
        if bench.published() != before:
            raise BrokenClauseError(f"without {name}, rows are published with other values")
        if not bench.refused():
            raise BrokenClauseError(f"without {name}, a row is dropped without a word")


@database_clause("no records", "A record that is none is refused alone; those around it flow.")
def no_records(bench: DatabaseBench) -> None:
    """Bytes, half a record, an unknown schema, a row that is not there."""
    _filled(bench)
    sound = next(value for _, _, value in reversed(bench.told) if value)
    for value in (b"", b"\x00", b"{}", sound[:-3], b"\x00\x00\x00\xff\xff" + sound[5:]):
        bench.append(bench.table, b"odd", value)
    bench.tell(bench.table, "u", None, None)
    bench.write(_varied(bench, 1))
    bench.require_truth()
    if len(bench.refused()) != 6:
        raise BrokenClauseError(f"of 6 records that are none {len(bench.refused())} are refused")


@database_clause("any order", "Rows that look others up make their records, whichever comes first.")
def any_order(bench: DatabaseBench) -> None:
    """What is looked up comes last, and goes again."""
    bench.fresh()
    rows = [bench.row(number) for number in range(ROWS)]
    for row in rows:
        bench.write(row)
    bench.run()
    for row in rows:
        seed(bench, row)
    if not all(bench.published().values()):
        raise BrokenClauseError(f"rows wait for what has come: {_why(bench)}")
    bench.require_truth()


@database_clause(
    "sampled rows", "Each sample row makes the canonical records that stand beside it."
)
def sampled_rows(bench: DatabaseBench) -> None:
    """Every sample, captured and normalized."""
    for number, sample in enumerate(bench.subject.samples[bench.table], 1):
        bench.fresh()
        seed(bench, sample.row, sample)
        bench.write({**sample.row})
        found, letters = bench.published(), bench.refused()
        if sample.refused is not None:
            if not letters or sample.refused not in letters[0]["detail"]:
                raise BrokenClauseError(f"sample {number} is not refused for {sample.refused}")
            continue
        if letters:
            raise BrokenClauseError(f"sample {number} is refused: {letters[0]['detail']}")
        made = {topic.removeprefix("psa."): rows for topic, rows in found.items() if rows}
        if made.keys() != sample.makes.keys():
            raise BrokenClauseError(f"sample {number} makes {', '.join(sorted(made)) or 'nothing'}")
        for entity, expected in sample.makes.items():
            [record] = made[entity].values()
            for name, value in expected.items():
                if name not in record or not _is_said(value, record[name]):
                    told = record.get(name)
                    raise BrokenClauseError(
                        f"sample {number}: {entity}.{name} is {told!r}, not {value!r}"
                    )


def _is_said(expected: Any, told: Any) -> bool:
    if isinstance(told, Decimal) and expected is not None:
        return _is_exact(expected, told)
    return bool(expected == told) or (None not in (expected, told) and str(expected) == str(told))


def _require_hints(bench: DatabaseBench) -> None:
    for letter in bench.refused():
        if not letter["hint"]:
            raise BrokenClauseError(f"a row is refused without a hint: {letter['detail']}")
