"""Reports: what they say, and what they never do."""

import json
import re
import shutil
import struct
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import TypeVar
from xml.etree import ElementTree

import numpy as np
import pytest
from rich.console import Console

from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.evals.arms import ArmName
from layergym.evals.contribution.measure import Measure, measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.report.build import build
from layergym.evals.report.cautions import cautions
from layergym.evals.report.findings import recommendation
from layergym.evals.report.model import Plot, Report, Section, Series, Table, Text
from layergym.evals.report.render.page import render as render_page
from layergym.evals.report.render.strip import strip
from layergym.evals.report.render.svg import draw_plot, ticks
from layergym.evals.report.render.terminal import as_text, show
from layergym.evals.report.words import amount, listed, points
from layergym.evals.report.write import FORMATS, write_report
from layergym.evals.stats import Estimate
from layergym.evals.stats.simulate import Design, outcomes
from layergym.evals.sweep.search import Search
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec

MakeSweep = Callable[..., Path]
Kind = TypeVar("Kind", Plot, Table, Text)
VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Checks that tags are balanced and collects what a browser would act on."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def texts(report: Report) -> str:
    return " ".join(b.text for s in report.sections for b in s.blocks if isinstance(b, Text))


def headings(report: Report) -> list[str]:
    return [section.heading for section in report.sections]


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


CELL = re.compile(r"[-+]?\d+\.\d+ \[[-+]?\d+\.\d+, [-+]?\d+\.\d+\]")


def blocks(report: Report, kind: type[Kind]) -> list[Kind]:
    return [b for s in report.sections for b in s.blocks if isinstance(b, kind)]


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_number_is_folded_and_none_is_lost(sweep_folder: Path, width: int) -> None:
    report = build([sweep_folder])
    text = as_text(report, width)
    assert max(map(len, text.splitlines())) <= width
    cells = [c for t in blocks(report, Table) for row in t.rows for c in row if CELL.fullmatch(c)]
    shown = Counter(found for line in text.splitlines() for found in CELL.findall(line))
    assert len(cells) > 50
    assert not Counter(cells) - shown


def test_wide_tables_are_split_and_narrow_terminals_only(sweep_folder: Path) -> None:
    report = build([sweep_folder])
    rows = {w: as_text(report, w).count("\nlayer 5 ") for w in (80, 140)}
    assert rows == {80: 5, 140: 4}  # Scores in two tables or one; types of task; cost.


def test_the_terminal_says_the_settings_in_one_line(sweep_folder: Path) -> None:
    text = as_text(build([sweep_folder]), 140)
    said = text[text.index("Settings and manifest") :].splitlines()
    assert len(said) == 2
    assert said[1].startswith("layergym/ALFWorld-v0, panel pppppppp, seeds 0-2, commit abc.")


def test_names_of_task_types_break_between_words(make_sweep: MakeSweep) -> None:
    folder = make_sweep()
    names = ("pick_clean_then_place_in_recep", "look_at_obj_in_light", "pick_two_obj_and_place")
    for file in folder.glob("arms/*/*/evals/*.json"):
        value = json.loads(file.read_text())
        value["kinds"] = [names[i % 3] + "_again" * (i % 2) for i in range(len(value["kinds"]))]
        file.write_text(json.dumps(value))
    text = as_text(build([folder]), 80)
    heading = text.partition("by type of task")[2].partition("Learning curves")[0]
    words = {word for name in names for word in f"{name}_again".split("_")}
    assert words <= set(heading.split())


def test_the_verdict_comes_first(sweep_folder: Path) -> None:
    text = as_text(build([sweep_folder]), 80)
    verdict = ("At temperature 1, full", "Greedy, full", "untrained base", "Highest alone")
    order = (*verdict, "Next run: layers=", "base  ───", "rank")
    places = [text.index(part) for part in order]
    assert places == sorted(places)


def strip_of(report: Report, width: int) -> list[str]:
    out = Console(file=StringIO(), width=width, record=True)
    out.print(strip(blocks(report, Plot)[0], width))
    return out.export_text().splitlines()


