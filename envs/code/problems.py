"""A programming problem: what is asked, the tests that are shown, the tests that are not."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from layergym.envs.sandbox import Suite


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """One problem. Only `statement` and `visible` are shown to the agent."""

    id: str
    kind: str
    statement: str
    entry: str
    """Name of the function to write."""
    visible: Suite
    hidden: Suite
    solution: str
    """A program that passes: the expert's, never sent to where programs run."""
    preamble: str = ""
    """Imports and functions that the statement gives; run before the agent's program."""
    stub: str = ""
    """Signature and docstring, for a reply that is only the body of the function."""

    def source(self, program: str) -> str:
        """The whole program to run for an agent's reply."""
        if self.stub and f"def {self.entry}" not in program and program[:1].isspace():
            return self.stub + program
        return f"{self.preamble}\n{program}" if self.preamble else program


def suite(
    statements: Iterable[str | ast.stmt],
    names: Iterable[str] | dict[str, str],
    *,
    setup: str = "",
    before: Sequence[str] = (),
) -> Suite:
    """Make a suite of test statements.

    Its checks are those that mention a tested name, and assertions about what came of it; what
    only binds a name (`xs = f(3)`, imports, helpers) prepares the checks after it.

    Args:
        statements: asserts, loops and assignments, in order.
        names: what the program defines; a mapping renames it for the tests.
        setup: source that runs before the names are bound.
        before: statements that prepare the tests, whatever they mention.
    """
    table = names if isinstance(names, dict) else {name: name for name in sorted(names)}
    steps = [(text, False) for text in before if text.strip()]
    for statement in statements:
        trees = ast.parse(statement).body if isinstance(statement, str) else [statement]
        for tree in trees:
            text = ast.get_source_segment(statement, tree) if isinstance(statement, str) else None
            steps.append((text or ast.unparse(tree), _is_check(tree, set(table))))
    return Suite(table, tuple(steps), setup)


_BINDING = (
    *(ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Import, ast.ImportFrom),
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
)


def _is_check(tree: ast.stmt, names: set[str]) -> bool:
    used = mentioned(tree)
    asserts = any(isinstance(node, ast.Assert) for node in ast.walk(tree))
    return not isinstance(tree, _BINDING) and bool(used & names or (asserts and used))


def mentioned(tree: ast.AST) -> set[str]:
    """Every name that occurs in `tree`."""
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def defined(source: str) -> set[str]:
    """The functions, classes and variables at the top level of a program."""
    names: set[str] = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def imports(source: str) -> str:
    """The import statements at the top level of a program."""
    body = ast.parse(source).body
    kept = [ast.unparse(node) for node in body if isinstance(node, ast.Import | ast.ImportFrom)]
    return "\n".join(kept)
