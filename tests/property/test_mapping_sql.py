"""Whatever an expression is, what it makes of a row is told by that row alone."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.mapping.compiled import Computed, with_computed
from schemas.mapping.sql import FAILED_ANYHOW, SqlCompiler
from schemas.mapping.sql_text import Name, SqlError
from tests.support.examples import examples

DTYPES: dict[str, pl.DataType] = {
    "t": pl.String(),
    "i": pl.Int32(),
    "n": pl.Int64(),
    "d": pl.Decimal(38, 2),
    "b": pl.Boolean(),
    "x": pl.Date(),
}
COMPILER = SqlCompiler({name: Name(name, dtype) for name, dtype in DTYPES.items()})

texts = st.recursive(
    st.sampled_from(["t", "'a'", "'12'", "NULL", "STRFTIME(x, '%d')"]),
    lambda inner: st.one_of(
        st.builds("{} || {}".format, inner, inner),
        st.builds("COALESCE({}, {})".format, inner, inner),
        st.builds("NULLIF({}, {})".format, inner, inner),
        st.builds("SPLIT_PART({}, 'a', 1)".format, inner),
        st.builds("CASE WHEN b THEN {} ELSE {} END".format, inner, inner),
    ),
    max_leaves=4,
)
numbers = st.recursive(
    st.one_of(
        st.sampled_from(["i", "n", "d", "2", "0.5", "LENGTH(t)", "EXTRACT(DAY FROM x)"]),
        st.builds("CAST({} AS BIGINT)".format, texts),
        st.builds("TRY_CAST({} AS DECIMAL(9,1))".format, texts),
    ),
    lambda inner: st.one_of(
        st.builds("({}) {} ({})".format, inner, st.sampled_from(["+", "-", "*", "//", "%"]), inner),
        st.builds("COALESCE({}, {})".format, inner, inner),
        st.builds("ROUND({}, 1)".format, inner),
        st.builds("CAST({} AS DECIMAL(38,1))".format, inner),
        st.builds("CASE WHEN {} > 1 THEN {} ELSE {} END".format, inner, inner, inner),
    ),
    max_leaves=5,
)
truths = st.one_of(
    st.builds("{} = {}".format, numbers, numbers),
    st.builds("{} ~ '^1' OR {} IS NULL".format, texts, numbers),
    st.builds("NOT b AND {} < {}".format, numbers, numbers),
    st.builds("x + INTERVAL '200000 years' > x AND {} <> {}".format, texts, texts),
    st.sampled_from(["n * INTERVAL '1 hour' > INTERVAL '1 day'", "x + i * INTERVAL '1 day' > x"]),
)
rows_of_them = st.lists(
    st.fixed_dictionaries(
        {
            "t": st.sampled_from([None, "", "a", "12", "1a2", "4.55", "99999999999999999999"]),
            "i": st.sampled_from([None, 0, 1, -7, 2**31 - 1, -(2**31)]),
            "n": st.sampled_from([None, 0, 3, 2**63 - 1, -(2**63)]),
            "d": st.sampled_from([None, *map(Decimal, ("0", "1.25", "-2.5", "9" * 36))]),
            "b": st.sampled_from([None, True, False]),
            "x": st.dates() | st.none(),
        }
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=examples(30))
@given(st.one_of(texts, numbers, truths), rows_of_them, st.data())
def test_a_row_says_the_same_alone_and_in_any_chunk(
    sql: str, rows: list[dict[str, object]], data: st.DataObject
) -> None:
    try:
        made = COMPILER.compile(sql)
    except SqlError:
        return  # it is none for any row
    computed = Computed(
        made.value.alias("value"),
        made.failure.alias("failure"),
        (
            pl.lit(None, dtype=made.dtype).alias("value"),
            pl.lit(FAILED_ANYHOW, dtype=pl.UInt8).alias("failure"),
        ),
    )
    frame = pl.DataFrame(rows, schema=DTYPES)

    def outcomes(part: pl.DataFrame) -> list[tuple[object, ...]]:
        found = with_computed(part, [computed]).select("value", "failure")
        assert found["value"].dtype == made.dtype
        return found.rows()

    alone = [outcomes(frame[at : at + 1])[0] for at in range(frame.height)]
    assert outcomes(frame) == alone
    assert outcomes(frame[::-1]) == alone[::-1]
    cuts = sorted({0, frame.height, *data.draw(st.sets(st.integers(0, frame.height)))})
    assert [row for start, end in pairwise(cuts) for row in outcomes(frame[start:end])] == alone
    for value, failure in alone:
        assert failure is None or failure in made.reasons
        assert value is None or failure is None or failure < 128
