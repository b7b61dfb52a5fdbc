"""The systems of the packaged landscape, and their topics."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from connectors.systems import Systems
from psastream.landscape import systems_of
from schemas.codec.record import AvroSchema
from schemas.contracts import record_of
from schemas.landscape import load_landscape
from schemas.mapping.compiled import ObjectMapping
from schemas.mapping.config import FILE, parse_config
from schemas.mapping.loader import load_system
from schemas.topics import CANONICAL, DISPATCH, command_topic

LANDSCAPE: Final = load_landscape((files("connectors") / "landscape.yaml").read_text())
FIRM: Final = systems_of(LANDSCAPE, Systems())
SYSTEMS: Final = tuple(LANDSCAPE.systems)
SOURCES: Final = tuple(topic for each in FIRM.bundles.values() for topic in each.topics.values())
CATALOGUE: Final = FIRM.topics
WITH_RECORDS: Final = tuple(topic for topic in CATALOGUE if record_of(topic) is not None)
COMMANDS: Final = (
    *map(command_topic, ("netsuite", "float")),
    *DISPATCH,
)
"""What the dispatcher reads and writes."""
BY_NAME: Final = {topic.name: topic for topic in CATALOGUE}
OF_NO_SYSTEM: Final = {topic.name for topic in CANONICAL} - {
    target.topic.name
    for bundle in FIRM.bundles.values()
    for mapping in bundle.mappings
    for target in mapping.targets
}
"""Canonical topics that nothing is published to: the landscape has no system for them."""


ID_FORMS: Final = {
    name: parse_config((files("connectors.vendors") / name / FILE).read_text()).ids
    for name in SYSTEMS
}

ROWS_OF_ROLES: Final = {"crm:opportunity": "salesforce:opportunity"}
"""Which rows the packaged mappings mean that name a role."""


def contract_of(system: str, obj: str) -> AvroSchema:
    """Return the contract of a polled object."""
    return FIRM.bundles[system].contract(obj)


def contract_texts(system: str) -> dict[str, str]:
    """Return the contracts in the folder of a packaged system, by object."""
    folder = files("connectors.vendors") / system / "avro"
    if not folder.is_dir():
        return {}
    return {file.name.removesuffix(".avsc"): file.read_text() for file in folder.iterdir()}


def load_mappings(text: str, file: str = FILE) -> dict[str, ObjectMapping]:
    """Compile a mapping.yaml against the contracts of the packaged system that it is of."""
    config = parse_config(text, file)
    contracts = contract_texts(config.system)
    ours = {obj: contracts[obj] for obj in contracts.keys() & config.objects.keys()}
    system = load_system(text, ours, ID_FORMS, file, roles=ROWS_OF_ROLES)
    return {each.topic: each for each in system.mappings}
