"""A mathematical question with its answer, and where such questions come from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layergym.base.errors import InputError
from layergym.envs.math.find import find_answer
from layergym.envs.rows import TableRow

_QUESTION = ("problem", "question", "Problem", "Question")
_ANSWER = ("answer", "Answer", "final_answer", "expected_answer")
_NAME = ("unique_id", "id", "ID", "url")
_REQUEST = re.compile(
    r"\s*Let's think step by step and output the final answer within \\boxed\{\}\.?"
)


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

    id: str
    kind: str
    text: str
    answer: str


def questions(rows: Sequence[TableRow], source: str) -> list[Question]:
    """Questions from the rows of a dataset, in order of id.

    Reads the columns of GSM8K (Cobbe et al., arXiv 2110.14168; the answer follows `####`), MATH and
    MATH-500 (Hendrycks et al., arXiv 2103.03874; the answer is boxed in the solution), AIME and AMC
    sets (`problem`, `answer`), and verl's `prompt` and `reward_model`.

    A row whose answer is empty (two in verl's MATH) cannot be judged and is left out.

    Raises:
        InputError: there is no row, one lacks the columns, or two have the same id.
    """
    digits = len(str(len(rows)))
    made = [_question(row, number, digits) for number, row in enumerate(rows)]
    made = [question for question in made if question.answer]
    if not made:
        raise InputError(
            f"{source} has no question with an answer; check its columns question and answer"
        )
    if len({question.id for question in made}) < len(made):
        raise InputError(f"{source} uses an id twice; ids must be unique")
    return sorted(made, key=lambda question: question.id)


def _question(row: TableRow, number: int, digits: int) -> Question:
    text, answer = _text(row), _answer(row)
    if not text or answer is None:
        raise InputError(
            f"row {number} has no {'answer' if text else 'question'}; known columns are "
            f"{', '.join(_QUESTION)} and {', '.join(_ANSWER)}, solution, or verl's"
        )
    name = _given(row, _NAME)
    level = re.sub(r"\D", "", _given(row, ("level",)))
    kind = f"level {level}" if level else _given(row, ("subject", "type"))
    return Question(name or f"{number:0{digits}d}", kind, text, answer)


def _text(row: TableRow) -> str:
    if isinstance(row.get("prompt"), list) and row["prompt"]:
        last = row["prompt"][-1]
        asked = _given(last, ("content",)) if isinstance(last, dict) else ""
        return _REQUEST.sub("", asked).strip()
    return _given(row, _QUESTION).strip()


def _given(row: Mapping[str, Any], names: Sequence[str]) -> str:
    """What the first of these columns that is filled says; null, NaN and spaces fill none.

    A list says what its items say, with commas; an empty one, or an empty object, fills none.
    """
    values = (row.get(name) for name in names)
    texts = (_said(value) for value in values if value is not None and value == value)
    return next((text for text in texts if text.strip()), "")


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return "" if value == {} else str(value)


def _answer(row: TableRow) -> str | None:
    """The answer, empty when the row gives none; None when it has no column for one."""
    if isinstance(row.get("reward_model"), dict):
        return _given(row["reward_model"], ("ground_truth",)).strip()
    given = _given(row, _ANSWER) or None
    text = given or _given(row, ("solution",))
    if not text:
        return "" if {*_ANSWER, "solution"} & row.keys() else None
    if given is not None and "####" not in given and "\\boxed" not in given:
        return given.strip()
    answer = find_answer(text)
    if answer is None:
        return ""
    return answer.text.replace(",", "") if "####" in text else answer.text
