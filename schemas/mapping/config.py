"""The text of a mapping.yaml as checked models: its vocabulary, not what the words do.

`mapping` validates a configuration against the Avro contracts and compiles it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    StringConstraints,
    ValidationError,
    model_validator,
)

from schemas.errors import ConfigError
from schemas.identity import IdForm
from schemas.landscape import SystemName
from schemas.yaml_text import line_of, read_document

FILE: Final = "mapping.yaml"

Text = Annotated[str, StringConstraints(min_length=1)]
Name = Annotated[str, StringConstraints(pattern="^[a-z][a-z0-9_]*$")]
ObjectName = Annotated[str, StringConstraints(pattern="^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]
"""Of a table or a list; it is a part of a topic's name."""
Scalar = StrictBool | StrictInt | StrictStr
"""Literals a mapping may hold; exact decimals are written as text, a float is refused."""
Values = Annotated[dict[Scalar, Scalar] | tuple[Scalar, ...], Field(min_length=1)]


Namespace = Text
"""`<system>:<kind>` of the rows that an id is of. Of another system's also `<role>:<entity>`: of
those rows that the one system of the firm in that role makes the canonical entity from."""


def _as_several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


OneOrMore = Annotated[tuple[Text, ...], BeforeValidator(_as_several), Field(min_length=1)]
"""A column, or several."""


class Capture(Enum):
    """How a system's changes reach their topics, which fixes where a position is found."""

    POLLED = "polled"
    DEBEZIUM = "debezium"  # a PostgreSQL
    MYSQL = "mysql"
    SQL_SERVER = "sqlserver"

    @property
    def is_database(self) -> bool:
        """Whether Debezium captures it from the log of a database."""
        return self is not Capture.POLLED


class Mint(Enum):
    """Canonical ids a rule can mint; `of` names the kind of source row they stand for."""

    CUSTOMER = "customer"
    ENGAGEMENT = "engagement"
    PROJECT = "project"  # from: [opportunity, country]
    RESOURCE = "resource"  # from the id of a person; without `of`, from an e-mail address
    CORRELATION = "correlation"


class Form(Enum):
    """Forms of our own ids, recognised inside a column of another system."""

    CUSTOMER_ID = "customer_id"
    PROJECT_ID = "project_id"
    ENGAGEMENT_OF_PROJECT = "engagement_of_project"
    TIME_BILL_ID = "time_bill_id"
    CORRELATION_ID = "correlation_id"


class Duration(Enum):
    """Units a source counts time in; a field holds whole seconds, or hours at two digits.

    `hours`, `minutes`, `seconds` are integers or decimals. `microseconds` is Debezium's
    `io.debezium.time.MicroDuration`, `interval` its text of a PostgreSQL interval
    (`P0Y0M0DT0H50M0S`), which must name no years or months.
    """

    HOURS = "hours"
    MINUTES = "minutes"
    SECONDS = "seconds"
    MICROSECONDS = "microseconds"
    INTERVAL = "interval"


def _every_place_once(order: tuple[int, ...]) -> tuple[int, ...]:
    if sorted(order) != list(range(len(order))):
        raise ValueError("an order names each place from 0 on once")
    return order


Order = Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_every_place_once)]
"""Where each element of a list comes from."""


class TextStyle(Enum):
    """How a text is written; all of them trim, and make a blank text null."""

    TRIM = "trim"
    UPPER = "upper"
    LOWER = "lower"
    SLUG = "slug"  # lower case, everything but letters and digits is one underscore


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, populate_by_name=True)


