"""Connector files, mapping files and variables in any shape: valid, or refused by name."""

from __future__ import annotations

import copy
import json
import random
import re
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import polars as pl
import yaml

from connectors.debezium.client import read_connector_file
from connectors.dispatch.main import load_sink
from connectors.polled.main import load_source
from runtime.settings import Settings
from schemas.codec.columnar import frame_dtypes
from schemas.codec.framing import frame
from schemas.contracts import record_schema
from schemas.errors import ConfigError, InvalidEntityError
from schemas.mapping.compiled import ObjectMapping
from tests.fuzz import values
from tests.fuzz.case import Case, Kind
from tests.fuzz.sources import SourceTopic, play, sound_envelope, source_topics
from tests.support.catalogue import SYSTEMS, load_mappings
from tests.support.source_events import FakeRegistry, mapping_text

CONNECTORS: Final = Path(__file__).parents[2] / "connectors"
ENVIRONMENT: Final = {"EVIL": "\x00", "FLOAT_TOKEN": "t-0123", "FLOAT_URL": "https://f.example"}
READERS: Final[dict[str, Callable[[Path], object]]] = {
    "source": lambda path: load_source(path, ENVIRONMENT),
    "sink": lambda path: load_sink(path, ENVIRONMENT).make_sink(lambda: None),
    "database": read_connector_file,
}
WORDS: Final = [
    "", "\x00", "${env:EVIL}", "${file:\x00}", "${file:/}", "${file:/dev}", "${x:y}", "${",
    "connectors.vendors.netsuite.sink.NetSuiteSink", "connectors.vendors.float.source.FloatSource",
    "connectors.vendors.float.source", "connectors.", "connectors.config.json", "os.system", "http://",
    "http://[", "https://a.b", "src.netsuite", "1", "/", "a\nb", "\ud800", "/dev/null",
]  # fmt: skip
VARIABLES: Final = [
    "BOOTSTRAP_SERVERS", "REGISTRY_URL", "CONNECT_URL", "POSTGRES_DSN", "DATA_DIR", "CACHE_DIR",
    "READ_MODEL_URL",
    "INSTANCE_ID", "METRICS_PORT", "METRICS_HOST", "DEAD_LETTER_RUN_MAX", "DEAD_LETTER_RATIO_MAX",
    "REPLICATION_FACTOR", "LOG_JSON", "LOG_LEVEL", "UNKNOWN", "", "KAFKA_EXTRA",
]  # fmt: skip
KAFKA_VARIABLES: Final = [
    "SASL_USERNAME", "SASL_PASSWORD", "SASL_MECHANISM", "SECURITY_PROTOCOL", "SSL_CA_LOCATION",
    "SSL_KEY_PEM", "CLIENT_ID", "SOCKET_TIMEOUT_MS", "GROUP_ID", "NO_SUCH", "", "DEBUG_", "ACKS",
]  # fmt: skip


PLAYED: Final = 0.2
"""Share of the sound mappings that rows go through: that takes longer than reading the file."""


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-"))


@cache
def _files() -> list[tuple[str, Any]]:
    found = [
        *(("source", path) for path in sorted(CONNECTORS.glob("vendors/*/source.json"))),
        *(("sink", path) for path in sorted(CONNECTORS.glob("vendors/*/sink.json"))),
        *(("database", path) for path in sorted(CONNECTORS.glob("vendors/*/connector.json"))),
    ]
    return [(kind, json.loads(path.read_text())) for kind, path in found]


def run_files(case: Case) -> None:
    """Connector files: what is no configuration is refused in a message that names the file."""
    chance = case.chance
    path = _folder() / "it.json"
    for _ in range(case.size):
        case.step()
        kind, valid = chance.choice(_files())
        kind = kind if chance.random() < 0.9 else chance.choice(list(READERS))
        document = _changed(chance, valid)
        content = json.dumps(document).encode()
        path.write_bytes(values.damaged(chance, content) if chance.random() < 0.05 else content)
        with case.guarded(lambda k=kind, d=document: f"{k}: {d!r:.1500}"):
            try:
                READERS[kind](path)
            except ConfigError as error:
                case.expect(
                    any(name in error.detail for name in ("it.json", "private key")),
                    Kind.DISAGREEMENT,
                    lambda e=error: f"no file is named: {e.detail}",
                    "a refusal without its file",
                )


