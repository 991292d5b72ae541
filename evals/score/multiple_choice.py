"""Multiple choice by log-likelihood and perplexity of plain text, on local files.

Prompts and scores are those of EleutherAI's lm-evaluation-harness, zero-shot: its task `arc_easy`
for questions whose choices are texts, its MMLU template where choices are letters, and its `acc`
(most likely choice) and `acc_norm` (log-likelihood per character of the choice).

A file of questions holds one JSON object per line or one list of them, in ARC's format (the
original's or the hub's), with `question`, `choices` and the index `answer` (MMLU on the hub), or
with `centerpiece`, `options` and `correct_options_idx` (OpenAI's evals); or it is MMLU's CSV
without a header: question, A, B, C, D, answer letter.
"""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.base.errors import InputError, Notice, briefly
from layergym.base.texts import csv_rows, lines

_LOGITS = 2**26
"""Logits in memory at once, at most."""
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """One prompt with its possible continuations, without the space before them."""

    prompt: str
    choices: tuple[str, ...]
    answer: int

    def __post_init__(self) -> None:
        """Refuse an answer that is not among the choices."""
        if not 0 <= self.answer < len(self.choices) or not all(self.choices):
            raise ValueError(f"answer {self.answer} of {len(self.choices)} choices")


def read_questions(path: Path) -> tuple[ChoiceQuestion, ...]:
    """Read a file of questions.

    Raises:
        InputError: it is missing, or a question cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {briefly(error)}") from None
    if path.suffix.lower() == ".csv":
        return _read_csv(path, text)
    questions = []
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else _lines(text)
        for row in rows:
            questions.append(_question(row))
    except (ValueError, KeyError, TypeError, IndexError) as error:
        where = f"question {len(questions) + 1}"
        raise InputError(
            f"{path}, {where} is in no known format ({briefly(error)}); "
            "write it as JSON or CSV with question, choices and answer"
        ) from None
    if not questions:
        raise InputError(f"{path} holds no question")
    return tuple(questions)


def score_questions(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[ChoiceQuestion]
) -> dict[str, tuple[float, ...]]:
    """Whether each question is answered correctly, 1 or 0, as "acc" and "acc_norm".

    Ties go to the first of the choices.

    Raises:
        InputError: a choice is longer than the model's context, or adds no token to its prompt.
    """
    plain, normed = [], []
    every = choice_loglikelihoods(model, tokenizer, questions)
    for question, likelihoods in zip(questions, every, strict=True):
        rates = [
            value / len(text) for value, text in zip(likelihoods, question.choices, strict=True)
        ]
        plain.append(float(likelihoods.index(max(likelihoods)) == question.answer))
        normed.append(float(rates.index(max(rates)) == question.answer))
    return {"acc": tuple(plain), "acc_norm": tuple(normed)}


def choice_loglikelihoods(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, questions: Sequence[ChoiceQuestion]
) -> list[list[float]]:
    """Log-likelihood (nats) of each choice of each question; errors as of `score_questions`."""
    start = beginning(tokenizer)
    pairs = [
        _encoded(tokenizer, start, question.prompt, f" {choice}")
        for question in questions
        for choice in question.choices
    ]
    sums = iter(loglikelihoods(model, _fitted(model, pairs)))
    return [[next(sums) for _ in question.choices] for question in questions]


def score_text(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, text: str, window: int = 512
) -> dict[str, tuple[float, ...]]:
    """Mean negative log-likelihood (nats per token) of disjoint windows of a text, as "nll".

    Each window is read after the token before it, and after what the tokenizer puts before a text
    by itself; the first after that, or the beginning or end of text. What is left after the last
    whole window is dropped unless there is no other. A window is no longer than the model's
    context. For tokenizers that add nothing this is the harness's rolling log-likelihood.

    Raises:
        InputError: the text is shorter than two tokens.
    """
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) < 2:
        raise InputError("a text needs at least two tokens to have a perplexity")
    begin = beginning(tokenizer)
    known = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    first = begin or [next(token for token in known if token is not None)]
    window = min(window, (_room(model) or window + len(begin)) - len(begin))
    starts = range(0, max(len(ids) - window, 0) + 1, window)
    pairs = [([*begin, *ids[i - 1 : i]] if i else first, ids[i : i + window]) for i in starts]
    sums = loglikelihoods(model, pairs)
    return {"nll": tuple(-s / len(part) for s, (_, part) in zip(sums, pairs, strict=True))}


def loglikelihoods(
    model: PreTrainedModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[float]:
    """Log-likelihood (nats) of each continuation after its context, in tokens, both not empty."""
    order = sorted(range(len(pairs)), key=lambda i: -sum(map(len, pairs[i])))
    vocabulary = model.config.get_text_config().vocab_size
    likelihoods = [0.0] * len(pairs)
    while order:
        longest = sum(map(len, pairs[order[0]]))
        size = max(1, _LOGITS // (longest * vocabulary))
        batch, order = order[:size], order[size:]
        for place, value in zip(batch, _batch(model, [pairs[i] for i in batch]), strict=True):
            likelihoods[place] = value
    return likelihoods


@torch.no_grad()
def _batch(
    model: PreTrainedModel, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]
) -> list[float]:
    """Rows are padded on the right, where causal attention does not see it."""
    rows = [torch.tensor([*context, *rest]) for context, rest in pairs]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
    logprobs = model(input_ids=ids[:, :-1], use_cache=False).logits.float().log_softmax(-1)
    each = logprobs.gather(-1, ids[:, 1:, None])[..., 0].cpu()
    return [
        float(row[len(context) - 1 : len(context) + len(rest) - 1].sum())
        for row, (context, rest) in zip(each, pairs, strict=True)
    ]


def beginning(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What the tokenizer puts before a text by itself: mostly the beginning of text, or nothing."""
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    places = range(len(whole) - len(bare) + 1)
    place = next((at for at in places if whole[at : at + len(bare)] == bare), 0)
    return list(whole[:place])


