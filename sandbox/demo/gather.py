"""Reads what the end of a demo says from the topics."""

from __future__ import annotations

from collections import Counter

from sandbox.books.reading import DATABASE, Library
from sandbox.demo.freshness import CHANGES, MarginReader, began_at, latency_of
from sandbox.demo.options import StoryLandscape
from sandbox.demo.result import Result, margins_of, people_of, unbilled_of, waited_of, weeks_of


def gather(library: Library, reader: MarginReader, landscape: StoryLandscape) -> Result:
    """Return the result of the story so far; blocks. Raises TransientError."""
    utilization = list(library.published("psa.metric.utilization").values())
    weeks = weeks_of(utilization)
    letters = Counter((row["topic"], row["detail"]) for row in library.history("psa.dlq"))
    is_database = landscape.psa == DATABASE
    changes = [row for topic in CHANGES for row in library.history(topic)]
    begins = f"the commit in the database of {landscape.psa}"
    if not is_database:
        begins = f"when the row was read from {landscape.psa}"
    return Result(
        margins=margins_of(
            library.published("psa.metric.project_margin").values(),
            projects=library.published("psa.project"),
            engagements=library.published("psa.status.project"),
            customers=library.published("psa.status.customer"),
        ),
        unbilled=unbilled_of(library.published("psa.status.billing").values()),
        weeks=weeks,
        people=people_of(utilization, library.published("psa.resource").values(), weeks),
        waited=waited_of(library.history("psa.exception")),
        dead_letters=[f"{count:,} of {topic}: {why}" for (topic, why), count in letters.items()],
        latency=latency_of(began_at(changes, is_database=is_database), reader.seen_at, begins),
    )
