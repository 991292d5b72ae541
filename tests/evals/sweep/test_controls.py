"""Layers against controls of the same size, in numbers, words and plots."""

from collections.abc import Callable
from pathlib import Path

import pytest

from layergym.evals.arms import ArmName
from layergym.evals.contribution.profile import profile
from layergym.evals.contribution.profile_file import read_profile, write_profile
from layergym.evals.report.build import build
from layergym.evals.report.cautions import cautions
from layergym.evals.report.model import Plot, Text
from layergym.evals.report.render.svg import draw_plot
from layergym.evals.result_files import read_sweep
from layergym.evals.stats.simulate import Design

MakeSweep = Callable[..., Path]
LAYERS = {f"layer-{i:02d}": p for i, p in enumerate((0.66, 0.65, 0.3, 0.65))}


@pytest.fixture
def folder(make_sweep: MakeSweep) -> Path:
    arms = {"base": 0.3, "full": 0.7, **LAYERS, "random": 0.45, "lora": 0.65}
    return make_sweep("controls", arms=arms, greedy={}, design=Design(tasks=400))


def test_layers_are_compared_with_controls_at_once(folder: Path, tmp_path: Path) -> None:
    found = profile(read_sweep(folder))
    main = found.measures[0]
    by_arm = {control.arm: control for control in main.controls}
    assert by_arm.keys() == {"random", "lora"}
    scores = {arm.arm: arm.score.value for arm in main.arms}
    for name, control in by_arm.items():
        for arm, gap in zip(main.layers, control.layers, strict=True):
            assert gap.value == pytest.approx(arm.score.value - scores[name])
    random = by_arm[ArmName("random")]
    assert [gap.above(0) for gap in random.layers] == [True, True, False, True]
    assert random.mean_layer and random.mean_layer.above(0)
    assert not any(gap.above(0) for gap in by_arm[ArmName("lora")].layers)
    write_profile(tmp_path / "profile.json", found)
    assert read_profile(tmp_path / "profile.json") == found


def test_the_report_says_and_draws_it(folder: Path) -> None:
    section = next(s for s in build([folder]).sections if s.heading == "Contribution by depth")
    told = " ".join(b.text for b in section.blocks if isinstance(b, Text))
    assert "only if it beats" in told
    assert "distinguishably better layers 0-1, 3, worse layer 2" in told
    plot = next(b for b in section.blocks if isinstance(b, Plot))
    assert [row[0] for row in plot.table().rows] == ["0", "1", "2", "3", "lora", "random"]
    svg = draw_plot(plot, 720)
    assert svg.count('class="control-mark"') == 2 == svg.count('class="control-bar"')


def test_a_sweep_without_controls_says_that_they_are_missing_and_what_they_cost(
    sweep_folder: Path, folder: Path
) -> None:
    found = profile(read_sweep(sweep_folder))
    assert found.measures[0].controls == ()
    said = [text.text for text in cautions(found) if "--arms random" in text.text]
    assert len(said) == 1
    assert f"{found.seeds[1]} runs beside these {len(found.runs)}" in said[0]
    assert not any("--arms random" in text.text for text in cautions(profile(read_sweep(folder))))