def test_the_strip_reaches_from_base_to_full_and_marks_clear_layers(make_sweep: MakeSweep) -> None:
    arms = {"base": 0.2, "full": 0.8, "layer-00": 0.2, "layer-01": 0.5, "layer-02": 0.8}
    lines = strip_of(build([make_sweep(arms=arms, greedy={}, settings={})]), 80)
    full, base = (
        next(i for i, line in enumerate(lines) if line.startswith(name))
        for name in ("full", "base")
    )
    assert base - full == 4
    assert [c in "▁▂▃▄▅▆▇█" for c in lines[full][6:18:4]] == [False, False, True]
    assert [c in "▁▂▃▄▅▆▇█" for c in lines[base - 2][6:18:4]] == [False, True, True]
    assert lines[base + 1].split() == ["layer", "0", "1", "2"]
    assert lines[base + 2].split() == ["○", "●", "●"]


@pytest.mark.parametrize("width", [40, 80])
def test_the_strip_of_a_deep_model_fits(make_sweep: MakeSweep, width: int) -> None:
    arms = {"base": 0.2, "full": 0.8, **{f"layer-{k:02d}": 0.3 + 0.01 * k for k in range(36)}}
    lines = strip_of(build([make_sweep(arms=arms, greedy={}, settings={})]), width)
    assert max(map(len, lines)) <= width
    marks = [line for line in lines if set(line) <= set(" ●○") and line.strip()]
    assert sum(len(line.split()) for line in marks) == 36
    assert len(marks) == {40: 3, 80: 1}[width]


def test_a_terminal_without_unicode_still_shows_the_numbers(sweep_folder: Path) -> None:
    out = TextIOWrapper(BytesIO(), "ascii")
    show(build([sweep_folder]), Console(file=out, width=100))
    out.seek(0)
    assert "Contribution by depth" in out.read()


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


def test_long_names_stand_whole_in_a_legend_inside_the_plot(make_sweep: MakeSweep) -> None:
    names = [f"qwen2.5-1.5b-instruct-alfworld-{a}-with-all-the-seeds" for a in ("gigpo", "grpo")]
    report = build([make_sweep(name, seed=i) for i, name in enumerate(names)])
    curves = next(b for b in report.sections[0].blocks if isinstance(b, Plot))
    for width in (360, 720):
        svg = ElementTree.fromstring(draw_plot(curves, width))
        labels = [e for e in svg.iter("text") if e.attrib["class"].startswith("name")]
        assert "".join(e.text or "" for e in labels) == "".join(names)
        for label in labels:
            assert float(label.attrib["x"]) + 7 * len(label.text or "") <= width
            assert float(label.attrib["y"]) <= float(svg.attrib["viewBox"].split()[3])
        assert len(list(svg.iter("polyline"))) == 2 * len(names)


def test_short_names_stand_beside_their_curves() -> None:
    curves = (Series("full", (0.0, 1.0), (0.0, 1.0)), Series("layer 12", (0.0, 1.0), (0.0, 0.5)))
    svg = ElementTree.fromstring(draw_plot(Plot("c", "step", "y", curves, joined=True), 360))
    labels = {e.text: e for e in svg.iter("text") if e.attrib["class"].startswith("name")}
    assert set(labels) == {"full", "layer 12"}
    assert all(float(e.attrib["x"]) > 360 - 76 for e in labels.values())


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


@pytest.mark.parametrize("formats", [("jpg",), ("html", "htlm")])
def test_an_unknown_format_is_refused_before_anything_is_written(
    sweep_folder: Path, tmp_path: Path, formats: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match="report format"):
        write_report(build([sweep_folder]), tmp_path / "out", formats)
    assert not (tmp_path / "out").exists()


def test_the_first_plot_is_a_picture(sweep_folder: Path, tmp_path: Path) -> None:
    [file, _] = write_report(build([sweep_folder]), tmp_path, ["png"])
    picture = file.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", picture[16:24])
    assert width > 2 * 720 and 500 < height < 1000
    plot, *_ = blocks(build([sweep_folder]), Plot)
    assert picture == drawn(plot)
    alike = tuple(replace(series, role="ink") for series in plot.series)
    assert len({picture, drawn(replace(plot, series=alike)), drawn(replace(plot, caption=""))}) == 3


