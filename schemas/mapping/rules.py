"""What the words of a mapping do: rules and checks as polars expressions, typed when compiled.

Compiling knows the dtypes of the source columns and of the canonical field, so a rule that
cannot give the field its type is a problem of the mapping and never one of a record.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final, TypeAlias

import polars as pl

from schemas.calendar import is_in_calendar
from schemas.exact import unscaled
from schemas.identity import BLANKS, IdForm
from schemas.mapping.casts import cast, instant
from schemas.mapping.config import Check, Duration, Form, Mint, Rule, TextStyle
from schemas.mapping.durations import DurationError, in_field, seconds_of
from schemas.mapping.mint import minted, native_ids, typed_texts
from schemas.mapping.sql_text import suggestion
from schemas.money import exact_product, is_currency

SOURCE_PREFIX: Final = "source."
"""Source columns carry this prefix in the working frame, so that canonical names stay free."""

_MOST_DIGITS: Final = 38
"""Of a decimal in a column. Bytes hold more, and a product beyond them would stop a whole chunk."""

IdForms: TypeAlias = Mapping[str, IdForm]
"""The id form of each system that a mapping may refer to, its own among them."""

_NAMESPACE: Final = re.compile(r"[a-z][a-z0-9_]*:[a-z][a-z0-9_]*")

_FORMS: Final = {
    Form.CUSTOMER_ID: r"^(cus-[a-z2-7]{16})$",
    Form.PROJECT_ID: r"^(eng-[a-z2-7]{12}-[a-z]{2})$",
    Form.ENGAGEMENT_OF_PROJECT: r"^(eng-[a-z2-7]{12})-[a-z]{2}$",
    Form.TIME_BILL_ID: r"^(tb-[a-z2-7]{16})$",
    Form.CORRELATION_ID: r"\b(cor-[a-z2-7]{16})\b",
}


class RuleError(Exception):
    """A rule or check does not fit the types; collected into one ConfigError by `mapping`."""


@dataclass(frozen=True, slots=True)
class Made:
    """A compiled rule. `can_fail`: a null made from a value means that the value is refused."""

    expr: pl.Expr
    dtype: pl.DataType
    can_fail: bool


def source(column: str) -> pl.Expr:
    """The source column in the working frame."""
    return pl.col(SOURCE_PREFIX + column)


def compile_rule(
    rule: Rule, sources: Mapping[str, pl.DataType], target: pl.DataType, forms: IdForms
) -> Made:
    """Compile a rule to an expression of dtype `target`. Raises RuleError."""
    if rule.first_non_null is not None:
        parts = [compile_rule(part, sources, target, forms) for part in rule.first_non_null]
        can_fail = all(part.can_fail for part in parts)
        return Made(pl.coalesce([part.expr for part in parts]), target, can_fail)
    if rule.elements is not None:
        return _elements(rule.elements, sources, target, forms)
    if rule.constant is not None:
        return Made(pl.lit(_literal(rule.constant, target), dtype=target), target, False)
    missing = [column for column in rule.columns if column not in sources]
    if missing:
        alike = suggestion(missing[0], sources)
        raise RuleError(f"unknown source column {', '.join(missing)}{alike}")
    made = _apply_function(rule, sources, target, forms)
    if rule.sql is not None:
        made = _fitted(made, target)
    return _in_calendar(_convert(made, target))


def _apply_function(  # noqa: PLR0911, PLR0912 - one branch and one return for each function
    rule: Rule, sources: Mapping[str, pl.DataType], target: pl.DataType, forms: IdForms
) -> Made:
    if isinstance(rule.from_, tuple):
        return _project_id(rule.from_, rule.of or "", sources, forms)
    assert rule.from_ is not None
    expr, dtype = source(rule.from_), sources[rule.from_]
    if rule.source_id is not None and isinstance(dtype, pl.List):
        each = _source_id(rule.source_id, pl.element(), _inner(dtype), forms)
        return Made(expr.list.eval(each), pl.List(pl.String()), False)
    if rule.source_id is not None:
        return Made(_source_id(rule.source_id, expr, dtype, forms), pl.String(), False)
    if rule.mint is not None:
        if rule.of is None:
            _expect(dtype, pl.String, "mint")
        root = _non_blank(expr) if rule.of is None else _source_id(rule.of, expr, dtype, forms)
        return Made(minted(rule.mint, root), pl.String(), False)
    if rule.values is not None:
        return _values(rule.values, expr, dtype, target)
    if rule.scale is not None:
        return _scaled(rule.scale, expr, dtype, target)
    if rule.duration is not None:
        return _duration(rule.duration, expr, dtype, target, is_negated=rule.negate)
    if rule.reorder is not None:
        _expect(dtype, pl.List, "reorder")
        return Made(expr.list.gather(list(rule.reorder), null_on_oob=True), dtype, False)
    if rule.work_patterns is not None:
        return Made(_work_patterns(rule.work_patterns, expr, dtype), target, True)
    if rule.records is not None:
        return Made(_records(rule.records, expr, dtype, target), target, False)
    if rule.sum is not None:
        return Made(_sum(rule.sum, rule.where, expr, dtype, target), target, True)
    if rule.negate:
        _expect(dtype, pl.Boolean, "negate")
        return Made(~expr, dtype, False)
    if rule.extract is not None:
        _expect(dtype, pl.String, "extract")
        text = expr if rule.text is None else typed_texts(expr)
        return Made(text.str.extract(_FORMS[rule.extract], 1), dtype, False)
    if rule.text is not None:
        _expect(dtype, pl.String, "text")
        return Made(_styled(rule.text, expr), dtype, False)
    return Made(expr, dtype, False)


def _elements(
    rules: Sequence[Rule], sources: Mapping[str, pl.DataType], target: pl.DataType, forms: IdForms
) -> Made:
    """A list of what each rule makes; null where one makes nothing."""
    if not isinstance(target, pl.List):
        raise RuleError(f"elements do not become {target}")
    made = [compile_rule(rule, sources, _inner(target), forms).expr for rule in rules]
    is_whole = pl.all_horizontal(expr.is_not_null() for expr in made)
    return Made(pl.when(is_whole).then(pl.concat_list(made)), target, True)


def _source_id(namespace: str, native: pl.Expr, dtype: pl.DataType, forms: IdForms) -> pl.Expr:
    if not _NAMESPACE.fullmatch(namespace):
        raise RuleError(f"{namespace!r} is not <system>:<kind>")
    system = namespace.partition(":")[0]
    if system not in forms:
        raise RuleError(f"there is no system {system}")
    return source_ids(namespace, native, dtype, forms[system])


def source_ids(namespace: str, native: pl.Expr, dtype: pl.DataType, form: IdForm) -> pl.Expr:
    """Source ids in a namespace (`<system>:<kind>`); null where the native id is blank.

    Every id that goes in, a row's own or a reference to another's, is made here, so that two
    spellings of one id are one. Raises RuleError for a dtype that holds no ids.
    """
    if dtype.is_integer():
        return pl.lit(f"{namespace}:") + native.cast(pl.String)
    if dtype != pl.String:
        raise RuleError(f"an id cannot be {dtype}")
    return pl.lit(f"{namespace}:") + native_ids(form, native)


def row_ids(namespace: str, keys: Sequence[tuple[pl.Expr, pl.DataType]], form: IdForm) -> pl.Expr:
    """Source ids of the rows whose key columns are given, with their dtypes.

    Of several columns each is a part of the id, with a comma between them; null where one is.
    Raises RuleError for a dtype that holds no ids.
    """
    if len(keys) == 1:
        return source_ids(namespace, *keys[0], form)
    parts = [_id_part(native, dtype, form) for native, dtype in keys]
    return pl.lit(f"{namespace}:") + pl.concat_str(parts, separator=",")


def _id_part(native: pl.Expr, dtype: pl.DataType, form: IdForm) -> pl.Expr:
    if dtype.is_integer() or dtype == pl.Date:
        return native.cast(pl.String)
    if dtype != pl.String:
        raise RuleError(f"an id cannot be {dtype}")
    told_apart = native.str.replace_all("%", "%25", literal=True)
    return native_ids(form, told_apart).str.replace_all(",", "%2C", literal=True)


def _project_id(
    columns: tuple[str, ...],
    opportunity: str,
    sources: Mapping[str, pl.DataType],
    forms: IdForms,
) -> Made:
    if len(columns) != 2:
        raise RuleError("mint: project takes [opportunity, country]")
    root = _source_id(opportunity, source(columns[0]), sources[columns[0]], forms)
    _expect(sources[columns[1]], pl.String, "mint: project")
    # Lower case of the code in its field: letters outside ASCII may have another one of their own.
    country = _styled(TextStyle.UPPER, source(columns[1])).str.to_lowercase()
    made = minted(Mint.PROJECT, root) + pl.lit("-") + country
    return Made(made, pl.String(), False)


def _values(
    values: Mapping[bool | int | str, bool | int | str] | tuple[bool | int | str, ...],
    expr: pl.Expr,
    dtype: pl.DataType,
    target: pl.DataType,
) -> Made:
    if isinstance(values, tuple):
        known = [_literal(value, dtype) for value in values]
        return Made(pl.when(expr.is_in(known)).then(expr), dtype, True)
    old = pl.Series([_literal(value, dtype) for value in values], dtype=dtype)
    new = pl.Series([_literal(value, target) for value in values.values()], dtype=target)
    return Made(expr.replace_strict(old, new, default=None, return_dtype=target), target, True)


def _inner(dtype: pl.List) -> pl.DataType:
    inner = dtype.inner
    return inner if isinstance(inner, pl.DataType) else inner()


def _work_patterns(weekdays: tuple[int, ...], expr: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A map of first day → hours a weekday as dated patterns; null where one is no such pattern."""
    if not _is_map_of_lists(dtype):
        raise RuleError(f"work_patterns is not for {dtype}")
    day = pl.element().struct.field("key").str.to_date("%Y-%m-%d", strict=False)
    hours = pl.element().struct.field("value")
    each = seconds_of(Duration.HOURS, pl.element(), pl.Decimal(9, 2)).cast(pl.Int64)
    seconds = hours.list.eval(each).list.gather(list(weekdays), null_on_oob=True)
    pattern = pl.struct(day.alias("starts_on"), seconds.alias("seconds"))
    is_day = is_in_calendar(day, pl.Date()).fill_null(value=False)  # years may have more digits
    is_week = (hours.list.len() == len(weekdays)).fill_null(value=False)
    is_sound = expr.list.eval(is_day & is_week).list.all()
    return pl.when(is_sound).then(expr.list.eval(pattern))


