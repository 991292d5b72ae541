"""Adapters of packages that are large, or do not resolve with the others: run where installed."""

import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import layergym as lg
from layergym.agents import ExpertAgent, Job, rollout
from layergym.envs.conformance import conforms

pytestmark = pytest.mark.real

CAPITALS = """
import verifiers.legacy as vf
from datasets import Dataset

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Peru": "Lima"}


def load_environment():
    async def right(completion, answer):
        return float(answer in completion[-1].content)

    rows = [{"question": f"What is the capital of {c}?", "answer": a} for c, a in CAPITALS.items()]
    return vf.SingleTurnEnv(
        dataset=Dataset.from_list(rows),
        system_prompt="Answer in one word.",
        rubric=vf.Rubric(funcs=[right]),
    )
"""
TASKSET = """
import verifiers.v1 as vf

CAPITALS = {"Chile": "Santiago", "France": "Paris", "Japan": "Tokyo", "Peru": "Lima"}


class Data(vf.TaskData):
    answer: str


class Ask(vf.Task[Data, vf.State, vf.TaskConfig]):
    @vf.reward
    async def right(self, trace: vf.Trace) -> float:
        return float(self.data.answer in trace.last_reply)


class Capitals(vf.Taskset[Ask, vf.TasksetConfig]):
    def load(self):
        for place, answer in CAPITALS.items():
            asked = f"What is the capital of {place}?"
            told = "Answer in one word."
            yield Ask(Data(prompt=asked, answer=answer, system_prompt=told), self.config.task)


__all__ = ["Capitals"]
"""
HOUSEHOLD_TASKSET = """
from layergym.envs.adapters.verifiers import load_environment

Household, Player = load_environment("alfworld-v0", size=4, max_receptacles=5)
__all__ = ["Household", "Player"]
"""
HOUSEHOLD = """
from layergym.envs.adapters import verifiers

def load_environment():
    return verifiers.load_environment("alfworld-v0", size=3, max_receptacles=5)
"""


@pytest.mark.parametrize("game", ["Minesweeper-v0", "FrozenLake-v0", "TowerOfHanoi-v0"])
def test_textarena_conforms_and_leaves_global_randomness_alone(game: str) -> None:
    pytest.importorskip("textarena")
    random.seed(5)
    before = random.getstate()
    assert conforms(lambda: lg.make("textarena-v0", game=game)) == []
    assert random.getstate() == before


def test_textarena_games_for_several_are_refused() -> None:
    pytest.importorskip("textarena")
    with pytest.raises(lg.InputError, match="cannot be played alone"):
        lg.make("textarena-v0", game="TicTacToe-v0").reset(seed=0)


def test_scienceworld_is_solved_by_its_own_solution_the_same_way_twice() -> None:
    pytest.importorskip("scienceworld")
    settings: dict[str, Any] = {"topics": ["find-living-thing"], "simplifications": "easy"}
    job = Job("find-living-thing/0001", 0)
    [played] = rollout(ExpertAgent(), lambda: lg.make("scienceworld-v0", **settings), [job])
    assert played.success and played.total_reward == pytest.approx(1.0)
    again = lg.make("scienceworld-v0", **settings)
    text, _ = again.reset(options={"task": job.task})
    for turn in played.turns:
        assert text == turn.observation
        text, reward, *_ = again.step(turn.action)
        assert reward == turn.reward


def test_scienceworld_conforms() -> None:
    pytest.importorskip("scienceworld")
    settings: dict[str, Any] = {"topics": ["find-living-thing"], "simplifications": "easy"}
    assert conforms(lambda: lg.make("scienceworld-v0", **settings)) == []


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two environments of verifiers that can be imported."""
    pytest.importorskip("verifiers")
    classic = find_spec("verifiers.legacy") is not None
    (tmp_path / "capitals.py").write_text(CAPITALS if classic else TASKSET)
    (tmp_path / "household.py").write_text(HOUSEHOLD if classic else HOUSEHOLD_TASKSET)
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("modules")
def test_an_environment_of_verifiers_asks_and_scores() -> None:
    env = lg.make("verifiers-v0", environment="capitals")
    text, _ = env.reset(options={"task": "train-00001"})
    assert (env.instructions, text) == ("Answer in one word.", "What is the capital of Japan?")
    assert env.step("Tokyo")[1:3] == (1.0, True)
    env.reset(options={"task": "train-00001"})
    assert env.step("Lima")[1:3] == (0.0, True)
    assert conforms(lambda: lg.make("verifiers-v0", environment="capitals")) == []


@pytest.mark.usefixtures("modules")
def test_ours_as_one_of_verifiers_is_the_same_game() -> None:
    ours = lg.make("alfworld-v0", max_receptacles=5)
    theirs = lg.make("verifiers-v0", environment="household", max_turns=60)
    task = next(t for t in theirs.tasks if t.endswith(("2", "1")))
    start = theirs.reset(options={"task": task})[0]
    tasks = ours.tasks[:4]
    assert start in [ours.reset(options={"task": t})[0] for t in tasks]
    number = [ours.reset(options={"task": t})[0] for t in tasks].index(start)
    ours.reset(options={"task": tasks[number]})
    over = False
    while not over:
        action = ours.expert()
        assert action
        expected = ours.step(action)
        found = theirs.step(action)
        over = expected[2]
        assert found[1:3] == expected[1:3]
        assert over or found[0] == expected[0]
    assert expected[1] == 1.0
