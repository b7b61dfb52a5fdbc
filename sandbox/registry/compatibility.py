"""Whether data written with one Avro schema can be read with another, and compatibility levels.

Pure. Follows "Schema Resolution" of the Avro specification; every finding names the path of the
field it is about. It does not decode data, and does not know subjects or versions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sandbox.registry.schema import AvroSchema, Definition, kind_of

# Reader's type -> types of the writer it accepts besides its own.
_PROMOTIONS = {
    "long": {"int"},
    "float": {"int", "long"},
    "double": {"int", "long", "float"},
    "string": {"bytes"},
    "bytes": {"string"},
}
_NAMED_KINDS = ("record", "enum", "fixed")


class CompatibilityLevel(StrEnum):
    """Confluent's levels: which earlier schemas a new one is held to, and in which direction."""

    NONE = "NONE"
    BACKWARD = "BACKWARD"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"
    FORWARD = "FORWARD"
    FORWARD_TRANSITIVE = "FORWARD_TRANSITIVE"
    FULL = "FULL"
    FULL_TRANSITIVE = "FULL_TRANSITIVE"

    @property
    def is_transitive(self) -> bool:
        """All earlier versions count, not only the latest."""
        return self.endswith("_TRANSITIVE")

    @property
    def is_backward(self) -> bool:
        """The new schema must read earlier data."""
        return self.startswith(("BACKWARD", "FULL"))

    @property
    def is_forward(self) -> bool:
        """Earlier schemas must read the new data."""
        return self.startswith(("FORWARD", "FULL"))


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Why a reader cannot read a writer's data, at `path` (`Invoice.lines[].price`)."""

    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.path}: {self.detail}"


def problems_with(
    candidate: AvroSchema, earlier: Sequence[AvroSchema], level: CompatibilityLevel
) -> list[str]:
    """What forbids `candidate` after `earlier` (oldest first) at `level`; empty if nothing does."""
    problems = []
    for schema in earlier if level.is_transitive else earlier[-1:]:
        if level.is_backward:
            problems += [
                f"the new schema cannot read earlier data: {finding}"
                for finding in incompatibilities(reader=candidate, writer=schema)
            ]
        if level.is_forward:
            problems += [
                f"an earlier schema cannot read the new data: {finding}"
                for finding in incompatibilities(reader=schema, writer=candidate)
            ]
    return list(dict.fromkeys(problems))  # several earlier versions often fail alike


def incompatibilities(*, reader: AvroSchema, writer: AvroSchema) -> list[Incompatibility]:
    """Everything that keeps `reader` from reading data of `writer`; empty if it can."""
    return _Resolution(reader, writer).resolve(reader.definition, writer.definition, "")


