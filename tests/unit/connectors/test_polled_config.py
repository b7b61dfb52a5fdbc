"""Which numbers a polled connector's configuration takes."""

import pytest
from pydantic import ValidationError

from tests.support.polled import make_config

DAY_MS = 86_400_000
CENTURY_MS = 36_525 * DAY_MS


@pytest.mark.parametrize(
    ("key", "least", "most"),
    [
        ("poll.interval.ms", 10, CENTURY_MS),
        ("overlap.ms", 0, CENTURY_MS),
        ("sweep.interval.ms", 10, CENTURY_MS),
        ("max.delete.ratio", 0, 1),
        ("max.delete.rows", 0, 10_000),
        ("page.size", 1, 2000),
        ("request.timeout.ms", 100, CENTURY_MS),
        ("max.in.flight", 1, 50),
        ("retry.max.ms", 10, CENTURY_MS),
    ],
)
def test_numbers_are_taken_within_their_bounds(key: str, least: int, most: int | None) -> None:
    for sound in (least, most or 10 * DAY_MS):
        make_config(**{key: sound})
    for wrong in (least - 1, *([] if most is None else [most + 1])):
        with pytest.raises(ValidationError, match="than or equal"):
            make_config(**{key: wrong})


def test_requests_per_second_are_more_than_none() -> None:
    make_config(**{"requests.per.second": 0.01})
    with pytest.raises(ValidationError):
        make_config(**{"requests.per.second": 0})