class Rule(_Model):
    """How one canonical field is made: of a column, or of an expression, by at most one function.

    `from` alone copies, converting to the type of the field: text to instant, a decimal to a
    larger scale. `sql` stands in its place: an expression over the columns of the row and `vars`,
    whose number may also get fewer digits, if none of them is lost.
    """

    from_: Text | tuple[Text, ...] | None = Field(default=None, alias="from")
    sql: Text | None = None
    constant: Scalar | None = None
    source_id: Namespace | None = None  # the native id becomes a source id
    mint: Mint | None = None
    of: Namespace | None = None  # of the row an id is minted from
    # Null where the text has another form. With `text: trim` people type it, and its reader has
    # to take it as `identity.typed` does; without, it is a key its system compares exactly.
    extract: Form | None = None
    values: Values | None = None  # others are rejected
    scale: Text | None = None  # exact factor
    duration: Duration | None = None  # half-even to the second where the unit is coarser
    reorder: Order | None = None  # element i of the list comes from reorder[i]
    work_patterns: Order | None = None  # map of first day → hours; weekdays as reorder
    # List of records: field → its field at the source; one without the first field is left out.
    records: dict[Text, Text] | None = Field(default=None, min_length=1)
    sum: Text | None = None  # of this field of a list of records; a null in it counts for nothing
    where: Text | None = None  # beside `sum`: of those records whose field is true
    negate: bool = False  # of a boolean; beside `duration` of its sign
    text: TextStyle | None = None
    first_non_null: tuple[Rule, ...] | None = Field(default=None, min_length=1)
    elements: tuple[Rule, ...] | None = Field(default=None, min_length=1)  # of a list, in order

    @model_validator(mode="after")
    def _one_function(self) -> Self:
        functions = [
            name
            for name in (
                "constant",
                "source_id",
                "mint",
                "extract",
                "values",
                "scale",
                "duration",
                "reorder",
                "work_patterns",
                "records",
                "sum",
                "text",
                "first_non_null",
                "elements",
            )
            if getattr(self, name) is not None
        ] + (["negate"] if self.negate and self.duration is None else [])
        if self.extract is not None and self.text is TextStyle.TRIM:
            functions.remove("text")
        if len(functions) > 1:
            raise ValueError(f"one function a rule, not {', '.join(functions)}")
        is_free = self.constant is not None or bool(self.parts)
        if is_free + (self.from_ is not None) + (self.sql is not None) != 1:
            raise ValueError(
                "`from` or `sql` is missing, there twice, or beside a rule without a column"
            )
        if self.where is not None and self.sum is None:
            raise ValueError("`where` belongs to a `sum`")
        if isinstance(self.from_, tuple) and self.mint is not Mint.PROJECT:
            raise ValueError("only `mint: project` takes several columns")
        needs_of = self.mint is not None and self.mint is not Mint.RESOURCE
        may_have_of = self.mint is not None
        if (needs_of and self.of is None) or (self.of is not None and not may_have_of):
            raise ValueError("`of` belongs to a mint of a source row, as <system>:<kind>")
        return self

    @property
    def parts(self) -> tuple[Rule, ...]:
        """The rules that it is made of."""
        return self.first_non_null or self.elements or ()

    @property
    def is_copy(self) -> bool:
        """Whether the rule is `from` alone, of one column."""
        return isinstance(self.from_, str) and self == Rule.model_validate({"from": self.from_})

    @property
    def words(self) -> tuple[Scalar, ...] | None:
        """All values the rule can make of a row that it does not refuse; None: any value."""
        if self.constant is not None:
            return (self.constant,)
        if self.values is not None:
            return self.values if isinstance(self.values, tuple) else tuple(self.values.values())
        parts = [rule.words for rule in self.first_non_null or ()]
        if not parts or None in parts:
            return None
        return tuple(word for words in parts if words for word in words)

    @property
    def columns(self) -> tuple[str, ...]:
        """Source columns the rule reads."""
        if self.parts:
            return tuple(name for rule in self.parts for name in rule.columns)
        if self.from_ is None:
            return ()
        return (self.from_,) if isinstance(self.from_, str) else self.from_


class Check(_Model):
    """What a value that is not null must satisfy. Exactly one of the fields."""

    between: tuple[int | Text, int | Text] | None = None
    length: int | None = Field(default=None, ge=1)
    one_of: tuple[Scalar, ...] | None = Field(default=None, min_length=1)
    currency: Literal[True] | None = None
    country: Literal[True] | None = None  # two letters, of those ISO 3166-1 gives out

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("a check is exactly one of between, length, one_of, currency, country")
        return self


