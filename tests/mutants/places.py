"""The small faults that can be put into a module: which, where, and the source that has one."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

# An operator becomes what somebody might have written in its place. Others, as a shift in the
# place of a sum, are errors that every test notices.
_MISTAKEN: Final = {
    "Binary": "Add_Sub Sub_Add Mul_FloorDiv Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul "
    "BitOr_BitAnd BitAnd_BitOr BitXor_BitOr LShift_RShift RShift_LShift",
    "Comparison": "Eq_NotEq Eq_LtE Eq_GtE NotEq_Eq NotEq_Lt NotEq_Gt Lt_LtE Lt_GtE LtE_Lt LtE_Gt "
    "Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is",
    "Unary": "USub_UAdd Delete_USub Delete_Not Delete_Invert",
}
_OPERATORS: Final = [
    f"core/Replace{kind}Operator_{change}"
    for kind, changes in _MISTAKEN.items()
    for change in changes.split()
] + [
    f"core/{name}"
    for name in (
        "AddNot",
        "ExceptionReplacer",
        "NumberReplacer",
        "RemoveDecorator",
        "ReplaceAndWithOr",
        "ReplaceBreakWithContinue",
        "ReplaceContinueWithBreak",
        "ReplaceFalseWithTrue",
        "ReplaceOrWithAnd",
        "ReplaceTrueWithFalse",
        "ZeroIterationForLoop",
    )
]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one place; `occurrence` counts the operator's places in the module."""

    path: str
    line: int
    column: int
    operator: str
    occurrence: int


@cache
def _operators() -> dict[str, Operator]:
    return {name: get_operator(name)() for name in _OPERATORS}


def mutants_of(path: Path, root: Path) -> Iterator[Mutant]:
    """Every mutant of a module, but for those that change nothing a program does."""
    source = path.read_text()
    nodes, ignored = list(ast_nodes(get_ast(source))), ineffective(source)
    for name, operator in _operators().items():
        places = (place for node in nodes for place in operator.mutation_positions(node))
        for occurrence, ((line, column), _) in enumerate(places):
            if not any(start <= (line, column) < end for start, end in ignored):
                yield Mutant(str(path.relative_to(root)), line, column, name, occurrence)


def mutated(mutant: Mutant, source: str) -> str:
    """The module's source with the change in it."""
    changed = mutate_code(source, _operators()[mutant.operator], mutant.occurrence)
    assert changed is not None and changed != source, mutant
    return str(changed)


Span = tuple[tuple[int, int], tuple[int, int]]


def ineffective(source: str) -> list[Span]:
    """Where type annotations stand, and what protects values that nobody tries to change."""
    found: list[ast.expr | None] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AnnAssign(annotation=annotation) | ast.arg(annotation=annotation):
                found.append(annotation)
            case ast.FunctionDef(returns=returns) | ast.AsyncFunctionDef(returns=returns):
                found.append(returns)
            case ast.keyword(arg="frozen" | "slots", value=value):
                found.append(value)
    return [
        ((node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0))
        for node in found
        if node is not None
    ]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which lines of a module run what stands at a place of it."""

    heads: dict[int, range]
    """By line: lines of the innermost statement, of a compound one those of its head."""
    lambdas: list[Span]
    """The bodies of lambdas, from the outer to the inner."""
    functions: list[Span]
    """The bodies of functions."""

    @classmethod
    def of(cls, source: str) -> Layout:
        """The layout of a module's source."""
        tree = ast.parse(source)
        nodes = list(ast.walk(tree))  # from the outer to the inner
        return cls(
            _heads(nodes),
            [_span(node.body) for node in nodes if isinstance(node, ast.Lambda)],
            [
                (_span(node.body[0])[0], _span(node.body[-1])[1])
                for node in nodes
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            ],
        )

    def lines(self, line: int, column: int) -> range:
        """Lines that run where the place is evaluated: of a lambda its body, not what makes it."""
        for start, end in reversed(self.lambdas):
            if start <= (line, column) < end:
                return range(start[0], end[0] + 1)
        return self.heads.get(line, range(line, line + 1))

    def runs_at_import(self, line: int, column: int) -> bool:
        """Whether the place is evaluated when the module is imported."""
        bodies = [*self.lambdas, *self.functions]
        return not any(start <= (line, column) < end for start, end in bodies)


def _span(node: ast.stmt | ast.expr) -> Span:
    first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
    column = node.col_offset if first == node.lineno else 0
    return (first, column), (node.end_lineno or 0, node.end_col_offset or 0)


def _heads(nodes: Iterable[ast.AST]) -> dict[int, range]:
    lines: dict[int, range] = {}
    for node in nodes:
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            first = node.pattern.lineno if isinstance(node, ast.match_case) else node.lineno
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if body else getattr(node, "end_lineno", first)
            if isinstance(node, ast.match_case):
                last = max(last, node.pattern.end_lineno)
            span = range(first, max(first, last) + 1)
            lines.update(dict.fromkeys(span, span))
    return lines
