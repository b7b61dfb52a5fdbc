"""The PSAs that a story can be told in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from sandbox.story.certinia import Certinia
from sandbox.story.harvest import Harvest
from sandbox.story.inhouse import Inhouse
from sandbox.story.psa import Ability, Psa
from sandbox.vendors.client import VendorAdmin

ABILITIES: Final[Mapping[str, frozenset[Ability]]] = {
    Inhouse.system: Inhouse.abilities,
    Harvest.system: Harvest.abilities,
    Certinia.system: Certinia.abilities,
}
"""What each can show, by the name of the system."""
VENDORS: Final[Mapping[str, Callable[[VendorAdmin], Psa]]] = {
    Harvest.system: Harvest,
    Certinia.system: Certinia,
}
"""Those that are vendors, by the name of the system."""


@contextmanager
def open_psa(
    system: str, admin: VendorAdmin, dsn: str, next_id: Callable[[], int]
) -> Iterator[Psa]:
    """Sit down at a PSA: at the screens of a vendor, or at those of the database `dsn`."""
    if system in VENDORS:
        yield VENDORS[system](admin)
    else:
        with Inhouse(dsn, next_id) as psa:
            yield psa
