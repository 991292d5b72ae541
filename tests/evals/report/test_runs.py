"""What a report says of single runs: how far they moved, and episodes that were cut short."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from layergym.evals.arms import ArmName
from layergym.evals.contribution.profile_file import read_profile
from layergym.evals.report.build import build
from layergym.evals.report.model import Report, Section, Table, Text
from layergym.evals.report.write import write_report
from layergym.evals.results import Scored
from layergym.evals.studies.vote import vote_section
from layergym.evals.sweep.ensembles import Votes
from tests.evals.conftest import result_of
from tests.evals.report.reading import MakeSweep


def texts(report: Report, tone: str = "") -> list[str]:
    blocks = [b for s in report.sections for b in s.blocks if isinstance(b, Text)]
    return [b.text for b in blocks if tone in ("", b.tone)]


def table(report: Report, heading: str) -> Table:
    [section] = [s for s in report.sections if s.heading == heading]
    return next(b for b in section.blocks if isinstance(b, Table))


def log_moves(sweep: Path, arm: str, **shares: float) -> None:
    for file in (sweep / "arms" / arm).glob("seed-*/metrics.jsonl"):
        row = {"step": 99, **{f"change/{name}": share for name, share in shares.items()}}
        file.write_text(file.read_text() + json.dumps(row) + "\n")


def test_a_layer_alone_stands_beside_the_same_layer_in_full_training(
    sweep_folder: Path, tmp_path: Path
) -> None:
    log_moves(sweep_folder, "full", layer_0=0.01, layer_3=0.02, other=0.005)
    log_moves(sweep_folder, "layer-03", layer_3=0.1)
    log_moves(sweep_folder, "middle-2", layer_3=0.05)
    report = build([sweep_folder])
    found = table(report, "How far training moved")
    assert found.columns == ("what", "trained alone", "full", "middle-2")
    assert found.rows == (
        ("0", "-", "1", "-"),
        ("3", "10", "2", "5"),
        ("embeddings, norm, head", "-", "0.5", "-"),
    )
    assert any("5 to 5 times as far" in text for text in texts(report))
    write_report(report, tmp_path, ["json"])
    runs = json.loads((tmp_path / "report.json").read_text())["costs"]
    assert {r["arm"]: r["moved"] for r in runs if r["seed"] == 0}["layer-03"] == {"layer_3": 0.1}


def test_runs_that_logged_no_moves_have_no_section(sweep_folder: Path) -> None:
    assert all(s.heading != "How far training moved" for s in build([sweep_folder]).sections)


def cut(run: Path, **counts: int) -> None:
    path = run / "evals" / "t1.0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | counts))


def test_episodes_that_were_cut_short_are_told_with_their_run(
    sweep_folder: Path, tmp_path: Path
) -> None:
    cut(sweep_folder / "arms" / "layer-03" / "seed-1", errors=2, out_of_context=3, shortened=4)
    cut(sweep_folder / "arms" / "base" / "seed-0", out_of_context=1)
    report = build([sweep_folder])
    [told] = [text for text in texts(report, "warning") if "in errors" in text]
    assert "layer 3, seed 1: 2 errors, 3 out of context, 4 with a shortened history" in told
    assert "base, seed 0: 1 out of context" in told and "layer 2" not in told
    rows = {row[0]: row for row in table(report, "Runs").rows}
    assert rows["layer 3"][2].endswith(", 2 errors, 3 out of context, 4 with a shortened history")
    write_report(report, tmp_path, ["json"])
    kept = {(r.arm.layer, r.seed): r for r in read_profile(tmp_path / "profile.json").runs}
    assert (kept[3, 1].out_of_context, kept[3, 1].shortened) == (3, 4)
    assert kept[3, 0].out_of_context == 0


def test_of_many_runs_that_were_cut_short_the_worst_are_named(sweep_folder: Path) -> None:
    for layer in range(6):
        cut(sweep_folder / "arms" / f"layer-{layer:02}" / "seed-0", errors=layer + 1)
    cut(sweep_folder / "arms" / "full" / "seed-2", errors=9)
    [told] = [text for text in texts(build([sweep_folder]), "warning") if "in errors" in text]
    assert "stood: full, seed 2: 9 errors; layer 5, seed 0: 6 errors; layer 4" in told
    assert told.endswith("layer 2, seed 0: 3 errors; and 2 further runs, as the table says.")


def test_every_two_seeds_are_compared_as_profiles_of_their_own(sweep_folder: Path) -> None:
    [section] = [s for s in build([sweep_folder]).sections if s.heading == "Runs"]
    runs, alike = (b for b in section.blocks if isinstance(b, Table))
    assert [row[0] for row in alike.rows] == ["0 and 1", "0 and 2", "1 and 2"]
    columns = [[float(str(row[n]).split(",")[0]) for row in runs.rows[2:8]] for n in (1, 2)]
    assert [str(row[0]) for row in runs.rows[2:8]] == [f"layer {n}" for n in range(6)]
    expected = scipy.stats.spearmanr(*columns).statistic
    assert str(alike.rows[0][2]).startswith(f"{expected:.2f} [")
    assert str(alike.rows[0][1]) == "6"


def test_seeds_are_not_compared_over_a_few_layers(make_sweep: MakeSweep) -> None:
    scores = {arm: 0.5 for arm in ("base", "full", "layer-00", "layer-01", "layer-02")}
    [section] = [s for s in build([make_sweep(arms=scores)]).sections if s.heading == "Runs"]
    assert len([b for b in section.blocks if isinstance(b, Table)]) == 1


def test_a_run_by_itself_tells_them_too(sweep_folder: Path) -> None:
    run = sweep_folder / "arms" / "layer-03" / "seed-1"
    cut(run, errors=1)
    assert "t1.0: 1 error" in texts(build([run]), "warning")


@pytest.mark.parametrize("counts", [{"errors": -1}, {"errors": 10**6}, {"out_of_context": 10**6}])
def test_more_than_all_episodes_cannot_be_cut_short(
    counts: dict[str, int], sweep_folder: Path
) -> None:
    run = sweep_folder / "arms" / "full" / "seed-0"
    cut(run, **counts)
    with pytest.raises(ValueError, match="out of context"):
        build([run])


# ---- scores that are not of success --------------------------------------------------------------


def captions(sections: Iterable[Section]) -> str:
    return "\n".join(b.caption for s in sections for b in s.blocks if isinstance(b, Table))


def test_captions_say_so_where_scores_are_returns(sweep_folder: Path) -> None:
    assert "return" not in captions(build([sweep_folder]).sections)
    for path in sweep_folder.glob("arms/*/*/evals/*.json"):
        value = json.loads(path.read_text())
        halves = [[won / 2 for won in row] for row in value["success"]]
        path.write_text(json.dumps({**value, "reward": halves, "scored": "reward"}))
    told = captions(build([sweep_folder]).sections)
    assert "Score (mean return) in percent" in told
    assert "Score (mean return) of every run" in told
    assert "Return in percent by type of task" in told
    assert "Success" not in told


@pytest.mark.parametrize(("scored", "word"), [("success", "success"), ("reward", "return")])
def test_votes_say_what_they_are_scored_by(scored: Scored, word: str) -> None:
    won = np.arange(24).reshape(12, 2) % 3 == 0
    results = [
        replace(result_of(won, arm=arm, seed=seed), reward=((0.5, 1.0),) * 12, scored=scored)
        for arm in ("layers-x3", "full-x3", "base-x3", "full-x1")
        for seed in ((0,) if arm.startswith("base") else (0, 1))
    ]
    section = vote_section([Votes(tuple(map(ArmName.of_layer, range(3))), tuple(results))])
    assert f"{word} in percent" in captions([section])
