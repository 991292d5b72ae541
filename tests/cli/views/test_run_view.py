"""What a training run shows, on a terminal of any size and in a log."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console

from layergym.agents.types import Reply, Trajectory, Turn
from layergym.cli.views.run_drawing import draw_run
from layergym.cli.views.run_state import RunState
from layergym.cli.views.run_view import RunView
from layergym.trainer.spec import RunSpec

KINDS = ("look_at_obj_in_light", "pick_and_place_simple", "pick_heat_then_place_in_recep")
TURN = Turn("You see a mug.", 0, Reply("take mug"), "take mug", 0.0, True)
TRAJECTORY = Trajectory("env", "train-0000", 0, (TURN, TURN), "terminated", success=True)


def row(step: int, **more: float) -> dict[str, float]:
    return {
        "step": step,
        "reward": step / 40,
        "success": step / 40,
        "turns": 9.0 - step / 10,
        "invalid": 0.01,
        "groups_zero_variance": 0.25,
        "step_groups_shared": 0.31,
        "step_group_size": 1.9,
        "grad_norm": 0.2,
        "kl": 0.0013,
        "mismatch": 5.1e-07,
        "tokens": 3000.0,
        "memory_bytes": 1.5 * 2**30,
        "time/rollout_s": 3.0,
        "time/env_s": 1.0,
        "time/logprobs_s": 0.5,
        "time/update_s": 1.5,
        **{f"grad_norm/layer_{i}": 0.1 * (i + 1) for i in range(8)},
        **{f"success/{kind}": 0.5 for kind in KINDS},
        **more,
    }


def state(steps: int, **settings: object) -> RunState:
    rows = [row(step) for step in range(1, steps + 1)]
    spec = RunSpec(env="layergym/ALFWorld-v0", steps=40, **settings)  # type: ignore[arg-type]
    return RunState(spec, Path("runs/middle"), 8, rows)


def picture(shown: RunState, width: int, height: int = 40) -> str:
    return "\n".join(line.plain.rstrip() for line in draw_run(shown, width, height))


def test_a_picture_fits_its_terminal() -> None:
    widths, heights, steps = (20, 40, 59, 60, 80, 109, 110, 300), (1, 5, 12, 24, 60), (0, 1, 20)
    for width, height, step in product(widths, heights, steps):
        lines = draw_run(state(step), width, height)
        assert len(lines) <= height
        assert all(line.cell_len <= width for line in lines)


@pytest.mark.parametrize("width", [80, 140])
def test_a_terminal_shows_everything_about_a_run(width: int) -> None:
    text = picture(state(20), width)
    assert "layergym/ALFWorld-v0 · tiny · gigpo · layers all" in text
    assert "step 20 of 40" in text and "runs/middle" in text
    assert re.search(r"reward +0\.500 +0\.388 ", text)
    assert re.search(r"success +50\.0 % +38\.8 %", text)
    assert re.search(r"step groups > 1 +31 %", text)
    assert re.search(r"KL +0\.0013", text)
    assert re.search(r"sampler mismatch +5\.1e-07", text)
    assert "0 ▂▃▄▅▅▆▇█ 7   layer 7: 0.8" in text
    assert re.search(r"pick heat then place in recep +50\.0 % ━+", text)
    assert "█ rollout 40 %  ▓ env 20 %  ▒ update 40 %" in text
    assert "time, 5.0 s per step" in text
    assert "1,000 sampled tokens/s   memory 1.50 GiB" in text


def test_a_wide_terminal_puts_sections_side_by_side() -> None:
    narrow, wide = (picture(state(20), width).splitlines() for width in (109, 110))
    assert len(wide) < len(narrow)
    assert any("reward" in line and "0 ▂" in line for line in wide)


def test_a_short_terminal_leaves_out_the_least_important() -> None:
    shown = picture(state(20), 80, height=18)
    assert "reward" in shown and "gradient by layer" in shown
    assert "by task type" not in shown


def test_only_layers_that_train_have_a_bar() -> None:
    shown = state(20)
    only = {k: v for k, v in row(21).items() if not k.startswith("grad_norm/")}
    shown.rows = [*shown.rows, only | {"grad_norm/layer_3": 0.2}]
    assert "0 ···█···· 7   layer 3: 0.2" in picture(shown, 80)


def test_a_metric_that_is_missing_or_not_a_number_is_a_dot() -> None:
    shown = state(1)
    shown.rows = [row(1, reward=float("nan")), {**row(2), "kl": None}]  # type: ignore[dict-item]
    assert re.search(r"reward +0\.050 +0\.050  ·▁", picture(shown, 80))


@pytest.mark.parametrize(
    ("name", "value", "drawn"),
    [
        ("out_of_context", 0.125, r"out of context +12\.5 % +1\.2 %"),
        ("shortened", 0.25, r"history shortened +25\.0 % +2\.5 %"),
        ("episodes_failed", 3.0, r"failed episodes +3 +0\.3"),
    ],
)
def test_episodes_that_went_wrong_are_drawn(name: str, value: float, drawn: str) -> None:
    shown = state(9)
    label = drawn.partition(" +")[0]
    shown.rows = [{**step, name: 0.0} for step in shown.rows]
    assert label not in picture(shown, 80)
    shown.rows = [*shown.rows, row(10, **{name: value})]
    assert re.search(drawn, picture(shown, 80))
    assert label in picture(shown, 140)


def test_a_log_says_what_went_wrong_with_episodes() -> None:
    out = StringIO()
    view = RunView(state(0), Console(file=out, width=60))
    view.show(row(1, episodes_failed=0.0, out_of_context=0.0))
    view.show(row(2, episodes_failed=3.0, out_of_context=0.125, shortened=0.0))
    view.show(row(3, shortened=0.25))
    _, quiet, told, short = out.getvalue().splitlines()
    assert "failed" not in quiet and "context" not in quiet
    assert told.endswith("3 episodes failed, 12.5 % out of context")
    assert short.endswith("25.0 % with a shortened history")


def test_the_time_left_follows_from_the_last_steps() -> None:
    shown = state(20)
    assert shown.left_s is None
    shown.ends = [shown.started + 100.0 + 2.0 * step for step in range(5)]
    assert shown.left_s == pytest.approx(20 * 2.0)


def test_a_redone_step_is_shown_once() -> None:
    view = RunView(state(20), Console(file=StringIO()))
    view.show(row(18))
    assert [shown["step"] for shown in view.state.rows] == list(range(1, 19))


def test_turns_are_counted_while_a_rollout_is_played() -> None:
    view = RunView(state(3, tasks_per_step=2, group_size=4), Console(file=StringIO()))
    spoken = replace(TURN, reply=Reply("take mug", ids=(1, 2, 3, 4), logprobs=(-1.0,) * 4))
    clock = 10.0
    view.state.playing.now = lambda: clock
    for episode in (0, 1, 0):
        view.turn(episode, spoken)
        clock += 1.0
    clock = 12.0
    assert "4 tokens/s" in picture(view.state, 120), "two turns in the two seconds since the first"
    clock = 21.5
    assert "0 tokens/s" in picture(view.state, 120), "one turn in the last ten seconds"
    view.end(0, TRAJECTORY)
    clock = 50.0
    shown = picture(view.state, 120)
    assert "1 of 8 episodes over, 1 playing · longest: 0 with 2 turns" in shown
    assert "no turn from 1 (0:39)" in shown


def test_a_step_ends_the_rollout_that_is_shown_unless_the_next_one_is_being_played() -> None:
    view = RunView(state(3, overlap=True), Console(file=StringIO()))
    for episode in (0, 1):
        view.turn(episode, TURN)
    view.show(row(4))
    assert "0 of 128 episodes over" in picture(view.state, 80), "it began before the step ended"
    for episode in (0, 1):
        view.end(episode, TRAJECTORY)
    view.turn(1, TURN)
    assert "0 of 128 episodes over, 1 playing · longest: 1 with 1 turns" in picture(view.state, 80)
    view.end(1, TRAJECTORY)
    view.show(row(5))
    assert "playing" not in picture(view.state, 80)


def test_a_log_gets_plain_lines() -> None:
    out = StringIO()
    with RunView(state(0), Console(file=out, width=60)) as view:
        view.show(row(1))
        view.turn(0, TURN)
        view.show(row(2))
        view.notice("stopping after this step")
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["step", "1", "2", "stopping"]
    assert "\x1b" not in out.getvalue()


def test_a_terminal_is_drawn_in_place() -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=30, color_system=None)
    with RunView(state(0), console) as view:
        view.show(row(1))
    drawn = out.getvalue()
    assert "\x1b[1A" in drawn and "step 1 of 40" in drawn.rsplit("\x1b[1A", 1)[1]
