"""An environment in another package is found through its entry point."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PACKAGE = Path(__file__).parents[1] / "plugin_package"
PLAY = """
import layergym as lg
assert "example/Vault-v0" in lg.ids(), lg.ids()
assert lg.conforms("vault-v0") == []
env = lg.make("vault-v0", split="test")
note, info = env.reset(options={"task": "test-0007"})
print(env.step(note.split()[-1])[1])
"""


def test_an_installed_package_brings_its_environment(tmp_path: Path) -> None:
    source = shutil.copytree(PACKAGE, tmp_path / "source")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(site), str(source)]
    subprocess.run([*install, *options], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PLAY],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1.0\n", done.stderr


def test_the_environment_is_at_most_twenty_lines() -> None:
    lines = (PACKAGE / "vault_env" / "__init__.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20


GOOD = (PACKAGE / "vault_env" / "__init__.py").read_text()
MODULES = {
    "no_import": "import no_such_module_anywhere",
    "no_syntax": "class Vault(:",
    "raises": "raise RuntimeError('not today')",
    "leaves": "import sys; sys.exit('bye')",
    "lacks": "x = 1",
    "constructor": GOOD + "\n    def __init__(self, **k):\n        raise OSError('no disk')\n",
    "exits": GOOD + "\n    def __init__(self, **k):\n        raise SystemExit(3)\n",
    "tasks": GOOD + "\n    @property\n    def tasks(self):\n        raise KeyError('ids')\n",
    "silent": GOOD.replace("instructions =", "instructions = None and"),
    "other": "class Vault: pass",
}
BROKEN = {
    "no_import": "ModuleNotFoundError",
    "no_syntax": "SyntaxError",
    "raises": "RuntimeError: not today",
    "leaves": "SystemExit: bye",
    "lacks": "AttributeError",
    "constructor": "OSError: no disk",
    "exits": "SystemExit: 3",
    "tasks": "KeyError: 'ids'",
    "silent": "instructions",
}
ANNOUNCED = {
    "bad-id": "bad id = good:Vault",
    "bad-place": "bad/Place-v0 = not a place",
    "bad-line": "no equals sign",
    "twin-of-ours": "layergym/ALFWorld-v0 = good:Vault",
    "twin-in-other-letters": "Layergym/alfworld-v0 = good:Vault",
    "namesake": "evil/ALFWorld-v0 = good:Vault",
    "rival-one": "shared/Vault-v0 = good:Vault",
    "rival-two": "shared/Vault-v0 = good:Vault",
    "fine": "fine/Vault-v0 = good:Vault",
}


def announce(site: Path, package: str, line: str) -> None:
    """An installed package, as far as its metadata go."""
    folder = site / f"{package.replace('-', '_')}-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[layergym.envs]\n{line}\n")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every kind of broken package at once, before layergym on the path."""
    site = tmp_path_factory.mktemp("site")
    for package, line in ANNOUNCED.items():
        announce(site, package, line)
    for module, source in (MODULES | {"good": GOOD}).items():
        (site / f"broken_{module}.py").write_text(source)
        if module != "good":
            announce(site, module.replace("_", "-"), f"x/{module}-v0 = broken_{module}:Vault")
    (site / "good.py").write_text(GOOD)
    return site


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    source = str(Path(__file__).parents[2] / "src")
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), source])},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def listed(site: Path) -> dict[str, dict[str, Any]]:
    """What `layergym envs` says, by id; troubles by their package."""
    done = run(site, "-m", "layergym", "envs", "--json")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["package" if row["event"] == "trouble" else "id"]: row for row in rows}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plug_in_is_listed_with_its_error_and_package(
    name: str, listed: dict[str, dict[str, Any]]
) -> None:
    error = listed[f"x/{name}-v0"]["error"]
    assert BROKEN[name] in error
    assert name == "tasks" or f"package {name.replace('_', '-')}" in error


def test_wrong_announcements_are_listed_and_ours_cannot_be_replaced(
    listed: dict[str, dict[str, Any]],
) -> None:
    for package, part in {
        "bad-id": "not an environment id",
        "bad-place": "not a place",
        "bad-line": "malformed",
        "twin-of-ours": "belongs to layergym",
        "twin-in-other-letters": "belongs to layergym",
        "rival-one": "rival-one and rival-two",
        "rival-two": "rival-one and rival-two",
    }.items():
        assert part in listed[package]["why"]
    assert listed["fine/Vault-v0"]["tasks"] == {"train": 1000, "test": 1000}
    assert listed["layergym/ALFWorld-v0"]["turns"] == 50


USE = """
import layergym as lg
print(type(lg.make("alfworld-v0")).__module__, type(lg.make("fine/vault-v0")).__name__)
for name in ("shared/vault-v0", "bad/place-v0", "x/raises-v0", "x/other-v0", "x/lacks-v0"):
    try:
        lg.make(name)
    except lg.InputError as error:
        print(error)
"""


def test_what_works_is_used_and_what_does_not_says_why(site: Path) -> None:
    done = run(site, "-c", USE)
    assert done.returncode == 0, done.stderr
    ours, rivals, place, raises, other, lacks = done.stdout.splitlines()
    assert ours == "layergym.envs.alfworld.env Vault"
    assert "rival-one and rival-two" in rivals
    assert "package bad-place" in place
    assert "package raises" in raises and "not today" in raises
    assert "other-v0" in other and "lacks-v0" in lacks