def _changed(chance: random.Random, valid: Any) -> Any:
    document: Any = copy.deepcopy(valid)
    for _ in range(chance.randrange(1, 4)):
        if not isinstance(document, dict) or chance.random() < 0.3:
            document = values.spoiled(chance, document)
            continue
        key = chance.choice([*document, "x", values.text(chance)])
        document[key] = chance.choice(WORDS) if chance.random() < 0.6 else values.junk(chance)
    return document


def run_variables(case: Case) -> None:
    """Variables of any value: valid settings, or a refusal that names one of them."""
    chance = case.chance
    sound = {
        "PSASTREAM_BOOTSTRAP_SERVERS": "b:9092",
        "PSASTREAM_REGISTRY_URL": "http://r:8081",
    }
    for _ in range(case.size):
        case.step()
        environment = dict(sound)
        for _ in range(chance.randrange(1, 4)):
            name = chance.choice(VARIABLES)
            if chance.random() < 0.1:
                name = f"KAFKA_{chance.choice(KAFKA_VARIABLES)}"
            elif chance.random() < 0.05:
                name += values.text(chance)
            value = chance.choice(WORDS) if chance.random() < 0.4 else values.text(chance)
            environment[f"PSASTREAM_{name}"] = value
        with case.guarded(lambda e=environment: f"{e!r:.1500}"):
            try:
                settings = Settings.from_env(environment)
            except ConfigError as error:
                case.expect(
                    "PSASTREAM_" in error.detail and error.detail.isprintable(),
                    Kind.DISAGREEMENT,
                    lambda e=error: f"no variable is named: {e.detail!r}",
                    "a refusal without its variable",
                )
            else:
                settings.kafka.client()


@cache
def _objects() -> list[tuple[SourceTopic, dict[str, Any]]]:
    by_name = {topic.name: topic for topic in source_topics()}
    found = []
    for system in SYSTEMS:
        document = yaml.safe_load(mapping_text(system))
        for name, config in document["objects"].items():
            one = {**document, "objects": {name: config}}
            found.append((by_name[f"src.{system}.{name}"], one))
    return found


def run_mappings(case: Case) -> None:
    """Mapping files: refused with file and lines, or rows of any values go through them."""
    chance = case.chance
    for _ in range(case.size):
        case.step()
        topic, document = chance.choice(_objects())
        text = json.dumps(_other_mapping(chance, document))  # JSON is YAML
        if chance.random() < 0.1:
            at = chance.randrange(len(text))
            text = text[:at] + chance.choice(_YAML) + text[at:] * (chance.random() < 0.5)
        with case.guarded(lambda t=text: t[:3000]):
            try:
                mappings = load_mappings(text, "it/mapping.yaml")
            except ConfigError as error:
                case.expect(
                    re.search(r"^it/mapping\.yaml\b.* line [0-9]+: ", error.detail) is not None,
                    Kind.DISAGREEMENT,
                    lambda e=error: f"no file and line: {e.detail}",
                    "a refusal without its file and line",
                )
                continue
            for mapping in mappings.values():
                _apply_to_nothing(case, mapping)
            if topic.name in mappings and chance.random() < PLAYED:
                _use(case, topic, mappings[topic.name])


def _other_mapping(chance: random.Random, document: Any) -> Any:
    """A mapping in which rules, checks or columns have changed place, or anything has."""
    document = copy.deepcopy(document)
    (config,) = document["objects"].values()
    for _ in range(chance.randrange(1, 4)):
        target = chance.choice(config["targets"])
        fields = target["fields"]
        match chance.randrange(8):
            case 0 if len(fields) > 1:
                one, other = chance.sample(list(fields), 2)
                fields[one], fields[other] = fields[other], fields[one]
            case 1:
                rule = fields[chance.choice(list(fields))]
                rule["from"] = chance.choice([config["key"], *_columns(config)])
            case 2:
                name = chance.choice(list(fields))
                fields[name] = chance.choice(_RULES) | {
                    "from": chance.choice([config["key"], *_columns(config)])
                }
            case 3:
                name = chance.choice(list(fields))
                target.setdefault("checks", {})[name] = chance.choice(_CHECKS)
            case 4:
                return values.spoiled(chance, document)
            case 5:
                word = chance.choice(["key", "deleted_when"])
                config[word] = chance.choice([config["key"], *_columns(config)])
            case 6 if "columns" in config:
                config["columns"][chance.choice(list(config["columns"]))] = chance.choice(_TYPES)
            case _:
                target.setdefault("required", []).append(chance.choice([*fields, "x"]))
    return document


