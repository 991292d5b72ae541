"""`layergym new-env`: a package with an environment of one's own."""

from __future__ import annotations

import argparse
import keyword
import re
import shlex
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from layergym import InputError
from layergym.base.files import write_text
from layergym.base.locks import staged
from layergym.command.console import add_output, output

EXAMPLES = """
examples:
  layergym new-env my_env               writes my_env/: environment, test, pyproject, README
  pip install -e my_env                 now it is known by name
  layergym envs check my_env-v0         does it keep the contract, and how to mend it if not
  layergym train my_env-v0 --dry-run    what a model would see, and what would be trained
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", help="name of the package and the environment, such as my_env")
    parser.add_argument("--out", type=Path, help="folder to write (default: one of that name)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Write the package and say what to do with it."""
    name: str = args.name
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f'"{name}" cannot name a package; take small letters, digits and _, such as my_env'
        )
    folder: Path = args.out or Path(name)
    if folder.exists():
        raise InputError(f"{folder} exists already; choose another name, or --out FOLDER")
    if find_spec(name):
        raise InputError(f'there is a package "{name}" already; choose another name')
    out = output(args)
    words = {
        "name": name,
        "project": name.replace("_", "-"),
        "cls": "".join(word.capitalize() for word in name.split("_")),
    }
    written = {
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        f"src/{name}/__init__.py": "env.py.in",
        f"tests/test_{name}.py": "test.py.in",
    }
    with staged(folder) as scratch:
        for path, template in written.items():
            text = (files("layergym.envs") / "template" / template).read_text(encoding="utf-8")
            write_text(scratch / path, Template(text).substitute(words))
    for path in written:
        out.note(f"wrote {folder / path}")
    out.show(f"next: pip install -e {shlex.quote(str(folder))}\n      layergym play {name}-v0")
    out.record(event="package", folder=folder, environment=f"{name}-v0")
    return 0
