"""A full run taken apart: what is scored, what is kept, and what is said about it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from layergym.__main__ import main
from layergym.base.locks import locked
from layergym.evals.contribution.cheap import compared
from layergym.evals.contribution.cuts import SETS, Cut, Stack, cuts
from layergym.evals.contribution.dissected import (
    Store,
    coalition_name,
    coalition_of,
    read_dissected,
    wanted_coalitions,
)
from layergym.evals.contribution.dissection import dissect
from layergym.evals.contribution.predicted import LayerStatistics, Prediction
from layergym.evals.report.model import Plot, Section, Table, Text
from layergym.evals.report.sections.cheap import cheap_section
from layergym.evals.report.sections.dissected import dissected_section
from layergym.evals.results import EvalResult
from layergym.evals.stats.shapley import every_coalition, order_pairs
from layergym.evals.sweep.spec import SweepSpec
from layergym.evals.sweep.subject import read_subject
from layergym.evals.sweep.variants import Bench
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.run import train

TASKS = 200
STACK = Stack(8, ("attn", "mlp", "q", "embed"), alone=(5, 0, 3), others=("next", "grpo"))


def drawn(rate: float, seed: int, shift: int) -> np.ndarray:
    """(T, 2) successes; all variants share the tasks' difficulty."""
    difficulty = np.random.default_rng(0).normal(0, 0.15, TASKS)
    generator = np.random.default_rng([1, seed, shift])
    return generator.random((TASKS, 2)) < np.clip(rate + difficulty, 0, 1)[:, None]


def result(name: str, seed: int, table: np.ndarray) -> EvalResult:
    return EvalResult(
        env_id="e",
        split="test",
        panel_hash="p",
        arm=name,
        seed=seed,
        temperature=1.0,
        tasks=tuple(map(str, range(TASKS))),
        kinds=("k",) * TASKS,
        success=tuple(tuple(map(bool, row)) for row in table),
        reward=tuple(tuple(map(float, row)) for row in table),
        turns=((1, 1),) * TASKS,
    )


def written(folder: Path, rates: Mapping[str, float], layers: int, **asked: dict[int, int]) -> Path:
    store = Store(folder / "dissect" / "panel")
    store.ask(layers=layers, pairs=asked.get("pairs", {}), episodes=1000)
    for seed in range(3):
        for place, (name, rate) in enumerate(rates.items()):
            store.keep(seed, result(name, seed, drawn(rate, seed, place)))
    return folder


def texts(section: Section) -> str:
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


REDUNDANT = {
    "base": 0.3,
    "full": 0.6,
    **{f"moved-{i}": 0.52 if i < 2 else 0.31 for i in range(6)},
    **{f"without-{i}": 0.6 for i in range(6)},
    **{f"alone-{i}": 0.6 - 0.04 * i for i in range(6)},
    "stack-0-5": 0.1,
}


def test_planted_layers_are_found_and_redundancy_is_said(tmp_path: Path) -> None:
    [found] = read_dissected(written(tmp_path, REDUNDANT, 6))
    section = dissected_section(found)
    told = texts(section)
    assert "layers 0-1 distinguishably lift it" in told
    assert "No single layer is needed" in told
    assert "Single-layer runs put into one model (0-5)" in told
    [plot] = [block for block in section.blocks if isinstance(block, Plot)]
    assert [series.name for series in plot.series] == [
        "trained alone",
        "moved into the base",
        "lost when put back",
    ]
    assert all(len(series.x) == 6 for series in plot.series)
    [ranked] = [
        b for b in section.blocks if isinstance(b, Table) and "Rank correlation" in b.caption
    ]
    assert {row[0] for row in ranked.rows} == {"moved into the base", "lost when put back"}


def test_a_layer_that_is_needed_is_named(tmp_path: Path) -> None:
    rates = REDUNDANT | {"without-2": 0.4}
    [found] = read_dissected(written(tmp_path, rates, 6))
    assert "loses distinguishably without layer 2" in texts(dissected_section(found))


def test_shares_are_undefined_where_full_training_gained_nothing(tmp_path: Path) -> None:
    [found] = read_dissected(written(tmp_path, REDUNDANT | {"full": 0.3}, 6))
    assert not dissect(found.tables).defined
    assert "undefined" in texts(dissected_section(found))


