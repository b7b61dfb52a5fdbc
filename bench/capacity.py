"""What a firm of so many people takes: processor, memory, disk, topics, by measured figures.

`python -m bench.capacity` prints the table of docs/capacity.md; `--people 800` that of one firm.
Figures are those of docs/performance.md and of the story of a demo; what a firm does is assumed,
and said. Pure arithmetic.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

FIRMS: Final = (50, 300, 3_000)
DAYS_A_YEAR: Final = 220
YEARS: Final = 5
"""How long rows are kept in state and canonical topics: as long as their source has them."""
SOURCE_DAYS: Final = 30
"""Retention of src.*."""

# What a person does on a working day, in changes of rows that psastream captures.
ENTRIES: Final = 5
CHANGES_AN_ENTRY: Final = 3  # booked, submitted, approved
OTHER_CHANGES: Final = 2  # plan, expense, absence; deals and projects come to less
BILLS_AN_ENTRY: Final = 0.7  # billable: a command, a bill in the ERP, its invoice line
BUSIEST_HOUR: Final = 0.4  # of a day's changes: Friday afternoon, approval of the week

# Measured (docs/performance.md).
CHANGE_MS: Final = 6.2
"""Processor of workers for a change that comes alone, through all stages."""
IDLE_CORES: Final = 0.0182
"""All processes of the product while nothing changes."""
RESIDENT_MB: Final = 1_050
"""Of a worker with all groups, while it computes at full speed."""
CATCH_UP_A_SECOND: Final = 55_000
"""Changes that one worker computes anew."""
RESTORED_A_SECOND: Final = 400_000
"""Keys of state that a worker restores from its logs."""
ROW_DISK_BYTES: Final = 600
"""Of a row: state log, local state, and what compaction holds meanwhile."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a firm takes. Rates a second, sizes in bytes, without copies."""

    people: int
    changes_a_day: int
    busiest_a_second: float
    rows: int
    cores: float
    state_gb: float
    source_gb: float
    commands_a_day: int
    restore_s: int
    rebuild_s: int


def need(people: int) -> Need:
    """Return what a firm of so many people takes."""
    entries = people * ENTRIES
    bills = entries * BILLS_AN_ENTRY
    # A bill is captured when it is made, and when it is invoiced.
    changes = entries * CHANGES_AN_ENTRY + people * OTHER_CHANGES + 2 * bills
    busiest = changes * BUSIEST_HOUR / 3_600
    rows = (entries + people + 2 * bills) * DAYS_A_YEAR * YEARS
    return Need(
        people=people,
        changes_a_day=round(changes),
        busiest_a_second=busiest,
        rows=round(rows),
        cores=IDLE_CORES + busiest * CHANGE_MS / 1_000,
        state_gb=2 * rows * ROW_DISK_BYTES / 1e9,  # the normalizer's row, and the table's
        source_gb=changes * SOURCE_DAYS * ROW_DISK_BYTES / 1e9,
        commands_a_day=round(bills),
        restore_s=ceil(2 * rows / RESTORED_A_SECOND),
        rebuild_s=ceil(rows / CATCH_UP_A_SECOND),
    )


def table(firms: Sequence[int]) -> Iterator[str]:
    """Yield the lines of the table, a column a firm."""
    needs = [need(people) for people in firms]
    yield f"| people | {' | '.join(f'{each.people:,}' for each in needs)} |"
    yield "|---|" + "---|" * len(needs)
    for name, values in (
        ("changes a working day", [f"{each.changes_a_day:,}" for each in needs]),
        ("a second in the busiest hour", [f"{each.busiest_a_second:.2f}" for each in needs]),
        ("rows after five years", [f"{each.rows:,}" for each in needs]),
        ("commands a day", [f"{each.commands_a_day:,}" for each in needs]),
        (
            "processor of the product in the busiest hour, cores",
            [f"{each.cores:.2f}" for each in needs],
        ),
        (
            "state after five years, GB in logs, and as much on volumes",
            [f"{each.state_gb:.1f}" for each in needs],
        ),
        ("`src.*`, 30 days, GB", [f"{each.source_gb:.2f}" for each in needs]),
        ("restore of all state, one worker, s", [f"{each.restore_s:,}" for each in needs]),
        ("computing all rows anew, one worker, s", [f"{each.rebuild_s:,}" for each in needs]),
    ):
        yield f"| {name} | {' | '.join(values)} |"


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, nargs="+", default=list(FIRMS), help="firms")
    sys.stdout.write("\n".join(table(parser.parse_args().people)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
