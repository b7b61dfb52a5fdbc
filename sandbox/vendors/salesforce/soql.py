"""The part of SOQL that delta readers use, as strict as the vendor is.

`SELECT fields | COUNT() FROM Object [WHERE …] [ORDER BY …] [LIMIT n]`; conditions compare a field
with a literal, texts whatever their case, or by LIKE with a pattern. AND and OR need parentheses
where they meet, as at the vendor. No sub-queries, no relationship fields, no aggregates but
COUNT().
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sandbox.vendors.salesforce.org import FieldType, Row, Value, parse_instant

Schema = Mapping[str, Mapping[str, FieldType]]
Predicate = Callable[[Row], bool]

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)
    | (?P<number>[+-]?\d+(?:\.\d+)?)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<operator><=|>=|!=|<>|=|<|>)
    | (?P<punctuation>[(),])
    | (?P<word>[A-Za-z_][\w.]*)
    )""",
    re.VERBOSE,
)

_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

_LITERALS_OF: Final = {
    FieldType.ID: {"string", "null"},
    FieldType.STRING: {"string", "null"},
    FieldType.BOOLEAN: {"boolean", "null"},
    FieldType.NUMBER: {"number", "null"},
    FieldType.DATE: {"date", "null"},
    FieldType.DATETIME: {"datetime", "null"},
}


class SoqlError(Exception):
    """A query the vendor refuses; `code` is its error code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. `order` holds (field, descending)."""

    record_type: str
    fields: tuple[str, ...]
    is_count: bool
    where: Predicate
    order: tuple[tuple[str, bool], ...]
    limit: int | None

    def run(self, rows: Iterable[Row]) -> list[Row]:
        """Rows that match, sorted and cut."""
        found = [row for row in rows if self.where(row)]
        for field, descending in reversed(self.order):
            found.sort(key=lambda row, name=field: _sort_key(row[name]), reverse=descending)  # type: ignore[misc]
        return found[: self.limit]


def parse(text: str, schema: Schema) -> Query:
    """Raises SoqlError: MALFORMED_QUERY, INVALID_TYPE or INVALID_FIELD."""
    return _Parser(_tokens(text), schema).query()


def _sort_key(value: Value) -> tuple[bool, Any]:
    return (value is not None, value)  # nulls first


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


_END: Final = _Token("end", "<EOF>")