def _is_map_of_lists(dtype: pl.DataType) -> bool:
    """Whether a column holds maps of lists: pairs of a text and a list."""
    if not (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)):
        return False
    fields = {field.name: field.dtype for field in dtype.inner.fields}
    return fields.get("key") == pl.String and isinstance(fields.get("value"), pl.List)


def _records(
    fields: Mapping[str, str], expr: pl.Expr, dtype: pl.DataType, target: pl.DataType
) -> pl.Expr:
    """A list of records as the contract has them; those without its first field are left out."""
    known = _record_fields(dtype, "records is not for")
    wanted = _record_fields(target, "records do not become")
    if unknown := sorted(set(fields.values()) - known.keys()):
        raise RuleError(f"records has no field {', '.join(unknown)}")
    if fields.keys() != wanted.keys():
        raise RuleError(f"records must give {', '.join(wanted)} and nothing else")
    for new, old in fields.items():
        if known[old] != wanted[new]:
            raise RuleError(f"{old}: {known[old]} does not become {wanted[new]}")
    parts = [pl.element().struct.field(fields[new]).alias(new) for new in wanted]
    return expr.list.eval(pl.struct(parts).filter(parts[0].is_not_null()))


def _sum(
    field: str, where: str | None, expr: pl.Expr, dtype: pl.DataType, target: pl.DataType
) -> pl.Expr:
    """The sum of a field of records, of those whose field `where` is true; of none it is 0."""
    known = _record_fields(dtype, "sum is not for")
    for name in (field, where):
        if name is not None and name not in known:
            raise RuleError(f"sum has no field {name}")
    of = known[field]
    if not (isinstance(of, pl.Decimal) and isinstance(target, pl.Decimal)):
        raise RuleError("sum is for decimals")
    if of.scale > target.scale:
        raise RuleError(f"{field} has more digits than the {target.scale} of the field")
    if where is not None and known[where] != pl.Boolean:
        raise RuleError(f"where: {where} is no truth value")
    each = pl.element().struct.field(field)
    if where is not None:
        each = each.filter(pl.element().struct.field(where))
    return expr.list.eval(each).list.sum().cast(target, strict=False)


