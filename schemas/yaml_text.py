"""The text of a YAML file of ours as plain values, each problem with the line that it is on.

YAML takes more than such a file may hold: a name twice, of which the last would count in silence;
aliases, with which a page of text becomes gigabytes of values; nesting without end. All that is
refused before anything reads the values.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NoReturn

import yaml

from schemas.errors import ConfigError

LENGTH_MAX: Final = 1_000_000
DEPTH_MAX: Final = 32
DIGITS_MAX: Final = 64
"""Characters of a number: in base 60 a page of them would take minutes."""
_MERGE: Final = "tag:yaml.org,2002:merge"
_NUMBERS: Final = frozenset({"tag:yaml.org,2002:int", "tag:yaml.org,2002:float"})


def read_document(text: str, file: str, *, hint: str = "") -> Any:
    """Return the values of the text. Raises ConfigError that names the file and the line."""
    try:
        if len(text) > LENGTH_MAX:
            raise yaml.YAMLError(f"more than {LENGTH_MAX} characters")
        return _Loader(text).get_single_data()
    except yaml.reader.ReaderError as error:
        line, problem = text.count("\n", 0, error.position), error.reason
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, problem = 0 if mark is None else mark.line, error.problem or "unreadable"
    except yaml.YAMLError as error:
        line, problem = 0, str(error)
    raise ConfigError(f"{file} is not yaml: line {line + 1}: {problem:.200}", hint=hint)


def line_of(text: str, path: Sequence[object]) -> int:
    """The line of the part at a path of names and positions, or of the nearest there is."""
    return _place_at(text, path).line


def position_of(text: str, path: Sequence[object], at: int) -> tuple[int, int]:
    """Line and column, from 1 on, of a character of the text that is the value at a path.

    The value is found again in how it is written: blanks, quotes and indents are left out.
    """
    place = _place_at(text, path)
    written = text[place.begins : place.ends]
    found = re.match(r"[|>][^\n]*\n\s*|['\"]", written)
    index = found.end() if found else 0
    for character in place.value[:at]:
        if not character.isspace():
            index = written.find(character, index) + 1
    blanks = re.compile(r"\s*").match(written, index)
    index = place.begins + (blanks.end() if blanks and at < len(place.value) else index)
    return text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index)


def _place_at(text: str, path: Sequence[object]) -> _Place:
    place = _places(text)
    for step in path:
        if str(step) not in place.parts:
            break
        place = place.parts[str(step)]
    return place


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part of a text stands, its text if it is one, and its parts by name or position."""

    line: int
    begins: int = 0
    ends: int = 0
    value: str = ""
    parts: Mapping[str, _Place] = field(default_factory=dict)


@lru_cache(maxsize=1)
def _places(text: str) -> _Place:
    """All places of a text: it has as many problems as lines, and is read once for them."""
    return _place_of(yaml.compose(text, yaml.SafeLoader), 0)


def _place_of(node: Any, line: int) -> _Place:
    pairs = []
    if isinstance(node, yaml.MappingNode):
        pairs = [(name.value, name, value) for name, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        pairs = [(str(at), item, item) for at, item in enumerate(node.value)]
    parts = {step: _place_of(part, at.start_mark.line) for step, at, part in pairs}
    if node is None:
        return _Place(line + 1)
    value = node.value if isinstance(node, yaml.ScalarNode) else ""
    return _Place(line + 1, node.start_mark.index, node.end_mark.index, value, parts)


class _Loader(yaml.SafeLoader):
    """Refuses what a file of ours may not hold; says of a value that is none where it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def get_single_data(self) -> Any:
        try:
            return super().get_single_data()
        except (ValueError, OverflowError):  # of the scanner, for \U with a number beyond all
            raise yaml.MarkedYAMLError(
                problem="no character has this number", problem_mark=self.get_mark()
            ) from None

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:  # an alias has one, too
            _refuse("anchors and aliases are not taken", event)
        self._depth += 1
        if self._depth > DEPTH_MAX:
            _refuse(f"nested more than {DEPTH_MAX} deep", event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[Hashable] = set()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for key, _ in pairs:  # of another node the base class says that it is none
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                _refuse("this is no name", key)
            name = self.construct_object(key, deep=True)
            if name in seen:  # as Python compares: 1 is 01, and is true
                _refuse(f"{key.value} is there twice", key)
            seen.add(name)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            if node.tag in _NUMBERS and len(node.value) > DIGITS_MAX:
                raise ValueError
            value = super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, OverflowError):
            # PyYAML lets through what its constructors of days, numbers and truth values raise.
            _refuse(f"no value of {node.tag}", node)
        if isinstance(value, str) and not is_encodable(value):
            _refuse("half a character is no text", node)
        return value


def is_encodable(text: str) -> bool:
    """Whether a text can be written: halves of characters cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse(problem: str, place: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
