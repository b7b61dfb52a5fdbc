"""The text of an SQL expression in a mapping: read, its names resolved, before polars parses it.

What an expression may hold is a list: operators, words and functions that give a row its value
from that row alone, the same today as tomorrow. Everything else is refused by name, with where it
stands. Precedence, arity and types are polars' to judge.

    expression = operand (operator operand)*
    operand = [NOT | + | -]* primary [IS [NOT] NULL | [NOT] IN (list)]*
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NoReturn

import polars as pl

from schemas.mapping.sql_words import FUNCTIONS, OPERATORS, REFUSED, RESERVED, TYPES

_TOKEN: Final = re.compile(
    r"""(?P<blank>\s+|--[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^']|'')*')
    |(?P<quoted>"(?:[^"]|"")+")
    |(?P<number>[0-9]+(?:\.[0-9]+)?(?![\w.]))
    |(?P<word>[^\W\d]\w*)
    |(?P<sign>!~\*|<>|!=|<=|>=|\|\||//|!~|~\*|~|[-+*%=<>(),./])""",
    re.VERBOSE | re.DOTALL,
)
_DEPTH_MAX: Final = 32
_DIGITS_MAX: Final = 38


class SqlError(Exception):
    """What is wrong with an expression, and at which of its characters."""

    def __init__(self, problem: str, at: int = 0) -> None:
        super().__init__(problem)
        self.at = at


@dataclass(frozen=True, slots=True)
class Name:
    """What a name in an expression stands for: a column of the working frame, of this dtype."""

    column: str
    dtype: pl.DataType


@dataclass(frozen=True, slots=True)
class SqlText:
    """An expression as polars is given it, and the names it reads."""

    sql: str
    names: tuple[str, ...]


