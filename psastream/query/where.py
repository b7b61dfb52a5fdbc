"""Keeps the rows for which a condition in SQL holds, in the dialect of `psastream sql`."""

from __future__ import annotations

import polars as pl

from psastream.query.session import Session
from schemas.errors import ConfigError

_ROW = "psastream_row"
_ROWS = "rows"


class Where:
    """A condition over the columns of rows, such as `status = 'open' AND amount > 1000`."""

    def __init__(self, condition: str) -> None:
        """Raises ConfigError where DuckDB is not installed."""
        self._condition = condition
        self._session = Session((), (), lambda _: ())

    def keep(self, frame: pl.DataFrame) -> list[int]:
        """Return the numbers of the rows for which it holds, ascending.

        Raises ConfigError where it is no condition over the columns.
        """
        self._session.put(_ROWS, frame.with_row_index(_ROW))
        # The session reaches nothing but these rows.
        query = f"SELECT {_ROW} FROM {_ROWS} WHERE ({self._condition}\n) ORDER BY {_ROW}"  # noqa: S608
        try:
            numbers = [int(number) for (number,) in self._session.ask(query).rows]
        except ConfigError as error:
            columns = ", ".join(frame.columns)
            detail = error.detail.partition("; did you mean")[0]
            raise ConfigError(detail, hint=f"the columns are {columns}") from error
        if len(set(numbers)) < len(numbers) or any(each >= frame.height for each in numbers):
            raise ConfigError(f"no condition: {self._condition}", hint="as it stands after WHERE")
        return numbers
