"""Options that are made of the fields of a spec: their names, kinds, defaults and help.

A field is described once, in its dataclass: the annotation says what kind of value it takes,
`BOUNDS` of the class which numbers, and the docstring below it what it means. A new field is a new
option, with nothing else to edit.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from layergym.base.numbers import Bounds
from layergym.command.values import text, within

CALLED = {
    "tasks_per_step": "tasks",
    "group_size": "group",
    "learning_rate": "lr",
    "split": "eval_split",
    "size": "eval_tasks",
    "repeats": "eval_repeats",
}
"""Fields that have other names on the command line, the same in every command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFlags:
    """Options of one command for some fields of one spec."""

    spec: type
    """A dataclass, which may have `BOUNDS`: the range of its numbers, by field."""
    fields: Sequence[str]
    called: Mapping[str, str] = field(default_factory=dict)
    """What the command line calls a field, where it is not by its name: "lr" for learning_rate."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the command, where they are not the fields' own."""
    more: Mapping[str, str] = field(default_factory=dict)
    """What help says besides, by field."""

    def add(self, parser: argparse._ActionsContainer) -> None:
        """Declare the options."""
        hints = get_type_hints(self.spec)
        bounds: Mapping[str, Bounds] = getattr(self.spec, "BOUNDS", {})
        for name in self.fields:
            default = self.defaults.get(name, _defaults(self.spec).get(name))
            kind = _kind(hints[name], bounds.get(name))
            if default == "":  # argparse reads a default as if it were typed, and "" is refused.
                kind.pop("type")
            parser.add_argument(
                f"--{self._option(name).replace('_', '-')}",
                default=list(default) if isinstance(default, tuple) else default,
                help=self.help(name),
                **kind,
            )

    def read(self, args: argparse.Namespace) -> dict[str, Any]:
        """The values that were given, by field."""
        given = {name: getattr(args, self._option(name)) for name in self.fields}
        return {n: tuple(v) if isinstance(v, list) else v for n, v in given.items()}

    def help(self, name: str) -> str:
        """What `--help` says of a field: its docstring, and its default."""
        said = field_docs(self.spec).get(name, "").rstrip(".")
        default = self.defaults.get(name, _defaults(self.spec).get(name))
        usual = r" (default: \1)" if default is None and name not in self.more else ""
        said = re.sub(r"[;:,] None(?: is|:)? (.*)$", usual, said)
        first, _, rest = said.partition(" ")
        if first[1:].islower() or len(first) == 1:
            said = f"{first.lower()} {rest}".strip()
        said += self.more.get(name, "")
        if isinstance(default, int | float | str | tuple) and not isinstance(default, bool):
            values = default if isinstance(default, tuple) else (default,)
            text = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
            said += f" (default {text})" * bool(text)
        return said.replace("%", "%%")

    def _option(self, name: str) -> str:
        return self.called.get(name, name)


@cache
def field_docs(spec: type) -> dict[str, str]:
    """The docstring of every field of a dataclass that has one, in one line each."""
    [body] = ast.parse(inspect.cleandoc(inspect.getsource(spec))).body
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for statement, after in pairwise(body.body):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match after:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    docs[statement.target.id] = " ".join(text.split()).replace("`", "")
    return docs


def _defaults(spec: type) -> dict[str, Any]:
    return {f.name: f.default for f in fields(spec) if f.default is not MISSING}


def _kind(hint: Any, bounds: Bounds | None) -> dict[str, Any]:
    """How argparse reads a value of an annotation."""
    if get_origin(hint) in (Union, UnionType):
        [hint] = [part for part in get_args(hint) if part is not NoneType]
    if get_origin(hint) is tuple:
        return {"nargs": "+", **_kind(get_args(hint)[0], bounds)}
    if get_origin(hint) is Literal:
        return {"choices": list(get_args(hint))}
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if hint in (int, float):
        metavar = "N" if hint is int else "X"
        return {"type": within(bounds or Bounds(whole=hint is int)), "metavar": metavar}
    return {"type": text}