class _Resolution:
    """One comparison of a reader's with a writer's schema.

    Recursive types end because a pair of named types met again inside itself is taken to resolve:
    if it does not, the outer occurrence finds the reason.
    """

    def __init__(self, reader: AvroSchema, writer: AvroSchema) -> None:
        self._reader_named = reader.named
        self._writer_named = writer.named
        self._open_pairs: set[tuple[str, str]] = set()

    def resolve(self, reader: Definition, writer: Definition, path: str) -> list[Incompatibility]:
        if isinstance(reader, str):
            reader = self._reader_named.get(reader, reader)
        if isinstance(writer, str):
            writer = self._writer_named.get(writer, writer)
        if isinstance(writer, list):
            return [finding for branch in writer for finding in self.resolve(reader, branch, path)]
        if isinstance(reader, list):
            return self._resolve_in_union(reader, writer, path)
        reader_kind, writer_kind = kind_of(reader), kind_of(writer)
        if reader_kind != writer_kind:
            if writer_kind in _PROMOTIONS.get(reader_kind, ()):
                return []
            return [_found(path, f"reader type {reader_kind} cannot read {writer_kind}")]
        if isinstance(reader, dict) and isinstance(writer, dict):
            return self._resolve_same_kind(reader, writer, path)
        return []

    def _resolve_in_union(
        self, branches: list[Any], writer: Definition, path: str
    ) -> list[Incompatibility]:
        attempts = [(branch, self.resolve(branch, writer, path)) for branch in branches]
        if any(not findings for _, findings in attempts):
            return []
        # The branch that was meant explains best; without one, the union as a whole is the reason.
        for branch, findings in attempts:
            if self._is_meant(branch, writer):
                return findings
        names = ", ".join(_label(branch) for branch in branches)
        return [_found(path, f"no branch of the reader's union ({names}) reads {_label(writer)}")]

    def _is_meant(self, branch: Definition, writer: Definition) -> bool:
        if isinstance(branch, str):
            branch = self._reader_named.get(branch, branch)
        if kind_of(branch) != kind_of(writer):
            return False
        if isinstance(branch, dict) and isinstance(writer, dict) and "name" in branch:
            return _names_match(branch, writer)
        return True

    def _resolve_same_kind(
        self, reader: dict[str, Any], writer: dict[str, Any], path: str
    ) -> list[Incompatibility]:
        kind = kind_of(reader)
        if kind == "array":
            return self.resolve(reader["items"], writer["items"], f"{path}[]")
        if kind == "map":
            return self.resolve(reader["values"], writer["values"], f"{path}{{}}")
        if kind in _NAMED_KINDS and not _names_match(reader, writer):
            return [_found(path, f"reader {kind} {reader['name']} is not {writer['name']}")]
        if kind == "record":
            return self._resolve_record(reader, writer, path or _short(reader["name"]))
        if kind == "enum":
            return list(_compare_enums(reader, writer, path or _short(reader["name"])))
        return list(_compare_binary(reader, writer, path))

    def _resolve_record(
        self, reader: dict[str, Any], writer: dict[str, Any], path: str
    ) -> list[Incompatibility]:
        pair = (reader["name"], writer["name"])
        if pair in self._open_pairs:
            return []
        self._open_pairs.add(pair)
        written = {field["name"]: field for field in writer["fields"]}
        findings = []
        for field in reader["fields"]:
            field_path = f"{path}.{field['name']}"
            names = [field["name"], *field.get("aliases", ())]
            sources = [written[name] for name in dict.fromkeys(names) if name in written]
            # Which of them is meant is not said. Avro's Java library, which Confluent's registry
            # asks, raises (SchemaCompatibility.lookupWriterField).
            if len(sources) > 1:
                meant = ", ".join(source["name"] for source in sources)
                findings.append(_found(field_path, f"the reader's field is written as {meant}"))
            elif sources:
                findings += self.resolve(field["type"], sources[0]["type"], field_path)
            elif "default" not in field:
                findings.append(
                    _found(field_path, "the reader's field is not written and has no default")
                )
        self._open_pairs.remove(pair)
        return findings


def _compare_enums(
    reader: dict[str, Any], writer: dict[str, Any], path: str
) -> Iterator[Incompatibility]:
    missing = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
    if missing and "default" not in reader:
        yield _found(path, f"reader enum lacks {', '.join(missing)} and has no default")


def _compare_binary(
    reader: dict[str, Any], writer: dict[str, Any], path: str
) -> Iterator[Incompatibility]:
    """Fixed sizes, and decimals: another scale reads as another amount of money (I7).

    A wider precision in the reader is allowed, since it holds every written value unchanged.
    """
    if reader.get("size") != writer.get("size"):
        yield _found(path, f"reader size {reader['size']} is not {writer['size']} bytes")
    if not (_is_decimal(reader) and _is_decimal(writer)):
        return
    reader_scale, writer_scale = reader.get("scale", 0), writer.get("scale", 0)
    if reader_scale != writer_scale:
        yield _found(path, f"decimal scale {reader_scale} is not {writer_scale}")
    if reader["precision"] < writer["precision"]:
        yield _found(
            path,
            f"decimal precision {reader['precision']} cannot hold {writer['precision']} digits",
        )


def _is_decimal(definition: dict[str, Any]) -> bool:
    """Without a precision that is a number the specification has the logical type ignored."""
    numbers = definition.get("precision"), definition.get("scale", 0)
    return definition.get("logicalType") == "decimal" and all(type(each) is int for each in numbers)


def _names_match(reader: dict[str, Any], writer: dict[str, Any]) -> bool:
    """By unqualified name, as the specification says, or by an alias of the reader.

    Avro's Java library: SchemaCompatibility.schemaNameEquals.
    """
    if _short(reader["name"]) == _short(writer["name"]):
        return True
    namespace = str(reader["name"]).rpartition(".")[0]
    aliases = (
        alias if "." in alias or not namespace else f"{namespace}.{alias}"
        for alias in reader.get("aliases", ())
    )
    return writer["name"] in aliases


def _found(path: str, detail: str) -> Incompatibility:
    return Incompatibility(path or "the schema", detail)


def _label(definition: Definition) -> str:
    if isinstance(definition, dict) and "name" in definition:
        return str(definition["name"])
    return kind_of(definition)


def _short(full_name: str) -> str:
    return full_name.rpartition(".")[2]
