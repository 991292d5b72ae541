"""Reports: their sections, what they do with strange input, and what they never do."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.evals.report.build import build
from layergym.evals.report.findings import recommendation
from layergym.evals.report.model import Plot, Table, Text
from layergym.evals.report.render.page import render as render_page
from layergym.evals.report.write import FORMATS, write_report
from layergym.evals.stats.simulate import Design
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec
from tests.evals.report.reading import (
    CELL,
    MakeSweep,
    Page,
    headings,
    lose,
    texts,
)


def test_a_sweep_report_has_every_part(sweep_folder: Path) -> None:
    report = build([sweep_folder])
    assert headings(report) == [
        "Findings",
        "Contribution by depth",
        "Scores",
        "Runs",
        "Types of task",
        "Learning curves",
        "Cost",
        "Settings and manifest",
    ]
    assert "Next run: layers=" in texts(report)
    assert "0.001: full; 0.003: middle-2, layers 0-5" in texts(report)
    assert len(report.costs) == 25


def test_the_page_is_balanced_and_asks_for_nothing(sweep_folder: Path) -> None:
    html = render_page(build([sweep_folder]))
    page = Page(html)
    assert not page.open
    assert not page.tags & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not {name for name, _ in page.attributes} & {"src", "href", "srcset", "action"}
    assert (
        "url(" not in html
        and "@import" not in html
        and "http" not in html.replace("http-equiv", "")
    )
    assert "default-src 'none'" in html
    assert "prefers-color-scheme: dark" in html


def test_every_plot_has_its_numbers_as_a_table(sweep_folder: Path) -> None:
    report = build([sweep_folder])
    plots = [b for s in report.sections for b in s.blocks if isinstance(b, Plot)]
    html = render_page(report)
    assert len(plots) == 4
    assert html.count("<details>") == len(plots)
    depth = plots[0].table()
    assert depth.columns == ("layer", "value", "low", "high")
    assert [row[0] for row in depth.rows] == list("012345")
    assert all(len(row) == len(depth.columns) for row in depth.rows)


HOSTILE = "<script>alert(1)</script>\x1b[31m\x00\ud800|`**x**`\n{{7*7}}"


@pytest.fixture
def hostile(make_sweep: MakeSweep) -> Path:
    folder = make_sweep(settings={"run": {"model": HOSTILE}, HOSTILE: [HOSTILE]})
    write_json(folder / "manifest.json", {HOSTILE: {HOSTILE: HOSTILE}})
    strange = folder / "arms" / "<img src=x onerror=alert(1)>"
    shutil.copytree(folder / "arms" / "middle-2", strange)
    for file in strange.glob("*/evals/*.json"):
        value = json.loads(file.read_text())
        kinds = [HOSTILE] * 64 + ["b"] * 64
        file.write_text(json.dumps({**value, "arm": strange.name, "kinds": kinds}))
    return folder


def test_texts_from_runs_cannot_break_out(hostile: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_report(build([hostile]), out, tuple(FORMATS))
    html = (out / "report.html").read_text()
    page = Page(html)
    assert not page.open and not page.tags & {"script", "img"}
    assert (
        "alert(1)" in "".join(page.text) and "49" not in "".join(page.text).split("{{7*7}}")[0][-4:]
    )
    assert "\x1b" not in (out / "report.txt").read_text()
    markdown = (out / "report.md").read_text()
    assert "<script>" not in markdown and "\x1b" not in markdown
    widths = {
        line.count("|") - line.count("\\|") for line in markdown.splitlines() if line[:1] == "|"
    }
    assert min(widths) >= 3
    assert json.loads((out / "report.json").read_text())["format"] == 1


def test_several_runs_are_compared(make_sweep: MakeSweep) -> None:
    report = build([make_sweep("one"), make_sweep("two", seed=9)])
    assert report.sections[0].heading == "Ranking stability"
    table = next(b for b in report.sections[0].blocks if isinstance(b, Table))
    assert table.rows[0][0] == "one / two"
    assert table.rows[0][1] == "6"
    assert "one: Findings" in headings(report)


def test_contributions_of_joint_reports_and_scores_of_types_have_intervals(
    make_sweep: MakeSweep,
) -> None:
    report = build([make_sweep("one"), make_sweep("two", seed=9)])
    curves = next(b for b in report.sections[0].blocks if isinstance(b, Plot))
    own = report.profiles[0].measures[0].layers[2].contribution
    assert own is not None and curves.series[0].low[2] == own.low
    assert curves.table().rows[2][1] == f"{own.value:.3f} [{own.low:.3f}, {own.high:.3f}]"
    kinds = next(s for s in report.sections if s.heading == "one: Types of task").blocks[0]
    assert isinstance(kinds, Table)
    assert all(CELL.fullmatch(cell) for row in kinds.rows[1:] for cell in row[1:])


def test_models_of_different_depth_are_matched_by_relative_depth(make_sweep: MakeSweep) -> None:
    deep = {"base": 0.2, "full": 0.8, **{f"layer-{k:02d}": 0.3 + 0.03 * k for k in range(12)}}
    flat = {"base": 0.2, "full": 0.8, **{f"layer-{k:02d}": 0.3 + 0.06 * k for k in range(6)}}
    report = build([make_sweep("deep", arms=deep, settings={}), make_sweep("flat", arms=flat)])
    table = next(b for b in report.sections[0].blocks if isinstance(b, Table))
    assert table.rows[0][1] == "6"
    assert float(table.rows[0][2].split()[0]) > 0.8


def test_too_few_common_layers_are_not_correlated(make_sweep: MakeSweep) -> None:
    few = {"base": 0.2, "full": 0.8, "layer-00": 0.4, "layer-03": 0.5}
    stability = build([make_sweep("few", arms=few), make_sweep("whole")]).sections[0]
    plot, told = stability.blocks
    assert isinstance(plot, Plot) and isinstance(told, Text)
    assert "five layers in common" in told.text


def test_a_sweep_without_layers_is_not_ranked_against_others(make_sweep: MakeSweep) -> None:
    bare = make_sweep("bare", arms={"base": 0.2, "full": 0.8}, greedy={})
    report = build([bare, make_sweep("whole")])
    assert "Ranking stability" not in headings(report)
    assert Page(render_page(report)).open == []


@pytest.mark.parametrize("value", ["NaN", "1e999", "1e308", '"x"', "null", "1" + "0" * 400])
def test_strange_metrics_are_left_out_of_curves(sweep_folder: Path, value: str) -> None:
    path = sweep_folder / "arms" / "full" / "seed-0" / "metrics.jsonl"
    with path.open("a") as file:
        file.write(f'{{"step": 21, "success": {value}}}\n')
    assert "nan" not in render_page(build([path.parent])).lower()


def test_the_same_name_twice_is_told_apart(make_sweep: MakeSweep) -> None:
    report = build([make_sweep("a/sweep"), make_sweep("b/sweep")])
    assert [p.name for p in report.profiles] == ["sweep (1)", "sweep (2)"]


def test_a_profile_on_disk_can_be_reported_again(sweep_folder: Path, tmp_path: Path) -> None:
    write_report(build([sweep_folder]), tmp_path / "out", ("md",))
    again = build([tmp_path / "out" / "profile.json"])
    assert again.profiles == build([sweep_folder]).profiles


def test_one_training_run_is_a_report_too(sweep_folder: Path) -> None:
    report = build([sweep_folder / "arms" / "layer-03" / "seed-0"])
    assert headings(report) == ["Scores", "Learning curves", "Cost", "Settings and manifest"]
    assert report.profiles == ()


def test_unscored_and_stopped_runs_are_named(sweep_folder: Path) -> None:
    for file in (sweep_folder / "arms" / "layer-05" / "seed-1" / "evals").iterdir():
        file.unlink()
    write_json(sweep_folder / "arms/layer-00/seed-0/manifest.json", {"stopped": "below layer 5"})
    said = texts(build([sweep_folder]))
    assert "left out: layer 5 (seed 1)." in said
    assert "layer 0, seed 0 was stopped early: below layer 5" in said


ASKED = SweepSpec(
    run=RunSpec(env="layergym/ALFWorld-v0"),
    layers=tuple(range(5)),
    extra=("middle:2", "5"),
    num_layers=6,
    seeds=(0, 1, 2),
)


def test_what_a_sweep_still_owes_is_said_first(make_sweep: MakeSweep) -> None:
    folder = make_sweep("whole", settings=asdict(ASKED))
    assert headings(build([folder]))[0] == "Findings"
    shutil.rmtree(folder / "arms" / "layer-05")
    for arm in ("full", "middle-2"):
        (folder / "arms" / arm / "seed-1" / "cost.json").unlink()
    first = build([folder]).sections[0]
    assert first.heading == "This sweep is not finished"
    assert "left out: full (seed 1), middle-2 (seed 1), layer 5 (seeds 0-2)." in str(first.blocks)
    joint = headings(build([folder, make_sweep("other", seed=9)]))
    assert joint[:2] == ["whole: This sweep is not finished", "Ranking stability"]


def test_layers_left_out_on_purpose_are_no_lack(make_sweep: MakeSweep) -> None:
    scanned = replace(ASKED, layers=tuple(range(6)), extra=(), search=Search(scan=2, race=(8,)))
    folder = make_sweep(settings=asdict(scanned))
    for layer in (1, 3, 4):  # 0, 2, 4 and 5 are the first wave of the scan.
        shutil.rmtree(folder / "arms" / f"layer-{layer:02d}")
    for seed in range(3):
        place = folder / "arms" / "layer-00" / f"seed-{seed}"
        write_json(place / "manifest.json", {"stopped": "below layer 5"})
        (place / "cost.json").unlink()
    first = build([folder]).sections[0]
    assert "left out: layer 4 (seeds 0-2)." in str(first.blocks)


@pytest.mark.parametrize("formats", [("jpg",), ("html", "htlm")])
def test_an_unknown_format_is_refused_before_anything_is_written(
    sweep_folder: Path, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match="report format"):
        write_report(build([sweep_folder]), tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()


def test_a_path_that_is_nothing_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        build([tmp_path / "nothing"])
    with pytest.raises(InputError, match="at least one"):
        build([])


def test_of_two_runs_per_arm_the_advice_is_a_third(make_sweep: Callable[..., Path]) -> None:
    gain = {"base": 0.4, "full": 0.48, **{f"layer-{k:02d}": 0.48 for k in range(12)}}
    settings = {"run": {"model": "tiny", "algorithm": "gigpo"}, "num_layers": 12}
    few = Design(seeds=2)
    folder = make_sweep(arms=gain, greedy={}, base_by_temperature={}, settings=settings, design=few)
    lose(folder / "arms" / "layer-03" / "seed-1")
    report = build([folder])
    told = [b.text for s in report.sections for b in s.blocks if isinstance(b, Text)]
    assert any("layer 3, seed 1 stands apart" in text and "a third seed" in text for text in told)
    [found] = report.profiles
    assert not found.measures[0].defined
    layers, why = recommendation(found)
    assert layers == "all" and "layer 3" in why and "further seeds" in why
