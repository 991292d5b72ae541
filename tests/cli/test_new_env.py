"""`layergym new-env` writes a package that installs, conforms, plays and trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from layergym.__main__ import main

SOURCE = str(Path(__file__).parents[2] / "src")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package `dig_here`, installed below `site`."""
    folder = tmp_path_factory.mktemp("work")
    assert main(["new-env", "dig_here", "--out", str(folder / "dig_here")]) == 0
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(folder / "site")]
    subprocess.run([*install, *options, str(folder / "dig_here")], check=True)
    return folder


def run(folder: Path, *command: str) -> str:
    """What a command prints where the package is installed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(folder / "site"), SOURCE])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_package_passes_its_own_tests_and_conforms(installed: Path) -> None:
    assert "3 passed" in run(installed, "pytest", "-q", "dig_here/tests")
    shown = run(installed, "layergym", "envs", "check", "dig_here-v0")
    assert "dig_here-v0 conforms; reset" in shown
    assert shown.count("  ok  ") == 10


def test_a_script_beside_the_folder_finds_the_package_and_not_the_folder(
    tmp_path: Path,
) -> None:
    """As `pip install -e` leaves it: the folder with the code on the path, after the script's."""
    assert main(["new-env", "dig_there", "--out", str(tmp_path / "dig_there")]) == 0
    (tmp_path / "script.py").write_text("import dig_there; print(dig_there.DigThere.__name__)")
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(tmp_path / "dig_there" / "src"), *sys.path])},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "DigThere\n", done.stderr


@pytest.mark.slow
def test_it_warms_up_and_trains(installed: Path) -> None:
    model = ["--steps", "2", "--depth", "2", "--width", "32", "--out", "model"]
    run(installed, "layergym", "warmup", "dig_here-v0", *model)
    size = ["--steps", "1", "--tasks", "2", "--group", "2"]
    run(installed, "layergym", "train", "dig_here-v0", "--model", "model", *size, "--out", "run")
    assert json.loads((installed / "run" / "config.json").read_text())["env"] == "dig_here-v0"
    assert (installed / "run" / "delta.safetensors").is_file()


def test_names_that_cannot_be_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, sentence in {
        "My-Env": "small letters",
        "class": "small letters",
        "json": "choose another name",
        "here": "exists already",
    }.items():
        (tmp_path / "here").mkdir(exist_ok=True)
        assert main(["new-env", name]) == 2
        assert sentence in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
