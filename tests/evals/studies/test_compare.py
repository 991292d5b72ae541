"""Guided strategies: named by the ranking, judged on what the ranking has not seen."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.base.files import read_json, write_json
from layergym.base.locks import vacant
from layergym.envs import InputError
from layergym.evals.arms import by_ranking
from layergym.evals.contribution.profile import LayerProfile, profile
from layergym.evals.contribution.profile_file import write_profile
from layergym.evals.report.build import build
from layergym.evals.report.model import Table, Text
from layergym.evals.report.words import ratio
from layergym.evals.result_files import RANKING, read_sweep
from layergym.evals.sweep.guided import STRATEGIES, begin, comparison, take_back
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec, read_spec
from layergym.trainer.spec import RunSpec

FOLDER = Path("/runs/a")
FILE = FOLDER / RANKING
SWEEP = SweepSpec(
    run=RunSpec(env="layergym/ALFWorld-v0", env_args={"size": 50}),
    eval=EvalSpec(split="test", size=30, repeats=2),
    layers=tuple(range(8)),
    num_layers=8,
    seeds=(0, 1),
    lr_layer=2e-3,
)


@pytest.fixture
def ranking(sweep_folder: Path) -> LayerProfile:
    return profile(read_sweep(sweep_folder))


def test_the_ranking_is_named_where_an_arm_goes_by_it() -> None:
    assert by_ranking("single:best", FILE) == f"top:1@{FILE}"
    assert by_ranking("boost-top:5*3", FILE) == f"boost-top:5@{FILE}*3"
    assert by_ranking("lora-bottom:2", FILE) == f"lora-bottom:2@{FILE}"
    for arm in ("middle:5", "random:2", "top:5@other.json", "3,5"):
        assert by_ranking(arm, FILE) == arm


def test_nothing_is_scored_on_what_the_ranking_saw(ranking: LayerProfile) -> None:
    spec = comparison(SWEEP, ranking, FOLDER, ("full", "middle:3", "random"), (2, 3), size=10)
    assert {arm.name for arm in resolve(spec, Path()).runs} == {
        "base",
        "full",
        "middle-3",
        "random",
    }
    assert {arm.run.seed for arm in resolve(spec, Path()).runs if arm.name != "base"} == {2, 3}
    seen = set(scored_panel(SWEEP.run, SWEEP.eval).tasks)
    new = set(scored_panel(spec.run, spec.eval).tasks)
    assert len(new) == 10 and not seen & new
    valid = comparison(SWEEP, ranking, FOLDER, ("middle:3",), (2,), split="valid").eval
    assert (valid.split, valid.skip) == ("valid", 0)
    again = comparison(spec, ranking, FOLDER, ("middle:3",), (4,), size=5)
    assert not (seen | new) & set(scored_panel(again.run, again.eval).tasks)


def test_a_comparison_on_the_same_luck_is_refused(ranking: LayerProfile) -> None:
    with pytest.raises(InputError, match="seed 1 took part in the ranking"):
        comparison(SWEEP, ranking, FOLDER, ("middle:3",), (1, 2))
    whole = replace(SWEEP, eval=replace(SWEEP.eval, size=None))
    with pytest.raises(InputError, match="--eval-split"):
        comparison(whole, ranking, FOLDER, ("middle:3",), (2,))


def test_what_is_left_of_the_tasks_is_scored(ranking: LayerProfile) -> None:
    spec = comparison(SWEEP, ranking, FOLDER, ("middle:3",), (2,))
    assert (spec.eval.size, spec.eval.skip) == (20, 30)
    assert len(scored_panel(spec.run, spec.eval)) == 20
    assert comparison(SWEEP, ranking, FOLDER, ("middle:3",), (2,), split="valid").eval.size == 30
    with pytest.raises(InputError, match="compare on 20"):
        comparison(SWEEP, ranking, FOLDER, ("middle:3",), (2,), size=21)
    with pytest.raises(InputError, match="the ranking used 50; compare on another split"):
        comparison(replace(SWEEP, eval=EvalSpec(size=50)), ranking, FOLDER, ("middle:3",), (2,))


def test_tasks_that_decided_on_the_way_are_not_scored(ranking: LayerProfile) -> None:
    raced = replace(SWEEP, search=Search(race=(8,), dev=EvalSpec(split="valid", size=40)))
    spec = comparison(raced, ranking, FOLDER, ("middle:3",), (2,), split="valid")
    assert (spec.eval.size, spec.eval.skip) == (10, 40)
    whole = replace(raced, search=replace(raced.search, dev=EvalSpec(split="valid")))
    with pytest.raises(InputError, match="the ranking used 50"):
        comparison(whole, ranking, FOLDER, ("middle:3",), (2,), split="valid")


def test_arms_that_cannot_run_are_refused_at_once(
    ranking: LayerProfile, make_sweep: Callable[..., Path]
) -> None:
    for arm in ("lora-middle:9", "boost-top:7", "top:0"):
        with pytest.raises(InputError, match=r"asks for \d layers"):
            comparison(SWEEP, ranking, FOLDER, (arm,), (2,))
    with pytest.raises(InputError, match="no layer profile"):
        comparison(SWEEP, ranking, FOLDER, ("boost-top:1@absent.json*3",), (2,))
    for arm in ("boost-top:2*0", "boost-middle:2*x"):
        with pytest.raises(InputError, match="has no factor"):
            comparison(SWEEP, ranking, FOLDER, (arm,), (2,))
    with pytest.raises(InputError, match="cannot be read"):
        comparison(SWEEP, ranking, FOLDER, ("best",), (2,))
    flat = {"base": 0.4, "full": 0.4, "layer-00": 0.4, "layer-01": 0.4}
    noise = profile(read_sweep(make_sweep("noise", arms=flat, greedy={})))
    comparison(SWEEP, noise, FOLDER, ("middle:1",), (2,))
    with pytest.raises(InputError, match="needs a ranking"):
        comparison(SWEEP, noise, FOLDER, ("boost-top:1",), (2,))


def test_the_folder_says_what_was_chosen(ranking: LayerProfile, tmp_path: Path) -> None:
    folder = tmp_path / "compared"
    sweep = replace(SWEEP, num_layers=6, layers=(0,))
    spec = comparison(sweep, ranking, folder, ("boost-top:2*3", "single:best", "random"), (2,))
    begin(spec, folder, sweep, ranking)
    order = sorted(ranking.measures[0].layers, key=lambda arm: -arm.score.value)
    best, second = (arm.layer for arm in order[:2])
    origin = read_json(folder / "manifest.json")["ranking"]
    assert origin["layers"]["top-1"] == [best] and origin["layers"]["random"] == []
    assert set(origin["layers"]["boost-top-2-3"]) == {best, second}
    assert (origin["split"], origin["seeds"]) == ("test", [0, 1])
    assert read_spec(folder) == spec


def test_a_comparison_that_is_killed_as_it_begins_can_begin_anew(
    ranking: LayerProfile, tmp_path: Path
) -> None:
    folder = tmp_path / "compared"
    write_profile(folder / RANKING, ranking)
    take_back(folder)
    assert vacant(folder)
    sweep = replace(SWEEP, num_layers=6, layers=(0,))
    spec = comparison(sweep, ranking, folder, ("single:best",), (2,))
    begin(spec, folder, sweep, ranking)
    kept = (folder / RANKING).read_bytes()
    take_back(folder)
    with pytest.raises(InputError, match="not empty"):
        begin(spec, folder, sweep, ranking)
    assert (folder / RANKING).read_bytes() == kept


def test_nothing_is_begun_on_an_unfinished_sweep(
    ranking: LayerProfile, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(replace(SWEEP, layers=(0, 1)), tmp_path / "begun", SWEEP, ranking)
    assert main(["compare", str(tmp_path / "begun")]) == 2
    assert "runs to go: 7" in capsys.readouterr().err
    assert not (tmp_path / "begun-compared").exists()


def test_the_published_strategies_have_names_of_their_own() -> None:
    extra = tuple(by_ranking(arm, FILE) for arm in STRATEGIES if arm != "full")
    spec = replace(SWEEP, layers=(), extra=extra, run=replace(SWEEP.run, env_args={}))
    names = ["top-1", "middle-5", "top-5", "boost-top-5", "lora-middle-5"]
    assert len({*spec.arms}) == 7
    assert [name for name in names if name in _names(spec)] == names


def _names(spec: SweepSpec) -> list[str]:
    return [arm.name for arm in spec.arms]


@pytest.fixture
def compared(make_sweep: Callable[..., Path], ranking: LayerProfile) -> Path:
    """A comparison in which "top-1" does better than all others."""
    arms = {"base": 0.2, "full": 0.5, "top-1": 0.9, "middle-2": 0.5, "boost-top-2": 0.5}
    folder = make_sweep("compared", arms=arms, greedy={})
    extra = ["top:1", "middle:2", "boost-top:2"]
    write_json(folder / "sweep.json", {"num_layers": 6, "extra": extra, "seeds": [3, 4, 5]})
    write_profile(folder / RANKING, ranking)
    origin = {"split": "test", "seeds": [0, 1, 2]}
    layers = {"top-1": [4], "middle-2": [2, 3], "boost-top-2": [4, 5]}
    write_json(folder / "manifest.json", {"ranking": {**origin, "layers": layers}})
    return folder


def test_the_report_says_what_was_chosen_where(compared: Path, ranking: LayerProfile) -> None:
    report = build([compared])
    section = next(s for s in report.sections if s.heading == "Guided strategies")
    verdict, table, told = section.blocks
    assert isinstance(verdict, Text) and "top-1, distinguishably above every other" in verdict.text
    assert isinstance(table, Table)
    rows = {row[0]: row[1:] for row in table.rows}
    assert next(iter(rows)) == "top-1"
    chosen = next(arm for arm in ranking.measures[0].layers if arm.layer == 4)
    here = next(arm for arm in report.profiles[0].measures[0].arms if arm.arm == "top-1")
    then = ratio(chosen.joint_contribution)  # It was picked, so for all arms together.
    assert then != ratio(chosen.contribution)
    assert rows["top-1"] == ("4", then, ratio(here.contribution), "1-1")
    assert rows["full"][0] == "all" and rows["full"][1:3] == ("-", "-")
    assert rows["boost-top-2"][:2] == ("4-5", "-")
    assert isinstance(told, Text) and "on 128 tasks of the test split with seeds 0-2" in told.text
    texts = [b.text for s in report.sections for b in s.blocks if isinstance(b, Text)]
    assert not any("Next run" in text for text in texts)


def test_arms_of_a_profile_of_unknown_origin_are_marked(make_sweep: Callable[..., Path]) -> None:
    folder = make_sweep("plain", settings={"num_layers": 6, "extra": ["middle:2"]})
    assert not any(s.heading == "Guided strategies" for s in build([folder]).sections)
    write_json(folder / "sweep.json", {"num_layers": 6, "extra": ["top:2@other/profile.json"]})
    [section] = [s for s in build([folder]).sections if s.heading == "Guided strategies"]
    [warning] = section.blocks
    assert isinstance(warning, Text) and warning.tone == "warning"
    assert "top:2@other/profile.json" in warning.text
