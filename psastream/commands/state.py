"""State of the worker: read again, or computed anew."""

from __future__ import annotations

from typing import Annotated

import typer

from psastream.exits import errors_as_exit_codes, settings_from_environment
from psastream.lines import say


def reread(
    topic: Annotated[str, typer.Argument(help="a topic the worker reads, such as psa.project")],
) -> None:
    """Have the worker read a topic from its first record, into the state there is.

    Stop all workers first, and all dispatchers unless it is a topic of a source (src.…).
    """
    from psastream.anew import reread_topic

    with errors_as_exit_codes():
        reread_topic(settings_from_environment(), topic)
        say(f"{topic} is read from its first record when a worker starts")


def rebuild(
    group: Annotated[
        str, typer.Argument(help="normalize, customer, engagement, project, rollup or measures")
    ],
) -> None:
    """Have an agent group computed from nothing: its state is deleted, its topics read again.

    Stop all workers and dispatchers first; for measures, which order nothing, their workers alone.
    Start the dispatchers last, when the workers have caught up: half-read topics order what is
    wrong.
    """
    from psastream.anew import rebuild_group
    from streams.agents.own_measures import GROUP as MEASURES

    with errors_as_exit_codes():
        count = rebuild_group(settings_from_environment(), group)
        say(f"{group} reads {count} topics from their first records when a worker starts")
        if group != MEASURES:
            say("start the dispatchers when it has read them all")