def _tokens(text: str) -> list[_Token]:
    tokens, position, text = [], 0, text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{text[position:].strip()[:1]}'")
        tokens.append(_Token(match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent over the tokens of one query."""

    def __init__(self, tokens: list[_Token], schema: Schema) -> None:
        self._tokens = tokens
        self._position = 0
        self._schema = schema
        self._record_type = ""

    def query(self) -> Query:
        self._expect("SELECT")
        selected = self._selected()
        self._expect("FROM")
        self._record_type = self._object()
        where = self._condition() if self._accept("WHERE") else _any_row
        order = self._order() if self._accept("ORDER") else ()
        limit = int(self._take("number").text) if self._accept("LIMIT") else None
        if self._peek() is not _END:
            raise self._unexpected()
        is_count = selected == ["COUNT()"]
        fields = () if is_count else tuple(self._field(name)[0] for name in selected)
        return Query(self._record_type, fields, is_count, where, order, limit)

    def _selected(self) -> list[str]:
        first = self._take("word").text
        if first.upper() == "COUNT" and self._accept("("):
            self._expect(")")
            return ["COUNT()"]
        names = [first]
        while self._accept(","):
            names.append(self._take("word").text)
        return names

    def _object(self) -> str:
        name = self._take("word").text
        for known in self._schema:
            if known.lower() == name.lower():
                return known
        raise SoqlError("INVALID_TYPE", f"sObject type '{name}' is not supported.")

    def _field(self, name: str) -> tuple[str, FieldType]:
        for known, field_type in self._schema[self._record_type].items():
            if known.lower() == name.lower():
                return known, field_type
        raise SoqlError(
            "INVALID_FIELD", f"No such column '{name}' on entity '{self._record_type}'."
        )

    def _condition(self) -> Predicate:
        terms = [self._term()]
        connective = ""
        while (word := self._peek().text.upper()) in ("AND", "OR"):
            if connective and word != connective:
                raise self._unexpected()
            connective = word
            self._position += 1
            terms.append(self._term())
        combine = any if connective == "OR" else all
        return lambda row: combine(term(row) for term in terms)

    def _term(self) -> Predicate:
        if self._accept("NOT"):
            term = self._term()
            return lambda row: not term(row)
        if self._accept("("):
            condition = self._condition()
            self._expect(")")
            return condition
        field, field_type = self._field(self._take("word").text)
        if self._accept("IN"):
            return _is_in(field, self._literals(field, field_type))
        if self._accept("LIKE"):
            return _is_like(field, str(self._literal(field, FieldType.STRING)))
        comparison = self._take("operator").text
        literal = self._literal(field, field_type)
        if field_type is FieldType.STRING:
            return _compares_texts(field, comparison, literal)
        return _compares(field, comparison, literal)

    def _literals(self, field: str, field_type: FieldType) -> list[Value]:
        self._expect("(")
        values = [self._literal(field, field_type)]
        while self._accept(","):
            values.append(self._literal(field, field_type))
        self._expect(")")
        return values

    def _literal(self, field: str, field_type: FieldType) -> Value:
        token = self._peek()
        self._position += 1
        kind, value = _value_of(token)
        if kind not in _LITERALS_OF[field_type]:
            raise SoqlError(
                "INVALID_FIELD",
                f"value of filter criterion for field '{field}' must be of type"
                f" {field_type.value} and should not be enclosed in quotes"
                if kind == "string"
                else f"field '{field}' of type {field_type.value} cannot be compared with {kind}",
            )
        return value

    def _order(self) -> tuple[tuple[str, bool], ...]:
        self._expect("BY")
        order = [self._order_item()]
        while self._accept(","):
            order.append(self._order_item())
        return tuple(order)

    def _order_item(self) -> tuple[str, bool]:
        field, _ = self._field(self._take("word").text)
        descending = self._accept("DESC")
        if not descending:
            self._accept("ASC")
        return field, descending

    def _peek(self) -> _Token:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _accept(self, text: str) -> bool:
        token = self._peek()
        if token.kind == "string" or token.text.upper() != text:
            return False
        self._position += 1
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._unexpected()

    def _take(self, kind: str) -> _Token:
        token = self._peek()
        if token.kind != kind:
            raise self._unexpected()
        self._position += 1
        return token

    def _unexpected(self) -> SoqlError:
        return SoqlError("MALFORMED_QUERY", f"unexpected token: '{self._peek().text}'")


def _any_row(row: Row) -> bool:
    return True


def _compares(field: str, comparison: str, literal: Value) -> Predicate:
    compare = _COMPARISONS[comparison]
    is_equality = comparison in ("=", "!=", "<>")

    def predicate(row: Row) -> bool:
        value = row[field]
        if value is None or literal is None:
            return is_equality and compare(value, literal)
        return compare(value, literal)

    return predicate


def _compares_texts(field: str, comparison: str, literal: Value) -> Predicate:
    folded = _compares(field, comparison, literal.casefold() if isinstance(literal, str) else None)

    def predicate(row: Row) -> bool:
        value = row[field]
        return folded({field: value.casefold() if isinstance(value, str) else None})

    return predicate


def _is_like(field: str, pattern: str) -> Predicate:
    """`%` stands for any text, `_` for one character."""
    parts = (".*" if each == "%" else "." if each == "_" else re.escape(each) for each in pattern)
    wanted = re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
    return lambda row: wanted.fullmatch(str(row[field] or "")) is not None


def _is_in(field: str, literals: list[Value]) -> Predicate:
    return lambda row: row[field] in literals


def _value_of(token: _Token) -> tuple[str, Value]:
    match token.kind:
        case "string":
            return "string", re.sub(r"\\(.)", r"\1", token.text[1:-1])
        case "number":
            return "number", Decimal(token.text)
        case "date":
            return "date", token.text
        case "datetime":
            return "datetime", parse_instant(token.text)
        case "word" if token.text.lower() in ("true", "false"):
            return "boolean", token.text.lower() == "true"
        case "word" if token.text.lower() == "null":
            return "null", None
    raise SoqlError("MALFORMED_QUERY", f"unexpected token: '{token.text}'")
