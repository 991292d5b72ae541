"""How the house is built, in figures: rooms and arrows, one sweep's way through it, edits per part.

    python benchmarks/house.py                    this checkout
    python benchmarks/house.py --at PATH          another, such as a git worktree of an old commit

A *room* is a module, or a sub-folder, of a folder. There is an *arrow* from a room to one that it
imports, and a room stands one *floor* above the highest room that it imports. The way of a sweep is
counted by running `layergym sweep` on an environment of a few tasks until its first job would
start: calls of functions of the package, by name, that were given a `SweepSpec` (or what it was
resolved into), readings of an arm's expression, and `GiGPOConfig`s made.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("envs", "agents", "trainer", "evals", "evals/report", "src/layergym/cli")
WAY = """
import collections, json, sys, tempfile
from layergym import __main__ as command_line

entered, parsed, configs = set(), collections.Counter(), 0
SPECS = {"SweepSpec", "ResolvedSweep"}

class Enough(BaseException):
    pass

def watch(frame, event, argument):
    global configs
    code = frame.f_code
    if event != "call" or "layergym" not in frame.f_globals.get("__name__", ""):
        return
    name = f"{frame.f_globals['__name__']}.{code.co_qualname}"
    given = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if {type(frame.f_locals.get(one)).__name__ for one in given} & SPECS:
        entered.add(name)
    if code.co_name == "recipe" or (code.co_name == "parse" and "arms" in name):
        parsed[name] += 1
    if name.endswith("GiGPOConfig.__post_init__"):
        configs += 1
    if code.co_name == "offer" and "executors" in name or code.co_qualname == "Processes.offer":
        raise Enough

with tempfile.TemporaryDirectory() as folder:
    sys.setprofile(watch)
    try:
        command_line.main(["sweep", "alfworld-v0", "--seeds", "0", "1", "2", "--eval-tasks", "4",
                           "--env-arg", "size=12", "--out", folder + "/sweep", "--quiet"])
    except Enough:
        pass
    finally:
        sys.setprofile(None)
print(json.dumps({"functions entered with the sweep": len(entered),
                  "arm expressions read": sum(parsed.values()), "configs made": configs}))
"""


def modules(folder: Path) -> dict[str, Path]:
    """Modules below a folder, by their dotted name inside it."""
    files = (p for p in folder.rglob("*.py") if not p.is_symlink())
    named = {".".join(p.relative_to(folder).with_suffix("").parts): p for p in files}
    return {name.removesuffix(".__init__"): p for name, p in named.items() if name != "__init__"}


def imported(path: Path) -> Iterator[str]:
    """Names of the package's modules that a file imports, at its top or inside its functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("layergym."):
            yield str(node.module)
            yield from (f"{node.module}.{name.name}" for name in node.names)


def arrows(folder: Path, dotted: str) -> tuple[set[str], set[tuple[str, str]]]:
    """Rooms of a folder, and which imports which."""
    inside = modules(folder)
    rooms = {name.partition(".")[0] for name in inside}
    found = set()
    for name, path in inside.items():
        room = name.partition(".")[0]
        for other in imported(path):
            target = other.removeprefix(f"{dotted}.").partition(".")[0]
            if other.startswith(f"{dotted}.") and target in rooms - {room}:
                found.add((room, target))
    return rooms, found


def floors(rooms: set[str], found: set[tuple[str, str]]) -> int:
    """Height of the tower of rooms; those of a circle share a floor."""
    height = dict.fromkeys(rooms, 0)
    for _ in rooms:
        for upper, lower in found:
            if (lower, upper) not in found:
                height[upper] = min(max(height[upper], height[lower] + 1), len(rooms))
    return max(height.values()) + 1


def twice(root: Path) -> int:
    """Public classes, functions and types that are defined under one name in several places."""
    names: Counter[str] = Counter()
    for top in ("envs", "agents", "trainer", "evals", "src"):
        for path in modules(root / top).values():
            body = ast.parse(path.read_text(encoding="utf-8")).body
            kinds = ast.FunctionDef | ast.ClassDef
            names.update({n.name for n in body if isinstance(n, kinds) and n.name[0] != "_"})
    usual = {"add_arguments", "run", "render", "main", "sections"}
    return sum(times > 1 for name, times in names.items() if name not in usual)


def naming(root: Path, text: str, own: str) -> list[str]:
    """Files of the package, `own` left out, that name a part of it."""
    tops = ("envs", "agents", "trainer", "evals", "src")
    paths = (path for top in tops for path in modules(root / top).values())
    return [
        str(path.relative_to(root))
        for path in paths
        if text in path.read_text(encoding="utf-8") and path.relative_to(root).as_posix() != own
    ]


def main() -> None:
    """Print one table and one line of counts."""
    kind = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=kind)
    parser.add_argument("--at", type=Path, default=ROOT, help="the checkout that is counted")
    root = parser.parse_args().at.resolve()
    print(f"{'folder':18}{'rooms':>7}{'floors':>8}{'arrows':>8}")
    for name in FOLDERS:
        dotted = "layergym." + name.removeprefix("src/layergym/").replace("/", ".")
        rooms, found = arrows(root / name, dotted)
        print(f"{name:18}{len(rooms):7}{floors(rooms, found):8}{len(found):8}")
    print(f"public names defined twice: {twice(root)}")
    vote = naming(root, "studies.vote", "evals/studies/vote.py") + naming(root, "evals.vote", "")
    print(f"files besides its own that import the study vote: {len(vote)} {vote}")
    done = subprocess.run(
        [sys.executable, "-c", WAY],
        env=os.environ | {"PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    for name, count in json.loads(done.stdout.splitlines()[-1]).items():
        print(f"{name}: {count}")


if __name__ == "__main__":
    main()
