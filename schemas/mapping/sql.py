"""SQL expressions of a mapping, compiled by polars and guarded so that each row answers for itself.

polars computes whole columns: a CAST that fails would stop a chunk, a whole number too large wraps
in silence, and a decimal that is cast loses digits. So the expression polars makes of the text is
taken apart, each part is typed on an empty frame with the dtypes of the source, and what can go
wrong with a row is told by a second expression beside the value: the code of what went wrong, null
where nothing did. It follows SQL: what a CASE does not choose and a COALESCE does not reach cannot
fail. Polars' JSON of expressions is of the pinned version.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from io import StringIO
from typing import Any, Final

import polars as pl

from schemas.mapping.casts import (
    INSTANT,
    INTERVAL,
    CastError,
    cast,
    is_inexact,
    is_total,
    type_name,
)
from schemas.mapping.sql_text import Name, SqlError, read_sql
from schemas.mapping.trial import UNUSABLE, rows_of

_Tree = Any  # polars' JSON of an expression
_Rewrite = Callable[["_Guard", _Tree], "_Part"]

FAILED_ANYHOW: Final = 0
"""Code of what raised as it was computed, whatever it was."""
_SOFT: Final = 128
"""Codes from here on are of TRY_CASTs: no failure where something else gave the value."""
_CODE: Final = pl.UInt8()
_INTEGER: Final = pl.Int64()
_YEAR_MIN: Final = 1000
"""A year of two digits is read as one of the first century where four are asked for."""
_WIDE: Final = pl.Int128()  # holds the product of two integers
_ARITHMETIC: Final = frozenset({"Plus", "Minus", "Multiply", "Mul", "IntDiv", "Rem", "Abs"})
_OF_ONE_KIND: Final = frozenset(
    {"Coalesce", "Eq", "NotEq", "Lt", "LtEq", "Gt", "GtEq", "IsIn", "EqValidity", "NotEqValidity"}
)
_OFFSET: Final = {"TemporalExpr": "OffsetBy"}
"""What polars makes of `+ INTERVAL '…'`."""
_SUMS: Final = frozenset({"Plus", "Minus"})
_DAY: Final = 86_400_000_000
_DIVISIONS: Final = frozenset({"IntDiv", "Rem"})
_PRODUCTS: Final = frozenset({"Multiply", "Mul"})
_LONGEST: Final = 20_000 * 366 * _DAY
"""Of a multiplied interval, in microseconds: more than lies between any two instants."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression of a row.

    `failure` is the code, in `reasons`, of why a row has no value; null where it has one, or none
    because of a null. `columns` are those of the source that it reads.
    """

    value: pl.Expr
    dtype: pl.DataType
    failure: pl.Expr
    reasons: Mapping[int, str]
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """An expression with a name, which others may use as if it were a column."""

    tree: _Tree
    dtype: pl.DataType
    columns: tuple[str, ...]


class SqlCompiler:
    """Compiles the expressions of one object, over its columns and the variables added so far."""

    def __init__(self, columns: Mapping[str, Name]) -> None:
        self._names = dict(columns)
        self._schema = {name.column: name.dtype for name in columns.values()}
        self._variables: dict[str, Variable] = {}

    def add_variable(self, name: str, text: str) -> None:
        """Name an expression. Raises SqlError if it is none, or if the name is taken."""
        if name in self._names:
            raise SqlError(f"{name} is a name already")
        made, tree = self._compiled(text)
        column = f"variable.{name}"
        self._names[name] = Name(column, made.dtype)
        self._variables[column] = Variable(tree, made.dtype, made.columns)

    def compile(self, text: str) -> Expression:
        """Compile an expression. Raises SqlError where it cannot be computed exactly."""
        return self._compiled(text)[0]

    def _compiled(self, text: str) -> tuple[Expression, _Tree]:
        read = read_sql(text, self._names)
        try:
            tree = _tree(pl.sql_expr(read.sql))
            guard = _Guard(self._schema, self._variables)
            part = guard.part(tree)
            if is_inexact(part.dtype):
                raise SqlError("a DOUBLE is not exact: CAST it to DECIMAL(p,s)")
            failure = part.failure if part.failure is not None else pl.lit(None)
            is_replaced = (failure >= _SOFT) & part.value.is_not_null()
            failure = pl.when(~is_replaced).then(failure.cast(_CODE))
            rows_of(self._schema).select(part.value, failure.alias("failure"))
        except UNUSABLE as error:
            reason = str(error).partition("\n")[0]
            raise SqlError(f"cannot be computed: {reason:.200}") from error
        columns = [self._columns(name) for name in read.names]
        reasons = {FAILED_ANYHOW: "cannot be computed", **guard.reasons}
        return Expression(
            part.value,
            part.dtype,
            failure,
            reasons,
            tuple(dict.fromkeys(column for each in columns for column in each)),
        ), tree

    def _columns(self, name: str) -> tuple[str, ...]:
        variable = self._variables.get(self._names[name].column)
        return (name,) if variable is None else variable.columns


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an expression that cannot raise, and the code of what went wrong in it."""

    value: pl.Expr
    dtype: pl.DataType
    failure: pl.Expr | None = None
    is_column: bool = False


