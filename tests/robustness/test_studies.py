"""Damaged files of studies: one sentence that names the file, or an answer without it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.evals.contribution.dissected import Store, read_dissected
from layergym.evals.contribution.predicted import LayerStatistics, Prediction, write_prediction
from layergym.evals.report.model import Report, Section
from layergym.evals.report.render.terminal import as_text
from layergym.evals.report.study import Finished
from layergym.evals.result_files import read_sweep, write_eval
from layergym.evals.studies import dissect, predict, retention, vote
from tests.evals.conftest import SMALL, result_of, write_sweep

LAYERS = range(6)
MOVED = {"change": 0.1, "changed": 0.9, "changed_bf16": 0.5, "rank": 0.3}
ALIKE = {"cosine": 0.5, "overlap": 0.2, "by_chance": 0.1}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished.of(read_sweep(write_sweep(tmp_path_factory.mktemp("sweep") / "S", SMALL)))


@pytest.fixture(scope="module")
def studied(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What four studies keep of that sweep, in a folder without the sweep itself."""
    folder, drawn = tmp_path_factory.mktemp("studied") / "S", np.random.default_rng(0)
    layers = tuple(LayerStatistics(i, 0.1 * (i + 1), 0.2, 0.3) for i in LAYERS)
    write_prediction(folder, Prediction(4, 2, 9, layers))
    store = Store(folder / "dissect" / "panel")
    store.ask(layers=6, pairs={0: 0}, episodes=1000)
    store.keep_weights(
        {
            "moved": {"0": {str(i): MOVED for i in LAYERS} | {"embed": MOVED | {"rank": None}}},
            "alike": {str(i): {"0-1": ALIKE} for i in LAYERS},
        }
    )
    for name in ("base", "full", "moved-3", "without-3", "alone-0", "bfloat16"):
        store.keep(0, result_of(drawn.random((8, 2)) < 0.5, arm=name))
    votes = folder / "votes" / "abc"
    names = ("layers-x3", "full-x3", "base-x3", "full-x1")
    for name in names:
        write_eval(votes / name / "seed-0", result_of(drawn.random((8, 1)) < 0.5, arm=name))
    voters = [f"layer-0{i}" for i in range(3)]
    kept: dict[str, Any] = {"voters": voters, "ensembles": [f"{name}/seed-0" for name in names]}
    write_json(votes / "votes.json", kept)
    for run in finished.sweep.runs:
        if run.arm in ("base", "full"):
            about = {"source": "t", "digest": "d", "arm": run.arm, "seed": run.seed}
            place = folder / run.path.relative_to(finished.sweep.path) / "retention" / "t.json"
            write_json(place, about | {"scores": {"nll": [1.0, 2.0, 1.5]}})
    return folder


def sections(finished: Finished, folder: Path) -> Iterator[Section]:
    """What the studies say, as if the sweep were in `folder`."""
    own = finished.sweep.path
    runs = [replace(r, path=folder / r.path.relative_to(own)) for r in finished.sweep.runs]
    there = replace(finished, sweep=replace(finished.sweep, path=folder, runs=tuple(runs)))
    for study in (predict, dissect, vote, retention):
        yield from study.STUDY.of_sweep(there)


def test_a_damaged_study_is_read_or_refused_in_a_sentence(
    finished: Finished, studied: Path, tmp_path: Path, table: Callable[[str], ModuleType]
) -> None:
    assert len(list(sections(finished, studied))) == 4
    every = list(table("files").damages(studied))
    assert len(every) > 250
    refused = 0
    for damage in every[::3]:
        copy = tmp_path / "S"
        shutil.copytree(studied, copy)
        (copy / damage.file).write_bytes(damage.data)
        try:
            as_text(Report("", "", tuple(sections(finished, copy)), ()))
        except InputError as error:
            said = str(error)
            assert "\n" not in said and len(said) < 400 and str(copy) in said, damage[:2]
            refused += 1
        shutil.rmtree(copy)
    assert refused > 60


@pytest.mark.parametrize("name", ["moved-0-99999999999", "moved-9999999999", "x" * 200])
def test_the_name_of_a_variant_asks_for_no_memory(name: str, studied: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(studied, tmp_path / "S"))
    store = Store(next(copy.glob("dissect/*")))
    store.keep(0, result_of(np.ones((8, 2), bool), arm=name))
    [found] = read_dissected(copy)
    assert name in found.results[0] and found.coalitions == 2
