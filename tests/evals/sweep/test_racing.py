"""Racing and scanning: pure decisions on synthetic scores."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from layergym.envs import InputError
from layergym.evals.stats import Floats
from layergym.evals.stats.simulate import Design, outcomes
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.racing import ALPHA, behind
from layergym.evals.sweep.scan import coarse, waves
from layergym.evals.sweep.search import TASKS, Search

RACE = Design(tasks=64, repeats=2, seeds=1, seed_sd=0.0)


def tables_of(
    scores: Mapping[str, float], design: Design, generator: np.random.Generator
) -> dict[str, Floats]:
    drawn = outcomes(list(scores.values()), [True] * len(scores), design, generator)
    return {arm: table.mean(axis=2) for arm, table in zip(scores, drawn, strict=True)}


def race(
    scores: Sequence[float], design: Design, looks: int, generator: np.random.Generator
) -> set[int]:
    """The layers that reach the end, when every look draws new tasks."""
    going = {str(layer): score for layer, score in enumerate(scores)}
    for _ in range(looks):
        for one in behind(tables_of(going, design, generator), looks):
            del going[one.arm]
    return set(map(int, going))


def best_lost(scores: Sequence[float], races: int, design: Design = RACE) -> float:
    generator = np.random.default_rng(1)
    return float(np.mean([0 not in race(scores, design, 2, generator) for _ in range(races)]))


def test_a_layer_far_behind_stops_and_says_behind_whom() -> None:
    generator = np.random.default_rng(0)
    scores = {"layer-00": 0.1, "layer-01": 0.55, "layer-02": 0.5}
    tables = tables_of(scores, RACE, generator)
    [one] = behind(tables, looks=2)
    assert (one.arm, one.leader) == ("layer-00", "layer-01")
    assert one.score == tables["layer-00"].mean() and one.best == tables["layer-01"].mean()
    assert 0 < one.at_least < one.best - one.score


def test_no_one_stops_when_all_are_alike_alone_or_flat() -> None:
    same = np.random.default_rng(0).random((1, 64)).round()
    assert behind({"a": same, "b": same, "c": same}, looks=1) == []
    assert behind({"a": same}, looks=1) == []
    assert behind({"a": np.zeros((1, 64)), "b": np.zeros((1, 64))}, looks=1) == []


def test_more_looks_ask_for_more() -> None:
    generator = np.random.default_rng(3)
    tables = tables_of({"a": 0.55, "b": 0.35}, RACE, generator)
    once, often = behind(tables, looks=1), behind(tables, looks=20)
    assert once and (not often or often[0].at_least < once[0].at_least)


def test_the_best_layer_is_rarely_stopped() -> None:
    """The hardest case, eight layers that tie, and a mild one."""
    tied, ahead = best_lost([0.5] * 8, 60), best_lost([0.6, *[0.5] * 7], 60)
    assert tied <= ALPHA + 2 * np.sqrt(ALPHA / 60)
    assert ahead == 0


@pytest.mark.slow
def test_the_best_layer_is_rarely_stopped_in_many_sweeps() -> None:
    slack = 2 * float(np.sqrt(ALPHA / 400))
    few = Design(tasks=TASKS, repeats=2, seeds=1, seed_sd=0.0)
    for design in (RACE, few, Design(tasks=64, seeds=3)):
        assert best_lost([0.5] * 8, 400, design) <= ALPHA + slack


def test_hopeless_layers_mostly_stop() -> None:
    generator = np.random.default_rng(2)
    left = [race([0.6, 0.55, 0.2, 0.2, 0.15], RACE, 2, generator) for _ in range(20)]
    assert sum(not kept & {2, 3, 4} for kept in left) >= 18


def scanned(scores: Sequence[float], stride: int) -> list[tuple[int, ...]]:
    known: dict[int, float] = {}
    layers = range(len(scores))
    while True:
        found = waves(list(layers), stride, known)
        new = [layer for layer in found[-1] if layer not in known]
        if not new:
            return found
        known |= {layer: scores[layer] for layer in new}


def test_a_scan_begins_with_every_nth_layer_and_the_last() -> None:
    assert coarse(range(28), 4) == (0, 4, 8, 12, 16, 20, 24, 27)
    assert coarse(range(9), 4) == (0, 4, 8)
    assert coarse((3, 5, 7), 4) == (3, 7)


@pytest.mark.parametrize("peak", range(28))
def test_a_scan_climbs_to_the_top_of_one_peak(peak: int) -> None:
    scores = [-abs(layer - peak) for layer in range(28)]
    found = scanned(scores, 4)
    run = [layer for wave in found for layer in wave]
    assert peak in run and len(run) == len(set(run)) <= 16
    assert {peak - 1, peak + 1} & set(range(28)) <= set(run)


def test_a_scan_waits_for_all_of_a_wave_and_depends_on_nothing_later() -> None:
    scores = {layer: float(-abs(layer - 5)) for layer in range(12)}
    first = {layer: scores[layer] for layer in (0, 4, 8)}
    assert waves(range(12), 4, first) == [(0, 4, 8, 11)]
    first[11] = scores[11]
    assert waves(range(12), 4, first) == [(0, 4, 8, 11), (2, 6)]
    assert waves(range(12), 4, scores)[:2] == [(0, 4, 8, 11), (2, 6)]


def test_a_layer_without_a_score_is_never_the_best() -> None:
    assert waves(range(6), 2, {0: 1.0, 2: 0.0, 4: 0.0}, out=[5]) == [(0, 2, 4, 5), (1,)]
    assert waves(range(4), 2, {}, out=range(4)) == [(0, 2, 3)]


@pytest.mark.parametrize(
    ("search", "wrong"),
    [
        (Search(scan=1), "n at least 2"),
        (Search(race=(8, 8)), "looks of a race rise"),
        (Search(race=(30,)), "below 30 steps"),
        (Search(race=(8,), dev=EvalSpec(split="valid", size=8)), "32 tasks or more"),
        (Search(lr_grid=(1e-3,)), "two or more different learning rates"),
        (Search(scan=2, dev=EvalSpec(split="test")), "need different tasks"),
    ],
)
def test_settings_that_cannot_work_are_refused(search: Search, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        search.check(30, EvalSpec(split="test"))
