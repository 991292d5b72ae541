"""Every number that a report shows is in report.json, unrounded."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from layergym.base.files import write_json
from layergym.evals.report.build import build
from layergym.evals.report.model import Number, Report, Table
from layergym.evals.report.render.as_json import render
from layergym.evals.report.render.terminal import as_text
from layergym.evals.result_files import read_sweep, write_eval
from tests.evals.conftest import result_of

NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?"
INTERVAL = re.compile(rf"({NUMBER}) \[({NUMBER}), ({NUMBER})\]")
SINGLE = re.compile(r"(?<![\w.])([-+]?\d[\d,]*\.\d+)(?: ([kMGT])B?\b)?(?![\w.])")
UNITS = {"": 1, "k": 1e-3, "M": 1e-6, "G": 1e-9, "T": 1e-12}


@pytest.fixture(scope="module")
def asked(small_sweep: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of types of task, single runs and learning curves, with votes and retention."""
    sweep_folder = shutil.copytree(small_sweep, tmp_path_factory.mktemp("asked") / "sweep")
    generator = np.random.default_rng(3)
    for run in read_sweep(sweep_folder).runs:
        right = (generator.random(60) < 0.6).astype(float).tolist()
        losses = generator.normal(3, 0.2, 60).tolist()
        for source, scores in (("arc", {"acc": right}), ("novel", {"nll": losses})):
            value = {"source": source, "digest": "d", "arm": run.arm, "seed": run.seed}
            write_json(run.path / "retention" / f"{source}.json", value | {"scores": scores})
    place = sweep_folder / "votes" / "first"
    names = [f"{name}/seed-{seed}" for name in ("layers-x3", "full-x3") for seed in (0, 1)]
    names += ["base-x3/seed-0", "full-x1/seed-0", "full-x1/seed-1"]
    for name in names:
        arm, _, seed = name.partition("/seed-")
        won = generator.random((40, 2)) < 0.5
        write_eval(place / name, result_of(won, arm=arm, seed=int(seed)))
    voters = ["layer-00", "layer-01", "layer-02"]
    write_json(place / "votes.json", {"voters": voters, "ensembles": names})
    return sweep_folder


@pytest.fixture(scope="module")
def report(asked: Path) -> Report:
    return build([asked])


@pytest.fixture(scope="module")
def values(report: Report) -> Any:
    return json.loads(render(report))


def leaves(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from leaves(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def estimates(value: Any) -> Iterator[tuple[float, float, float]]:
    if isinstance(value, dict) and value.keys() >= {"value", "low", "high"}:
        if value["low"] is not None:
            yield value["value"], value["low"], value["high"]
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from estimates(inner)


def shows(text: str, value: float, scale: float = 1) -> bool:
    """Whether `text` is a rounding of `scale * value`."""
    step = 10.0 ** -len(text.partition(".")[2])
    return bool(abs(float(text.replace(",", "")) - scale * value) <= 0.501 * step)


def interval_is_known(shown: tuple[str, ...], known: list[tuple[float, float, float]]) -> bool:
    return any(
        all(shows(text, value, scale) for text, value in zip(shown, estimate, strict=True))
        for estimate in known
        for scale in (1, 100)
    )


def cells(report: Report) -> list[tuple[str, str]]:
    tables = [b for s in report.sections for b in s.blocks if isinstance(b, Table)]
    return [(t.caption, c) for t in tables if not t.wordy for row in t.rows for c in row[1:]]


def test_every_number_on_the_terminal_is_in_the_json(report: Report, values: Any) -> None:
    text = " ".join(as_text(report, 400).split())
    known, single = list(estimates(values)), list(leaves(values))
    shown = INTERVAL.findall(text)
    assert len(shown) > 150
    assert [x for x in shown if not interval_is_known(x, known)] == []
    rest = SINGLE.findall(INTERVAL.sub(" ", text))
    assert len(rest) > 50
    lost = [
        number
        for number, unit in rest
        if not any(shows(number, x, s * UNITS[unit]) for x in single for s in (1, 100, -100))
    ]
    assert lost == []


def test_a_number_that_is_not_there_would_be_missed(report: Report, values: Any) -> None:
    known = list(estimates(values))
    shown = INTERVAL.findall(" ".join(as_text(report, 400).split()))
    moved = [(x, low, high[:-1] + str((int(high[-1]) + 5) % 10)) for x, low, high in shown]
    assert sum(interval_is_known(x, known) for x in moved) < 0.05 * len(shown)


def test_every_cell_with_a_number_has_its_value(report: Report) -> None:
    found = cells(report)
    assert len(found) > 200
    assert [c for c in found if re.search(r"\d", c[1]) and not isinstance(c[1], Number)] == []


@pytest.mark.parametrize("heading", ["Types of task", "Votes", "Retention", "Cost", "Scores"])
def test_sections_have_their_numbers_in_the_json(values: Any, heading: str) -> None:
    [section] = [s for s in values["sections"] if s["heading"] == heading]
    rows = [row for b in section["blocks"] for row in b.get("rows", ())]
    numbers = [cell["value"] for row in rows for cell in row if isinstance(cell, dict)]
    assert len(numbers) > 3 and all(isinstance(x, float | int) for x in numbers)


def test_a_score_by_type_of_task_is_the_mean_over_its_tasks(asked: Path, values: Any) -> None:
    [section] = [s for s in values["sections"] if s["heading"] == "Types of task"]
    rows = {row[0]: row[1:] for row in section["blocks"][0]["rows"]}
    column = section["blocks"][0]["columns"].index("look") - 1
    results = read_sweep(asked).results("full", 1.0)
    inside = [kind == "look" for kind in results[0].kinds]
    mean = float(np.mean([result.rates[inside] for result in results]))
    assert rows["full"][column]["value"] == pytest.approx(mean, abs=1e-12)
