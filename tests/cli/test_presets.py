"""Published settings by name."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

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


def test_a_dry_run_by_preset_shows_one_message_a_turn(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--model", "tiny", "--group", "2", "--env-arg", "max_turns=3"]
    small += ["--env-arg", "games=generated"]
    given = ["--preset", "gigpo-alfworld", *small, "--max-new-tokens", "8"]
    assert main(["train", *given, "--dry-run", "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["episodes"] == 2
    assert told["tokens"] > told["trained"] > 0
