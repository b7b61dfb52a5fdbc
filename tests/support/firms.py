"""Firms of property tests: the packaged landscape, and one with a second ERP beside its first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from schemas.exact import FEW
from schemas.landscape import Landscape, Role, System
from schemas.topics import command_topic
from streams.engine import GroupSpec
from streams.groups import make_groups
from tests.support.catalogue import LANDSCAPE
from tests.support.histories import ERP, OTHER_ERP, Change, Feeder
from tests.support.oracle import Oracle, last_entities, last_time_bills
from tests.support.topology import FixedRegistry, Topology

ONE_ERP: Final = (ERP,)
TWO_ERPS: Final = (ERP, OTHER_ERP)


def erps_of(history: Sequence[Change]) -> tuple[str, ...]:
    """Return the ERPs of the firm that a history is of."""
    is_of_two = any(change.id.startswith(f"{OTHER_ERP}:") for change in history)
    return TWO_ERPS if is_of_two else ONE_ERP


@cache
def landscape_of(erps: tuple[str, ...]) -> Landscape:
    """Return the packaged landscape with these ERPs."""
    systems = {**LANDSCAPE.systems, **{erp: System(role=Role.ERP) for erp in erps}}
    return Landscape(systems=systems, firm=LANDSCAPE.firm)


@cache
def product(
    erps: tuple[str, ...] = ONE_ERP, few: int = FEW
) -> tuple[FixedRegistry, list[GroupSpec]]:
    """Return the groups of the product for a firm with these ERPs, and their registry.

    Up to `few` rows of a chunk are worked on one by one, more as columns.
    """
    registry = FixedRegistry()
    for erp in erps:
        if erp != ERP:
            registry.add_topic(command_topic(erp))
    groups = make_groups([], registry, landscape_of(erps), few=few)
    return registry, [group for group in groups if group.agents]


def open_feeder(
    erps: tuple[str, ...], *, seed: int, chunk_max: int, few: int | None = None
) -> Feeder:
    """Return a feeder of a firm with these ERPs, nothing fed yet.

    Without `few` the seed decides whether few rows are worked on one by one.
    """
    registry, groups = product(erps, (FEW if seed % 2 else 0) if few is None else few)
    own = [command_topic(erp) for erp in erps]
    topology = Topology(groups, registry, seed=seed, chunk_max=chunk_max, own=own)
    return Feeder(topology, erps)


def oracle_of(feeder: Feeder, refused: Mapping[str, str] | None = None) -> Oracle:
    """Return the oracle of what was fed, with what the last orders said.

    `refused`: natural key of a project in an ERP → why its last order was refused.
    """
    commands = feeder.topology.commands()
    return Oracle(
        feeder.rows,
        refused,
        feeder.versions,
        last_entities(commands, feeder.erps),
        last_time_bills(commands),
        erps=feeder.erps,
    )