def test_shares_are_those_of_the_truth(tmp_path: Path) -> None:
    [found] = read_dissected(written(tmp_path, REDUNDANT, 6))
    what = dissect(found.tables)
    moved, back = what.of("moved-0"), what.of("without-0")
    assert moved and moved.share and moved.share.low and moved.share.high
    assert moved.share.low < 0.22 / 0.3 < moved.share.high
    assert back and back.share and back.share.low is not None and back.share.low < 0
    assert moved.joint.low is not None and moved.difference.low is not None
    assert moved.joint.low < moved.difference.low


def test_shapley_values_come_from_what_is_on_disk(tmp_path: Path) -> None:
    worth = (0.2, 0.1, 0.0, 0.0, 0.05)
    rates = {
        coalition_name(one): 0.3 + sum(worth[i] for i in one) for one in every_coalition(5)
    } | {"full": 0.6}
    folder = written(tmp_path, rates, 5, pairs=dict.fromkeys(range(3), 0))
    [found] = read_dissected(folder)
    values = np.mean([shares.values for shares in found.shapley()], axis=0)
    assert values == pytest.approx(worth, abs=0.05)
    assert all(shares.exact for shares in found.shapley())
    # Stopped in between: what there is of whole orders is used, as long as there are two pairs.
    *_, last = wanted_coalitions(5, 0, 1)
    next(folder.glob(f"dissect/panel/seed-1/{coalition_name(last)}/evals/*.json")).unlink()
    [found] = read_dissected(folder)
    assert [shares.exact for shares in found.shapley()] == [True, False, True]
    first = order_pairs(5, 1, seed=1)[0][:1]
    next(folder.glob(f"dissect/panel/seed-1/moved-{first[0]}/evals/*.json")).unlink()
    [found] = read_dissected(folder)
    assert found.shapley() == []


def test_coalitions_have_names_of_their_own_and_widen_no_other_interval(tmp_path: Path) -> None:
    assert all(coalition_of(coalition_name(one)) == one for one in every_coalition(6))
    others = ("full", "moved-all.q", "moved-embed", "stack-0+5", "exchanged-7@next", "without-3")
    assert all(coalition_of(name) is None for name in others)
    rates = REDUNDANT | {"moved-0-1": 0.5, "moved-1-2": 0.4, "moved-0+3+5": 0.4, "moved-4-5": 0.3}
    [found] = read_dissected(written(tmp_path, rates, 6))
    shown = {share.name for share in dissect(found.tables).shares}
    assert {"moved-0", "moved-0-1", "moved-4-5"} <= shown
    assert not {"moved-1-2", "moved-0+3+5"} & shown


def test_sets_name_each_variant_once_and_share_coalitions() -> None:
    names = [cut.name for cut in cuts(SETS, STACK)]
    assert len(names) == len(set(names))
    assert {"moved-0-1", "moved-6-7", "moved-all.q", "moved-embed", "scaled-0.5"} <= set(names)
    assert {
        "stack-0+5",
        "stack-0+3+5",
        "average-0+3+5",
        "exchanged-7@next",
        "exchanged-0@grpo",
    } <= set(names)
    assert coalition_name(frozenset({0, 1})) in names