def read_sql(text: str, names: Mapping[str, Name]) -> SqlText:
    """Read an expression over `names`. Raises SqlError for what is none, or not for mappings."""
    reader = _Reader(text, names)
    reader.expression(0)
    reader.ends()
    return SqlText(" ".join(reader.written), tuple(dict.fromkeys(reader.read)))


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean …?` where a known name is like this one, else nothing."""
    by_lower = {each.lower(): each for each in sorted(known)}
    close = get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def word(self) -> str:
        """In upper case; of a quoted name nothing, since that is no word of SQL."""
        return self.text.upper() if self.kind in ("word", "sign") else ""


def _tokens(text: str) -> list[_Token]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise SqlError(_unreadable(text[at]), at)
        if match.lastgroup != "blank":
            found.append(_Token(str(match.lastgroup), match[0], at))
        at = match.end()
    return [*found, _Token("end", "", len(text.rstrip()))]


def _unreadable(character: str) -> str:
    if character in "'\"":
        return f"{character} is not closed"
    if character.isdigit():
        return "this is no number; they are written 12 or 12.5, which is exact"
    return f"{character!r} is not for mappings"


class _Reader:
    """Reads the tokens once, from the left; `written` are those for polars, names replaced."""

    def __init__(self, text: str, names: Mapping[str, Name]) -> None:
        self._tokens = _tokens(text)
        self._names = names
        self._next = 0
        self.written: list[str] = []
        self.read: list[str] = []

    def expression(self, depth: int) -> None:
        if depth > _DEPTH_MAX:
            self._refuse(f"nested more than {_DEPTH_MAX} deep")
        self._operand(depth)
        while self._operator():
            self._operand(depth)

    def ends(self) -> None:
        """Raise SqlError if something is left."""
        if self._token.kind != "end":
            self._refuse_word(self._token)
            self._refuse(f"an operator is missing in front of {self._token.text}")

    def _operator(self) -> bool:
        if self._takes("IS"):
            self._takes("NOT")
            self._needs("DISTINCT")  # IS [NOT] NULL ends an operand
            self._needs("FROM")
            return True
        is_negated = self._takes("NOT")
        if self._takes("LIKE", "ILIKE", "BETWEEN"):
            return True
        if is_negated:
            self._refuse("NOT is followed by LIKE, ILIKE, BETWEEN or IN here")
        if self._token.word == "/":
            self._refuse("a quotient is not exact: multiply, or use // for whole numbers")
        return self._takes(*OPERATORS)

    def _operand(self, depth: int) -> None:
        while self._takes("NOT", "+", "-"):
            pass
        self._primary(depth)
        while self._suffix(depth):
            pass

    def _suffix(self, depth: int) -> bool:
        words = [token.word for token in self._tokens[self._next : self._next + 3]]
        if words[:2] == ["IS", "NULL"] or words == ["IS", "NOT", "NULL"]:
            while not self._takes("NULL"):
                self._take()
            return True
        if words[:1] == ["IN"] or words[:2] == ["NOT", "IN"]:
            while not self._takes("IN"):
                self._take()
            self._needs("(")
            self._list(depth)
            return True
        return False

    def _primary(self, depth: int) -> None:
        token, after = self._token, self._tokens[self._next + 1 : self._next + 2]
        if token.kind in ("text", "number") or token.word in ("NULL", "TRUE", "FALSE"):
            self._take()
        elif self._takes("("):
            self.expression(depth + 1)
            self._needs(")")
        elif self._takes("CASE"):
            self._case(depth)
        elif token.word in ("DATE", "TIMESTAMP", "INTERVAL") and after[0].kind == "text":
            self._take()
            self._take()
        elif token.kind == "word" and after[0].text == "(":
            self._call(depth)
        elif token.kind in ("word", "quoted"):
            self._name()
        else:
            self._refuse(f"a value is missing {_in_front_of(token)}")

    def _case(self, depth: int) -> None:
        if self._token.word != "WHEN":
            self.expression(depth + 1)
        self._needs("WHEN")
        while True:
            self.expression(depth + 1)
            self._needs("THEN")
            self.expression(depth + 1)
            if not self._takes("WHEN"):
                break
        if self._takes("ELSE"):
            self.expression(depth + 1)
        self._needs("END")

    def _call(self, depth: int) -> None:
        token = self._token
        self._refuse_word(token)
        is_special = token.word in ("CAST", "TRY_CAST", "EXTRACT")
        if not is_special and token.word not in FUNCTIONS:
            self._refuse(
                f"{token.text} is no function of mappings{suggestion(token.text, FUNCTIONS)}"
            )
        self._take()
        self._needs("(")
        if not is_special:
            self._list(depth)
            return
        if token.word == "EXTRACT":
            self._take()  # what polars knows no part by, it refuses
            self._needs("FROM")
            self.expression(depth + 1)
        else:
            self.expression(depth + 1)
            self._needs("AS")
            self._type()
        self._needs(")")

    def _list(self, depth: int) -> None:
        self.expression(depth + 1)
        while self._takes(","):
            self.expression(depth + 1)
        self._needs(")")

    def _type(self) -> None:
        if self._takes(*TYPES):
            return
        if not self._takes("DECIMAL", "NUMERIC"):
            self._refuse(f"{self._token.text} is not DECIMAL(p,s), {', '.join(TYPES)}")
        digits: list[_Token] = []
        for opener in ("(", ","):  # without them polars takes a scale of its own
            self._needs(opener)
            digits.append(self._token)
            if self._token.kind != "number" or "." in self._token.text:
                self._refuse("write DECIMAL(precision,scale)")
            self._take()
        precision, scale = (int(token.text) for token in digits)
        if not max(scale, 1) <= precision <= _DIGITS_MAX:
            told = f"DECIMAL({precision},{scale}) is no type of at most {_DIGITS_MAX} digits"
            raise SqlError(told, digits[0].at)
        self._needs(")")

    def _name(self) -> None:
        token = self._token
        name = token.text
        if token.kind == "quoted":
            name = token.text[1:-1].replace('""', '"')
        elif token.word in RESERVED:
            self._refuse(f'a value is missing in front of {name}; of a column write "{name}"')
        if name not in self._names:
            self._refuse_word(token)
            self._refuse(f"unknown source column {name}{suggestion(name, self._names)}")
        self._next += 1
        self.read.append(name)
        known = self._names[name]
        written = _quoted(known.column)
        dtype: object = known.dtype
        while self._token.text == "." and self._token.kind == "sign":
            self._next += 1
            field = self._token
            parts = dict(dtype.to_schema()) if isinstance(dtype, pl.Struct) else {}
            part = field.text.strip('"')
            if part not in parts:
                self._refuse(f"{name} has no field {part}{suggestion(part, parts)}")
            self._next += 1
            name, dtype = f"{name}.{part}", parts[part]
            written += f".{_quoted(part)}"
        self.written.append(written)

    def _refuse_word(self, token: _Token) -> None:
        for words, reason in REFUSED:
            if token.word in words:
                raise SqlError(f"{token.text} {reason}", token.at)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self) -> None:
        if self._token.kind == "end":
            self._refuse("the expression ends too early")
        self.written.append(self._token.text)
        self._next += 1

    def _takes(self, *words: str) -> bool:
        """Take the token if it is one of these words or signs."""
        if self._token.word not in words:
            return False
        self._take()
        return True

    def _needs(self, word: str) -> None:
        if not self._takes(word):
            self._refuse_word(self._token)
            self._refuse(f"{word} is missing {_in_front_of(self._token)}")

    def _refuse(self, problem: str) -> NoReturn:
        raise SqlError(problem, self._token.at)


def _in_front_of(token: _Token) -> str:
    return "at the end" if token.kind == "end" else f"in front of {token.text}"


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