class _Guard:
    """Takes an expression apart and puts it together again, guarded."""

    def __init__(
        self, schema: Mapping[str, pl.DataType], variables: Mapping[str, Variable]
    ) -> None:
        self._empty = pl.DataFrame(schema=schema)
        self._variables = variables
        self.reasons: dict[int, str] = {}

    def part(self, tree: _Tree) -> _Part:
        """The guarded part that polars' JSON describes. Raises SqlError for what is not allowed."""
        [kind] = tree
        rewrite = _REWRITES.get(kind)
        if rewrite is None:
            raise SqlError(f"{kind} is not for mappings")
        return rewrite(self, tree[kind])

    def column(self, name: str) -> _Part:
        variable = self._variables.get(name)
        if variable is not None:
            return self.part(variable.tree)
        dtype = self._empty.schema[name]
        if isinstance(dtype, pl.Datetime) and dtype != INSTANT:
            # Of two units polars takes the coarser one.
            made = cast(pl.col(name), dtype, INSTANT)
            code = self._code("a value is no TIMESTAMP")
            is_lost = pl.col(name).is_not_null() & made.is_null()
            return _Part(made, INSTANT, _where(is_lost, code))
        return _Part(pl.col(name), dtype, is_column=True)

    def literal(self, literal: _Tree) -> _Part:
        return self._in_microseconds(self._typed({"Literal": literal}))

    @staticmethod
    def _in_microseconds(part: _Part) -> _Part:
        """A time or an interval in the unit that all of them have."""
        if isinstance(part.dtype, pl.Datetime):
            return replace(part, value=cast(part.value, part.dtype, INSTANT), dtype=INSTANT)
        if isinstance(part.dtype, pl.Duration):
            return replace(part, value=part.value.cast(INTERVAL), dtype=INTERVAL)
        return part

    def cast(self, tree: _Tree) -> _Part:
        inner = self.part(tree["expr"])
        old, new = inner.dtype, self._typed({"Cast": tree | {"expr": _NOTHING}}).dtype
        if isinstance(new, pl.Datetime):
            new = INSTANT
        if is_inexact(old) and not inner.is_column:
            raise SqlError("a DOUBLE is not exact: CAST it to DECIMAL(p,s)")
        try:
            made = cast(inner.value, old, new)
        except CastError as error:
            raise SqlError(str(error)) from error
        if is_total(old, new):
            return _Part(made, new, inner.failure)
        is_soft = tree["options"] != "Strict"
        code = self._code(f"a value is no {type_name(new)}", is_soft=is_soft)
        failed = _where(inner.value.is_not_null() & made.is_null(), code)
        return _Part(made, new, _first(inner.failure, failed))

    def ternary(self, tree: _Tree) -> _Part:
        predicate = self._exact(tree["predicate"])
        truthy, falsy = self._exact(tree["truthy"]), self._exact(tree["falsy"])
        _of_one_kind(truthy, falsy)
        parts = {"predicate": predicate, "truthy": truthy, "falsy": falsy}
        made = self._typed({"Ternary": {name: _tree(part.value) for name, part in parts.items()}})
        chosen = None
        if truthy.failure is not None or falsy.failure is not None:
            nothing = pl.lit(None, dtype=_CODE)
            chosen = (
                pl.when(predicate.value)
                .then(nothing if truthy.failure is None else truthy.failure)
                .otherwise(nothing if falsy.failure is None else falsy.failure)
            )
        return _Part(made.value, made.dtype, _first(predicate.failure, chosen))

    def binary(self, tree: _Tree) -> _Part:
        left, right = self._exact(tree["left"]), self._exact(tree["right"])
        operator = tree["op"]
        if operator in _ARITHMETIC:
            return self._arithmetic(
                operator,
                (left, right),
                lambda left, right: {"BinaryExpr": {"left": left, "op": operator, "right": right}},
            )
        _of_one_kind(left, right)
        sides = {"left": _tree(left.value), "right": _tree(right.value)}
        made = self._typed({"BinaryExpr": tree | sides})
        failure = _first(left.failure, right.failure)
        if operator in ("And", "Or") and failure is not None:
            # What the other side has decided, this one cannot change.
            failure = pl.when(made.value.is_null()).then(failure)
        return _Part(made.value, made.dtype, failure)

    def function(self, tree: _Tree) -> _Part:
        inputs = tuple(self._exact(each) for each in tree["input"])
        function = tree["function"]

        def rebuilt(*trees: _Tree) -> _Tree:
            return {"Function": {"input": list(trees), "function": _lenient(function)}}

        operator = _operator(function)
        if operator in _ARITHMETIC:
            return self._arithmetic(operator, inputs, rebuilt)
        if operator in _OF_ONE_KIND:
            _of_one_kind(*inputs)
        if function == _OFFSET and isinstance(inputs[0].dtype, pl.Duration):
            return replace(inputs[0], value=inputs[0].value + _length(inputs[1]), is_column=False)
        made = self._typed(rebuilt(*(_tree(each.value) for each in inputs)))
        if function == "Coalesce":
            return _Part(made.value, made.dtype, _coalesced(inputs))
        failure = _first(*(each.failure for each in inputs))
        if _is_parse(function):
            code = self._code("a text has not the format")
            text, is_of_four_digits = inputs[0].value, made.value.dt.year() >= _YEAR_MIN
            made = _Part(pl.when(is_of_four_digits).then(made.value), made.dtype)
            failure = _first(failure, _where(text.is_not_null() & made.value.is_null(), code))
        made = self._in_microseconds(made)
        is_column = isinstance(function, dict) and "StructExpr" in function
        return _Part(made.value, made.dtype, failure, is_column=is_column)

    def _arithmetic(
        self, operator: str, inputs: tuple[_Part, ...], rebuilt: Callable[..., _Tree]
    ) -> _Part:
        """Integers as if they were wide, so that what does not fit is seen; no zero divides."""
        if operator not in _SUMS and any(isinstance(each.dtype, pl.Duration) for each in inputs):
            return self._multiplied(operator, inputs)
        values = [each.value for each in inputs]
        if operator in _DIVISIONS:
            values[1] = pl.when(values[1] != 0).then(values[1])
        is_integer = all(each.dtype.is_integer() for each in inputs)
        if is_integer:
            values = [value.cast(_WIDE) for value in values]
        made = self._typed(rebuilt(*map(_tree, values)))
        value, dtype = made.value, made.dtype
        if is_integer:
            value, dtype = value.cast(_INTEGER, strict=False), _INTEGER
        failure = _first(*(each.failure for each in inputs))
        if is_integer or operator in _DIVISIONS:
            code = self._code("a number is too large, or divided by zero")
            has_values = pl.all_horizontal(each.value.is_not_null() for each in inputs)
            failure = _first(failure, _where(has_values & value.is_null(), code))
        kinds = [type(each.dtype) for each in inputs]
        if pl.Date in kinds and pl.Duration in kinds:  # polars drops what is less than a day
            rest = inputs[kinds.index(pl.Duration)].value.dt.total_microseconds() % _DAY
            code = self._code("a DATE takes whole days only: CAST it to TIMESTAMP")
            failure = _first(failure, _where(rest != 0, code))
        return self._in_microseconds(_Part(value, dtype, failure))

    def _multiplied(self, operator: str, inputs: tuple[_Part, ...]) -> _Part:
        """An interval so often, as in `sent * INTERVAL '1 millisecond'`."""
        parts = sorted(inputs, key=lambda each: not isinstance(each.dtype, pl.Duration))
        if operator not in _PRODUCTS or not parts[-1].dtype.is_integer():
            raise SqlError("an INTERVAL is added, taken away, and multiplied by a whole number")
        interval, times = parts
        length = interval.value.dt.total_microseconds().cast(_WIDE) * times.value.cast(_WIDE)
        value = pl.when(length.abs() <= _LONGEST).then(length).cast(_INTEGER).cast(INTERVAL)
        code = self._code("an INTERVAL is too long")
        has_values = interval.value.is_not_null() & times.value.is_not_null()
        failed = _where(has_values & value.is_null(), code)
        return _Part(value, INTERVAL, _first(interval.failure, times.failure, failed))

    def _exact(self, tree: _Tree) -> _Part:
        part = self.part(tree)
        if is_inexact(part.dtype):
            raise SqlError("a DOUBLE is not exact: CAST it to DECIMAL(p,s)")
        return part

    def _typed(self, tree: _Tree) -> _Part:
        value = pl.Expr.deserialize(StringIO(json.dumps(tree)), format="json")
        return _Part(value, self._empty.select(value.alias("part")).to_series().dtype)

    def _code(self, reason: str, *, is_soft: bool = False) -> int:
        known = {(text, code >= _SOFT): code for code, text in self.reasons.items()}
        if (reason, is_soft) not in known:
            code = 1 + len(self.reasons) + (_SOFT if is_soft else 0)
            self.reasons[code] = reason
            return code
        return known[reason, is_soft]


