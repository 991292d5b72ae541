"""Every command, once, from the command line to what it leaves behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.base.files import read_json, write_json
from layergym.cli.commands import commands

SMALL = (
    "alfworld-v0 --env-arg max_turns=9 --env-arg max_receptacles=5 --env-arg num_objects=5 "
    "--env-arg size=12 --steps 1"
)


@dataclass(frozen=True)
class Call:
    """A command's arguments, with places for folders, and what shows that it worked."""

    arguments: str
    printed: str = ""
    written: str = ""
    """A file that is there afterwards."""
    needs: str = ""
    """A package that not everybody has."""


CALLS = {
    "demo": Call("--fast --jobs 1 --out {new}", "report", "{new}/report/report.html"),
    "completion": Call("bash", "_shtab_layergym", needs="shtab"),
    "doctor": Call("", "isolation"),
    "pull": Call("smollm2", "smollm2"),
    "envs": Call("", "layergym/ALFWorld-v0"),
    "envs check": Call("check code-v0", "conforms"),
    "play": Call("math-v0 --agent expert", "solved, reward 1"),
    "new-env": Call("my_garden --out {new}", "my_garden", "{new}/pyproject.toml"),
    "eval": Call("math-v0 --agent expert --eval-tasks 3 --out {new}", "100.0", "{new}/eval.json"),
    "view": Call("{run} {sweep} --out {new}", "2 folders", "{new}"),
    "referee": Call(
        "expert --preset gigpo-alfworld --eval-tasks 2 --env-arg games={games} --out {new}",
        "valid_unseen",
        "{new}/referee.json",
    ),
    "trajectories": Call("{run}", "turns"),
    "plan": Call("--model tiny --layers 3", "memory"),
    "warmup": Call(
        "alfworld-v0 --steps 1 --batch-size 2 --depth 2 --width 32 --out {new}",
        "{new}",
        "{new}/model.safetensors",
    ),
    "train": Call(SMALL + " --tasks 1 --group 2 --out {new}", "trained", "{new}/delta.safetensors"),
    "publish": Call("{run} --merge --out {new}", "packaged", "{new}/model.safetensors"),
    "sweep": Call("--resume {sweep}", "report", "{sweep}/report/report.html"),
    "sweep of returns": Call(
        "webshop-v0 --score reward --env-arg max_turns=1 --max-new-tokens 8 --steps 1 --tasks 1 "
        "--group 2 --layers 0 --eval-tasks 2 --eval-repeats 1 --jobs 1 --out {new}",
        "Score (mean return) in percent",
        "{new}/report/report.html",
    ),
    "report": Call("{sweep} --html --png --out {new}", "{new}", "{new}/report.png"),
    "bases": Call("{sweep} {other}", "Over base checkpoints"),
    "compare": Call(
        "{sweep} --arms 3 --seeds 7 --jobs 1 --out {new}", "report", "{new}/report/report.html"
    ),
    "dissect": Call("{sweep} --sets moved --eval-tasks 2 --quiet", "moved", "{sweep}/dissect"),
    "vote": Call("{sweep}", "vote", "{sweep}/votes"),
    "retention": Call(
        "{sweep} --arms base full --text {text}",
        "text",
        "{sweep}/arms/full/seed-0/retention/text.json",
    ),
    "predict": Call("{sweep} --tasks 8", "gradient norm", "{sweep}/predictor.json"),
}
SLOW = ("compare", "demo", "pull", "sweep")
"""Minutes, or a download."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    train = f"train {SMALL} --layers 3 --tasks 1 --group 2 --quiet --out {folder}"
    assert main(train.split()) == 0
    return folder


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    layers = "--layers 0,3,6 --tasks 1 --group 2 --eval-tasks 2 --eval-repeats 2"
    assert main(f"sweep {SMALL} {layers} --jobs 1 --quiet --out {folder}".split()) == 0
    return folder


@pytest.fixture(scope="module")
def other(sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same sweep as if its base were another one."""
    folder = shutil.copytree(sweep, tmp_path_factory.mktemp("runs") / "other")
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"model_hash": "another"})
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CALLS]
)
def test_it_works(
    name: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LAYERGYM_CACHE", str(tmp_path / "cache"))
    call = CALLS[name]
    if call.needs:
        pytest.importorskip(call.needs)
    places = {"new": tmp_path / "new", "text": tmp_path / "text.txt"}
    places["text"].write_text("You open the fridge 1. The fridge 1 is open. " * 4)
    asked = call.arguments + call.written
    places |= {
        folder: request.getfixturevalue(folder)
        for folder in ("run", "sweep", "other", "games")
        if f"{{{folder}}}" in asked
    }
    capsys.readouterr()
    assert main([name.split()[0], *call.arguments.format(**places).split()]) == 0
    assert call.printed.format(**places) in capsys.readouterr().out
    assert Path(call.written.format(**places)).exists()


def test_no_help_imports_what_takes_seconds() -> None:
    check = (
        "import sys; from layergym.__main__ import main\n"
        "from layergym.cli.commands import commands\n"
        "for command in ([], *([name] for name in commands())):\n"
        "    try: main([*command, '--help'])\n"
        "    except SystemExit: pass\n"
        "    assert not {'torch', 'transformers', 'scipy.stats'} & sys.modules.keys(), command"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]


def test_no_command_is_forgotten() -> None:
    assert set(commands()) == {name.split()[0] for name in CALLS}
