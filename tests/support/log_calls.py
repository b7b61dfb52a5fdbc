"""The lines that the product's code logs, read from its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.dispatch.commands import Command

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = (
    "runtime", "schemas", "tables", "streams", "connectors", "psastream", "sandbox",
)  # fmt: skip
LEVELS: Final = frozenset({"debug", "info", "warning", "error", "exception", "critical"})
NAMED: Final = frozenset(
    Command("c", "t", "k", "n", 1, payload="{}", origin_key="o").named
)  # what `**command.named` brings
EVENTS: Final = {"UNCAUGHT": "process.uncaught"}
"""Events that a name stands for."""


@dataclass(frozen=True, slots=True)
class LogCall:
    """One call of a logger. `events` is empty where its event is no constant.

    `names_command`: it names a command as all lines do; `holds_command`: its function has one.
    """

    place: str
    level: str
    events: tuple[str, ...]
    fields: frozenset[str]
    names_command: bool
    holds_command: bool


def calls_of(source: str, where: str) -> Iterator[LogCall]:
    """Yield the log calls of a module's text."""
    functions: list[ast.AST] = []
    tree = ast.parse(source)
    functions = [
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=logger, attr=level)) if (
                level in LEVELS and ast.unparse(logger) in {"_log", "self._log"}
            ):
                named = {each.arg for each in node.keywords if each.arg is not None}
                spread = [ast.unparse(each.value) for each in node.keywords if each.arg is None]
                is_named = any(each.endswith("command.named") for each in spread)
                around = [it for it in functions if _holds(it, node)]
                yield LogCall(
                    f"{where}:{node.lineno}",
                    "error" if level == "exception" else level,
                    tuple(_events(node.args[0])) if len(node.args) == 1 else (),
                    frozenset(named | (NAMED if is_named else set())),
                    names_command=is_named,
                    holds_command=any(map(_has_command, around)),
                )


def _holds(function: ast.AST, node: ast.AST) -> bool:
    return any(each is node for each in ast.walk(function))


def _has_command(function: ast.AST) -> bool:
    return any(isinstance(it, ast.Name) and it.id == "command" for it in ast.walk(function))


def _events(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(event)):
            yield event
        case ast.Name(id=name) if name in EVENTS:
            yield EVENTS[name]
        case ast.IfExp(body=body, orelse=orelse):
            yield from _events(body)
            yield from _events(orelse)


def product_calls() -> Iterator[LogCall]:
    """Yield every log call of the product."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text()
            if "_log." in text:
                yield from calls_of(text, str(path.relative_to(ROOT)))
