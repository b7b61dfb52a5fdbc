"""Clauses about what a row holds: captured exactly or refused alone, and understood as sampled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, Final

from connectors.rest.paths import steps
from psastream.conformance.account import without
from psastream.conformance.answers import needs_person
from psastream.conformance.bench import Bench, BrokenClauseError, flat, holds
from psastream.conformance.clauses import clause
from psastream.conformance.paths import leaves, put
from psastream.system import map_values, tried_row
from schemas.errors import SchemaMismatchError
from schemas.mapping.compiled import ObjectMapping

ROWS_PAGE: Final = 50
NUMBERS: Final = (
    0, -1, Decimal("0.1"), Decimal("12345678901.23"), Decimal("-0.005"), 2**31, 2**53 + 1,
    -(2**63), 2**64, Decimal("123456789012345678901234567890.123456789"), Decimal("1e-9"),
)  # fmt: skip
TEXTS: Final = ("", " ", "null", "0", "é 漢 🙂 \u202e", "a\tb\nc", '"; DROP', "x" * 4000)
DATES: Final = ("0001-01-01", "9999-12-31", "2024-02-29", "2023-02-29", "20206-01-05", "")
INSTANTS: Final = (
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-03-29T02:30:00+02:00", "2026-13-01", "",
)  # fmt: skip
_WRITTEN: Final = {True: (True, "T", "true"), False: (False, "F", "false")}
"""How vendors write a truth value; 1 and 0 are equal to those of Python."""
ODD: Final[tuple[Any, ...]] = ([], [[]], {}, {"a": 1}, True, False)
"""Values of other types than a field has."""


@clause("new columns", "A column that nobody knows is told once, and holds up no row.")
async def new_columns(bench: Bench) -> None:
    """Every row has two more columns."""
    await bench.fresh(5)
    bench.told.clear()
    bench.account.quirks.reshape = lambda rows: [
        {**row, "brand_new": 1, "newer": {"a": [1]}} for row in rows
    ]
    await bench.settle()
    bench.require_truth()
    if bench.log.rejected:
        raise BrokenClauseError(f"rows are refused: {bench.log.rejected[0].detail}")
    told = [each for each in bench.told if each.get("event") == "poll.new_fields_ignored"]
    if len(told) != 1:
        raise BrokenClauseError(f"the new columns are told {len(told)} times")


@clause(
    "missing columns",
    "A column that all rows lack stops the object: absent is not null, and nothing is overwritten.",
    per_object=True,
)
async def missing_columns(bench: Bench) -> None:
    """Each column that is captured is taken from every row, one after the other.

    Also one that answers of some accounts lack: this one had it. Without it from the start, they
    are read.
    """
    await bench.fresh(3)
    await bench.settle()
    template = bench.account.template(bench.obj)
    for path, value in leaves(template, within=bench.documented.within):
        if value is None or path not in _captured_paths(bench, template):
            continue
        await bench.fresh(3)
        await bench.settle()
        before = bench.held()
        bench.account.hide(bench.obj, path)
        bench.tick_sweep()
        error = await bench.poll()
        now = bench.held()
        if error is None and now != before:
            raise BrokenClauseError(f"without {path}, rows are published with other values")
        if bench.log.deleted():
            raise BrokenClauseError(f"without {path}, rows are told as deleted")
        if not (error is None or isinstance(error, SchemaMismatchError) or needs_person(error)):
            raise BrokenClauseError(f"without {path}, a poll ends by {error!r}")
    for path in bench.documented.optional:
        await bench.fresh(3)
        bench.account.quirks.reshape = partial(without, path)
        await bench.settle()
        if len(bench.held()) < 3:
            raise BrokenClauseError(f"an account that never had {path} is not read")


def _captured_paths(bench: Bench, template: Mapping[str, Any]) -> set[str]:
    [values, *_] = bench.held().values() or [{}]
    rows = {key: stored.row for key, stored in bench.account.rows[bench.obj].items()}
    [row, *_] = rows.values() or [template]
    maps = _maps(bench)
    return {
        path
        for path, value in leaves(row, within=bench.documented.within)
        if value is not None and holds(values, value) and maps.isdisjoint(steps(path)[:-1])
    }


def _maps(bench: Bench) -> set[str]:
    """Columns that are maps: their keys are values of a row, no columns."""
    contract = bench.topic.contract
    fields: Any = contract.parsed["fields"] if contract is not None else []
    return {
        each["name"]
        for each in fields
        for branch in each["type"]
        if isinstance(branch, dict) and branch["type"] == "map"
    }


@clause(
    "nulls", "Null in a field that the vendor may leave null is captured as null.", per_object=True
)
async def nulls(bench: Bench) -> None:
    """Each nullable field is null in a row of its own, and all of them in one."""
    await bench.fresh(0, **{"page.size": ROWS_PAGE})
    template = bench.account.template(bench.obj)
    nullable = [path for path in bench.documented.nullable if path != bench.documented.vary]
    hollow = template
    for number, path in enumerate(nullable):
        bench.account.put(bench.obj, bench.key(number), row=put(template, path, None))
        hollow = put(hollow, path, None)
    bench.account.put(bench.obj, bench.key(len(nullable)), row=hollow)
    bench.account.put(bench.obj, bench.key(len(nullable) + 1), row=template)
    await bench.settle()
    for row in bench.log.rejected:
        number = next(at for at in range(len(nullable) + 1) if bench.key(at) == row.row_id)
        what = nullable[number] if number < len(nullable) else "every nullable field"
        raise BrokenClauseError(f"refused where {what} is null: {row.detail}")
    bench.require_truth()
    _require_mapped(bench)


@clause("odd rows", "A row that cannot be read is refused alone, once; the rows around it flow.")
async def odd_rows(bench: Bench) -> None:
    """Rows that are no rows, and one without an id, in every page."""
    await bench.fresh(4)
    await bench.settle()
    id_path = bench.documented.id
    odd: list[Any] = [None, 7, "row", []]
    template = bench.account.template(bench.obj)
    odd += [put(template, id_path, value) for value in (None, True, "", [1], {"a": 1})]
    unfit = bench.key(9)
    hollow = template
    for path, _ in leaves(template, within=bench.documented.within):
        hollow = put(hollow, path, {"a": [[1]]})
    odd.append(bench.account.named(bench.obj, hollow, unfit))
    bench.account.quirks.reshape = lambda rows: [*rows, *odd] if rows else rows
    bench.account.put(bench.obj, bench.key(1), "changed-beside-odd-rows")
    bench.tick_sweep()
    for _ in range(3):
        bench.tick_sweep()
        await bench.poll()
    if bench.log.deleted():
        raise BrokenClauseError(f"told as deleted: {bench.log.deleted()}")
    bench.require_truth()
    refused = [row.row_id for row in bench.log.rejected]
    if lost := {unfit} - {*refused, *bench.held()}:
        raise BrokenClauseError(f"a row of another shape is dropped without a word: {lost}")
    if not refused:
        raise BrokenClauseError("rows that are none are dropped without a word")
    if len(set(refused)) != len(refused):
        raise BrokenClauseError("the same row is refused again and again")


@clause(
    "exact values",
    "Numbers, dates and texts are captured exactly as they were sent, or their row is refused.",
    per_object=True,
)
async def exact_values(bench: Bench) -> None:
    """Each field takes each extreme of its type and values of others, each in a row of its own."""
    await bench.fresh(0, **{"page.size": ROWS_PAGE})
    template = bench.account.template(bench.obj)
    plain_keys = [bench.key(0), bench.key(1)]
    for number, key in enumerate(plain_keys):
        bench.account.put(bench.obj, key, f"text-{number}", row=template)
        bench.tick(seconds=1)
    sent = {}
    for number, (path, value) in enumerate(_extremes(bench, template), 2):
        key = bench.key(number)
        bench.account.put(bench.obj, key, row=put(template, path, value))
        sent[key] = path, value
    await bench.settle()
    held = bench.held()
    if not held.keys() >= set(plain_keys):
        raise BrokenClauseError("the sample itself is refused")
    plain, other = (held[key] for key in plain_keys)
    stored = bench.account.rows[bench.obj][plain_keys[0]]
    above = bench.account.rows[bench.documented.parent or bench.obj].get(stored.parent or "")
    sample = [*flat(stored.row), *flat(above.row if above else None), stored.key]
    for name, value in plain.items():
        is_own = name in stored.row and above is None and bench.documented.within is None
        told = [*flat(stored.row[name])] if is_own else sample
        if not all(any(_is_same(each, one) for each in told) for one in flat(value)):
            raise BrokenClauseError(f"{name} of the sample is captured as {value!r}")
    fixed = [name for name in plain if plain[name] == other[name]]
    vary = bench.documented.vary
    for key, (path, value) in sent.items():
        row = list(flat(bench.account.rows[bench.obj][key].row))
        if key in held and path == vary and not any(_is_same(value, v) for v in flat(held[key])):
            raise BrokenClauseError(f"{path} = {value!r} is captured as another value")
        for name in fixed if key in held else ():
            if held[key][name] != plain[name]:
                _require_exact(path, value, row, held[key][name])
    _require_mapped(bench)


def _extremes(bench: Bench, template: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    stamps = set(bench.documented.changed_at.paths if bench.documented.changed_at else ())
    documented = bench.documented
    kept = {*documented.ids, documented.flag, documented.parent_path, *stamps}
    for path, value in leaves(template, within=bench.documented.within):
        if path in kept:
            continue
        is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
        values: tuple[Any, ...] = NUMBERS if is_number or value is None else ()
        if isinstance(value, str):
            values = (*TEXTS, *NUMBERS)
            values += (*DATES, *INSTANTS) if value[:4].isdigit() and value[4:5] == "-" else ()
        for found in (*values, *(() if path == documented.vary else ODD)):
            yield path, found


def _require_exact(path: str, value: Any, row: list[object], captured: object) -> None:
    if captured is None:
        if value not in ("", None, [], {}):
            raise BrokenClauseError(f"{path} = {value!r} is captured as null")
        return
    found = list(flat(captured))
    if any(isinstance(each, float) for each in found):
        raise BrokenClauseError(f"{path} = {value!r} is captured in binary digits: {found}")
    if not all(any(_is_same(each, one) for each in row) for one in found):
        raise BrokenClauseError(f"{path} = {value!r} is captured as {found}")


def _is_same(sent: object, captured: object) -> bool:
    if captured is None:
        return sent in ("", None)
    if isinstance(captured, bool):
        return sent in _WRITTEN[captured]
    if isinstance(captured, Decimal | int) and isinstance(sent, Decimal | int | str):
        try:
            return Decimal(captured) == Decimal(sent)
        except ArithmeticError:
            return False
    return str(sent) == str(captured)


def _require_mapped(bench: Bench) -> None:
    """Raises BrokenClauseError where captured rows are neither understood nor refused."""
    mapping = mapping_of(bench)
    held = bench.held()
    if mapping is None or not held:
        return
    try:
        told = map_values(mapping, list(held.values())).rows.to_dicts()
    except Exception as error:
        raise BrokenClauseError(
            f"the mapping of a chunk fails by {type(error).__name__}: {error}"
        ) from error
    for row in told:
        reason = row["rejection"]
        if reason is not None and not mapping.rejections[reason].hint:
            raise BrokenClauseError(f"{row['id']} is refused without a hint")


def mapping_of(bench: Bench) -> ObjectMapping | None:
    """Return what understands the rows of the object, None where it is captured only."""
    mappings = bench.subject.system.mappings
    return next((each for each in mappings if each.topic == bench.topic.name), None)


def _without_targets(bench: Bench) -> str:
    return "nothing is made of it" if mapping_of(bench) is None else ""


@clause(
    "samples", "Each sample row makes the canonical records that stand beside it.",
    spared=_without_targets,
    per_object=True,
)  # fmt: skip
async def samples(bench: Bench) -> None:
    """Every sample, by the mapping alone."""
    mapping = mapping_of(bench)
    assert mapping is not None
    for number, sample in enumerate(bench.subject.samples[bench.obj], 1):
        row = bench.subject.shape(bench.obj, sample.row)
        if bench.documented.within is not None and isinstance(row, list):
            [row] = row
        if isinstance(row, dict):
            row = row | sample.takes | sample.finds
        said = tried_row(mapping, bench.topic.contract, row)
        if sample.refused is not None:
            if said.refused is None or sample.refused not in said.refused:
                raise BrokenClauseError(f"sample {number} is not refused: {said.refused}")
            continue
        if said.refused is not None:
            raise BrokenClauseError(f"sample {number} is refused: {said.refused}")
        for entity, expected in sample.makes.items():
            _require_record(number, entity, expected, said.records.get(entity))
        if left := said.records.keys() - sample.makes.keys():
            raise BrokenClauseError(f"sample {number} makes {', '.join(sorted(left))} too")


def _require_record(
    number: int, entity: str, expected: Mapping[str, Any], made: Mapping[str, Any] | None
) -> None:
    if made is None:
        raise BrokenClauseError(f"sample {number} makes no {entity}")
    for name, value in expected.items():
        if name not in made or not _is_same(value, made[name]):
            raise BrokenClauseError(
                f"sample {number}: {entity}.{name} is {made.get(name)!r}, not {value!r}"
            )