def _record_fields(dtype: pl.DataType, otherwise: str) -> dict[str, object]:
    """The fields of a list of records. Raises RuleError for another type."""
    if not (isinstance(dtype, pl.List) and isinstance(dtype.inner, pl.Struct)):
        raise RuleError(f"{otherwise} {dtype}")
    return dict(dtype.inner.to_schema())


def _scaled(factor: str, expr: pl.Expr, dtype: pl.DataType, target: pl.DataType) -> Made:
    if not (isinstance(dtype, pl.Decimal) and isinstance(target, pl.Decimal)):
        raise RuleError("scale is for decimals")
    exact = _number(factor, "a number")
    exponent = int(exact.as_tuple().exponent)
    if dtype.scale + max(-exponent, 0) > target.scale:
        raise RuleError(f"the product needs more than the {target.scale} digits of the field")
    growth = 10 ** (target.scale - dtype.scale) * max(abs(Fraction(exact)), 1)
    fits = unscaled(expr).abs() < pl.lit(int(10**_MOST_DIGITS / growth), pl.Int128)
    product = exact_product(pl.when(fits).then(expr), pl.lit(exact), scale=target.scale)
    return Made(product.cast(target, strict=False), target, True)


def _duration(
    unit: Duration, expr: pl.Expr, dtype: pl.DataType, target: pl.DataType, *, is_negated: bool
) -> Made:
    try:
        seconds = seconds_of(unit, expr, dtype)
        return Made(in_field(-seconds if is_negated else seconds, target), target, True)
    except DurationError as error:
        raise RuleError(str(error)) from error


