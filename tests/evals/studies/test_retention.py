"""Scores on other tasks: formats of questions, numbers kept on disk, compared in pairs."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from layergym.agents.names import open_model
from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.evals.arms import BASE, FULL, ArmName
from layergym.evals.report.build import build
from layergym.evals.report.model import Table, Text
from layergym.evals.result_files import read_sweep
from layergym.evals.score.multiple_choice import (
    ChoiceQuestion,
    loglikelihoods,
    read_questions,
    score_text,
)
from layergym.evals.score.retained import Kept, comparisons, retain
from layergym.evals.score.sources import Choice, Prose, Source

MakeSweep = Callable[..., Path]
SAME = ChoiceQuestion("Question: Where is a mug?\nAnswer:", ("fridge 1", "sofa", "sink"), 1)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "ai2.jsonl",
            '{"question": {"stem": "Where is a mug?", "choices": [{"text": "fridge 1", "label": '
            '"A"}, {"text": "sofa", "label": "B"}, {"text": "sink", "label": "C"}]}, '
            '"answerKey": "B"}',
        ),
        (
            "hub.json",
            '[{"question": "Where is a mug?", "choices": {"text": ["fridge 1", "sofa", "sink"], '
            '"label": ["1", "2", "3"]}, "answerKey": "2"}]',
        ),
        (
            "openai.json",
            '{"centerpiece": "Where is a mug?", "options": ["fridge 1", "sofa", "sink"], '
            '"correct_options_idx": [1]}\n',
        ),
    ],
)
def test_arc_is_read_in_its_formats(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_questions(tmp_path / name) == (SAME,)


def test_mmlu_asks_for_a_letter(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('"2 + 2, is?",3,4,5,6,B\n')
    (tmp_path / "a.json").write_text(
        '{"question": "2 + 2, is?", "choices": ["3", "4", "5", "6"], "answer": 1}'
    )
    [question] = read_questions(tmp_path / "a.csv")
    assert question.prompt == "2 + 2, is?\nA. 3\nB. 4\nC. 5\nD. 6\nAnswer:"
    assert (question.choices, question.answer) == (("A", "B", "C", "D"), 1)
    assert read_questions(tmp_path / "a.json") == (question,)


@pytest.mark.parametrize("text", ["", "{}", '{"question": "a", "choices": ["b"], "answer": 3}'])
def test_what_is_no_question_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "q.json").write_text(text)
    with pytest.raises(InputError, match=r"q\.json"):
        read_questions(tmp_path / "q.json")


def test_batches_change_nothing() -> None:
    model, _ = open_model("tiny")
    generator = np.random.default_rng(0)
    sizes = [(3, 2), (1, 7), (9, 1), (5, 5)]
    pairs = [
        (generator.integers(9, 90, a).tolist(), generator.integers(9, 90, b).tolist())
        for a, b in sizes
    ]
    for found, (context, rest) in zip(loglikelihoods(model, pairs), pairs, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([context + rest])).logits[0].double()
        each = logits[:-1].log_softmax(-1)[
            range(len(context) + len(rest) - 1), (context + rest)[1:]
        ]
        assert found == pytest.approx(float(each[len(context) - 1 :].sum()), abs=1e-3)


def test_a_text_is_cut_into_windows_that_go_on() -> None:
    model, tokenizer = open_model("tiny")
    text = "You are in the middle of a room . " * 20
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    losses = score_text(model, tokenizer, text, window=16)["nll"]
    assert len(losses) == len(ids) // 16
    [second] = loglikelihoods(model, [(ids[15:16], ids[16:32])])
    assert losses[1] == pytest.approx(-second / 16)
    with pytest.raises(InputError, match="two tokens"):
        score_text(model, tokenizer, "")


def fill(folder: Path, shares: dict[str, float], losses: dict[str, float]) -> None:
    generator = np.random.default_rng(0)
    luck, spread = generator.random(300), generator.normal(0, 0.5, 300)
    for run in read_sweep(folder).runs:
        if run.arm in shares:
            right = [float(x < shares[run.arm]) for x in luck]
            nll = (3 + spread + losses[run.arm]).tolist()
            for source, scores in (("arc", {"acc": right}), ("novel", {"nll": nll})):
                value = {"source": source, "digest": "d", "arm": run.arm, "seed": run.seed}
                write_json(run.path / "retention" / f"{source}.json", value | {"scores": scores})


def test_the_report_says_which_arm_forgot(sweep_folder: Path) -> None:
    shares = {"base": 0.6, "full": 0.4, "layer-04": 0.6}
    fill(sweep_folder, shares, {"base": 0.0, "full": math.log(1.5), "layer-04": 0.0})
    section = next(s for s in build([sweep_folder]).sections if s.heading == "Retention")
    told = " ".join(block.text for block in section.blocks if isinstance(block, Text))
    assert "On arc, against the base, worse: full; not distinguishable: layer 4." in told
    assert "On novel, against the base, worse: full;" in told
    arc, novel = (block for block in section.blocks if isinstance(block, Table))
    rows = {row[0]: row for row in arc.rows}
    assert rows["full"][2].startswith("-") and rows["layer 4"][3].startswith("+")
    assert {row[0]: row for row in novel.rows}["full"][2].startswith("+50.0")


def test_arms_scored_on_other_items_are_left_out_and_named(sweep_folder: Path) -> None:
    fill(sweep_folder, {"base": 0.6, "full": 0.4}, {"base": 0.0, "full": 0.1})
    for run in read_sweep(sweep_folder).runs:
        if run.arm == "layer-04":
            value = {"source": "arc", "digest": "few", "arm": run.arm, "seed": run.seed}
            write_json(run.path / "retention" / "arc.json", value | {"scores": {"acc": [1.0, 0.0]}})
            (run.path / "retention" / "arc.json.tmp").write_text("{")
    section = next(s for s in build([sweep_folder]).sections if s.heading == "Retention")
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert "300 questions" in table.caption and [row[0] for row in table.rows] == ["base", "full"]
    told = " ".join(block.text for block in section.blocks if isinstance(block, Text))
    assert "another version of arc and left out: layer 4, seed 0 (2 items); layer 4, seed 1" in told


def test_without_a_base_the_version_of_most_runs_counts() -> None:
    kept = [
        Kept("arc", digest, ArmName(arm), 0, {"acc": (1.0,) * items})
        for arm, digest, items in (("full", "all", 3), ("layer-01", "few", 2), ("lora", "all", 3))
    ]
    [found] = comparisons(kept)
    assert [arm.arm for arm in found.arms] == ["full", "lora"] and found.items == 3
    assert [one.arm for one in found.left_out] == ["layer-01"]


def test_a_finished_sweep_is_scored_once(tmp_path: Path, make_sweep: MakeSweep) -> None:
    folder = make_sweep(greedy={}, arms={"base": 0.3, "full": 0.6})
    for config in folder.glob("arms/base/*/config.json"):
        write_json(config, {"env": "layergym/ALFWorld-v0", "model": "tiny"})
    words = tmp_path / "novel.txt"
    words.write_text("You open the fridge 1 . " * 30)
    questions = Choice("arc", (SAME,))
    seen: list[str] = []
    for _ in range(2):
        sources: list[Source] = [questions, Prose.read(words)]
        retain(read_sweep(folder), [BASE], sources, lambda run, one: seen.append(one.name))
    assert seen == ["arc", "novel"]
    with pytest.raises(InputError, match="run finish first"):
        retain(read_sweep(folder), [FULL], [questions])
    with pytest.raises(InputError, match='no arm "layer-09"'):
        retain(read_sweep(folder), [ArmName("layer-09")], [questions])
