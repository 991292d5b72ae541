"""The beginning of text, and questions longer than the context."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from layergym.agents.names import open_model
from layergym.base.errors import InputError, Notice
from layergym.evals.score.multiple_choice import (
    ChoiceQuestion,
    beginning,
    loglikelihoods,
    read_questions,
    score_questions,
)
from layergym.evals.score.sources import Prose


def with_bos(tokenizer: Any) -> Any:
    """A tokenizer that, as Gemma's and Llama's do, puts a token before every text."""
    made = copy.deepcopy(tokenizer)
    token = made.convert_ids_to_tokens(0)
    made.bos_token = token
    made.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{token} $A", special_tokens=[(token, 0)]
    )
    return made


def test_bos_is_fed_where_the_tokenizer_adds_it_itself() -> None:
    model, plain = open_model("tiny")
    gemma = with_bos(plain)
    assert beginning(plain) == [] and beginning(gemma) == [0]
    question = ChoiceQuestion("Question: go to\nAnswer:", ("look", "go"), 0)
    ids = [gemma(question.prompt + f" {c}")["input_ids"] for c in question.choices]
    cut = len(gemma(question.prompt)["input_ids"])
    own = loglikelihoods(model, [(row[:cut], row[cut:]) for row in ids])
    assert score_questions(model, gemma, [question])["acc"] == (float(own[0] >= own[1]),)
    bare = loglikelihoods(model, [(row[1:cut], row[cut:]) for row in ids])
    assert own != pytest.approx(bare)


@pytest.mark.parametrize(("answer", "place"), [(2, 2), ("2", 2), ("C", 2), (2.0, 2), ("J", 9)])
def test_an_answer_is_a_number_or_a_letter(answer: object, place: int, tmp_path: Path) -> None:
    row = {"question": "Which?", "choices": list("qrstuvwxyz"), "answer": answer}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    [found] = read_questions(tmp_path / "q.jsonl")
    assert found.answer == place and found.choices == tuple("ABCDEFGHIJ")


@pytest.mark.parametrize("answer", [None, "", 1.5, True, -1, 10, "k", [1], "CD"])
def test_what_is_no_answer_is_refused(answer: object, tmp_path: Path) -> None:
    row = {"question": "Which?", "choices": list("qrstuvwxyz"), "answer": answer}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="question 1"):
        read_questions(tmp_path / "q.jsonl")


def test_more_choices_than_letters_are_refused(tmp_path: Path) -> None:
    row = {"question": "Which?", "choices": ["x"] * 27, "answer": 0}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    with pytest.raises(InputError, match="26 letters"):
        read_questions(tmp_path / "q.jsonl")


def test_a_mark_at_the_beginning_of_a_text_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / "marked.txt").write_text("\ufeffgo to the sofa", encoding="utf-8")
    assert Prose.read(tmp_path / "marked.txt").text == "go to the sofa"


def test_long_questions_lose_their_beginning_with_a_notice() -> None:
    model, tokenizer = open_model("tiny")
    room = model.config.max_position_embeddings
    end = "go to the sofa\nAnswer:"
    long = ChoiceQuestion("look " * (room + 50) + end, ("look", "go"), 0)
    with pytest.warns(Notice, match="lost their beginning"), torch.no_grad():
        assert set(score_questions(model, tokenizer, [long])) == {"acc", "acc_norm"}
    with pytest.raises(InputError, match="a choice is longer"):
        score_questions(model, tokenizer, [ChoiceQuestion("a", ("look " * (room + 9), "go"), 1)])