def _columns(config: Any) -> list[str]:
    return [
        rule["from"]
        for target in config["targets"]
        for rule in target["fields"].values()
        if isinstance(rule, dict) and isinstance(rule.get("from"), str)
    ]


_YAML: Final = [
    "\t", ": ", "{", "&a ", "*a", "\x00", "!!python/x ", "!!bool ", "!!int ", "!!timestamp ",
    "!!binary ", "!!set ", "<<: ", "2026-02-30", "? ", "- ", "\n", "# ", "%", "[" * 100, "---\n",
]  # fmt: skip
_RULES: Final[list[dict[str, Any]]] = [
    {}, {"text": "slug"}, {"text": "lower"}, {"source_id": "inhouse:project"}, {"negate": True},
    {"mint": "resource"}, {"mint": "customer", "of": "salesforce:account"}, {"scale": "100"},
    {"scale": "x"}, {"scale": "1e-9"}, {"duration": "hours"}, {"duration": "interval"},
    {"duration": "microseconds"}, {"values": {"a": "b", 1: 2}}, {"values": ["x", "EUR"]},
    {"extract": "project_id"}, {"reorder": [1, 0]}, {"reorder": [9]}, {"work_patterns": [0] * 7},
    {"records": {"a": "b"}}, {"constant": 1}, {"scale": "NaN"}, {"scale": "1e37"}, {"reorder": []},
    {"constant": 2**64}, {"values": {2**64: "a"}}, {"values": {}}, {"first_non_null": []},
    {"records": {"rate": "cost_rate", "starts_on": "effective_date"}}, {"reorder": [1, 2, 0]},
    {"source_id": "a|b:c"}, {"duration": "minutes", "negate": True},
]  # fmt: skip
_CHECKS: Final[list[dict[str, Any]]] = [
    {"between": [0, 24]},
    {"between": ["x", "y"]},
    {"between": [9, 0]},
    {"length": 2},
    {"length": -1},
    {"one_of": [1, "x", True]},
    {"one_of": []},
    {"currency": True},
    {"between": [0, "1e-100"]},
    {"between": [0, "1e40"]},
    {"one_of": [2**64]},
    {"country": True},
]
_TYPES: Final = [
    "text", "long", "int", "boolean", "date", "start_date", "end_date", "decimal(9,2)",
    "decimal(38,38)", "decimal(39,0)", "decimal(1,2)", "decimal(0,0)", "x",
]  # fmt: skip


def _apply_to_nothing(case: Case, mapping: ObjectMapping) -> None:
    """What loads can be applied: to no rows and to one without values, and fits its contracts."""
    rows = pl.DataFrame(schema=frame_dtypes(mapping.reader))
    for some in (rows, rows.clear(1)):
        made = mapping.apply(some)
        for target, frame_of in zip(mapping.targets, made.targets, strict=True):
            assert target.topic.record is not None
            wanted = frame_dtypes(record_schema(target.topic.record))
            case.expect(
                dict(frame_of.schema) == wanted and made.rows.height == some.height,
                Kind.DISAGREEMENT,
                lambda t=target, f=frame_of: f"{t.topic.name}: {f.schema}",
                "a target that does not fit its contract",
            )


def _use(case: Case, topic: SourceTopic, mapping: ObjectMapping) -> None:
    registry = FakeRegistry()
    schema_id = registry.add(topic.schema)
    messages: list[bytes | None] = []
    for offset in range(20):
        try:
            envelope = sound_envelope(case.chance, topic, offset)
            messages.append(frame(schema_id, topic.codec.encode(envelope)))
        except InvalidEntityError:
            messages.append(None)
    done = play(mapping, registry, messages)
    case.expect(
        done.accounting.consumed == len(messages),
        Kind.SILENT_DROP,
        lambda: f"{topic.name}: {done.accounting} of {len(messages)}",
        "records that are not accounted for",
    )