def _styled(style: TextStyle, expr: pl.Expr) -> pl.Expr:
    text = expr.str.strip_chars(BLANKS)
    match style:
        case TextStyle.TRIM:
            pass
        case TextStyle.UPPER:
            text = text.str.to_uppercase()
        case TextStyle.LOWER:
            text = text.str.to_lowercase()
        case TextStyle.SLUG:
            slug = text.str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "_")
            text = slug.str.strip_chars("_")
    return _non_blank(text)


def _non_blank(text: pl.Expr) -> pl.Expr:
    return pl.when(text.str.strip_chars(BLANKS).str.len_bytes() > 0).then(text)


def _convert(made: Made, target: pl.DataType) -> Made:
    """Give an expression the dtype of the field, without losing a digit."""
    expr, dtype = made.expr, made.dtype
    if dtype == target:
        return made
    if dtype == pl.String and isinstance(target, pl.Datetime):
        return Made(instant(expr, target), target, True)
    if isinstance(dtype, pl.Datetime) and isinstance(target, pl.Datetime):
        return Made(cast(expr, dtype, target), target, True)
    if isinstance(dtype, pl.Decimal) and isinstance(target, pl.Decimal):
        if dtype.scale > target.scale:
            raise RuleError(f"{dtype} would lose digits as {target}")
        can_fail = dtype.precision - dtype.scale > target.precision - target.scale
        return Made(expr.cast(target, strict=False), target, made.can_fail or can_fail)
    raise RuleError(f"{dtype} does not become {target}")


