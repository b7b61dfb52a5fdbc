"""Reads the SQL of a measure, and refuses what is not linear in the rows.

A sum over rows is linear: what a change adds is the sum over the new rows less that over the old
ones. So a measure may SUM and COUNT what functions of one row alone give, grouped by such
functions; nothing that depends on other rows, on an order or on a clock. Everything is compared
with lists of what is known: what is on none is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"(?P<space>\s+)|(?P<comment>--[^\n]*)|(?P<text>'(?:[^']|'')*')|(?P<quoted>\"[^\"\n]+\")"
    r"|(?P<number>\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<sign><=|>=|<>|!=|\|\||[-+*/%(),.=<>;])"
)
SUMS: Final = ("SUM", "COUNT")
ROWWISE: Final = frozenset(
    [
        "ABS",
        "CAST",
        "CEIL",
        "COALESCE",
        "CONCAT",
        "DATE_PART",
        "DECIMAL",
        "DIV",
        "ENDS_WITH",
        "EXTRACT",
        "FLOOR",
        "GREATEST",
        "IFNULL",
        "INITCAP",
        "LEAST",
        "LEFT",
        "LENGTH",
        "LOWER",
        "LTRIM",
        "MOD",
        "NULLIF",
        "NUMERIC",
        "REPLACE",
        "RIGHT",
        "ROUND",
        "RTRIM",
        "SIGN",
        "SPLIT_PART",
        "STARTS_WITH",
        "STRFTIME",
        "STRPOS",
        "SUBSTR",
        "TRIM",
        "TRY_CAST",
        "UPPER",
    ]
)
"""Functions of one row alone, and types with digits."""
_SYNTAX: Final = frozenset(
    ["AND", "OR", "NOT", "IN", "WHEN", "THEN", "ELSE", "CASE", "LIKE", "BETWEEN", "FROM", "WHERE"]
)
"""Words that a bracket may follow and that are no functions."""
_REASONS: Final = {
    "the whole group decides it, not each row": (
        "AVG MEAN MEDIAN MIN MAX FIRST LAST STDDEV STDDEV_POP STDDEV_SAMP VARIANCE VAR VAR_POP "
        "VAR_SAMP QUANTILE_CONT QUANTILE_DISC CORR COVAR COVAR_SAMP COVAR_POP DISTINCT HAVING "
        "ARRAY_AGG LIST STRING_AGG ANY_VALUE APPROX_COUNT_DISTINCT MODE PRODUCT BOOL_AND BOOL_OR"
    ),
    "it depends on other rows": "OVER WINDOW QUALIFY PARTITION ORDER LIMIT OFFSET FETCH TOP SAMPLE",
    "it needs rows of another table": (
        "JOIN UNION INTERSECT EXCEPT WITH EXISTS UNNEST LATERAL CROSS INNER OUTER NATURAL USING"
    ),
    "it depends on when it is computed": (
        "NOW CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP LOCALTIME LOCALTIMESTAMP TODAY "
        "RANDOM RAND UUID GEN_RANDOM_UUID"
    ),
    "no other statement is run": "INSERT UPDATE DELETE CREATE DROP TRUNCATE EXPLAIN SHOW INTO",
}
_WHY: Final = {word: why for why, words in _REASONS.items() for word in words.split()}


class Problem(ValueError):
    """What is wrong with a measure, and the line of its file."""

    def __init__(self, line: int, detail: str) -> None:
        super().__init__(f"line {line}: {detail}")


class Token(NamedTuple):
    """A word, a sign or a literal of the query; `at` is its place in the text."""

    kind: str
    text: str
    line: int
    at: int

    @property
    def word(self) -> str:
        """The word in capitals; blank where it is none."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the result. `is_plain`: it is a column of the rows under its own name."""

    name: str
    is_sum: bool
    is_plain: bool
    line: int


@dataclass(frozen=True, slots=True)
class Query:
    """A linear query.

    `text` counts the rows of each group too, as `ROWS`; `unfiltered` is the same without its WHERE.
    """

    table: str
    table_line: int
    columns: Sequence[Column]
    text: str
    unfiltered: str


ROWS: Final = "rows_of_the_group"


def read_query(text: str) -> Query:
    """Return the query of a text. Raises Problem for one that is not linear."""
    tokens = list(_tokens(text))
    while tokens and tokens[-1].text == ";":
        tokens.pop()
    if not tokens:
        raise Problem(1, "there is no SELECT")
    _refuse(tokens)
    at = _clauses(tokens)
    items = _split(tokens[1 : at["FROM"]])
    columns = [_column(item, tokens[0].line) for item in items]
    source = tokens[at["FROM"] + 1 : at.get("WHERE", at["GROUP"])]
    if len(source) != 1 or source[0].kind != "word":
        raise Problem(tokens[at["FROM"]].line, "FROM names one object, as in FROM time_entry")
    _check_grouping(tokens[at["GROUP"] :], columns)
    start, group = tokens[0].at + len(tokens[0].text), tokens[at["GROUP"]].at
    where = tokens[at["WHERE"]].at if "WHERE" in at else group
    counted = f"{text[:start]} COUNT(*) AS {ROWS},"
    return Query(
        source[0].text,
        source[0].line,
        columns,
        counted + text[start:],
        counted + text[start:where] + text[group:],
    )


