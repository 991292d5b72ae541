"""Reports on terminals of every width, as pictures and as plots; numbers in short."""

import json
import struct
import sys
from collections import Counter
from dataclasses import replace
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from layergym.base.errors import InputError
from layergym.evals.report.build import build
from layergym.evals.report.model import Plot, Report, Section, Series, Table
from layergym.evals.report.render.strip import strip
from layergym.evals.report.render.svg import draw_plot, ticks
from layergym.evals.report.render.terminal import as_text, show
from layergym.evals.report.words import amount, listed, points
from layergym.evals.report.write import FORMATS, write_report
from layergym.evals.stats import Estimate
from tests.evals.report.reading import (
    CELL,
    MakeSweep,
    blocks,
)


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
