"""What a report concludes, recommends and warns of."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import Measure, measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.contribution.runs import RunScore
from layergym.evals.report.build import build
from layergym.evals.report.cautions import cautions
from layergym.evals.report.findings import findings, recommendation
from layergym.evals.report.model import Text
from layergym.evals.report.render.page import render as render_page
from layergym.evals.report.render.terminal import as_text
from layergym.evals.stats.simulate import Design, outcomes
from tests.evals.report.reading import (
    MakeSweep,
    Page,
    blocks,
    lose,
    texts,
)


def test_the_verdict_comes_first(sweep_folder: Path) -> None:
    text = as_text(build([sweep_folder]), 80)
    verdict = ("At temperature 1, full", "Greedy, full", "untrained base", "Highest alone")
    order = (*verdict, "Next run: layers=", "base  ───", "rank")
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def test_one_seed_is_flagged(make_sweep: MakeSweep) -> None:
    folder = make_sweep()
    for seed in (1, 2):
        for run in (folder / "arms").glob(f"*/seed-{seed}"):
            shutil.rmtree(run)
    report = build([folder])
    assert "One seed per arm" in texts(report)
    assert recommendation(report.profiles[0])[0] == "all"


def test_one_seed_per_arm_makes_no_finding_about_layers(make_sweep: MakeSweep) -> None:
    """Layer 1 beats full and the middle beats both ends, but only as runs."""
    scores = (0.3, 0.9, 0.3)
    arms = {"base": 0.2, "full": 0.6, **{f"layer-{k:02d}": s for k, s in enumerate(scores)}}
    for seeds, tone in ((1, "plain"), (3, "finding")):
        folder = make_sweep(
            f"{seeds}", arms=arms, greedy={}, settings={}, design=Design(seeds=seeds)
        )
        said = blocks(build([folder]), Text)
        for claim in ("Distinguishably better than full", "middle layers recover more than both"):
            (told,) = [text for text in said if claim in text.text]
            assert told.tone == tone
            assert ("one seed per arm says nothing about layers" in told.text) is (seeds == 1)
        assert any(text.tone == "finding" for text in said) is (seeds == 3)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ((0.7, 0.7, 0.7, 0.7, 0.3, 0.3), "the last third recovers less than the middle"),
        ((0.3, 0.3, 0.7, 0.7, 0.7, 0.7), "the first third recovers less than the middle"),
        ((0.3, 0.3, 0.3, 0.3, 0.7, 0.7), "the last third recovers more than the middle"),
        ((0.3, 0.3, 0.7, 0.7, 0.3, 0.3), "middle layers recover more than both ends"),
        ((0.5,) * 6, "no difference is resolved"),
    ],
)
def test_the_middle_is_ahead_only_where_both_ends_are_behind(
    make_sweep: MakeSweep, scores: tuple[float, ...], told: str
) -> None:
    arms = {"base": 0.2, "full": 0.8, **{f"layer-{k:02d}": s for k, s in enumerate(scores)}}
    said = texts(build([make_sweep(arms=arms, greedy={})]))
    assert told in said
    assert ("middle layers recover more" in said) is ("both ends" in told)


def test_what_the_base_reaches_by_decoding_colder_comes_before_any_layer(
    make_sweep: MakeSweep,
) -> None:
    arms = {"base": 0.3, "full": 0.5, "layer-00": 0.35, "layer-01": 0.5}
    flat = dict.fromkeys(arms, 0.6)
    cold = make_sweep("cold", arms=arms, greedy=flat, base_by_temperature={0.5: 0.6}, settings={})
    said = texts(build([cold]))
    assert "Next run: decode the untrained base colder first" in said
    better = {**flat, "full": 0.9, "layer-01": 0.9}
    warm = make_sweep("warm", arms=arms, greedy=better, base_by_temperature={0.5: 0.6}, settings={})
    assert "Next run: layers=1" in texts(build([warm]))


def test_noise_is_not_recommended(make_sweep: MakeSweep) -> None:
    arms = {"base": 0.4, "full": 0.4, "layer-00": 0.4, "layer-01": 0.4}
    report = build([make_sweep(arms=arms, greedy={})])
    assert recommendation(report.profiles[0])[0] == "all"
    assert "contributions are undefined" in texts(report)
    assert Page(render_page(report)).open == []


def test_the_best_of_many_idle_layers_is_not_recommended() -> None:
    """A layer that does nothing is highest by luck; one in 28 often clears its own interval."""
    arms = ["base", "full", *map(ArmName.of_layer, range(28))]
    recommended, alone = 0, 0
    for seed in range(30):
        drawn = outcomes(
            [0.25, 0.7] + [0.25] * 28,
            [arm != "base" for arm in arms],
            Design(tasks=64),
            np.random.default_rng(seed),
        )
        tables = {arm: table.mean(axis=2) for arm, table in zip(arms, drawn, strict=True)}
        found = measure("temperature 1", tables, 28)
        recommended += recommendation(profile_of(found))[0] != "all"
        alone += found.best is not None and found.best.gain.above(0)
    assert recommended <= 3 < alone


def profile_of(found: Measure) -> LayerProfile:
    return LayerProfile(
        name="x",
        model="m",
        model_hash="h",
        num_layers=len(found.layers),
        env_id="e",
        panel_hash="p",
        algorithm="gigpo",
        tasks=64,
        repeats=2,
        seeds=(3, 3),
        measures=(found,),
        base_by_temperature=(),
        sharpening="-",
    )


def test_rankings_of_seeds_that_disagree_are_called_unreliable() -> None:
    """Seeds rank three layers 123, 231, 312."""
    places = {"layer-00": (1, 2, 3), "layer-01": (2, 3, 1), "layer-02": (3, 1, 2)}
    tables = {
        arm: np.array([np.arange(60) < 20 + 2 * place for place in seeds]).astype(float)
        for arm, seeds in {"base": (0,), "full": (15,) * 3, **places}.items()
    }
    said = " ".join(text.text for text in cautions(profile_of(measure("t", tables, 3))))
    assert "single seeds correlate at -0.50; the mean of 3 seeds then has no reliability" in said


def test_a_loss_is_called_a_loss(make_sweep: MakeSweep) -> None:
    arms = {"base": 0.2, "full": 0.7, "layer-00": 0.3}
    worse = {"base": 0.7, "full": 0.4, "layer-00": 0.4}
    report = build([make_sweep(arms=arms, greedy=worse)])
    assert "This is distinguishably below 0, so contributions are undefined" in texts(report)


def test_a_clear_winner_is_recommended(make_sweep: MakeSweep) -> None:
    arms = {"base": 0.2, "full": 0.7, "layer-00": 0.3, "layer-01": 0.65, "layer-02": 0.3}
    report = build([make_sweep(arms=arms, greedy={}, settings={})])
    layers, why = recommendation(report.profiles[0])
    assert layers == "1" and "cannot be told apart" not in why


def test_a_run_that_stands_apart_is_named_and_counts(sweep_folder: Path) -> None:
    lose(sweep_folder / "arms" / "layer-03" / "seed-1")
    report = build([sweep_folder])
    told = [b.text for s in report.sections for b in s.blocks if isinstance(b, Text)]
    assert any("layer 3, seed 1 stands apart: 0.0 %" in text for text in told)
    [found] = report.profiles
    assert [(r.arm, r.seed) for r in found.runs if r.apart] == [("layer-03", 1)]
    assert found.measures[0].defined
    assert any("their contributions do not" in text for text in told)


def test_a_gain_that_another_lost_run_could_undo_is_no_finding() -> None:
    arms = ["base", "full", "layer-00", "layer-01", "layer-02", "layer-03"]
    trained = [arm != "base" for arm in arms]
    drawn = outcomes([0.4] + [0.52] * 5, trained, Design(), np.random.default_rng(0))
    tables = {arm: table.mean(axis=2) for arm, table in zip(arms, drawn, strict=True)}
    tables["layer-02"][1] *= np.random.default_rng(0).random(128) < 0.05
    found = measure("temperature 1", tables, 4)
    assert found.defined and found.gain.low is not None and found.gain.low <= 0
    lost = RunScore(ArmName.of_layer(2), 1, 0.0, 0, apart=True)
    told, *_, advice = findings(replace(profile_of(found), runs=(lost,)))
    assert told.tone == "warning" and "allowing for that" in told.text
    assert "layers=all" in advice.text and "further seeds" in advice.text
