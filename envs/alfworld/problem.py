"""Read a PDDL problem of ALFWorld: objects, initial facts, goal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from layergym.base.errors import InputError

Tree: TypeAlias = "str | list[Tree]"
Fact: TypeAlias = tuple[str, ...]

# Predicates of ALFWorld's domain (alfred.pddl), lower case as the planner reads them.
PREDICATES = frozenset(
    {
        "atlocation",
        "cancontain",
        "checked",
        "cleanable",
        "coolable",
        "examined",
        "full",
        "heatable",
        "holds",
        "holdsany",
        "holdsanyreceptacleobject",
        "inreceptacle",
        "inreceptacleobject",
        "isclean",
        "iscool",
        "ishot",
        "ison",
        "isreceptacleobject",
        "isreceptacleobjectfull",
        "issliced",
        "istoggled",
        "moveable",
        "objectatlocation",
        "objecttype",
        "openable",
        "opened",
        "pickupable",
        "receptacleatlocation",
        "receptacletype",
        "sliceable",
        "toggleable",
        "wasinreceptacle",
    }
)
_TYPES = frozenset({"agent", "location", "receptacle", "object", "rtype", "otype"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One PDDL problem, lower case. Treat the mappings as read-only."""

    types: Mapping[str, str]
    """Type of every declared object."""
    facts: Mapping[str, frozenset[Fact]]
    """Argument tuples of the initial facts, by predicate."""
    goal: Tree

    def all(self, predicate: str) -> frozenset[Fact]:
        """Argument tuples for which `predicate` holds at the start."""
        return self.facts.get(predicate, frozenset())

    def having(self, predicate: str) -> frozenset[str]:
        """First arguments for which `predicate` holds at the start."""
        return frozenset(fact[0] for fact in self.all(predicate))

    @property
    def entities(self) -> frozenset[str]:
        """Every object that some initial fact mentions."""
        return frozenset(arg for facts in self.facts.values() for fact in facts for arg in fact)


def parse_problem(text: str) -> Problem:
    """Read the PDDL problem in `text`.

    Raises:
        InputError: it is cut off, or is not a problem of ALFWorld's domain.
    """
    text = re.sub(r";[^\n]*", "", text).lower()
    starts = [text.find(section) for section in ("(:objects", "(:init", "(:goal")]
    if -1 in starts or starts != sorted(starts):
        raise InputError("not a PDDL problem: it needs (:objects, (:init and (:goal, in this order")
    objects, init, goal = starts
    types = _types(text[objects + len("(:objects") : init])
    facts = _facts(text[init + len("(:init") : goal])
    tree = _tree(text[goal:])
    if len(tree) != 2:
        raise InputError("the PDDL problem's goal must be one formula")
    return Problem(types, facts, tree[1])


def _types(section: str) -> dict[str, str]:
    types: dict[str, str] = {}
    waiting: list[str] = []
    words = iter(section.replace(")", " ").split())
    for word in words:
        if word == "-":
            kind = next(words, "")
            if kind not in _TYPES:
                raise InputError(f'the PDDL problem has objects of unknown type "{kind}"')
            types.update(dict.fromkeys(waiting, kind))
            waiting = []
        else:
            waiting.append(word)
    return types


def _facts(section: str) -> Mapping[str, frozenset[Fact]]:
    atoms = re.findall(r"\(([^()=]+)\)", section)
    if len(atoms) + section.count("(=") != section.count("("):
        raise InputError("the PDDL problem's (:init must be a list of ground facts")
    facts: defaultdict[str, set[Fact]] = defaultdict(set)
    for atom in atoms:
        predicate, *args = atom.split()
        if predicate in PREDICATES:
            facts[predicate].add(tuple(args))
        elif predicate not in ("distance", "total-cost"):
            raise InputError(f'the PDDL problem uses "{predicate}", which ALFWorld does not have')
    return {name: frozenset(arguments) for name, arguments in facts.items()}


def _tree(text: str) -> list[Tree]:
    stack: list[list[Tree]] = [[]]
    for token in re.findall(r"[()]|[^\s()]+", text):
        if token == "(":
            stack.append([])
        elif token != ")":
            stack[-1].append(token)
        else:
            done = stack.pop()
            if len(stack) == 1:
                return done
            stack[-1].append(done)
    raise InputError(
        "the PDDL problem is cut off: a parenthesis is never closed; fetch the game again"
    )