class TargetConfig(_Model):
    """One canonical entity made from a source object.

    Fields every canonical record shares (id, source_system, source_position, and source_at
    unless given) need no rule. Any other field without one is null; `absent` may say so. `when` is
    an expression: only where it is true there is such a record, and it is deleted when that ends;
    rules and checks hold for no others. `unset_kept`
    names text fields whose last value is kept for when the source cannot send it again; they are
    copies and nothing checks them, so that the value of a refused row is sound, too.
    `parts` makes several records of a row, one each, whose ids end with the name of the part: the
    expressions of a part stand as `part.<name>` wherever a column can.
    """

    entity: Text
    when: Text | None = None
    parts: dict[Name, dict[Name, Text]] = {}
    fields: dict[str, Rule]
    absent: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    checks: dict[str, Check] = {}
    unset_kept: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _alike(self) -> Self:
        told = {tuple(sorted(expressions)) for expressions in self.parts.values()}
        if len(told) > 1 or () in told:
            raise ValueError("each of `parts` gives an expression to the same names")
        return self

    def split(self) -> Iterator[tuple[str, Self]]:
        """Yield the target without parts, or that of each part with its name."""
        if not self.parts:
            yield "", self
        for part, texts in self.parts.items():
            fields = {field: _of_part(rule, texts) for field, rule in self.fields.items()}
            when = None if self.when is None else _in_part(self.when, texts)
            yield part, self.model_copy(update={"fields": fields, "when": when, "parts": {}})


def _of_part(rule: Rule, texts: Mapping[str, str]) -> Rule:
    """A rule with the expressions of a part in the place of their names."""
    update: dict[str, object] = {
        word: tuple(_of_part(each, texts) for each in parts)
        for word, parts in (("first_non_null", rule.first_non_null), ("elements", rule.elements))
        if parts
    }
    if rule.sql is not None:
        update["sql"] = _in_part(rule.sql, texts)
    elif isinstance(rule.from_, str) and (named := _IN_PART.fullmatch(rule.from_)):
        update |= {"from_": None, "sql": texts[named[1]]} if named[1] in texts else {}
    return rule.model_copy(update=update)


def _in_part(text: str, texts: Mapping[str, str]) -> str:
    return _IN_PART.sub(
        lambda named: f"({texts[named[1]]})" if named[1] in texts else named[0], text
    )


_IN_PART: Final = re.compile(r"\bpart\.([a-z][a-z0-9_]*)\b")


class LookupConfig(_Model):
    """What a row takes from a row of another object of its system, or of its own.

    `by` is a column of this object that holds the key of the other row; columns in the order of its
    key, where that has several. With `closure`, the column
    of the other object that names its parent, it is the row at the top that counts. `reverse` is a
    column of the other object that holds the key of this row. Until the other row is there, this
    one waits; where it is `optional`, its columns are null.
    """

    object: Text
    by: OneOrMore | None = None
    closure: Text | None = None
    reverse: Text | None = None
    columns: tuple[Text, ...] = Field(min_length=1)
    optional: StrictBool = False

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.by is None) is (self.reverse is None):
            raise ValueError(
                "a lookup goes `by` a column of this object, or `reverse`: one of both"
            )
        if self.closure is not None and self.by is None:
            raise ValueError("`closure` goes with `by`")
        return self


