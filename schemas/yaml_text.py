"""The text of a YAML file of ours as plain values, each problem with the line that it is on.

YAML takes more than such a file may hold: a name twice, of which the last would count in silence;
aliases, with which a page of text becomes gigabytes of values; nesting without end. All that is
refused before anything reads the values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import yaml

from schemas.errors import ConfigError

LENGTH_MAX: Final = 1_000_000
DEPTH_MAX: Final = 32
_MERGE: Final = "tag:yaml.org,2002:merge"


def read_document(text: str, file: str, *, hint: str = "") -> Any:
    """Return the values of the text. Raises ConfigError that names the file and the line."""
    try:
        if len(text) > LENGTH_MAX:
            raise yaml.YAMLError(f"more than {LENGTH_MAX} characters")
        loader = _Loader(text)
        return loader.get_single_data()
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
    node = yaml.compose(text, yaml.SafeLoader)
    line = 0
    for step in path:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(step)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
            found = next(((item, item) for item in node.value[step : step + 1]), None)
        else:
            found = None
        if found is None:
            break
        line, node = found[0].start_mark.line, found[1]
    return int(line) + 1


class _Loader(yaml.SafeLoader):
    """Refuses what a file of ours may not hold; says of a value that is none where it is."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

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
        seen: set[str] = set()
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        for key, _ in pairs:  # of another node the base class says that it is none
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                _refuse("this is no name", key)
            if key.value in seen:
                _refuse(f"{key.value} is there twice", key)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):
            # PyYAML lets through what its constructors of days, numbers and truth values raise.
            _refuse(f"no value of {node.tag}", node)


def _refuse(problem: str, place: Any) -> NoReturn:
    raise yaml.MarkedYAMLError(problem=problem, problem_mark=place.start_mark)
