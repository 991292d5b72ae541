"""Published tables through the same report."""

from pathlib import Path

import pytest

from layergym.base.errors import InputError
from layergym.evals.contribution.published import read_table, split_correlation
from layergym.evals.report.build import build
from layergym.evals.report.render.markdown import render
from layergym.evals.report.write import write_report

OWN = """layer,a,b,average,contribution
Base,40.0,20.0,30.0,0.0
Full,60.0,40.0,50.0,1.0
L0,50.0,30.0,40.0,0.50
L1,60.0,42.0,51.0,1.05
L2,44.0,24.0,34.0,0.20
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "own.csv"
    path.write_text(OWN)
    return path


def test_contributions_come_from_the_benchmarks(own: Path) -> None:
    table = read_table(own)
    assert table.benchmarks == ("a", "b")
    ratios = [a.contribution.value for a in table.profile.measures[0].layers if a.contribution]
    assert ratios == pytest.approx([0.5, 1.05, 0.2])
    assert table.largest_difference == pytest.approx(0, abs=1e-9)
    assert table.within_rounding is True


def test_a_misprinted_contribution_is_pointed_out(own: Path) -> None:
    own.write_text(OWN.replace("0.50", "0.58"))
    table = read_table(own)
    assert table.largest_difference == pytest.approx(0.08)
    assert table.within_rounding is False
    assert "does not explain this" in render(build([own]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Base,", "Start,", 'no row "Base"'),
        ("L1,", "L0,", "repeated row"),
        ("42.0", "n/a", "not a number"),
        ("42.0", "nan", "not a number"),
        ("42.0,", "", "not 4 values"),
        (OWN, "", "not a table"),
        ("L", "M", "no layer rows"),
    ],
)
def test_damaged_tables_are_refused(own: Path, old: str, new: str, message: str) -> None:
    own.write_text(OWN.replace(old, new))
    with pytest.raises(InputError, match=message):
        read_table(own)


def test_averages_and_contributions_go_by_other_names(own: Path) -> None:
    known = read_table(own)
    for average, contribution in (("avg", "C"), ("Avg.", "c"), (" mean", " Contribution ")):
        own.write_text(OWN.replace("average,contribution", f"{average},{contribution}"))
        found = read_table(own)
        assert found.benchmarks == ("a", "b")
        assert found.profile == known.profile and found.printed == known.printed == (0.5, 1.05, 0.2)


def test_an_average_alone_is_what_there_is_to_read(own: Path) -> None:
    own.write_text("layer,avg,C\nBase,.40,\nFull,.60,\nL0,.5,.5\nL1,.55,\n")
    table = read_table(own)
    assert table.benchmarks == ("avg",) and table.printed == (0.5, None)
    assert table.largest_difference == pytest.approx(0, abs=1e-9)
    main = table.profile.measures[0]
    assert (main.name, main.base.value, main.full.value) == ("avg", 0.4, 0.6)
    text = render(build([own]))
    assert "mean of 1" not in text and "nan" not in text
    assert "| 1 | 0.750 | - |" in text


def test_a_table_in_which_full_training_loses_says_so_plainly(own: Path) -> None:
    own.write_text(OWN.replace("Full,60.0,40.0", "Full,39.0,19.0"))
    text = render(build([own]))
    assert "from 30.0 % to 29.0 %: -1.0 points. This is not above 0" in text
    assert "Next run: layers=all, because full training is not better than the base" in text
    assert "distinguishabl" not in text


def test_too_few_layers_correlate_nothing(own: Path) -> None:
    assert [split.all_layers for split in read_table(own).splits] == [1.0]
    assert read_table(own).splits[0].up_to == ()  # Three layers in all, too few without the last.
    own.write_text("\n".join(OWN.splitlines()[:-1]))
    assert read_table(own).splits == ()
    assert "Split-half" not in render(build([own]))


def test_a_table_without_repeats_gets_no_intervals(own: Path) -> None:
    text = render(build([own]))
    assert "no intervals can be given" in text
    assert "95 % intervals" not in text


def test_the_published_table_is_reproduced(shared_data: Path) -> None:
    """Qwen3-1.7B-Base, NuminaMath, Table 13 of arXiv 2607.01232 (a third party's transcription)."""
    table = read_table(shared_data / "layer_study" / "qwen3_1p7b_table13.csv")
    main = table.profile.measures[0]
    assert len(main.layers) == 28
    assert table.largest_difference == pytest.approx(0.019, abs=0.0005)
    assert table.within_rounding is True
    thirds = [gain / main.gain.value for gain in main.thirds if gain is not None]
    assert thirds == pytest.approx([0.83, 0.98, 0.42], abs=0.02)
    split = table.splits[1]
    assert split.first == ("math500", "olympiadbench")
    assert split.all_layers == pytest.approx(0.76, abs=0.005)
    # 0.36 where equal means differ by what floats add: ties that are none.
    assert split_correlation(table.scores[:19], (0, 2), (1, 3)) == pytest.approx(0.354, abs=0.001)
    assert dict(split.up_to)[18] == split_correlation(table.scores[:19], (0, 2), (1, 3))
    assert (split.cut, split.without_last_third) == (17, (dict(split.up_to)[17],))
    text = render(build([shared_data / "layer_study" / "qwen3_1p7b_table13.csv"]))
    row = "math500 + olympiadbench / gsm8k + amc | 0.32 | 0.25 | 0.24 | 0.35 | 0.45 |"
    assert "| layers 0-17 | layers 0-18 |" in text and row in text


def test_the_published_table_makes_a_whole_report(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "layer_study" / "qwen3_1p7b_table13.csv"
    files = write_report(build([path]), tmp_path, ("html", "json", "md", "txt"))
    assert {file.name for file in files} == {
        "report.html",
        "report.json",
        "report.md",
        "report.txt",
        "profile.json",
    }
    text = (tmp_path / "report.md").read_text()
    assert "first 0.84, middle 0.99, last 0.43" in text
    assert (
        "minus the first is +1.0 points, minus the last is +3.7 points, without intervals" in text
    )
    assert "middle layers recover more" not in text
    assert "\nNext run: layers=10" in text  # Not in bold: without repeats it is no finding.
    assert "0.49" in text and "0.64" in text  # depth correlations