_NOTHING: Final = {"Literal": {"Scalar": {"Null": "Null"}}}
_REWRITES: Final[Mapping[str, _Rewrite]] = {
    "Column": _Guard.column,
    "Literal": _Guard.literal,
    "Cast": _Guard.cast,
    "Ternary": _Guard.ternary,
    "BinaryExpr": _Guard.binary,
    "Function": _Guard.function,
}


def _tree(expr: pl.Expr) -> _Tree:
    return json.loads(expr.meta.serialize(format="json"))


def _first(*failures: pl.Expr | None) -> pl.Expr | None:
    """The code of what went wrong in any of some parts; a certain failure before a soft one."""
    codes = [failure for failure in failures if failure is not None]
    return pl.min_horizontal(codes) if len(codes) > 1 else next(iter(codes), None)


def _where(is_failed: pl.Expr, code: int) -> pl.Expr:
    return pl.when(is_failed).then(pl.lit(code, dtype=_CODE))


def _coalesced(inputs: tuple[_Part, ...]) -> pl.Expr | None:
    """An input fails only where those in front of it are null."""

    def with_one_before(after: pl.Expr | None, before: _Part) -> pl.Expr | None:
        reached = None if after is None else pl.when(before.value.is_null()).then(after)
        return _first(before.failure, reached)

    return reduce(with_one_before, reversed(inputs), None)


