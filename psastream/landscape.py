"""Reads the landscape of the firm and its systems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from connectors.systems import Systems, packaged_landscape, read_text
from psastream.measures import read_measures
from runtime.settings import Settings
from schemas.commands import CONTENTS
from schemas.errors import ConfigError
from schemas.landscape import Landscape, Role, load_landscape
from schemas.mapping.compiled import ObjectMapping, TargetMapping
from schemas.system import SystemBundle, catalogue
from schemas.topics import KEYS, Topic
from tables.flows.catalogue import ORDERED_FROM, kinds_of, shown_by
from tables.measures.own import OwnMeasure

_HINT: Final = "landscape.yaml names the systems of the firm"
_READ_ONLY: Final = (
    "a resource tool takes the firm's projects; one that is only read plays the role psa: people, "
    "assignments and hours are read of any role"
)


@dataclass(frozen=True, slots=True)
class FirmSystems:
    """The systems of a firm, with what each plays."""

    landscape: Landscape
    bundles: Mapping[str, SystemBundle]
    measures: tuple[OwnMeasure, ...] = ()
    is_sealed: bool = False
    """Whether its records are encrypted."""

    @property
    def mappings(self) -> list[ObjectMapping]:
        """What the normalizer reads."""
        return [mapping for bundle in self.bundles.values() for mapping in bundle.mappings]

    @property
    def targets(self) -> list[str]:
        """The systems that commands go to."""
        return [name for role in ORDERED_FROM for name in self.landscape.takers(role)]

    @property
    def topics(self) -> tuple[Topic, ...]:
        """The catalogue: every topic of the firm."""
        own = [each.topic for each in self.measures]
        keys = [KEYS] if self.is_sealed else []
        return (*catalogue(self.bundles.values(), self.targets), *own, *keys)


ANY_ADDRESSES: Final = {
    "PSASTREAM_BOOTSTRAP_SERVERS": "any:0",
    "PSASTREAM_REGISTRY_URL": "http://any",
}
"""Settings for what needs no broker and no registry."""


def read_firm(settings: Settings) -> FirmSystems:
    """Return the systems of the firm's landscape. Raises ConfigError naming every problem."""
    measures = read_measures(settings.measures)
    landscape = read_landscape(settings)
    firm = systems_of(landscape, Systems(settings.systems, landscape))
    is_sealed = settings.master_keys is not None
    return replace(firm, measures=tuple(measures), is_sealed=is_sealed)


def systems_of(landscape: Landscape, systems: Systems) -> FirmSystems:
    """Return the systems of a landscape.

    Raises ConfigError naming every problem, a system that takes no commands and should among them.
    """
    bundles: dict[str, SystemBundle] = {}
    problems: list[str] = []
    for name in landscape.systems:
        try:
            bundles[name] = systems.read(name)
        except ConfigError as error:
            problems += error.problems
    problems += [
        f"{name} plays the role {role.value}, and its sink has no {', '.join(missing)}"
        for role in ORDERED_FROM
        for name in landscape.takers(role)
        if name in bundles and (missing := _missing(role, bundles[name], systems))
    ]
    problems += [
        f"{name} plays the role {role.value}, and its sink asks for {', '.join(unsaid)}, which no"
        " command says"
        for role in ORDERED_FROM
        for name in landscape.takers(role)
        if name in bundles and (unsaid := _unsaid(role, bundles[name], systems))
    ]
    problems += [
        f"{name} plays the role {role.value}, and its mapping makes no {', '.join(unseen)}"
        for role in ORDERED_FROM
        for name in landscape.takers(role)
        if name in bundles and (unseen := _unseen(role, bundles[name]))
    ]
    takes_none = [
        name
        for name in landscape.of(Role.RESOURCE)
        if name in bundles and _missing(Role.RESOURCE, bundles[name], systems)
    ]
    problems += _unclear_billers(landscape, bundles)
    if problems:
        raise ConfigError(
            "; ".join(problems), problems=problems, hint=_READ_ONLY if takes_none else _HINT
        )
    return FirmSystems(landscape, bundles)


def _missing(role: Role, bundle: SystemBundle, systems: Systems) -> list[str]:
    """Kinds of commands that the tables send to a role and the system's code cannot carry out."""
    declared = {content.kind for content in systems.vendor(bundle.vendor).commands}
    return [kind for kind in kinds_of(role) if kind not in declared]


def _unsaid(role: Role, bundle: SystemBundle, systems: Systems) -> list[str]:
    """What a system's code must be told by the commands of a role, and they do not tell."""
    return [
        f"{content.kind}.{field}"
        for content in systems.vendor(bundle.vendor).commands
        if content.kind in kinds_of(role)
        for field, info in content.model_fields.items()
        if info.is_required() and field not in CONTENTS[content.kind].model_fields
    ]


def _unseen(role: Role, bundle: SystemBundle) -> list[str]:
    """What shows the tables what a target holds and its mapping never makes: entities, fields.

    The fields of an entity that several rules make are to be made by one of them.
    """
    unseen = []
    for entity, fields in shown_by(role).items():
        filled = [target.filled for target in _targets(bundle, entity)]
        lacking = [[field for field in fields if field not in each] for each in filled]
        unseen += [f"{entity}.{field}" for field in min(lacking, key=len)] if filled else [entity]
    return unseen


def _unclear_billers(landscape: Landscape, bundles: Mapping[str, SystemBundle]) -> list[str]:
    """Problems with who makes legal entities where they tell which of several ERPs bills."""
    if len(landscape.erps) < 2:
        return []
    problems = []
    for name, bundle in bundles.items():
        role, is_making = landscape.role_of(name), _makes(bundle, "legal_entity")
        if role is Role.ERP and not is_making:
            problems.append(
                f"{name} is one of {len(landscape.erps)} ERPs, and its mapping makes no"
                " legal_entity: no project would be its"
            )
        if role is not Role.ERP and is_making:
            problems.append(
                f"{name} plays the role {role.value}, and its mapping makes legal_entity: which of"
                f" {len(landscape.erps)} ERPs bills for one is told by the ERP that has it"
            )
    return problems


def _makes(bundle: SystemBundle, entity: str) -> bool:
    return any(_targets(bundle, entity))


def _targets(bundle: SystemBundle, entity: str) -> Iterator[TargetMapping]:
    targets = (target for mapping in bundle.mappings for target in mapping.targets)
    return (target for target in targets if target.topic.name == f"psa.{entity}")


def read_landscape(settings: Settings) -> Landscape:
    """Return the landscape the settings name, or the packaged one. Raises ConfigError."""
    path = settings.landscape
    if path is None:
        return packaged_landscape()
    text = read_text(path, str(path), hint="PSASTREAM_LANDSCAPE names the landscape")
    try:
        return load_landscape(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error.detail}", hint=error.hint) from error
