"""Log-likelihoods and verdicts equal lm-evaluation-harness's, question by question.

Its figures are in `lm_eval_reference.json`; `lm_eval_reference.py` made them.
"""

import json
from typing import Any

import pytest
from tokenizers import normalizers

from layergym.base.errors import InputError, Notice
from layergym.evals.score.multiple_choice import (
    ChoiceQuestion,
    beginning,
    choice_loglikelihoods,
    score_questions,
    score_text,
)
from tests.evals.score.lm_eval_reference import FILE, KINDS, model_of, questions, text_of

REFERENCE: dict[str, Any] = json.loads(FILE.read_text())["kinds"]


@pytest.mark.filterwarnings("ignore::layergym.base.errors.Notice")
@pytest.mark.parametrize("kind", KINDS)
def test_every_question_is_scored_as_by_the_harness(kind: str) -> None:
    model, tokenizer = model_of(kind)
    for name, asked in questions().items():
        theirs = REFERENCE[kind][name]
        ours = choice_loglikelihoods(model, tokenizer, asked)
        assert len(ours) == len(theirs["loglikelihoods"]) == len(asked)
        for one, other in zip(ours, theirs["loglikelihoods"], strict=True):
            assert one == pytest.approx(other, rel=1e-4, abs=2e-4)
        assert score_questions(model, tokenizer, asked) == {
            measure: tuple(theirs[measure]) for measure in ("acc", "acc_norm")
        }


@pytest.mark.parametrize(
    ("kind", "tokens"), [(kind, tokens) for kind in KINDS for tokens in REFERENCE[kind]["text"]]
)
def test_a_text_is_as_likely_as_to_the_harness(kind: str, tokens: str) -> None:
    model, tokenizer = model_of(kind)
    losses = score_text(model, tokenizer, text_of(tokenizer, int(tokens)))["nll"]
    total = -sum(losses) * int(tokens) / len(losses)
    assert total == pytest.approx(REFERENCE[kind]["text"][tokens], rel=1e-6)


def test_the_kinds_begin_a_text_differently() -> None:
    begun = {kind: len(beginning(model_of(kind)[1])) for kind in KINDS}
    assert begun == {"qwen": 0, "gpt2": 0, "llama": 1, "gemma": 1, "glm": 2}


def test_a_question_longer_than_the_context_is_told_of() -> None:
    model, tokenizer = model_of("gemma")
    with pytest.warns(Notice, match="lost their beginning"):
        score_questions(model, tokenizer, questions()["worded"])


def test_a_choice_without_a_token_of_its_own_is_refused() -> None:
    model, tokenizer = model_of("qwen")
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    with pytest.raises(InputError, match="adds no token"):
        score_questions(model, tokenizer, [ChoiceQuestion("Answer:", (" ", "go"), 0)])
