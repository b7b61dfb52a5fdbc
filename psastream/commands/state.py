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

    Stop all workers first, and all dispatchers unless it is a topic of a source (src.…): then
    commands wait until they are released, since half-read topics order what is wrong.
    """
    from psastream.anew import reread_topic

    with errors_as_exit_codes():
        held = reread_topic(settings_from_environment(), topic)
        say(f"{topic} is read from its first record when a worker starts")
        _say_what_waits(held)


def rebuild(
    group: Annotated[
        str, typer.Argument(help="normalize, customer, engagement, project, rollup or measures")
    ],
) -> None:
    """Have an agent group computed from nothing: its state is deleted, its topics read again.

    Stop all workers and dispatchers first; for measures, which order nothing, their workers alone.
    Commands then wait until they are released, since half-read topics order what is wrong.
    """
    from psastream.anew import rebuild_group

    with errors_as_exit_codes():
        rebuilt = rebuild_group(settings_from_environment(), group)
        say(f"{group} reads {rebuilt.topics} topics from their first records when a worker starts")
        _say_what_waits(rebuilt.held)


def _say_what_waits(held: tuple[str, ...]) -> None:
    if held:
        say("commands wait; when nothing lags any more and what they say is right:")
        say(f"psastream exceptions release {' '.join(held)}", "  ")
