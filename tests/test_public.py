"""What `import layergym as lg` gives, and that a user's file with it is checked for its types."""

import subprocess
import sys
from pathlib import Path

import pytest

import layergym as lg

ROOT = Path(__file__).parents[1]
PUBLIC = {
    *("InputError", "Outcome", "Panel", "TextEnv", "conforms", "find", "ids", "make", "panel"),
    "register",
    *("Job", "RunSpec", "open_agent", "rollout", "train"),
    *("ContestSpec", "evaluate"),
    *("EvalSpec", "SweepSpec", "contributions", "every_layer", "report", "sweep"),
}

USERS_FILE = """
from pathlib import Path
from typing import assert_type

import layergym as lg
from layergym.agents.types import Trajectory
from layergym.evals.contribution.measure import ArmScore
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.report.model import Report
from layergym.evals.score.standings import Standings
from layergym.trainer.run import Trained


def make_env() -> lg.TextEnv:
    return lg.make("alfworld-v0", max_receptacles=5)


run = lg.RunSpec(env="alfworld-v0", layers="middle", steps=2)
jobs = [lg.Job(task, seed=0) for task in lg.panel(make_env(), 4).tasks]
assert_type(lg.rollout(lg.open_agent("tiny"), make_env, jobs), list[Trajectory])
assert_type(lg.train(run, Path("runs/a")), Trained)
contest = lg.ContestSpec(env="alfworld-v0", agents=("random", "expert"), size=4)
assert_type(lg.evaluate(contest, "runs/b"), Standings)
assert_type(lg.every_layer(run, seeds=(0, 1, 2)), lg.SweepSpec)
spec = lg.SweepSpec(run=run, layers=(0, 7), eval=lg.EvalSpec(size=64))
assert_type(lg.sweep(spec, "runs/c"), LayerProfile)
assert_type(lg.contributions("runs/c"), tuple[ArmScore, ...])
assert_type(lg.report("runs/b", "runs/c", out="runs/d"), Report)
lg.RunSpec(env="alfworld-v0", steps="two")  # a mistake
lg.contribution("runs/c")  # and one more
"""


def test_the_public_names_are_these() -> None:
    assert len(lg.__all__) == len(PUBLIC)
    assert set(lg.__all__) == PUBLIC


@pytest.mark.parametrize("name", lg.__all__)
def test_every_public_name_is_there_and_described(name: str) -> None:
    assert name in dir(lg)
    assert getattr(lg, name).__doc__


def test_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(AttributeError, match="contribution"):
        _ = lg.contribution  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "use", ["", "lg.conforms", "lg.rollout", "lg.Job", "lg.contributions", "lg.report", "lg.sweep"]
)
def test_torch_is_not_imported_before_it_is_needed(use: str) -> None:
    source = f"import sys, layergym as lg\n{use}\nassert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", source], check=True)


def test_an_environment_author_waits_for_no_library() -> None:
    source = "import sys, layergym\nassert not {'asyncio', 'scipy', 'rich'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", source], check=True)


@pytest.mark.slow
def test_a_users_file_is_checked_for_its_types(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(USERS_FILE, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    wrong = [line for line in done.stdout.splitlines() if ": error: " in line]
    last = len(USERS_FILE.splitlines())
    assert [line.split(":")[1] for line in wrong] == [str(last - 1), str(last)], done.stdout
