"""Compiles the text of a mapping.yaml, checked against the Avro contracts on both sides.

Every problem of a file is reported at once; what is wrong with a record is found later, by the
rejection expression made here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import polars as pl

from schemas.calendar import is_in_calendar
from schemas.codec.columnar import frame_dtypes
from schemas.codec.record import load_schema
from schemas.contracts import Vocabulary, record_schema, vocabularies
from schemas.envelope import UNAVAILABLE, Operation
from schemas.errors import ConfigError, InvalidEntityError, SchemaMismatchError, UnmappedValueError
from schemas.mapping.compiled import ObjectMapping, Rejection, TargetMapping, part_suffix
from schemas.mapping.config import (
    FILE,
    Check,
    ObjectConfig,
    Rule,
    SystemConfig,
    TargetConfig,
    parse_config,
)
from schemas.mapping.expressions import Expressions
from schemas.mapping.lookups import (
    Dtypes,
    Lookup,
    LookupProblem,
    Shown,
    compile_lookup,
    projection,
    shown_by,
    sound,
)
from schemas.mapping.problems import Problem, refusal
from schemas.mapping.reader import (
    CHANGED_AT,
    TOLD_PREFIX,
    declared_dtype,
    may_be_unread,
    placed_source,
    position,
    reader_definition,
    source_dtypes,
    working_columns,
)
from schemas.mapping.rules import (
    IdForms,
    RuleError,
    compile_check,
    compile_rule,
    row_ids,
    source,
)
from schemas.mapping.trial import computable, try_out
from schemas.sealing import FIELD as SEALED
from schemas.system import SystemBundle
from schemas.topics import BY_NAME, Topic, source_topic

_INVALID: Final = InvalidEntityError.code
_FIX_SOURCE: Final = "correct the row at its source"
_PERSON: Final = "resource"
"""The entity whose rows are people."""


def load_system(
    text: str,
    contracts: Mapping[str, str],
    others: IdForms,
    file: str = FILE,
    *,
    roles: Mapping[str, str] | None = None,
) -> SystemBundle:
    """Compile the text of a mapping.yaml, with the texts of its system's contracts by object.

    `others` are the systems to whose rows it may refer, `roles` the rows that it refers to by role:
    `<role>:<entity>` → `<system>:<kind>`. Raises ConfigError that lists every problem
    found with its line: unknown columns, fields and systems, types that do not fit, expressions
    that are none, objects without a contract.
    """
    config = parse_config(text, file).referring(roles or {})
    forms = {**others, config.system: config.ids}
    problems: list[Problem] = [
        (("objects",), f"there is no object {name}, of which there is a contract", None)
        for name in contracts.keys() - config.objects.keys()
    ]
    topics: dict[str, Topic] = {}
    mappings: list[ObjectMapping] = []
    by_kind: dict[str, str] = {}
    shown = shown_by(config)
    compilers: dict[str, _Compiler] = {}
    for name, obj in config.objects.items():
        is_read = obj.targets or name in shown
        if is_read and (other := by_kind.setdefault(obj.kind, name)) != name:
            # Ids of canonical records and of their rows are made of it.
            told = f"{name}: kind {obj.kind} is that of {other} too"
            problems.append((("objects", name, "kind"), told, None))
        compilers[name] = compiler = _Compiler(config, name, obj, contracts.get(name), forms)
        topic = compiler.topic()
        if topic is not None:
            topics[name] = topic
    dtypes = {name: compiler.columns for name, compiler in compilers.items()}
    for name, compiler in compilers.items():
        if name in topics:
            mapping = compiler.compile(topics[name], dtypes, shown.get(name, Shown()))
            mappings += [] if mapping is None else [mapping]
        problems += compiler.problems
    if problems:
        raise refusal(text, file, [*dict.fromkeys(problems)])  # each part tells those of all
    return SystemBundle(
        config.system, config.vendor or config.system, topics, tuple(mappings), config.objects
    )


class _Compiler:
    """Compiles one object; collects problems instead of stopping at the first."""

    def __init__(
        self,
        system: SystemConfig,
        name: str,
        config: ObjectConfig,
        contract: str | None,
        forms: IdForms,
    ) -> None:
        self.problems: list[Problem] = []
        self._place: tuple[object, ...] = ("objects", name)
        self._system = system
        self._mapping = f"{system.system}/{FILE}"
        self._forms = forms
        self._name = name
        self._config = config
        self._contract = contract
        self._sources: Mapping[str, pl.DataType] = {}
        self._record = ""  # that is being made: its entity, and its part
        self._only_where: pl.Expr | None = None
        self._decided = False  # by lookups: whether the rules that are being made are broken
        self._fields: list[pl.Expr] = []
        # (is broken, why, whether lookups decide): the first that is broken is the rejection.
        self._rules: list[tuple[pl.Expr, Rejection, bool]] = []
        self._lookups: dict[str, Lookup] = {}

    @property
    def columns(self) -> Dtypes:
        """The source columns, once `topic` has learnt them."""
        return self._sources

    def compile(
        self, topic: Topic, dtypes: Mapping[str, Dtypes], shown: Shown
    ) -> ObjectMapping | None:
        """The mapping, or None: nothing is made of the rows, or `problems` are filled.

        `dtypes` are the columns of all objects of the system, `shown` what others look up in rows
        of this one.
        """
        columns = self._sources
        shown = sound(shown, columns)
        self._compile_lookups(dtypes)
        if not (self._config.targets or shown.read):
            return None
        found = {name: each.dtype for name, each in self._lookups.items()}
        self._expressions = Expressions({**columns, **found}, self._tell)
        config = self._expressions.resolved(self._config)
        self._sources = {
            **columns,
            **{
                f"{name}.{column}": dtype
                for name, each in self._lookups.items()
                for column, dtype in each.columns.items()
            },
            **self._expressions.dtypes,
        }
        self._reject_broken_envelopes()
        for column, check in config.source_checks.items():
            place = ("source_checks", column)
            self._check(column, source(column), self._sources[column], check, place)
        used = self._used_columns(config, columns, shown)
        for column in may_be_unread(config, used):
            declared = config.columns[column]
            what = f"number of {declared}" if declared.startswith("decimal") else declared
            self._reject(
                pl.col(TOLD_PREFIX + column) & source(column).is_null(),
                f"{column} is no {what}",
                hint=f"correct the row, or the type of {column} in {self._mapping}",
            )
        begins = (column for each in config.lookups.values() for column in each.by or ())
        self._reject_unset((*shown.read, *begins))
        entities = Counter(target.entity for target in self._config.targets)
        for entity in (name for name, count in entities.items() if count > 1):
            self._problem(f"{entity} is the entity of several targets")
        targets = []
        for (number, part), target in zip(self._expressions.parts, config.targets, strict=True):
            self._place = ("objects", self._name, "targets", number)
            targets.append(self._target(target, part))
        if self.problems:
            return None
        return ObjectMapping(
            topic=topic.name,
            is_database=self._system.capture.is_database,
            row_prefix=f"{self._system.system}:{config.kind}:",
            reader=load_schema(reader_definition(topic, self._system.capture, config, used)),
            targets=tuple(target for target in targets if target is not None),
            rejections=tuple(reason for _, reason, _ in self._rules),
            envelope_rules=_ENVELOPE_RULES,
            source=placed_source(self._system.capture),
            position=position(self._system.capture),
            flat=working_columns(self._system, config, columns, used),
            computed=self._expressions.computed(),
            fields=tuple(self._fields),
            is_rejected=self._is_rejected(),
            rejection=_first_broken(self._hits(is_looked_up=False)),
            lookups=tuple(self._lookups.values()),
            unfit=_first_unfit(self._hits(is_looked_up=True)) if self._lookups else None,
            shown=projection(self._system, shown, columns),
        )

    def _hits(self, *, is_looked_up: bool) -> list[pl.Expr]:
        """The number of each rule where it is broken; of those that lookups decide, or others."""
        return [
            _index_where(is_broken, index)
            for index, (is_broken, _, decides) in enumerate(self._rules)
            if decides is is_looked_up
        ]

    def _is_rejected(self) -> pl.Expr:
        """Whether any rule is broken, of those that `_first_broken` looks at."""
        broken = [is_broken for is_broken, _, decides in self._rules if not decides]
        of_row = pl.any_horizontal(pl.lit(value=False), *broken[_ENVELOPE_RULES:])
        return pl.any_horizontal(*broken[:_ENVELOPE_RULES], ~pl.col("is_delete") & of_row)

    def _compile_lookups(self, dtypes: Mapping[str, Dtypes]) -> None:
        for name in self._config.lookups:
            try:
                self._lookups[name] = compile_lookup(
                    self._system, self._config, name, dtypes, dtypes[self._name]
                )
            except LookupProblem as error:
                place = (*self._place, "lookups", name, *error.place)
                self.problems.append((place, f"{self._name}: lookup {name}: {error}", None))
        if self._config.lookups and not self._config.targets:
            self._problem("lookups of an object without targets find for nobody", "lookups")

    def _is_looked_up(self, column: str) -> bool:
        """Whether a column, or the expression it stands for, is of a lookup."""
        return any(
            name.partition(".")[0] in self._lookups for name in self._expressions.read(column)
        )

    def topic(self) -> Topic | None:
        """The topic, with its column types learnt; None with problems filled."""
        config = self._config
        if (self._contract is None) is not self._system.capture.is_database:
            self._problem(
                "the contract is missing: avro/" + f"{self._name}.avsc"
                if self._contract is None
                else "the contract of a database's table is Debezium's: declare its columns"
            )
            return None
        try:
            contract = None if self._contract is None else load_schema(self._contract)
            topic = source_topic(
                self._system.system,
                self._name,
                contract=contract,
                personal_data=config.personal_data,
                is_of_people=any(target.entity == _PERSON for target in config.targets),
            )
            self._sources = source_dtypes(topic, self._declared())
        except (ConfigError, SchemaMismatchError) as error:
            self._problem(f"contract: {error.detail}")
            return None
        except RuleError as error:
            self._problem(str(error))
        if self.problems:
            return None
        named = (*config.keys, config.deleted_when, *config.source_checks, *config.personal_data)
        for column in named:
            if column is not None and column not in self._sources:
                self._problem(f"unknown source column {column}")
        try:
            if self._sources.keys() >= set(config.keys):
                keys = [(source(each), self._sources[each]) for each in config.keys]
                row_ids("of:rows", keys, self._system.ids)
        except RuleError as error:
            self._problem(f"{config.key}: {error}", "key")
        flag = self._sources.get(config.deleted_when or "", pl.Boolean())
        if flag != pl.Boolean:
            self._problem(f"deleted_when is not for {flag}", "deleted_when")
        return None if self.problems else topic

    def _declared(self) -> dict[str, pl.DataType]:
        """The columns that the file declares, with the dtypes rules see."""
        found = {}
        for column, text in self._config.columns.items():
            try:
                found[column] = declared_dtype(text)
            except RuleError as error:
                self._problem(f"{column}: {error}", "columns", column)
        return found

    def _used_columns(
        self, config: ObjectConfig, columns: Iterable[str], shown: Shown
    ) -> list[str]:
        used = {*config.keys, *config.source_checks, *shown.read}
        used.update(column for each in config.lookups.values() for column in each.by or ())
        if config.deleted_when is not None:
            used.add(config.deleted_when)
        for target in config.targets:
            named = [name for rule in target.fields.values() for name in rule.columns]
            for name in (*named, *(() if target.when is None else (target.when,))):
                used.update(self._expressions.read(name))
        return [column for column in columns if column in used]

    def _reject_broken_envelopes(self) -> None:
        """Rules that hold for deletes as well, in front of all others."""
        hint = "check the connector that wrote the record"
        key = self._config.key
        operations = [operation.value for operation in Operation]
        changed_at = pl.col("changed_at")
        for is_broken, detail in (
            (pl.col("id").is_null(), f"key column {key} is null"),
            (
                (pl.col("position") < 0) & ~pl.col("needs_no_position"),
                "the source gives no comparable position",
            ),
            (~is_in_calendar(changed_at, CHANGED_AT), "the source's time of the change is no time"),
            (~pl.col("op").is_in(operations), f"operation is not one of {', '.join(operations)}"),
        ):
            self._reject(is_broken, detail, hint=hint)
        no_row = pl.all_horizontal(source(each).is_null() for each in self._config.keys)
        self._reject(no_row & ~pl.col("is_delete"), "a change without a row", hint=hint)

    def _target(self, config: TargetConfig, part: str) -> TargetMapping | None:
        self._record = f"{config.entity}.{part}" if part else config.entity
        topic = BY_NAME.get(f"psa.{config.entity}")
        if topic is None or topic.record is None:
            self._problem(f"unknown entity {config.entity}")
            return None
        place = self._place
        exists = self._exists(config)
        self._only_where = None if exists is None else pl.col(exists)
        when = config.when is not None and self._is_looked_up(config.when)
        looked_up = {
            field: when or any(map(self._is_looked_up, rule.columns))
            for field, rule in config.fields.items()
        }
        record = record_schema(topic.record)
        dtypes = {name: it for name, it in frame_dtypes(record).items() if name != SEALED}
        words = vocabularies(record)
        common = self._common_fields(dtypes, config, part)
        given = {*common, *config.absent}
        self._names_exist(config, dtypes, given=given, checked={*config.checks, *words})
        nothing = {
            field: pl.lit(None, dtype=dtype)
            for field, dtype in dtypes.items()
            if field not in config.fields
        }
        rules = nothing | common
        for field, rule in config.fields.items():
            if field in dtypes:
                self._place = (*place, "fields", field)
                self._decided = looked_up[field]
                self._field(config, field, rule, dtypes[field])
        self._place = place
        self._fields += [expr.alias(f"{self._record}.{field}") for field, expr in rules.items()]
        for field in config.required:
            self._decided = looked_up.get(field, when)
            is_missing = pl.col(f"{self._record}.{field}").is_null()
            self._reject(is_missing, f"{field} is missing", hint=_FIX_SOURCE)
        for field, check in config.checks.items():
            self._decided = looked_up.get(field, when)
            if field in dtypes:
                made = pl.col(f"{self._record}.{field}")
                self._check(field, made, dtypes[field], check, ("checks", field))
        for field in words:
            if field in config.fields:
                self._decided = looked_up[field]
                self._in_vocabulary(config, field, words[field])
        self._only_where, self._decided = None, False
        columns = {field: f"{self._record}.{field}" for field in dtypes}
        filled = frozenset({*common, *config.fields})
        return TargetMapping(topic, config.unset_kept, columns, exists, filled, part)

    def _exists(self, config: TargetConfig) -> str | None:
        """The working column that says whether a row has a record of the target."""
        if config.when is None:
            return None
        name = f"{self._record} exists"
        self._fields.append(source(config.when).fill_null(value=False).alias(name))
        self._decided = self._is_looked_up(config.when)
        self._reject_unset([config.when])
        self._reject_failures(f"{self._record}, when", config.when, pl.lit(value=True))
        self._decided = False
        return name

    def _common_fields(
        self, dtypes: Mapping[str, pl.DataType], config: TargetConfig, part: str
    ) -> dict[str, pl.Expr]:
        """Fields every canonical record shares, which need no rule."""
        common = {
            "id": pl.col("id") + part_suffix(part),
            "source_system": pl.lit(self._system.system),
            "source_position": pl.col("position"),
            "source_at": pl.col("changed_at"),
        }
        if "source_at" in config.fields:
            del common["source_at"]
        return {field: expr for field, expr in common.items() if field in dtypes}

    def _names_exist(
        self,
        config: TargetConfig,
        dtypes: Mapping[str, pl.DataType],
        given: set[str],
        checked: set[str],
    ) -> None:
        """Every field is mapped once, and only fields of the contract are named."""
        entity = config.entity
        named = (*config.fields, *config.absent, *config.required, *config.checks)
        for field in dict.fromkeys((*named, *config.unset_kept)):
            if field not in dtypes:
                self._problem(f"unknown field {entity}.{field}")
        for field in dtypes:
            if field in config.fields and field in given:
                self._problem(f"{entity}.{field} is mapped twice")
        for field in config.required:
            if field in config.absent or field not in {*config.fields, *given}:
                self._problem(f"{entity}.{field} is required and absent")
        for field in config.unset_kept:
            rule = config.fields.get(field)
            if rule is None or not rule.is_copy:
                self._problem(f"{entity}.{field} is in unset_kept, so its rule must be a copy")
            elif {field} & {*checked, *config.required} or (
                self._config.source_checks.keys() & set(rule.columns)
            ):
                # It is checked before the kept value takes the place of the missing one.
                self._problem(f"{entity}.{field} is in unset_kept, so nothing can check it")

    def _field(self, config: TargetConfig, field: str, rule: Rule, dtype: pl.DataType) -> None:
        name = f"{self._record}.{field}"
        try:
            with computable():
                made = compile_rule(rule, self._sources, dtype, self._forms)
            read = {
                source(column).meta.output_name(): self._sources[column] for column in rule.columns
            }
            try_out(made.expr, read, dtype)
        except RuleError as error:
            if rule.sql is None:
                self._problem(f"{name}: {error}")
            else:
                self._tell(f"{name}: {error}", (*self._place[2:], "sql"), 0)
            return
        self._fields.append(made.expr.alias(name))
        if field not in config.unset_kept:
            self._reject_unset(rule.columns)
        for column in rule.columns:
            is_first = rule.first_non_null is None
            matters = pl.lit(value=True) if is_first else pl.col(name).is_null()
            self._reject_failures(name, column, matters)
        columns = [source(column) for column in rule.columns]
        if made.can_fail:
            has_value = pl.any_horizontal(column.is_not_null() for column in columns)
            code = _INVALID if rule.values is None else UnmappedValueError.code
            self._reject(
                has_value & pl.col(name).is_null(),
                f"{_what_is_read(rule)} no value of {name}",
                hint=f"correct the row, or the rule of {name} in {self._mapping}",
                code=code,
            )
        if rule.reorder is not None:
            self._check(field, columns[0], made.dtype, Check(length=len(rule.reorder)), ())

    def _in_vocabulary(self, config: TargetConfig, field: str, words: Vocabulary) -> None:
        """Have a field hold the words of its contract: what else a table is told, it passes over.

        Words that the mapping itself gives are checked here, others row by row.
        """
        listed = {"one_of": words} if isinstance(words, tuple) else {words: True}
        check = Check.model_validate(listed)
        name, rule = f"{self._record}.{field}", config.fields[field]
        if rule.words is None:
            self._check(field, pl.col(name), pl.String(), check, ("fields", field))
            return
        given = pl.Series([word for word in rule.words if isinstance(word, str)], dtype=pl.String)
        is_satisfied, demand = compile_check(check, pl.lit(given), pl.String())
        for word in given.filter(~pl.select(is_satisfied).to_series()).unique(maintain_order=True):
            self._problem(f"{name}: {word!r} {demand}", "fields", field)

    def _reject_failures(self, name: str, column: str, matters: pl.Expr) -> None:
        """An expression that has no value of a row is not a null."""
        for is_failed, reason in self._expressions.failures(column):
            self._reject(
                is_failed & matters,
                f"{name}: {reason}",
                hint=f"correct the row, or the expression in {self._system.system}/mapping.yaml",
            )

    def _reject_unset(self, columns: Iterable[str]) -> None:
        """A column the database did not send is not a value. Upholds I12."""
        if not self._system.capture.is_database:
            return
        for column in (real for name in columns for real in self._expressions.read(name)):
            if column in self._config.columns and self._sources[column] == pl.String:
                self._reject(
                    source(column) == UNAVAILABLE,
                    f"{column} was not sent by the source",
                    hint=f"set REPLICA IDENTITY FULL, or keep {column} through unset_kept",
                )

    def _check(
        self, name: str, expr: pl.Expr, dtype: pl.DataType, check: Check, place: tuple[str, ...]
    ) -> None:
        """Have a column checked; `place` is of the check, below the part that is compiled."""
        try:
            with computable():
                is_satisfied, demand = compile_check(check, expr, dtype)
            try_out(is_satisfied, {expr.meta.output_name(): dtype}, pl.Boolean())
        except RuleError as error:
            self._problem(f"{name}: {error}", *place)
            return
        self._reject(~is_satisfied, f"{name} {demand}", hint=_FIX_SOURCE)

    def _reject(self, is_broken: pl.Expr, detail: str, *, hint: str, code: str = _INVALID) -> None:
        if self._only_where is not None:
            is_broken &= self._only_where
        self._rules.append((is_broken, Rejection(code, detail, hint), self._decided))

    def _problem(self, text: str, *place: str) -> None:
        self.problems.append(((*self._place, *place), f"{self._name}: {text}", None))

    def _tell(self, text: str, place: tuple[object, ...], at: int) -> None:
        """A problem of an expression, by its place in the object."""
        told = (("objects", self._name, *place), f"{self._name}: {text}", at)
        self.problems.append(told)


def _what_is_read(rule: Rule) -> str:
    """What a rule makes a field of, and a verb."""
    if rule.sql is not None:
        return "the expression has"
    parts = rule.parts or (rule,)
    told = dict.fromkeys(name for each in parts if each.sql is None for name in each.columns)
    if any(each.sql is not None for each in rule.parts):
        told["the expressions"] = None
    return f"{', '.join(told)} {'has' if len(told) == 1 else 'have'}"


# Rules in front that hold for deletes as well; a delete needs no sound row.
_ENVELOPE_RULES: Final = 5


def _first_broken(hits: list[pl.Expr]) -> pl.Expr:
    """Index of the first broken rule, null where none is; `hits` are those of single rules."""
    of_row = pl.when(~pl.col("is_delete")).then(pl.coalesce([*hits[_ENVELOPE_RULES:], None]))
    return pl.coalesce([*hits[:_ENVELOPE_RULES], of_row])


def _first_unfit(hits: list[pl.Expr]) -> pl.Expr:
    """Index of the first rule that what was found breaks, null where none is."""
    return pl.coalesce([*hits, pl.lit(None, dtype=pl.UInt16)])


def _index_where(is_broken: pl.Expr, index: int) -> pl.Expr:
    return pl.when(is_broken).then(pl.lit(index, dtype=pl.UInt16))
