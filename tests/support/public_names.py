"""What others rely on by name: the public names of psastream, read from the code.

`docs/releases.md` says what each kind is. A field has its type behind it, a metric its labels:
another type is another name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer
import yaml
from pydantic import BaseModel

from connectors.dispatch.config import SinkConfig
from connectors.polled.config import ApiConfig, PolledConfig
from connectors.systems import Systems
from psastream.cli import app
from psastream.governance.published import published, value_record
from psastream.query.views import View, packaged_views
from psastream.read_model.star import StarView, star_views
from runtime.kafka import SECRETS as KAFKA_SECRETS
from runtime.settings import FILE_SUFFIX, KAFKA_PREFIX, PREFIX, SECRETS, Settings
from streams.groups import make_groups
from tests.support.catalogue import CATALOGUE, FIRM, LANDSCAPE
from tests.support.metric_catalogue import product_metrics
from tests.support.topology import FixedRegistry

REPOSITORY: Final = Path(__file__).resolve().parents[2]
CHART: Final = REPOSITORY / "deploy" / "helm" / "psastream"
_CODE: Final = re.compile(r'<a id="([^"]+)"></a>')


def public_names() -> dict[str, list[str]]:
    """Return the names of each kind, sorted."""
    found: dict[str, Iterable[str]] = {
        "settings": _settings(),
        "connector files": (
            f"{model.__name__.removesuffix('Config')} {field.alias or name}"
            for model in connectors()
            for name, field in model.model_fields.items()
        ),
        "commands": _commands(typer.main.get_command(app), "psastream"),
        "errors": _CODE.findall((REPOSITORY / "docs" / "errors.md").read_text()),
        "topics": _topics(),
        "sql": _columns(packaged_views()),
        "read model": _columns(star_views()),
        "metrics": (f"{it.name}{{{','.join(sorted(it.labels))}}}" for it in product_metrics()),
        "alerts": _alerts(),
        "chart values": _values(json.loads((CHART / "values.schema.json").read_text()), ""),
    }
    return {kind: sorted(set(names)) for kind, names in found.items()}


def state_layouts() -> dict[str, int]:
    """Return the layout of each group's state: another one is computed again from the topics."""
    groups = make_groups(FIRM.mappings, FixedRegistry(), LANDSCAPE)
    return {group.name: group.layout for group in groups}


def connectors() -> Iterator[type[BaseModel]]:
    """What connector files hold: in common, and of each source and sink that there is."""
    yield from (PolledConfig, ApiConfig, SinkConfig)
    for vendor in Systems().vendors():
        if vendor.source is not None:
            yield vendor.source.config_model
        if vendor.sink is not None:
            yield vendor.sink.config_model


def _settings() -> Iterator[str]:
    for name in Settings.model_fields:
        if name != "kafka_extra":
            yield f"{PREFIX}{name.upper()}"
    yield from (f"{PREFIX}{name.upper()}{FILE_SUFFIX}" for name in SECRETS)
    yield from (
        f"{KAFKA_PREFIX}{key.upper().replace('.', '_')}{FILE_SUFFIX}" for key in KAFKA_SECRETS
    )


def _commands(command: Any, name: str) -> Iterator[str]:
    children: Mapping[str, Any] = getattr(command, "commands", {})
    for each in command.params:
        for word in each.opts if each.param_type_name == "option" else [each.name.upper()]:
            yield f"{name} {word}"
    if not children:
        yield name
    for word, child in children.items():
        yield from _commands(child, f"{name} {word}")


def _topics() -> Iterator[str]:
    for topic in published(CATALOGUE):
        yield f"{topic.name} by {topic.key}"
        for field in value_record(topic)["fields"]:
            yield f"{topic.name} {field['name']}: {_type(field['type'])}"


def _type(avro: Any) -> str:
    """An Avro type in a word; a record is told by its name, for its fields may become more."""
    if isinstance(avro, list):
        return "|".join(_type(each) for each in avro)
    if not isinstance(avro, dict):
        return str(avro)
    if avro["type"] in ("array", "map"):
        return f"{avro['type']} of {_type(avro.get('items', avro.get('values')))}"
    if avro["type"] in ("record", "enum"):
        return str(avro["name"])
    scale = f"({avro['precision']},{avro['scale']})" if "precision" in avro else ""
    return f"{avro.get('logicalType', avro['type'])}{scale}"


def _columns(views: Sequence[View | StarView]) -> Iterator[str]:
    for view in views:
        yield from (f"{view.name}.{column.name}" for column in view.columns)


def _alerts() -> Iterator[str]:
    for path in (REPOSITORY / "deploy" / "prometheus" / "rules").glob("*.rules.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            yield from (rule["alert"] for rule in group["rules"] if "alert" in rule)


def _values(schema: Mapping[str, Any], at: str) -> Iterator[str]:
    """Paths of the values that a schema takes; `*` is a name that the firm gives."""
    inner = {**schema.get("properties", {})}
    anything = [it for it in schema.get("patternProperties", {}).values() if isinstance(it, dict)]
    if isinstance(more := schema.get("additionalProperties"), dict):
        anything.append(more)
    for each in anything:
        inner["*"] = {**inner.get("*", {}), **each}
    if at and not inner:
        yield at
    for name, child in inner.items():
        if isinstance(child, dict):
            yield from _values(child, f"{at}.{name}" if at else name)
