"""Damaged files of a folder: one sentence that names the file, or an answer without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from layergym.__main__ import main
from layergym.agents.servers.openai_client import RequestLimits
from layergym.base.errors import InputError
from layergym.evals.contribution.profile import profile
from layergym.evals.contribution.profile_file import write_profile
from layergym.evals.result_files import read_sweep
from layergym.evals.score.contest import ContestSpec
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.layers.grammar import layer_indices
from layergym.trainer.spec import RunSpec
from tests.evals.conftest import SMALL, write_sweep

SETTINGS = {"eval.json", "config.json", "manifest.json", "trajectories.jsonl"}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good") / "F"
    line = ["eval", "alfworld-v0", "--agent", "random", "--eval-tasks", "2", "--quiet"]
    assert main([*line, "--env-arg", "max_turns=2", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("command", ["report", "trajectories"])
def test_a_damaged_evaluation_is_read_or_refused_in_a_sentence(
    command: str,
    played: Path,
    tmp_path: Path,
    table: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    damages = [d for d in table("files").damages(played) if Path(d.file).name in SETTINGS]
    assert len(damages) > 100
    for damage in damages[:: 1 if command == "report" else 4]:
        copy = tmp_path / "F"
        shutil.copytree(played, copy)
        (copy / damage.file).write_bytes(damage.data)
        code = main([command, str(copy)])
        said = capsys.readouterr().err
        if code:
            assert (code, said.count("\n")) == (2, 1), damage[:2]
            assert len(said) < 400 and str(copy) in said, (damage[:2], said)
        shutil.rmtree(copy)


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but a profile of six layers, with seeds and repeats."""
    sweep = write_sweep(tmp_path_factory.mktemp("sweep") / "sweep", SMALL)
    folder = tmp_path_factory.mktemp("profiled") / "P"
    write_profile(folder / "profile.json", profile(read_sweep(sweep)))
    return folder


def ranked(path: Path) -> tuple[int, str]:
    """What `layers=top:1@profile.json` makes of a profile, as an exit code and what is said."""
    try:
        layer_indices(f"top:1@{path}", 6)
    except InputError as error:
        return 2, f"{error}\n"
    return 0, ""


@pytest.mark.parametrize("reader", ["report", "layers"])
def test_a_damaged_profile_is_read_or_refused_in_a_sentence(
    reader: str,
    profiled: Path,
    tmp_path: Path,
    table: Callable[[str], ModuleType],
    capsys: pytest.CaptureFixture[str],
) -> None:
    every = list(table("files").damages(profiled))
    whole = [damage for damage in every if damage.how in table("files").WHOLE]
    assert len(every) > 300 > 100 > len(whole) > 10
    path = tmp_path / "profile.json"
    refused = 0
    for damage in [*whole, *every[:: len(every) // 100]]:
        path.write_bytes(damage.data)
        if reader == "report":
            code, said = main(["report", str(path)]), capsys.readouterr().err
        else:
            code, said = ranked(path)
        refused += code != 0
        if code:
            assert (code, said.count("\n")) == (2, 1), (damage[:2], said)
            assert len(said) < 400 and "profile.json" in said, (damage[:2], said)
    assert refused >= len(whole) // 2


@pytest.mark.parametrize("count", ["9" * 4000, "Infinity", "NaN", "-5", "true", "null", '"7"'])
def test_counts_of_tokens_that_a_server_made_up_do_not_spoil_a_folder(
    count: str, played: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "F"
    shutil.copytree(played, copy)
    [kept] = copy.glob("agents/*/*/trajectories.jsonl")
    kept.write_text(kept.read_text().replace('"valid":', f'"tokens":[{count},3],"valid":'))
    assert main(["report", str(copy)]) == 0
    assert main(["trajectories", str(copy)]) == 0


RUN = RunSpec(env="alfworld-v0")
MADE: dict[type, dict[str, Any]] = {
    RunSpec: {"env": "alfworld-v0"},
    ContestSpec: {"env": "alfworld-v0", "agents": ("random",)},
    SweepSpec: {"run": RUN, "layers": (0,)},
    EvalSpec: {},
    Search: {},
    Launch: {},
    RequestLimits: {},
}
"""Settings with ranges, and what makes them."""


@pytest.mark.parametrize("value", [10**400, -(10**400), float("nan"), float("inf"), True, "3", [1]])
@pytest.mark.parametrize("settings", MADE)
def test_a_number_that_cannot_be_is_refused_shortly_in_every_setting(
    settings: type, value: object
) -> None:
    made = settings(**MADE[settings])
    for name in made.BOUNDS:
        wrong = (value,) if isinstance(getattr(made, name), tuple) else value
        with pytest.raises(InputError, match=name) as caught:
            settings(**{**MADE[settings], name: wrong})
        assert len(str(caught.value)) < 120


@pytest.mark.parametrize("value", [None, 7, 10**400, float("nan"), True, ["x"], {"x": 1}])
def test_a_text_that_is_none_is_refused_shortly_in_every_setting(value: object) -> None:
    for name in ("env", "model", "algorithm", "layers", "boost", "sampler", "dtype", "device"):
        with pytest.raises(InputError, match=name) as caught:
            RunSpec(**{"env": "alfworld-v0", name: value})  # type: ignore[arg-type]
        assert len(str(caught.value)) < 120
    if not isinstance(value, dict):
        with pytest.raises(InputError, match="env_args"):
            RunSpec(env="alfworld-v0", env_args=value)  # type: ignore[arg-type]