def _tokens(text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Problem(line, f"{text[at]!r} is not understood")
        if found.lastgroup not in ("space", "comment"):
            yield Token(str(found.lastgroup), found.group(), line, at)
        line += found.group().count("\n")
        at = found.end()


def _refuse(tokens: Sequence[Token]) -> None:
    """Refuse words and functions that make a query something else than a linear one."""
    if tokens[0].word != "SELECT":
        raise Problem(tokens[0].line, f"a measure is one SELECT, not {tokens[0].text}")
    for number, token in enumerate(tokens):
        if not token.word or (number and tokens[number - 1].text == "."):
            continue
        if token.word in _WHY:
            raise Problem(token.line, f"{token.word} is not linear: {_WHY[token.word]}")
        if token.word == "SELECT" and number:
            raise Problem(token.line, "a query within the query is not linear")
        is_call = number + 1 < len(tokens) and tokens[number + 1].text == "("
        if is_call and token.word not in (ROWWISE | _SYNTAX | set(SUMS)):
            near = get_close_matches(token.word, ROWWISE, n=1)
            asked = f", did you mean {near[0]}" if near else ""
            raise Problem(
                token.line, f"{token.word} is no function of one row that is known{asked}"
            )


def _clauses(tokens: Sequence[Token]) -> dict[str, int]:
    """Return where FROM, WHERE and GROUP stand outside of brackets."""
    at: dict[str, int] = {}
    depth = 0
    for number, token in enumerate(tokens):
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0:
            raise Problem(token.line, "a bracket is closed that was not opened")
        if depth == 0 and token.word in ("FROM", "WHERE", "GROUP"):
            if token.word in at:
                raise Problem(token.line, f"a second {token.word}")
            at[token.word] = number
        if token.text == ";":
            raise Problem(token.line, "a measure is one statement")
    if depth:
        raise Problem(tokens[-1].line, "a bracket is not closed")
    for name in ("FROM", "GROUP"):
        if name not in at:
            raise Problem(tokens[-1].line, f"there is no {name}{' BY' if name == 'GROUP' else ''}")
    if list(at) != [name for name in ("FROM", "WHERE", "GROUP") if name in at]:
        raise Problem(tokens[0].line, "the order is SELECT, FROM, WHERE, GROUP BY")
    return at


def _split(tokens: Sequence[Token]) -> list[Sequence[Token]]:
    """Cut at the commas outside of brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.text == "(") - (token.text == ")")
        if token.text == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def _column(item: Sequence[Token], line: int) -> Column:
    """Read a column: `SUM(…) AS name`, `COUNT(…) AS name`, `name`, or `expression AS name`."""
    line = item[0].line if item else line
    sums = [number for number, token in enumerate(item) if token.word in SUMS]
    if len(item) == 1 and item[0].kind == "word":
        return Column(item[0].text, is_sum=False, is_plain=True, line=line)
    if len(item) < 3 or item[-2].word != "AS" or item[-1].kind != "word":
        raise Problem(line, "a column that is not a plain one is named: … AS name")
    is_whole = item[1].text == "(" and _closes(item) == len(item) - 3
    if sums and (sums != [0] or not is_whole):
        raise Problem(
            line, "a sum stands alone, as SUM(…) AS name: what is computed of sums is not linear"
        )
    return Column(item[-1].text, is_sum=bool(sums), is_plain=False, line=line)


def _closes(item: Sequence[Token]) -> int:
    """Return where the first bracket is closed."""
    depth = 0
    for number, token in enumerate(item):
        depth += (token.text == "(") - (token.text == ")")
        if token.text == ")" and depth == 0:
            return number
    return -1


def _check_grouping(tokens: Sequence[Token], columns: Sequence[Column]) -> None:
    line = tokens[0].line
    if len(tokens) < 2 or tokens[1].word != "BY":
        raise Problem(line, "GROUP is followed by BY")
    named = [part[0].text if len(part) == 1 else "" for part in _split(tokens[2:])]
    wanted = [column.name for column in columns if not column.is_sum]
    if sorted(named) != sorted(wanted) or not wanted:
        raise Problem(line, f"GROUP BY names the columns that are no sums: {', '.join(wanted)}")
