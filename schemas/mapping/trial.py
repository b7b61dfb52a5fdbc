"""Whether what a mapping says can be computed: tried on no rows, on none of any value, on one.

Types are checked as rules compile. What polars finds out only when it computes an expression would
fail with every chunk of a topic, so it is computed once as the file is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import polars as pl
from polars.datatypes import DataTypeClass

from schemas.mapping.rules import RuleError

UNUSABLE: Final = (
    pl.exceptions.PolarsError,
    pl.exceptions.PanicException,
    ArithmeticError,
    TypeError,
    ValueError,
)
"""What polars raises for an expression that it cannot compute."""


@contextmanager
def computable() -> Iterator[None]:
    """Have whatever polars says of an expression raised as RuleError."""
    try:
        yield
    except UNUSABLE as error:
        reason = str(error).partition("\n")[0]
        raise RuleError(f"cannot be computed: {reason:.200}") from error


def try_out(expr: pl.Expr, columns: Mapping[str, pl.DataType], wanted: pl.DataType) -> None:
    """Compute an expression of these columns. Raises RuleError unless it gives the dtype wanted."""
    rows = rows_of(columns)
    for some in (rows.clear(), rows):
        with computable():
            made = some.select(expr).to_series().dtype
        if made != wanted:
            raise RuleError(f"{made} does not become {wanted}")


def rows_of(columns: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Two rows of these columns: one of nulls, one of values like any others."""
    values = {name: [None, _ordinary(dtype)] for name, dtype in columns.items()}
    return pl.DataFrame(values, schema=columns, strict=False)


def _ordinary(dtype: pl.DataType | DataTypeClass) -> object:
    """A value like any other, as a row may hold it."""
    if isinstance(dtype, pl.List):
        return [_ordinary(dtype.inner)]
    if isinstance(dtype, pl.Struct):
        return {name: _ordinary(part) for name, part in dtype.to_schema().items()}
    return pl.Series([1]).cast(dtype, strict=False).item()
