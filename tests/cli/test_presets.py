"""Published settings by name."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layergym.__main__ import main
from layergym.agents import Group, Trajectory, Turn
from layergym.agents.types import Reply
from layergym.cli import sweep
from layergym.cli.presets import COMMANDS, presets
from layergym.cli.run_files import filled
from layergym.cli.run_options import single_spec
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.credit.advantages import gigpo
from layergym.trainer.credit.algorithms import Compared, give_credit
from layergym.trainer.run import prompt_style
from layergym.trainer.spec import RunSpec


def parsed(command: str, *argv: str) -> argparse.Namespace:
    module = import_module(f"layergym.cli.{command}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args(argv)
    args.command, args.argv = command, list(argv)
    return filled(args, module.add_arguments, command)


def swept(name: str, *argv: str) -> SweepSpec:
    return sweep._spec(parsed("sweep", "--preset", name, "--model", "tiny", *argv))


@pytest.mark.parametrize("name", presets())
def test_every_number_has_a_source_and_is_an_option(name: str) -> None:
    known = [vars(parsed(command)) for command in COMMANDS]
    for settings in presets()[name].settings.values():
        for option, setting in settings.items():
            assert any(option in one for one in known), option
            assert setting.source
    assert presets()[name].about and presets()[name].differs


@pytest.mark.parametrize("name", presets())
def test_a_preset_describes_a_run_and_a_sweep(name: str) -> None:
    run: RunSpec = single_spec(parsed("train", "--preset", name))
    assert run.learning_rate == presets()[name].settings["train"]["lr"].value
    whole = swept(name)
    assert (whole.lr_full, whole.run.steps) == (1e-6, run.steps)
    assert whole.eval.temperatures[0] in whole.eval.base_temperatures


def test_the_published_alfworld_run(tmp_path: Path) -> None:
    run = single_spec(parsed("train", "--preset", "gigpo-alfworld"))
    assert (run.context, run.admissible, run.compat) == ("last:2", True, "verl-agent")
    assert (run.tasks_per_step, run.group_size, run.steps) == (16, 8, 150)
    assert (run.max_new_tokens, run.beta, run.norm, run.gamma) == (512, 0.01, "std", 0.95)
    assert run.env_args == {"games": "official", "max_turns": 50}
    style = prompt_style(run)
    assert style.holds_history, "one message a turn"
    assert "{{" in run.prompt, "the text is kept, not the path"
    whole = swept("gigpo-alfworld")
    assert (whole.lr_layer, whole.eval.split) == (3e-6, "valid_seen")
    assert whole.eval.temperatures == (0.4,)


def test_what_is_given_holds_instead() -> None:
    run = single_spec(
        parsed("train", "webshop-v0", "--preset", "gigpo-alfworld", "--context", "last:4")
    )
    assert (run.env, run.context, run.group_size) == ("webshop-v0", "last:4", 8)


def test_an_unknown_preset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--preset", "gigpo-alfred", "--dry-run"]) == 2
    assert 'did you mean "gigpo-alfworld"' in capsys.readouterr().err


def turn(key: str, reward: float, valid: bool = True) -> Turn:
    return Turn("", key, Reply(""), "", reward, valid)


def episode(*turns: Turn) -> Trajectory:
    return Trajectory("e", "t", 0, turns, "terminated", False)


def test_every_arm_of_a_sweep_gives_credit_as_the_published_code(tmp_path: Path) -> None:
    """By hand: statistics over turns, the penalty on its own turn, after discounting."""
    won = episode(turn("a", 0.0), turn("b", 0.0), turn("c", 1.0))
    lost = episode(turn("a", 0.0, valid=False))
    whole = swept("gigpo-alfworld", "--layers", "0,3")
    for arm in resolve(whole, tmp_path).runs:
        credit = arm.run.credit
        [found] = give_credit([Compared.of(Group((won, lost)), credit)], credit)
        totals = (1.0, 1.0, 1.0, -0.01)
        mean = sum(totals) / 4
        spread = (sum((t - mean) ** 2 for t in totals) / 3) ** 0.5 + 1e-6
        first, other = 0.95**2, -0.01
        middle, half = (first + other) / 2, (first - other) / 2
        step = half / (half * 2**0.5 + 1e-6)
        assert middle - half == pytest.approx(other)
        assert found.advantages[0] == pytest.approx(
            ((1 - mean) / spread + step, (1 - mean) / spread, (1 - mean) / spread)
        )
        assert found.advantages[1] == pytest.approx(((-0.01 - mean) / spread - step,))
        assert found.advantages == gigpo(Group((won, lost)), penalty=0.01, compat="verl-agent")


CASES: dict[str, tuple[list[Any], str | None, list[list[float]]]] = {
    # Each turn: state, reward, whether it was valid. Expected by hand, at gamma 0.95, penalty 0.01.
    "all lost": ([[("a", 0, True), ("b", 0, True)], [("a", 0, True)]], None, [[0, 0], [0]]),
    # Rows 1, 1, 0: mean 2/3. In a: 0.95 and 0.
    "one shared state": (
        [[("a", 0, True), ("b", 1, True)], [("a", 0, True)]],
        "none",
        [[1 / 3 + 0.475, 1 / 3], [-2 / 3 - 0.475]],
    ),
    # Rows 0.99, 0: mean 0.495. In a: 1 - 0.01 and 0.
    "a penalty where turns are compared": (
        [[("a", 1, False)], [("a", 0, True)]],
        "none",
        [[0.495 + 0.495], [-0.495 - 0.495]],
    ),
    # Rows 1, 1, 1, 0: mean 3/4. In a: 0.95 ** 2, 1 and 0, of two episodes and of one twice.
    "a state met twice": (
        [[("a", 0, True), ("b", 0, True), ("a", 1, True)], [("a", 0, True)]],
        "none",
        [[0.25 + 0.9025 - 1.9025 / 3, 0.25, 0.25 + 1 - 1.9025 / 3], [-0.75 - 1.9025 / 3]],
    ),
    # Two rows, 1 and 0: mean 1/2, deviation 0.5 ** 0.5; nothing shared.
    "deviation over turns": (
        [[("a", 1, True)], [("b", 0, True)]],
        "std",
        [[0.5 / (0.5**0.5 + 1e-6)], [-0.5 / (0.5**0.5 + 1e-6)]],
    ),
}
NORMS = {"gigpo-alfworld": "std", "gigpo-webshop": "none"}
Rows = list[tuple[str, float, bool]]


def made(episodes: list[Rows]) -> Group:
    return Group(tuple(episode(*(turn(k, float(r), ok) for k, r, ok in e)) for e in episodes))


def by_arm(name: str, group: Group, folder: Path) -> list[Any]:
    """The advantages that each arm of the preset's sweep gives."""
    found = []
    for arm in resolve(swept(name, "--layers", "0,3"), folder).runs:
        [credited] = give_credit([Compared.of(group, arm.run.credit)], arm.run.credit)
        found.append(credited.advantages)
    assert len(found) >= 3, "full training and two layers"
    return found


