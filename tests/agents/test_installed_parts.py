"""Parts of an agent that an installed package announces: a context, a form of replies, a prompt."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PARTS = ("--context", "newest:99", "--format", "typed", "--prompt", "function:brief:Go!")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(TESTS / "plugin_package", folder / "source")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(folder / "site"), str(source)]
    subprocess.run([*install, *options], check=True)
    return folder / "site"


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "layergym", *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(TESTS.parent / "src")])},
        capture_output=True,
        text=True,
    )


def test_a_run_is_addressed_by_the_parts_of_an_installed_package(site: Path) -> None:
    done = run(site, "train", "vault-v0", "--model", "tiny", "--group", "2", "--dry-run", *PARTS)
    assert done.returncode == 0, done.stderr
    rows = done.stdout.split("row ")
    assert len(rows) == 6, "five turns, each a prompt of its own"
    assert "Go!" in rows[1] and "TYPE" in rows[1] and "?" not in rows[1]
    assert all("?" in row for row in rows[2:5]), "what was done a turn ago"


@pytest.mark.parametrize(
    ("option", "value", "known"),
    [
        ("--context", "newer", "newest"),
        ("--format", "typd", "typed"),
        ("--prompt", "function:brif", "brief"),
    ],
)
def test_a_part_that_is_not_there_is_missed_by_name(
    option: str, value: str, known: str, site: Path
) -> None:
    done = run(site, "train", "vault-v0", option, value, "--dry-run")
    assert done.returncode == 2
    assert f'did you mean "{known}"' in done.stderr
