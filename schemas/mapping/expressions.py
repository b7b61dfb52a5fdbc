"""The expressions of one object of a mapping.yaml: compiled once each, and named as columns.

A rule with `sql` becomes one with `from`, so that what rules do to a column they do to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl

from schemas.mapping.compiled import Computed
from schemas.mapping.config import ObjectConfig, Rule, TargetConfig
from schemas.mapping.rules import source
from schemas.mapping.sql import FAILED_ANYHOW, Expression, SqlCompiler
from schemas.mapping.sql_text import Name, SqlError

Place = tuple[object, ...]
"""Where in the file something is, as names and positions."""
Tell = Callable[[str, Place, int], None]
"""Takes a problem, the place of its expression, and at which of its characters it is."""

_FAILURE_PREFIX = "failure."


class Expressions:
    """Expressions by their text, over the columns of an object."""

    def __init__(self, sources: Mapping[str, pl.DataType], tell: Tell) -> None:
        names = {
            name: Name(source(name).meta.output_name(), dtype) for name, dtype in sources.items()
        }
        self._compiler = SqlCompiler(names)
        self._tell = tell
        self._made: dict[str, Expression] = {}
        self.parts: tuple[tuple[int, str], ...] = ()
        """Of each resolved target: the number of the one that it is of, and the part's name."""

    def resolved(self, config: ObjectConfig) -> ObjectConfig:
        """The object with columns in place of expressions; without rules whose expression is none.

        A target for each part, as `parts` tells. Tells the problems of all of them.
        """
        for name, text in config.vars.items():
            try:
                self._compiler.add_variable(name, text)
            except SqlError as error:
                self._tell(str(error), ("vars", name), error.at)
        found = [
            (number, part, target)
            for number, whole in enumerate(config.targets)
            for part, target in whole.split()
        ]
        self.parts = tuple((number, part) for number, part, _ in found)
        targets = [self._target(target, ("targets", number)) for number, _, target in found]
        return config.model_copy(update={"targets": tuple(targets)})

    @property
    def dtypes(self) -> Mapping[str, pl.DataType]:
        """The types of their columns, named as rules name those of a source."""
        return {column: made.dtype for column, made in self._made.items()}

    def read(self, column: str) -> tuple[str, ...]:
        """The source's columns behind a column: itself, if it is no expression's."""
        return self._made[column].columns if column in self._made else (column,)

    def failures(self, column: str) -> Iterator[tuple[pl.Expr, str]]:
        """Whether and why a row has no value of an expression; nothing for other columns."""
        if column in self._made:
            for code, reason in self._made[column].reasons.items():
                yield (pl.col(_FAILURE_PREFIX + column) == code).fill_null(value=False), reason

    def computed(self) -> tuple[Computed, ...]:
        """All of them as columns."""
        return tuple(_computed(column, made) for column, made in self._made.items())

    def _target(self, target: TargetConfig, place: Place) -> TargetConfig:
        fields = {}
        for field, rule in target.fields.items():
            found = self._rule(rule, (*place, "fields", field))
            if found is not None:
                fields[field] = found
        when = None if target.when is None else self._column(target.when, (*place, "when"))
        if when is not None and self._made[when].dtype != pl.Boolean:
            self._tell("the expression is not true or false", (*place, "when"), 0)
        return target.model_copy(update={"fields": fields, "when": when})

    def _rule(self, rule: Rule, place: Place) -> Rule | None:
        if rule.parts:
            word = "elements" if rule.first_non_null is None else "first_non_null"
            parts = [
                self._rule(part, (*place, word, number)) for number, part in enumerate(rule.parts)
            ]
            sound = tuple(part for part in parts if part is not None)
            return rule.model_copy(update={word: sound}) if sound else None
        if rule.sql is None:
            return rule
        column = self._column(rule.sql, (*place, "sql"))
        return None if column is None else rule.model_copy(update={"from_": column})

    def _column(self, text: str, place: Place) -> str | None:
        column = f"sql: {text}"
        try:
            if column not in self._made:
                self._made[column] = self._compiler.compile(text)
        except SqlError as error:
            self._tell(str(error), place, error.at)
            return None
        return column


def _computed(column: str, made: Expression) -> Computed:
    value = source(column).meta.output_name()
    failure = _FAILURE_PREFIX + column
    return Computed(
        made.value.alias(value),
        made.failure.alias(failure),
        (
            pl.lit(None, dtype=made.dtype).alias(value),
            pl.lit(FAILED_ANYHOW, dtype=pl.UInt8).alias(failure),
        ),
    )
