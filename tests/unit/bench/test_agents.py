"""Both folds of the benchmark's agents come to the same, byte for byte."""

from bench.agents import ColumnFold, row_schema
from bench.agents_small import Folded, RecordFold
from bench.canonical import RECORD, canonical_records
from bench.changes import Changes
from schemas.contracts import record_schema


def comparable(folded: Folded) -> object:
    """Sums in an order of their own, without totals of nothing."""
    return (
        list(folded.kept),
        *(
            {
                key: row
                for key, row in zip(sums.keys, sums.amounts.tolist(), strict=True)
                if any(row)
            }
            for sums in (folded.margins, folded.partials)
        ),
    )


def test_columns_and_records_fold_alike() -> None:
    by_record, by_column = RecordFold(record_schema(RECORD), row_schema()), ColumnFold()
    values = [value for *_, value in canonical_records(Changes(3_000, 40), 7, 4) if value]
    first, second = values[:1_000], values[1_000:]
    old = list(by_record(first, []).kept)
    assert comparable(by_record(second, old)) == comparable(by_column(second, old))
    assert comparable(by_record(first, [])) == comparable(by_column(first, []))