class ObjectConfig(_Model):
    """One source object: its kind in source ids, its key column or columns, and its targets.

    `columns` declares the column types where no Avro contract of ours does (databases): `text`,
    `long`, `int`, `boolean`, `double`, `real`, `decimal(p,s)`, `date`, `timestamp`, `timestamp(p)`,
    `timestamptz`, `time`, `time(p)`, `interval`; see `declared`. A `start_date` may be `-infinity`,
    an `end_date` `infinity`: both are null. Elsewhere an infinite date or time is refused.
    `vars` are expressions with a name, for `sql`, `when` and each other, in order. `lookups` are
    columns of other rows, named `<lookup>.<column>`.
    `deleted_when` names a boolean column that marks soft-deleted rows. `personal_data` names the
    columns that hold some. Without `targets` the object is captured and nothing is made of it.
    """

    model_config = ConfigDict(populate_by_name=False)

    kind: Name
    keys: OneOrMore = Field(alias="key")
    deleted_when: Text | None = None
    columns: dict[str, Text] = {}
    lookups: dict[Name, LookupConfig] = {}
    vars: dict[Name, Text] = {}
    source_checks: dict[str, Check] = {}
    personal_data: tuple[Text, ...] = ()
    targets: tuple[TargetConfig, ...] = ()

    @property
    def key(self) -> str:
        """The key column; of a key of several columns their names, which no column has."""
        return ", ".join(self.keys)


class SystemConfig(_Model):
    """A whole mapping.yaml: every object of one source system.

    `vendor` is another system whose code polls and writes this one too. `ids` is the form of the
    system's own ids, wherever they are written: in its rows, and in those of other systems.
    `embedded` are kinds of rows that are captured by themselves nowhere, and only referred to.
    """

    system: SystemName
    vendor: SystemName | None = None
    ids: IdForm = IdForm.PLAIN
    capture: Capture
    embedded: tuple[Name, ...] = ()
    objects: dict[ObjectName, ObjectConfig]

    @property
    def referred(self) -> set[str]:
        """Systems to whose rows the rules refer, and roles."""
        return {namespace.partition(":")[0] for namespace in self.namespaces}

    @property
    def namespaces(self) -> dict[str, tuple[object, ...]]:
        """Where the rules refer to rows, each with the place of one that does."""
        return {
            namespace: ("objects", name, "targets", number, "fields", field)
            for name, obj in self.objects.items()
            for number, target in enumerate(obj.targets)
            for field, outer in target.fields.items()
            for rule in (outer, *outer.parts)
            for namespace in (rule.source_id, rule.of)
            if namespace
        }

    @property
    def kinds(self) -> set[str]:
        """Kinds of rows that a rule may refer to."""
        return {*self.embedded, *(obj.kind for obj in self.objects.values())}

    def made_of(self, entity: str) -> list[str]:
        """Return the kinds of its rows that a canonical entity is made from."""
        return [
            obj.kind
            for obj in self.objects.values()
            if any(target.entity == entity for target in obj.targets)
        ]

    def referring(self, namespaces: Mapping[str, str]) -> Self:
        """Return the same with other namespaces in the place of some."""

        def rule(each: Rule) -> Rule:
            update = {
                "source_id": namespaces.get(each.source_id or "", each.source_id),
                "of": namespaces.get(each.of or "", each.of),
                "first_non_null": each.first_non_null and tuple(map(rule, each.first_non_null)),
                "elements": each.elements and tuple(map(rule, each.elements)),
            }
            return each.model_copy(update=update)

        def target(each: TargetConfig) -> TargetConfig:
            fields = {name: rule(made) for name, made in each.fields.items()}
            return each.model_copy(update={"fields": fields})

        objects = {
            name: obj.model_copy(update={"targets": tuple(map(target, obj.targets))})
            for name, obj in self.objects.items()
        }
        return self.model_copy(update={"objects": objects})


def parse_config(text: str, file: str = FILE) -> SystemConfig:
    """Parse the text of a mapping.yaml.

    Raises ConfigError naming every problem at once, with the file and their lines.
    """
    document = read_document(text, file)
    try:
        return SystemConfig.model_validate(document)
    except ValidationError as error:
        problems = [
            f"line {line_of(text, problem['loc'])}:"
            f" {'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
            for problem in error.errors(include_url=False, include_input=False)
        ]
        raise ConfigError(
            f"{file}: mapping is not valid: {'; '.join(problems)}",
            problems=[f"{file}: {problem}" for problem in problems],
            hint="the vocabulary of rules is documented in schemas/mapping/config.py",
        ) from error
