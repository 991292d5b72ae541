"""Who writes environments needs no torch: docs/install.md lists the few packages that do."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from layergym.base.needed import lacking

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/install.md").read_text()
[LIGHT] = re.findall(r"^\$ pip install (filelock .*)$", PAGE, re.M)
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALL = {re.split(r"[<>=]", requirement)[0] for requirement in ABOUT["dependencies"]}
WITHOUT = """
import sys
from importlib.machinery import PathFinder

class Light(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.partition(".")[0] in {absent}
        return None if absent else super().find_spec(name, path, target)

sys.meta_path = [Light if finder is PathFinder else finder for finder in sys.meta_path]
"""
COMMAND = "from layergym.__main__ import main\nsys.exit(main(sys.argv[1:]))"
EACH = """
import layergym as lg

for name in ("alfworld-v0", "webshop-v0", "math-v0", "code-v0"):
    assert lg.conforms(name) == [], name
"""
ADAPTERS = """
import pkgutil, importlib, gymnasium, layergym.envs.adapters as adapters

for module in pkgutil.iter_modules(adapters.__path__, "layergym.envs.adapters."):
    importlib.import_module(module.name)
env = gymnasium.make("layergym/ALFWorld-v0")
env.reset(seed=0)
env.step("look")
"""


def light(code: str, *args: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run in a process that has only the packages of docs/install.md, and no alfworld."""
    absent = {*ALL - set(LIGHT.split()), "alfworld", "textworld", "fast_downward"}
    python = [sys.executable, "-c", WITHOUT.format(absent=absent) + code, *args]
    return subprocess.run(python, capture_output=True, text=True, cwd=cwd, input="")


def test_the_list_is_part_of_what_is_required() -> None:
    assert set(LIGHT.split()) < ALL
    assert {"torch", "transformers", "trl", "accelerate", "scipy"} <= ALL - set(LIGHT.split())


@pytest.mark.parametrize("code", [EACH, ADAPTERS], ids=["environments", "adapters"])
def test_environments_need_only_the_light_packages(code: str, tmp_path: Path) -> None:
    done = light(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("envs", "layergym/Math-v0"),
        ("envs alfworld-v0", "max_receptacles"),
        ("envs check webshop-v0", "conforms"),
        ("new-env my_env", "layergym play my_env-v0"),
        ("play alfworld-v0 --agent expert", "reward"),
        ("play webshop-v0 --agent random", "reward"),
        ("play alfworld-v0", "not solved"),
        ("--help", "train"),
        ("train --help", "--layers"),
    ],
)
def test_an_authors_commands_need_only_the_light_packages(
    command: str, said: str, tmp_path: Path
) -> None:
    done = light(COMMAND, *command.split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout


@pytest.mark.parametrize("command", ["play alfworld-v0 --agent tiny", "train math-v0", "doctor"])
def test_other_commands_say_what_is_missing(command: str, tmp_path: Path) -> None:
    done = light(COMMAND, *command.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "is not installed" in last and "pip install layergym" in last


def test_the_original_engine_says_which_extra_it_needs(tmp_path: Path) -> None:
    done = light(COMMAND, "play", "alfworld-v0", "--env-arg", "engine=alfworld", cwd=tmp_path)
    assert done.returncode == 2 and "layergym[alfworld]" in done.stderr


@pytest.mark.parametrize(
    ("error", "package"),
    [
        (ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"), "torch"),
        (ModuleNotFoundError("No module named 'yaml'", name="yaml"), "pyyaml"),
        (ModuleNotFoundError("No module named 'theirs'", name="theirs"), None),
        (ImportError("cannot import name 'x' from 'torch'", name="torch"), None),
    ],
)
def test_only_what_layergym_requires_is_told_as_missing(
    error: ImportError, package: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("layergym.base.needed.requires", lambda _: ABOUT["dependencies"])
    said = lacking(error)
    assert said is None if package is None else str(said).startswith(package)
