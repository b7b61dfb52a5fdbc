"""Whether paging gets on: a vendor whose pages lead nowhere is refused, not asked for ever."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

from schemas.errors import SchemaMismatchError

PAGES_MAX: Final = 100_000
"""Of one scan. The smallest pages in use hold 200 rows: more pages are no list but a loop."""


class BrokenPagingError(SchemaMismatchError):
    """The vendor says that there is more and does not give it."""

    code = "record.broken_paging"


class Paging:
    """Watches one scan. `of` names what is read."""

    def __init__(self, of: str) -> None:
        self._of = of
        self._positions: set[Hashable] = set()

    def go_on(self, position: Hashable | None) -> None:
        """Note where the next page starts; None: the last one gave nothing to go on from.

        Raises BrokenPagingError when a scan went there before, or goes on without end.
        """
        if position is None:
            raise self._broken("says that there is more and gives no row to go on from")
        if position in self._positions:
            raise self._broken("comes back to where it was")
        if len(self._positions) >= PAGES_MAX:
            raise self._broken(f"does not end after {PAGES_MAX} pages")
        self._positions.add(position)

    def _broken(self, detail: str) -> BrokenPagingError:
        return BrokenPagingError(
            f"the paging of {self._of} {detail}",
            hint="the object is read again later; report it to the vendor",
        )
