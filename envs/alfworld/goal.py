"""The goal of a game, grounded once so that it can be checked at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from layergym.base.errors import InputError
from layergym.envs.alfworld.problem import Fact, Problem, Tree

Atom = tuple[str, ...]
"""A fact that play can change: predicate, then arguments without the agent."""
Clause = tuple[Atom, ...]
"""Atoms that must all hold."""

_FLUENT = frozenset(
    {
        "atlocation",
        "holds",
        "inreceptacle",
        "isclean",
        "iscool",
        "ishot",
        "ison",
        "issliced",
        "istoggled",
        "objectatlocation",
        "opened",
    }
)
_ABOUT_AGENT = frozenset({"atlocation", "holds"})


@dataclass(frozen=True, slots=True)
class Goal:
    """A conjunction of `parts`; a part is reached when one of its clauses holds."""

    parts: tuple[tuple[Clause, ...], ...]
    clauses_with: Mapping[Atom, tuple[Clause, ...]] = field(repr=False)
    """Clauses that contain an atom: only these can become true when the atom does."""


def ground(problem: Problem) -> Goal:
    """List every way in which the goal of `problem` can be reached.

    Raises:
        InputError: the goal is not a conjunction of existential formulas, as ALFWorld's are.
    """
    parts = tuple(
        tuple(dict.fromkeys(_clauses(part, problem))) for part in _conjuncts(problem.goal)
    )
    by_atom: dict[Atom, list[Clause]] = {}
    for clause in (clause for part in parts for clause in part):
        for atom in clause:
            by_atom.setdefault(atom, []).append(clause)
    return Goal(parts, {atom: tuple(clauses) for atom, clauses in by_atom.items()})


def _conjuncts(tree: Tree) -> Iterator[Tree]:
    if isinstance(tree, list) and tree and tree[0] == "and":
        for child in tree[1:]:
            yield from _conjuncts(child)
    else:
        yield tree


def _clauses(tree: Tree, problem: Problem) -> Iterator[Clause]:
    variables: dict[str, str] = {}
    literals: list[Fact] = []
    different: list[tuple[str, str]] = []
    _flatten(tree, variables, literals, different)
    fixed = [lit for lit in literals if lit[0] not in _FLUENT]
    fluent = [lit for lit in literals if lit[0] in _FLUENT]
    bindings = _join(fixed, problem)
    bound = {arg for lit in fixed for arg in lit[1:]}
    for variable in (v for v in variables if v not in bound):
        values = [n for n, kind in problem.types.items() if kind == variables[variable]]
        bindings = [{**b, variable: value} for b, value in product(bindings, values)]
    for binding in bindings:
        if all(binding.get(a, a) != binding.get(b, b) for a, b in different):
            yield tuple(_atom(literal, binding) for literal in fluent)


def _atom(literal: Fact, binding: Mapping[str, str]) -> Atom:
    predicate, *args = literal
    if predicate in _ABOUT_AGENT:
        args = args[1:]
    return (predicate, *(binding.get(arg, arg) for arg in args))


def _flatten(
    tree: Tree, variables: dict[str, str], literals: list[Fact], different: list[tuple[str, str]]
) -> None:
    """Collect the variables and literals of nested `exists` and `and`."""
    match tree:
        case ["and", *children]:
            for child in children:
                _flatten(child, variables, literals, different)
        case ["exists", list(declared), child]:
            names = [word for word in declared if isinstance(word, str)]
            while "-" in names:
                cut = names.index("-")
                variables.update(dict.fromkeys(names[:cut], names[cut + 1]))
                names = names[cut + 2 :]
            _flatten(child, variables, literals, different)
        case ["not", ["=", str(a), str(b)]]:
            different.append((a, b))
        case [str(predicate), *args] if predicate not in ("or", "not", "forall", "imply"):
            literals.append((predicate, *(str(arg) for arg in args)))
        case _:
            raise InputError("the goal is not a conjunction of `exists`, as ALFWorld's goals are")


def _join(literals: list[Fact], problem: Problem) -> list[dict[str, str]]:
    """All bindings of variables under which every literal is an initial fact."""
    bindings: list[dict[str, str]] = [{}]
    for predicate, *args in sorted(literals, key=lambda lit: len(problem.all(lit[0]))):
        facts = sorted(problem.all(predicate))
        bindings = [
            merged
            for binding in bindings
            for fact in facts
            if (merged := _match(args, fact, binding)) is not None
        ]
    return bindings


def _match(args: list[str], fact: Fact, binding: dict[str, str]) -> dict[str, str] | None:
    merged = dict(binding)
    for arg, value in zip(args, fact, strict=True):
        known = merged.setdefault(arg, value) if arg.startswith("?") else arg
        if known != value:
            return None
    return merged