def test_letters_of_a_picture_need_no_font_of_the_machine(sweep_folder: Path) -> None:
    plot, *_ = blocks(build([sweep_folder]), Plot)
    captions = ("iiii", "WWWW", "\u2212\u00b1\u00b7\u00d7")
    assert len({drawn(replace(plot, caption=caption)) for caption in captions}) == 3
    assert len({drawn(replace(plot, y_label=label)) for label in captions}) == 3


def test_a_picture_bears_strange_names() -> None:
    assert drawn(Plot("\x1b[1m\ud800", "x", "y", (Series("\x1b", (0, 1), (0, 1)),), joined=True))


def drawn(plot: Plot) -> str | bytes:
    """The plot as PNG."""
    return FORMATS["png"].render(Report("", "", (Section("", (plot,)),), ()))


def test_a_picture_needs_its_extra_and_a_plot(
    sweep_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="no plot"):
        FORMATS["png"].render(Report("nothing", "", (), ()))
    for part in ("resvg_py", "font_source_sans_pro"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, part, None)
            with pytest.raises(InputError, match=r"layergym\[png\]"):
                write_report(build([sweep_folder]), tmp_path / "out", ["html", "png"])
        assert not (tmp_path / "out").exists()


def test_a_path_that_is_nothing_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        build([tmp_path / "nothing"])
    with pytest.raises(InputError, match="at least one"):
        build([])


def test_svg_is_well_formed_even_without_spread() -> None:
    flat = Plot("c", "x", "y", (Series("s", (1.0,), (0.5,)),), joined=True)
    empty = Plot("c", "x", "y", ())
    equal = Plot(
        "c", "x", "y", (Series("a", (1.0,), (0.5,)), Series("b", (1.0,), (0.5,))), (), True
    )
    for plot in (flat, empty, equal):
        assert ElementTree.fromstring(draw_plot(plot, 360)).tag == "svg"


def test_names_of_lines_that_almost_touch_stay_apart() -> None:
    series = (Series("s", (0.0, 1.0), (0.0, 100.0)),)
    plot = Plot("c", "layer", "y", series, (("full", 0.1), ("base", 0.0)), span=1.0)
    labels = ElementTree.fromstring(draw_plot(plot, 360)).iter("text")
    at = {label.text: float(label.attrib["y"]) for label in labels if label.text}
    assert at["base"] - at["full"] >= 12


def test_steps_are_whole_numbers_on_the_axis() -> None:
    plot = Plot("c", "step", "y", (Series("s", (1.0, 2.0, 3.0), (0.0, 10.0, 20.0)),), joined=True)
    labels = ElementTree.fromstring(draw_plot(plot, 720)).iter("text")
    assert [e.text for e in labels if e.attrib["text-anchor"] == "middle"] == [
        "1",
        "2",
        "3",
        "step",
    ]


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(-0.31, 1.24) == [-0.25, 0, 0.25, 0.5, 0.75, 1.0]
    assert ticks(2, 2) == [2]


def test_numbers_are_written_briefly() -> None:
    assert points(Estimate(0.1234, 0.1, 0.15)) == "+12.3 [+10.0, +15.0]"
    assert points(None) == "undefined"
    assert points(Estimate(-1e-9, -1e-5, 0.0)) == "+0.0 [+0.0, +0.0]"
    assert [amount(v) for v in (None, 7, 53_000, 1.3e6)] == ["-", "7", "53 k", "1.3 M"]
    assert [amount(81.63, "s"), amount(9e8, "B")] == ["81.6 s", "900 MB"]
    assert listed([9, 0, 1, 2, 5]) == "0-2, 5, 9"


def lose(run: Path) -> None:
    path = run / "evals" / "t1.0.json"
    value = json.loads(path.read_text())
    value["success"] = [[False] * len(row) for row in value["success"]]
    path.write_text(json.dumps(value))


def test_a_run_that_stands_apart_is_named_and_counts(sweep_folder: Path) -> None:
    lose(sweep_folder / "arms" / "layer-03" / "seed-1")
    report = build([sweep_folder])
    told = [b.text for s in report.sections for b in s.blocks if isinstance(b, Text)]
    assert any("layer 3, seed 1 stands apart: 0.0 %" in text for text in told)
    [found] = report.profiles
    assert [(r.arm, r.seed) for r in found.runs if r.apart] == [("layer-03", 1)]
    assert found.measures[0].defined
    assert any("other arms' intervals do not widen" in text for text in told)


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