def _operator(function: _Tree) -> str:
    """The name of a function, or of an operator that polars' SQL has as one, else nothing."""
    if isinstance(function, str):
        return function
    sql = function.get("Sql") if isinstance(function, dict) else None
    return str(sql.get("Binary", next(iter(sql)))) if isinstance(sql, dict) else ""


def _length(offset: _Part) -> pl.Expr:
    """The length of what polars adds to a time. Raises SqlError where it has none of its own."""
    text = pl.select(offset.value).item()
    if re.search("mo|q|y", text):
        raise SqlError("an INTERVAL of months or years has no length")
    since = pl.Series([0]).cast(INSTANT)
    return pl.lit((since.dt.offset_by(text) - since).item()).cast(INTERVAL)


def _is_parse(function: _Tree) -> bool:
    text = function.get("StringExpr") if isinstance(function, dict) else None
    return isinstance(text, dict) and "Strptime" in text


def _of_one_kind(*parts: _Part) -> None:
    """Raise SqlError where polars would turn numbers, texts or times into each other in silence."""
    kinds = {_kind(part.dtype): part.dtype for part in parts}
    kinds.pop("NULL", None)
    if len(kinds) > 1:
        raise SqlError(f"{' and '.join(map(type_name, kinds.values()))} are of two kinds: CAST one")


def _kind(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):  # of an IN
        return _kind(dtype.inner if isinstance(dtype.inner, pl.DataType) else dtype.inner())
    return "NUMBER" if dtype.is_numeric() else type_name(dtype)


def _lenient(function: _Tree) -> _Tree:
    """The function with a null for a text that it cannot read."""
    if not _is_parse(function):
        return function
    dtype, options = function["StringExpr"]["Strptime"]
    if options["format"] is None:  # polars would infer it from the other rows
        raise SqlError("a format is missing, or write CAST(… AS DATE)")
    return {"StringExpr": {"Strptime": [dtype, options | {"strict": False}]}}