def _fitted(made: Made, target: pl.DataType) -> Made:
    """Give what SQL made of numbers, times and nulls the dtype of the field, digit by digit."""
    both = (made.dtype, target)
    is_fit = all(each.is_numeric() for each in both) or made.dtype == pl.Null
    if made.dtype == target or not (is_fit or all(isinstance(each, pl.Datetime) for each in both)):
        return made
    return Made(cast(made.expr, made.dtype, target), target, True)


def _in_calendar(made: Made) -> Made:
    """Refuse a date or an instant that is none to Python: Debezium's are integers of any size."""
    if not isinstance(made.dtype, pl.Date | pl.Datetime):
        return made
    is_held = is_in_calendar(made.expr, made.dtype)
    return Made(pl.when(is_held).then(made.expr), made.dtype, True)


def compile_check(check: Check, expr: pl.Expr, dtype: pl.DataType) -> tuple[pl.Expr, str]:
    """Compile a check to (is satisfied, what it demands). Null satisfies. Raises RuleError."""
    if check.between is not None:
        if not (dtype.is_decimal() or dtype.is_integer()):
            raise RuleError(f"between is for numbers, not {dtype}")
        low, high = (_number(bound, "a bound") for bound in check.between)
        if low > high:
            raise RuleError(f"nothing lies between {low} and {high}")
        is_inside = (expr >= pl.lit(low)) & (expr <= pl.lit(high))
        return is_inside, f"must lie between {low} and {high}"
    if check.length is not None:
        if isinstance(dtype, pl.List):
            return expr.list.len() == check.length, f"must have {check.length} elements"
        _expect(dtype, pl.String, "length")
        return expr.str.len_chars() == check.length, f"must have {check.length} characters"
    if check.one_of is not None:
        known = [_literal(value, dtype) for value in check.one_of]
        return expr.is_in(known), f"must be one of {', '.join(map(str, known))}"
    if check.country is not None:
        _expect(dtype, pl.String, "country")
        return expr.str.contains("^[A-Z]{2}$"), "must be two letters, as in ISO 3166-1"
    _expect(dtype, pl.String, "currency")
    return is_currency(expr), "must be an ISO 4217 code"


def _number(text: int | str, what: str) -> Decimal:
    """A number of a mapping, exact. Raises RuleError if it is none that a decimal column holds."""
    try:
        number = Decimal(str(text))
    except InvalidOperation:
        number = Decimal("NaN")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, str):  # of what is not finite
        raise RuleError(f"{text!r} is not {what}")
    if max(number.adjusted() + 1, 0) + max(-exponent, 0) > _MOST_DIGITS:
        raise RuleError(f"{text!r} is not {what} of at most {_MOST_DIGITS} digits")
    return number


def _literal(value: bool | int | str, dtype: pl.DataType) -> bool | int | str | Decimal:
    """The literal as a value of the dtype. Raises RuleError if it is none."""
    if dtype == pl.Boolean and isinstance(value, bool):
        return value
    if dtype.is_integer() and type(value) is int and _fits(value, dtype):
        return value
    if dtype == pl.String and isinstance(value, str):
        return value
    raise RuleError(f"{value!r} is not a value of {dtype}")


def _fits(number: int, dtype: pl.DataType) -> bool:
    try:
        pl.Series([number], dtype=dtype)
    except (TypeError, OverflowError):
        return False
    return True


def _expect(dtype: pl.DataType, wanted: type[pl.DataType], function: str) -> None:
    if not isinstance(dtype, wanted):
        raise RuleError(f"{function} is not for {dtype}")
