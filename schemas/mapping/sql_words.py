"""The words of SQL that an expression of a mapping may hold, and those refused with a reason."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS: Final = _words(
    "ABS CEIL COALESCE DATE ENDS_WITH FLOOR LEFT LENGTH LOWER LTRIM NULLIF REPLACE RIGHT ROUND"
    " RTRIM SPLIT_PART STARTS_WITH STRFTIME STRPTIME SUBSTR TRIM UPPER"
)
"""Beside CASE, CAST, TRY_CAST and EXTRACT."""
OPERATORS: Final = _words("+ - * // % || = <> != < <= > >= ~ ~* !~ !~* AND OR")
TYPES: Final = ("TEXT", "VARCHAR", "BIGINT", "INTEGER", "INT", "SMALLINT", "DATE", "TIMESTAMP")
"""Beside DECIMAL and NUMERIC, which say their digits."""
RESERVED: Final = _words("AND AS BETWEEN CASE ELSE END ILIKE IN IS LIKE NOT NULL OR THEN WHEN")

REFUSED: Final = (
    (
        _words(
            "CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP GETDATE LOCALTIME LOCALTIMESTAMP NOW"
            " SYSDATE TODAY"
        ),
        "depends on the clock: a row must mean the same whenever it is read",
    ),
    (
        _words("GEN_RANDOM_UUID NEWID RAND RANDOM UUID"),
        "is left to chance: a row must mean the same whenever it is read",
    ),
    (
        _words(
            "ANY_VALUE ARRAY_AGG AVG CORR COUNT COVAR DENSE_RANK FIRST FIRST_VALUE LAG LAST"
            " LAST_VALUE LEAD MAX MEDIAN MIN NTILE OVER QUANTILE_CONT QUANTILE_DISC RANK"
            " ROW_NUMBER STDDEV STRING_AGG SUM UNNEST VARIANCE"
        ),
        "is of many rows: an expression sees one",
    ),
    (
        _words("EXISTS FROM GROUP HAVING JOIN SELECT UNION WHERE WITH"),
        "belongs to a query: an expression sees one row",
    ),
    (
        _words("CONCAT CONCAT_WS GREATEST LEAST STRPOS"),
        "makes a value of a null in silence: use ||, COALESCE or CASE",
    ),
)
