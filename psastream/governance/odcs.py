"""Topics as a data contract of the Open Data Contract Standard.

The standard: https://bitol-io.github.io/open-data-contract-standard/v3.1.0/.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from psastream.governance.published import TITLE, about, product_version
from schemas.contracts import VOCABULARY, value_schema
from schemas.topics import Topic

STANDARD: Final = "v3.1.0"
LOGICAL: Final = {
    "string": "string",
    "enum": "string",
    "boolean": "boolean",
    "int": "integer",
    "long": "integer",
    "float": "number",
    "double": "number",
    "decimal": "number",
    "date": "date",
    "time-millis": "time",
    "time-micros": "time",
    "timestamp-millis": "timestamp",
    "timestamp-micros": "timestamp",
    "array": "array",
    "record": "object",
    "map": "object",
}
"""Types and logical types of Avro, in the words of the standard; bytes have none there."""

Types = Mapping[str, Any]
"""Records and enums by full name: a second mention of one is its name alone."""


def odcs_document(topics: Sequence[Topic]) -> dict[str, Any]:
    """Return the contract of topics: an object for each, a property for each field."""
    return {
        "apiVersion": STANDARD,
        "kind": "DataContract",
        "id": TITLE,
        "name": TITLE,
        "version": product_version(),
        "status": "active",
        "description": {
            "purpose": "Streams of a professional-services firm: what its systems hold, where"
            " projects and billing stand, margin and utilization.",
            "usage": "Kafka topics of Avro records, keys Avro strings, framed as Confluent's"
            " serializers do it. Read what is committed.",
        },
        "schema": [_object(topic) for topic in topics],
        "slaProperties": [
            {"property": "retention", "value": topic.retention_ms // 86_400_000, "unit": "d",
             "element": topic.name}
            for topic in topics
            if topic.retention_ms is not None
        ],
    }  # fmt: skip


def _object(topic: Topic) -> dict[str, Any]:
    key = topic.key.split("|")
    value = value_schema(topic).parsed
    properties = _properties(value, _named(value))
    _classify(properties, topic.personal_data)
    for each in properties:
        if each["name"] in key:
            each |= {"primaryKey": True, "primaryKeyPosition": 1 + key.index(each["name"])}
        if each["name"] == topic.route_field:
            each |= {"partitioned": True, "partitionKeyPosition": 1}
    return {
        "name": topic.name,
        "physicalName": topic.name,
        "physicalType": "topic",
        "logicalType": "object",
        "description": about(topic),
        "properties": properties,
        "customProperties": [
            {"property": "owner", "value": topic.owner},
            {"property": "criticality", "value": topic.criticality.value},
            {"property": "messageKey", "value": topic.key},
            {"property": "personalData", "value": list(topic.personal_data)},
        ],
    }


def _properties(record: Any, types: Types) -> list[dict[str, Any]]:
    return [_property(field, types) for field in record["fields"]]


def _property(field: Mapping[str, Any], types: Types) -> dict[str, Any]:
    branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
    kinds = [each for each in branches if each != "null"]
    words = field.get(VOCABULARY)
    told = {
        "name": field["name"],
        **(_typed(kinds[0], types) if len(kinds) == 1 else {"physicalType": "union"}),
        "required": "null" not in branches,
        "description": field.get("doc"),
        "customProperties": [{"property": VOCABULARY, "value": words}] if words else None,
    }
    return {name: value for name, value in told.items() if value is not None}


def _typed(kind: Any, types: Types) -> dict[str, Any]:
    """Return the standard's words for a type of Avro."""
    declared = types.get(kind, {"type": kind}) if isinstance(kind, str) else kind
    base = declared["type"]
    name = declared.get("logicalType", base)
    told = {"logicalType": LOGICAL.get(name, LOGICAL.get(base)), "physicalType": name}
    if name == "decimal":
        told["physicalType"] = f"decimal({declared['precision']},{declared.get('scale', 0)})"
    elif base == "array":
        told["items"] = _property({"name": "item", "type": declared["items"]}, types)
    elif base == "record":
        told["properties"] = _properties(declared, types)
    return {word: value for word, value in told.items() if value is not None}


def _classify(properties: Iterable[dict[str, Any]], personal: Collection[str]) -> None:
    """Mark what is personal, in the records of an envelope, too."""
    for each in properties:
        if each["name"] in personal:
            each["classification"] = "personal"
        _classify(each.get("properties", ()), personal)


def _named(declared: Any) -> dict[str, Any]:
    """Return what has a name in a parsed schema, whose names are full ones."""
    if isinstance(declared, list):
        return {name: each for branch in declared for name, each in _named(branch).items()}
    if not isinstance(declared, dict):
        return {}
    found = {declared["name"]: declared} if declared.get("type") in ("record", "enum") else {}
    inner = [field["type"] for field in declared.get("fields", [])]
    return found | _named([*inner, declared.get("items"), declared.get("values")])
