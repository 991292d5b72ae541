"""One name for one thing: no public class, function or type is defined twice."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import layergym

CONVENTIONS = {"add_arguments", "run", "sections", "render", "main"}
"""What every command, study, renderer and script of its own has under the same name."""

REMAINING = {"contributions", "evaluate", "moved"}
"""Still defined twice; this list only gets shorter."""


def test_no_public_name_is_defined_twice() -> None:
    found = Counter(name for path in sources() for name in public(ast.parse(path.read_text())))
    assert {n for n, times in found.items() if times > 1} <= CONVENTIONS | REMAINING


def sources() -> list[Path]:
    package = Path(layergym.__file__).parent
    folders = [p.resolve() for p in package.iterdir() if p.is_dir()]
    return [*package.glob("*.py"), *(path for each in folders for path in each.rglob("*.py"))]


def public(module: ast.Module) -> set[str]:
    """Classes, functions, and types that are written as assignments."""
    names = {n.name for n in module.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    targets = [t for n in module.body if isinstance(n, ast.Assign) for t in n.targets]
    targets += [n.target for n in module.body if isinstance(n, ast.AnnAssign)]
    types = {t.id for t in targets if isinstance(t, ast.Name) and not t.id.isupper()}
    return {name for name in names | types if not name.startswith("_")}
