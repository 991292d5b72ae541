"""One name for one thing, and names in texts that lead somewhere."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import layergym

ROOT = Path(__file__).parents[1]

CONVENTIONS = {"add_arguments", "run", "sections", "render", "main"}
"""What every command, study, renderer and script of its own has under the same name."""


def test_no_public_name_is_defined_twice() -> None:
    found = Counter(name for path in sources() for name in public(ast.parse(path.read_text())))
    assert {n for n, times in found.items() if times > 1} <= CONVENTIONS


def test_modules_and_files_that_texts_name_are_there() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    texts = {path: path.read_text(encoding="utf-8") for path in (*pages, *sources())}
    wrong = {(path.name, name) for path, text in texts.items() for name in named(text)}
    assert not {(where, name) for where, name in wrong if not there(name)}


def named(text: str) -> Iterator[str]:
    """Files and modules of the four rooms in backticks: `trainer/spec.py`, `trainer.spec`."""
    rooms = "envs|agents|trainer|evals"
    yield from re.findall(rf"`((?:{rooms}|src|tests|benchmarks|docs)/[\w./-]+)`", text)
    yield from re.findall(rf"`((?:{rooms})(?!\.py)(?:\.[a-z_]\w*)+)`", text)


def there(name: str) -> bool:
    """Whether a file, a module or what a module holds exists; NAME stands for any."""
    if "/" in name:
        return "NAME" in name or (ROOT / name).exists()
    module = ROOT / name.replace(".", "/")
    if module.is_dir() or module.with_suffix(".py").is_file():
        return True
    files = (module.parent.with_suffix(".py"), module.parent / "__init__.py")
    return any(module.name in file.read_text(encoding="utf-8") for file in files if file.is_file())


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
