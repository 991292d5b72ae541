"""From sweep folders to layer profiles, and profiles on disk."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.evals.contribution.measure import measure
from layergym.evals.contribution.profile import profile
from layergym.evals.contribution.profile_file import read_profile, write_profile
from layergym.evals.result_files import read_sweep

MakeSweep = Callable[..., Path]


def test_contribution_is_the_share_of_the_full_gain(sweep_folder: Path) -> None:
    found = profile(read_sweep(sweep_folder))
    main = found.measures[0]
    assert [m.name for m in found.measures] == [
        "temperature 1",
        "greedy",
        "temperature 1 against sharpened base",
    ]
    for arm in main.arms:
        assert arm.contribution is not None
        share = (arm.score.value - main.base.value) / (main.full.value - main.base.value)
        assert arm.contribution.value == pytest.approx(share)
    assert (found.tasks, found.repeats, found.seeds) == (128, 2, (3, 3))
    assert [arm.layer for arm in main.layers] == list(range(6))


def test_scores_are_plain_means_over_seeds_tasks_and_repeats(sweep_folder: Path) -> None:
    sweep = read_sweep(sweep_folder)
    episodes = [s for r in sweep.results("layer-02", 1.0) for row in r.success for s in row]
    main = profile(sweep).measures[0]
    assert main.layers[2].score.value == pytest.approx(np.mean(episodes))


def test_other_arms_contribute_but_are_not_ranked(sweep_folder: Path) -> None:
    main = profile(read_sweep(sweep_folder)).measures[0]
    (middle,) = [arm for arm in main.arms if arm.layer is None]
    assert middle.arm == "middle-2"
    assert middle.contribution is not None and middle.ranks is None


def test_a_gain_that_may_be_noise_leaves_contributions_undefined(make_sweep: MakeSweep) -> None:
    arms = {"base": 0.4, "full": 0.4, "layer-00": 0.4, "layer-01": 0.4}
    found = profile(read_sweep(make_sweep(arms=arms, greedy={})))
    main = found.measures[0]
    assert not main.defined
    assert all(arm.contribution is None for arm in main.arms)
    assert "no distinguishable gain" in found.sharpening


def test_the_sharpened_base_takes_the_place_of_the_base(sweep_folder: Path) -> None:
    found = profile(read_sweep(sweep_folder))
    plain, sharp = found.measures[0], found.measures[2]
    assert sharp.full == plain.full
    assert sharp.base.value > plain.base.value + 0.2
    assert sharp.gain.value < plain.gain.value
    assert dict(found.base_by_temperature).keys() == {1.0, 0.5, 0.25, 0.0}
    assert "are also reached by the untrained base" in found.sharpening


@pytest.mark.parametrize(
    ("sharpest", "left"),
    [
        (0.4, "distinguishably above"),
        (0.71, "not distinguishable from"),
        (0.95, "distinguishably below"),
    ],
)
def test_what_is_left_beyond_sharpening_may_be_a_loss(
    make_sweep: MakeSweep, sharpest: float, left: str
) -> None:
    arms = {"base": 0.23, "full": 0.7}
    folder = make_sweep(arms=arms, greedy={}, base_by_temperature={0.5: sharpest})
    assert f"is {left} 0." in profile(read_sweep(folder)).sharpening


def test_a_base_that_is_best_at_temperature_one_is_not_sharpened(make_sweep: MakeSweep) -> None:
    folder = make_sweep(greedy={}, base_by_temperature={0.5: 0.02})
    assert "none of the gain" in profile(read_sweep(folder)).sharpening


def test_without_other_temperatures_sharpening_is_said_to_be_unexamined(
    make_sweep: MakeSweep,
) -> None:
    found = profile(read_sweep(make_sweep(greedy={}, base_by_temperature={})))
    assert len(found.measures) == 1
    assert "not examined" in found.sharpening


def test_the_middle_is_compared_with_the_ends(make_sweep: MakeSweep) -> None:
    scores = (0.3, 0.3, 0.7, 0.7, 0.3, 0.3)
    arms = {"base": 0.2, "full": 0.8, **{f"layer-{k:02d}": s for k, s in enumerate(scores)}}
    main = profile(read_sweep(make_sweep(arms=arms, greedy={}))).measures[0]
    for gap in (main.middle_less_first, main.middle_less_last):
        assert gap is not None and gap.above(0.3)
    first, middle, last = main.thirds
    assert None not in (first, middle, last)
    assert middle > max(first, last)  # type: ignore[type-var,operator]


def test_a_coarse_scan_is_profiled_over_the_layers_it_has(make_sweep: MakeSweep) -> None:
    arms = {"base": 0.2, "full": 0.8, "layer-00": 0.3, "layer-14": 0.6, "layer-27": 0.4}
    folder = make_sweep(arms=arms, greedy={}, settings={"num_layers": 28})
    found = profile(read_sweep(folder))
    assert found.num_layers == 28
    assert [arm.layer for arm in found.measures[0].layers] == [0, 14, 27]
    assert found.measures[0].middle_less_first is not None
    assert found.measures[0].middle_less_last is not None


def test_a_sweep_with_base_and_full_alone_has_a_gain_and_no_layers(make_sweep: MakeSweep) -> None:
    main = profile(read_sweep(make_sweep(arms={"base": 0.2, "full": 0.8}, greedy={}))).measures[0]
    assert main.gain.above(0.4)
    assert main.layers == () and main.best is None and main.middle_less_first is None


def test_arms_may_have_different_numbers_of_seeds(sweep_folder: Path) -> None:
    shutil.rmtree(sweep_folder / "arms" / "layer-04" / "seed-2")
    found = profile(read_sweep(sweep_folder))
    assert found.seeds == (2, 3)


def test_an_unfinished_sweep_says_what_is_missing(sweep_folder: Path) -> None:
    shutil.rmtree(sweep_folder / "arms" / "full")
    with pytest.raises(InputError, match="base and full"):
        profile(read_sweep(sweep_folder))
    shutil.rmtree(sweep_folder / "arms")
    with pytest.raises(InputError, match="no evaluation yet"):
        profile(read_sweep(sweep_folder))


def test_a_wrong_number_of_layers_is_noticed(make_sweep: MakeSweep) -> None:
    with pytest.raises(InputError, match="num_layers is 3, but layer 5"):
        profile(read_sweep(make_sweep(settings={"num_layers": 3})))


def test_two_reports_of_one_sweep_are_equal(sweep_folder: Path) -> None:
    assert profile(read_sweep(sweep_folder)) == profile(read_sweep(sweep_folder))


def test_a_profile_survives_the_disk_and_serves_layer_selection(sweep_folder: Path) -> None:
    found = profile(read_sweep(sweep_folder))
    path = sweep_folder / "profile.json"
    write_profile(path, found)
    assert read_profile(path) == found
    flat = json.loads(path.read_text())
    assert flat["num_layers"] == 6 and flat["format"] == 2
    first = flat["layers"][0]
    assert first["layer"] == 0
    assert first["contribution_low"] < first["contribution"] < first["contribution_high"]


@pytest.mark.parametrize("value", [{}, {"format": 2, "measures": []}, {"format": 1}])
def test_a_foreign_profile_is_refused(tmp_path: Path, value: dict[str, object]) -> None:
    write_json(tmp_path / "profile.json", value)
    with pytest.raises(InputError, match="profile"):
        read_profile(tmp_path / "profile.json")


def test_every_arm_failing_every_task_is_no_crash() -> None:
    nothing = np.zeros((1, 20))
    tables = {"base": nothing, "full": nothing, "layer-00": nothing, "layer-01": nothing}
    found = measure("temperature 1", tables, 2)
    assert not found.defined
    assert [arm.ranks for arm in found.layers] == [(1, 2), (1, 2)]


def test_a_single_task_gives_no_false_certainty() -> None:
    tables = {arm: np.array([[0.5]]) for arm in ("base", "full", "layer-00")}
    with pytest.raises(InputError, match="one task"):
        measure("temperature 1", tables, 1)


def test_two_tasks_that_all_went_one_way_define_no_contribution() -> None:
    zeros, ones = np.zeros((1, 2)), np.ones((1, 2))
    tables = {"base": zeros, "full": ones, "layer-00": ones, "layer-01": zeros}
    found = measure("temperature 1", tables, 2)
    assert found.gain.low is not None and found.gain.low < 0
    assert not found.defined
    for arm in found.layers:
        for gap in (arm.gain, arm.joint_gain, arm.against_full):
            assert gap.high - gap.low > 1  # type: ignore[operator]
            assert gap.low >= -1 and gap.high <= 1  # type: ignore[operator]
    assert [arm.ranks for arm in found.layers] == [(1, 2), (1, 2)]


def test_a_layer_equal_to_base_or_full_on_every_task_is_not_certain() -> None:
    generator = np.random.default_rng(0)
    base, full = (generator.random((2, 1, 60)) < [[[0.2]], [[0.8]]]).astype(float)
    found = measure("t", {"base": base, "full": full, "layer-00": base, "layer-01": full}, 2)
    for arm, exact in zip(found.layers, (0.0, 1.0), strict=True):
        for ratio in (arm.contribution, arm.joint_contribution):
            assert ratio is not None and ratio.value == pytest.approx(exact)
            assert 0.05 < exact - ratio.low < 0.4  # type: ignore[operator]
            assert 0.05 < ratio.high - exact < 0.4  # type: ignore[operator]
    assert found.layers[0].gain.low == pytest.approx(0.025 ** (1 / 60) - 1)
    assert found.layers[1].against_full.low < -0.05  # type: ignore[operator]


def test_a_plain_certain_gain_still_has_contributions() -> None:
    zeros, ones = np.zeros((1, 60)), np.ones((1, 60))
    half = (np.arange(60) % 2)[None].astype(float)
    main = measure("t", {"base": zeros, "full": ones, "layer-00": half, "layer-01": ones}, 2)
    assert main.defined and [arm.ranks for arm in main.layers] == [(2, 2), (1, 1)]


def test_the_highest_of_many_layers_has_an_interval_for_all(sweep_folder: Path) -> None:
    for arm in profile(read_sweep(sweep_folder)).measures[0].layers:
        pairs = ((arm.gain, arm.joint_gain), (arm.contribution, arm.joint_contribution))
        for alone, joint in pairs:
            assert alone is not None and joint is not None
            assert joint.low < alone.low and joint.high > alone.high  # type: ignore[operator]


def test_single_seeds_are_compared_by_their_numbers(make_sweep: MakeSweep) -> None:
    """Layer 4 lacks seed 0: seeds 1 and 2 of all layers are compared, none with another's."""
    folder = make_sweep(greedy={}, base_by_temperature={})
    whole = read_sweep(folder)
    means = [
        [whole.results(f"layer-{k:02d}", 1.0)[s].rates.mean() for k in range(6)] for s in (1, 2)
    ]
    shutil.rmtree(folder / "arms" / "layer-04" / "seed-0")
    found = profile(read_sweep(folder)).measures[0].single_seed
    assert found == pytest.approx(spearmanr(*means).statistic)
    shutil.rmtree(folder / "arms" / "layer-04" / "seed-1")
    assert profile(read_sweep(folder)).measures[0].single_seed is None