@pytest.mark.parametrize(
    ("case", "preset"),
    [(c, p) for c, (_, norm, _) in CASES.items() for p in NORMS if norm in (None, NORMS[p])],
)
def test_published_cases_hold_in_every_arm_of_a_sweep_by_preset(
    case: str, preset: str, tmp_path: Path
) -> None:
    episodes, _, expected = CASES[case]
    for found in by_arm(preset, made(episodes), tmp_path):
        for row, wanted in zip(found, expected, strict=True):
            assert row == pytest.approx(tuple(wanted), abs=1e-9)


def as_published(episodes: list[Rows], norm: str) -> list[list[float]]:
    """The same over rows of turns, as the published code lays a batch out, in NumPy."""
    place, keys, returns, scores = [], [], [], []
    for number, one in enumerate(episodes):
        rewards = np.array([reward for _, reward, _ in one])
        minus = np.array([0.0 if valid else 0.01 for *_, valid in one])
        powers = 0.95 ** np.arange(len(one))
        returns += [float(rewards[t:] @ powers[: len(one) - t]) - minus[t] for t in range(len(one))]
        scores += list(rewards.sum() - minus)
        place += [number] * len(one)
        keys += [key for key, *_ in one]

    def relative(values: np.ndarray, lone: float) -> np.ndarray:
        if len(values) == 1:
            return values - (values if lone else 0.0)
        spread = values.std(ddof=1) + 1e-6 if norm == "std" else 1.0
        return np.asarray((values - values.mean()) / spread)

    total = relative(np.array(scores), lone=0.0)
    for key in set(keys):
        rows = [n for n, other in enumerate(keys) if other == key]
        total[rows] += relative(np.array(returns)[rows], lone=1.0)
    return [
        [float(value) for value, at in zip(total, place, strict=True) if at == number]
        for number in range(len(episodes))
    ]


@pytest.mark.parametrize("preset", NORMS)
def test_drawn_groups_get_the_published_credit_in_every_arm_of_a_sweep_by_preset(
    preset: str, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    arms = resolve(swept(preset, "--layers", "0,3"), tmp_path).runs
    for _ in range(200):
        episodes: list[Rows] = [
            [
                ("abcd"[rng.integers(4)], float(rng.choice([0, 0, 0.5, 1])), rng.random() < 0.8)
                for _ in range(rng.integers(1, 6))
            ]
            for _ in range(rng.integers(1, 6))
        ]
        expected = as_published(episodes, NORMS[preset])
        for arm in arms:
            credit = arm.run.credit
            [found] = give_credit([Compared.of(made(episodes), credit)], credit)
            for row, wanted in zip(found.advantages, expected, strict=True):
                assert row == pytest.approx(tuple(wanted), abs=1e-9)


def test_a_dry_run_by_preset_shows_one_message_a_turn(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--model", "tiny", "--group", "2", "--env-arg", "max_turns=3"]
    small += ["--env-arg", "games=generated"]
    given = ["--preset", "gigpo-alfworld", *small, "--max-new-tokens", "8"]
    assert main(["train", *given, "--dry-run", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["episodes"] == 2
    assert told["tokens"] > told["trained"] > 0
