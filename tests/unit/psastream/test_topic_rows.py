"""Where reading a topic begins, and which of its rows are meant."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest

from psastream.query.where import Where
from psastream.topic_rows import Start, parse_start
from schemas.errors import ConfigError

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)
ROWS = pl.DataFrame(
    {"status": ["open", None, "open"], "amount": [Decimal("1.000001"), Decimal(5), Decimal(1)]},
    {"status": pl.String, "amount": pl.Decimal(38, 6)},
)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("beginning", "beginning"),
        ("end", "end"),
        ("90m", datetime(2026, 3, 9, 10, 30, tzinfo=UTC)),
        ("999999d", datetime(1970, 1, 1, tzinfo=UTC)),
        ("2026-03-01T08:00Z", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("2026-03-01T08:00+02:00", datetime(2026, 3, 1, 6, tzinfo=UTC)),
    ],
)
def test_where_reading_begins_is_read(text: str, start: Start) -> None:
    assert parse_start(text, NOW) == start


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("yesterday", "not where to begin: yesterday"),
        ("", "not where to begin"),
        ("2026-03-01T08:00", "an instant without a zone"),
        ("2026-03-01", "an instant without a zone"),
    ],
)
def test_what_is_no_place_to_begin_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        parse_start(text, NOW)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("status = 'open'", [0, 2]),
        ("amount > 1", [0, 1]),
        ("status IS NULL -- nobody says", [1]),
        ("false", []),
    ],
)
def test_rows_for_which_a_condition_holds_are_kept(condition: str, kept: list[int]) -> None:
    assert Where(condition).keep(ROWS) == kept


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("statu = 'open'", "there is no column statu"),
        ("status =", "syntax error"),
        ("true) UNION ALL (SELECT 0", "no condition"),
        ("true); DROP TABLE rows; SELECT (1", "one query at a time"),
        ("amount IN (SELECT a FROM read_csv('/etc/passwd'))", "disabled"),
    ],
)
def test_what_is_no_condition_is_refused_with_the_columns(condition: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Where(condition).keep(ROWS)
    assert said in raised.value.detail
    assert "status, amount" in raised.value.hint or said == "no condition"