@pytest.fixture(scope="module")
def run_folder(
    sweep_of: Callable[..., SweepSpec], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("full") / "run"
    train(sweep_of(1).run, folder)
    return folder


def dissect_run(folder: Path, *more: str) -> int:
    small = ["--eval-tasks", "3", "--eval-repeats", "1", "--quiet"]
    return main(["dissect", str(folder), *small, *more])


def test_a_run_is_taken_apart_and_goes_on_where_it_stopped(run_folder: Path) -> None:
    assert dissect_run(run_folder, "--sets", "kinds", "bfloat16") == 0
    [found] = read_dissected(run_folder)
    assert set(found.results[0]) == {"base", "full", "moved-all.attn", "moved-all.mlp", "bfloat16"}
    kept = {path: path.stat().st_mtime_ns for path in run_folder.glob("dissect/*/seed-0/*/evals/*")}
    assert dissect_run(run_folder, "--sets", "kinds", "ranks") == 0
    [found] = read_dissected(run_folder)
    assert {"rank-1", "rank-4", "rank-16", "bfloat16"} <= set(found.results[0])
    assert all(path.stat().st_mtime_ns == at for path, at in kept.items())
    weights = json.loads(next(run_folder.glob("dissect/*/weights.json")).read_text())
    parts = weights["moved"]["0"]
    delta = LayerDelta.load(run_folder / "delta.safetensors")
    assert {"0", "7", "all.q", "embed", "norm"} <= parts.keys() and delta.tensors
    assert all(0 < one["change"] < 1 and 0 <= one["changed_bf16"] <= 1 for one in parts.values())


def test_a_panel_that_another_process_takes_apart_is_left_alone(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dissect_run(run_folder, "--sets", "kinds") == 0
    [found] = read_dissected(run_folder)
    capsys.readouterr()
    with locked(found.path):
        assert dissect_run(run_folder, "--sets", "kinds", "modules") == 2
    said = capsys.readouterr().err
    assert "another process works in" in said and said.count("\n") == 1


def test_variants_score_in_common_batches_as_one_after_another(run_folder: Path) -> None:
    subject = read_subject(run_folder)
    few = replace(subject.spec, size=4, repeats=2)
    bench = Bench(subject.run, few, subject.runs, temperature=1.0)
    names = ("base", "full", "moved-3", "without-0", "scaled-0.5", "rank-1", "bfloat16")
    chosen = [Cut(kind, what) for kind, _, what in (name.partition("-") for name in names)]
    together = bench.play_some(chosen, 0)
    assert together == [bench.play(bench.variant(cut, 0), 0) for cut in chosen]
    assert [result.arm for result in together] == list(names)
    assert len(bench.play_some(chosen, 0, most=2)) == 2


def test_when_time_is_up_what_there_is_is_shown(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dissect_run(run_folder, "--sets", "kinds") == 0
    whole = capsys.readouterr().out
    assert dissect_run(run_folder, "--sets", "modules", "--max-time", "0s") == 0
    assert capsys.readouterr().out == whole
    [found] = read_dissected(run_folder)
    assert "moved-all.attn" in found.results[0] and "moved-all.q" not in found.results[0]


def test_variants_that_are_not_scored_for_every_seed_are_counted_and_left_out(
    tmp_path: Path,
) -> None:
    folder = written(tmp_path, REDUNDANT, 6)
    next(folder.glob("dissect/panel/seed-2/without-3/evals/*.json")).unlink()
    [found] = read_dissected(folder)
    assert found.unfinished == 1 and "without-3" not in found.tables
    assert "1 more variant is not scored for every seed" in texts(dissected_section(found))


def test_another_run_of_the_same_base_stands_beside(run_folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run_folder, tmp_path / "other run", ignore=lambda *_: {"dissect"})
    assert dissect_run(run_folder, "--sets", "others", "--beside", str(other)) == 0
    weights = json.loads(next(run_folder.glob("dissect/*/weights.json")).read_text())
    alike = [layer["other_run and here, seed 0"]["cosine"] for layer in weights["alike"].values()]
    assert alike == pytest.approx([1.0] * 8)
    [found] = read_dissected(run_folder)
    assert found.results[0]["exchanged-7@other_run"].success == found.results[0]["full"].success


def test_cheap_measures_are_ranked_with_what_they_cost(tmp_path: Path) -> None:
    """Moved layers in the order of layers trained alone; gradients the other way round."""
    rates = {"base": 0.2, "full": 0.8}
    rates |= {f"{kind}-{i}": 0.25 + 0.08 * i for kind in ("moved", "alone") for i in range(6)}
    [found] = read_dissected(written(tmp_path, rates, 6))
    layers = tuple(LayerStatistics(i, 1 / (1 + i), 0.0, 1.0) for i in range(6))
    prediction = Prediction(16, 8, 0, layers)
    result = compared(found, dissect(found.tables), prediction)
    assert result is not None
    by_name = {one.name: one for one in result.measures}
    moved, norm = by_name["moved into the base"], by_name["gradient norm"]
    assert moved.agreed and moved.agreed.spearman.value > 0.8
    assert (moved.episodes, moved.of_full) == (6 * TASKS * 2, True)
    assert norm.agreed and norm.agreed.spearman.value < -0.8
    assert (norm.episodes, norm.of_full) == (128, False)
    assert by_name["Fisher trace"].agreed is None
    told = texts(dissected_section(found, prediction))
    assert "Moved into the base: on 6 layers, distinguishably in the same order" in told
    assert "Gradient norm: distinguishably the other way round" in told
    [section] = cheap_section({"one": result, "two": result})
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert [row[0] for row in table.rows] == ["moved into the base", "gradient norm"]
    assert cheap_section({"one": result}) == ()


def test_what_cannot_be_taken_apart_is_refused(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dissect_run(run_folder, "--sets", "shapley", "--evaluations", "5") != 0
    assert "too few for Shapley" in capsys.readouterr().err
    assert dissect_run(tmp_path) != 0