def _room(model: PreTrainedModel) -> int | None:
    """How many tokens the model can read; None where nothing limits them."""
    room: int | None = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return room


def _fitted(
    model: PreTrainedModel, pairs: Sequence[tuple[list[int], list[int]]]
) -> list[tuple[list[int], list[int]]]:
    """Pairs that fit the model's context: longer ones lose their beginning, as in the harness.

    Raises:
        InputError: a choice alone is longer than the context.
    """
    room = _room(model)
    if room is None:
        return list(pairs)
    if any(len(rest) > room for _, rest in pairs):
        raise InputError(
            f"a choice is longer than the model's context of {room} tokens; leave it out"
        )
    # The last token is only predicted, so one more than the context fits.
    over = [max(0, len(context) + len(rest) - room - 1) for context, rest in pairs]
    if cut := sum(map(bool, over)):
        warnings.warn(
            f"{cut} of {len(pairs)} questions with a choice are longer than the model's context "
            f"of {room} tokens and lost their beginning",
            Notice,
            stacklevel=3,
        )
    return [(context[n:], rest) for n, (context, rest) in zip(over, pairs, strict=True)]


def _encoded(
    tokenizer: PreTrainedTokenizerBase, start: list[int], context: str, rest: str
) -> tuple[list[int], list[int]]:
    """Both in tokens, cut where the context alone would end, as the harness does.

    A context that begins with the last of `start` itself gets no second one.
    """
    whole = tokenizer(context + rest, add_special_tokens=False)["input_ids"]
    cut = len(tokenizer(context, add_special_tokens=False)["input_ids"])
    if len(whole) <= cut:
        raise InputError(
            f"the choice {rest!r} adds no token to its prompt with this tokenizer; reword it"
        )
    start = [] if whole[:1] == start[-1:] else start
    return [*start, *whole[:cut]], whole[cut:]


def _lines(text: str) -> Iterator[Any]:
    return (json.loads(line) for line in lines(text) if line.strip())


def _question(row: Mapping[str, Any]) -> ChoiceQuestion:
    if "options" in row:
        text, choices = row["centerpiece"], row["options"]
        return _worded(text, choices, int(row["correct_options_idx"][0]))
    text, choices = row["question"], row.get("choices")
    if isinstance(text, Mapping):  # ARC as AI2 publishes it
        text, choices = text["stem"], text["choices"]
        labels = [choice["label"] for choice in choices]
        return _worded(text, [c["text"] for c in choices], labels.index(row["answerKey"]))
    if isinstance(choices, Mapping):  # ARC on the hub
        return _worded(text, choices["text"], list(choices["label"]).index(row["answerKey"]))
    return _lettered(text, choices or (), _place(row["answer"]))


def _place(answer: Any) -> int:
    """The index of an answer, which is given as a number or as its letter."""
    if isinstance(answer, str) and answer in tuple(_LETTERS):
        return _LETTERS.index(answer)
    if isinstance(answer, bool) or int(answer) != float(answer):
        raise ValueError(f"{answer!r} is no choice")
    return int(answer)


def _worded(text: str, choices: Sequence[str], answer: int) -> ChoiceQuestion:
    return ChoiceQuestion(f"Question: {text}\nAnswer:", tuple(map(str, choices)), answer)


def _lettered(text: str, choices: Sequence[str], answer: int) -> ChoiceQuestion:
    if len(choices) > len(_LETTERS):
        raise ValueError(f"{len(choices)} choices, and {len(_LETTERS)} letters")
    listed = "".join(f"{n}. {c}\n" for n, c in zip(_LETTERS, choices, strict=False))
    return ChoiceQuestion(
        f"{text.strip()}\n{listed}Answer:", tuple(_LETTERS[: len(choices)]), answer
    )


def _read_csv(path: Path, text: str) -> tuple[ChoiceQuestion, ...]:
    questions = []
    try:
        rows = csv_rows(text)
    except csv.Error as error:
        raise InputError(
            f"{path} is not a CSV table: {briefly(error)}; write it as text with commas"
        ) from None
    for number, row in enumerate(rows, start=1):
        if len(row) < 4 or row[-1].strip() not in tuple(_LETTERS[: len(row) - 2]):
            raise InputError(
                f"{path}, row {number}: expected question, choices, answer letter; mend the row"
            )
        questions.append(_lettered(row[0], row[1:-1], _LETTERS.index(row[-1].strip())))
    if not questions:
        raise InputError(f"{path} holds no question")
    return tuple(questions)
