"""The beginning of text, and questions longer than the context."""

import copy
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
    score_questions,
)


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


def test_long_questions_lose_their_beginning_with_a_notice() -> None:
    model, tokenizer = open_model("tiny")
    room = model.config.max_position_embeddings
    end = "go to the sofa\nAnswer:"
    long = ChoiceQuestion("look " * (room + 50) + end, ("look", "go"), 0)
    with pytest.warns(Notice, match="lost their beginning"), torch.no_grad():
        assert set(score_questions(model, tokenizer, [long])) == {"acc", "acc_norm"}
    with pytest.raises(InputError, match="a choice is longer"):
        score_questions(model, tokenizer, [ChoiceQuestion("a", ("look " * (room + 9), "go"), 1)])
