"""Questions of reasoning-gym (Stojanovski et al., arXiv 2505.24760), scored in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any

from layergym.base.errors import InputError, unknown
from layergym.envs.adapters.extras import library
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.sandbox import CallError, shared
from layergym.envs.tags import between

_STREAM = 1_000_000_000
_SCORER = """
import json, reasoning_gym
made = reasoning_gym.create_dataset({dataset!r}, **json.loads({settings!r}))
for answer in ("1", "(1 + 1)/2", made[0]["answer"]):  # loads what scorers import late
    made.score_answer(answer, made[0])

def score(answer, entry):
    return float(made.score_answer(answer, entry))
"""
"""Run by each worker before it is confined."""

Entry = dict[str, Any]


class ReasoningGym(TextEnv):
    """Questions of reasoning-gym; needs dataset, such as dataset=countdown.

    One question, one answer; reward and success are reasoning-gym's score. Its scorers evaluate
    what a model wrote, so they run in the sandbox: the host is safe, but an answer written to
    deceive its scorer can, as with reasoning-gym itself.
    """

    instructions = "Answer the question. Give the final answer inside <answer> </answer> tags."
    max_turns = 1

    def __init__(
        self,
        *,
        dataset: str,
        settings: Mapping[str, Any] | None = None,
        size: int = 500,
        isolation: str = "auto",
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose the questions.

        Args:
            dataset: reasoning-gym's name of it.
            settings: the dataset's own.
            size: number of questions in the split; fewer where there are fewer.
            isolation: how the scorer is confined; see `Sandbox`.
            split: a question's text decides where it belongs, so none is in both.
            max_turns: answers that may be given.
            render_mode: as everywhere.

        Raises:
            InputError: reasoning-gym is not installed or has no such dataset, or a setting is
                wrong.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        known = library("reasoning_gym.factory", "reasoning-gym").DATASETS
        if dataset not in known:
            raise unknown("dataset of reasoning-gym", dataset, known)
        if size < 1:
            raise InputError(f"size must be at least 1, not {size}")
        self.dataset = dataset
        self._settings = json.dumps({"seed": 0, "size": _STREAM, **(settings or {})})
        self._questions = _questions(dataset, self._settings, split, size)
        shared(isolation)  # refuses one that there is not
        self._isolation = isolation
        self._answers = 0

    @property
    def tasks(self) -> Sequence[str]:
        """Ids of the questions, sorted."""
        return sorted(self._questions)

    def digest(self, task: str) -> str:
        """SHA-256 of the question."""
        return sha256(_text(self._questions[task]).encode()).hexdigest()

    def start(self) -> str:
        """Ask the question.

        Raises:
            InputError: programs cannot be isolated here, or the scorer does not work so.
        """
        shared(self._isolation).check()
        _check_scorer(self.dataset, self._settings, self._isolation)
        self._answers = 0
        return _text(self._questions[self.task])

    def play(self, action: str) -> Outcome:
        """Score an answer: what the last answer tag holds, or the whole reply without one."""
        *_, answer = (action, *between(action, "answer"))
        answer = answer.strip()
        last = self.turn + 1 >= self.max_turns
        if not answer:
            return Outcome("There is no answer.", terminated=last, valid=False)
        self._answers += 1
        score = self._score(answer)
        text = "Right." if score >= 1 else f"Not right; score {score:.2g}."
        return Outcome(text, score, terminated=score >= 1 or last, success=score >= 1)

    def state_key(self) -> Hashable:
        """The question and the number of answers."""
        return self.task, self._answers

    def _score(self, answer: str) -> float:
        entry = self._questions[self.task]
        try:
            return _confined(self.dataset, self._settings, self._isolation, answer, entry)
        except CallError:  # The answer broke the scorer.
            return 0.0


def _confined(dataset: str, settings: str, isolation: str, answer: str, entry: Entry) -> float:
    """The score of `answer`, from the sandbox; between 0 and 1."""
    prelude = _SCORER.format(dataset=dataset, settings=settings)
    sandbox = shared(isolation, ("reasoning_gym",), prelude)
    score = sandbox.call("from prelude import score", "score", answer, entry)
    return min(1.0, max(0.0, score)) if isinstance(score, float) else 0.0


@lru_cache(maxsize=64)
def _check_scorer(dataset: str, settings: str, isolation: str) -> None:
    """Make sure that the scorer works in confinement: on the answer that the dataset gives.

    Raises:
        InputError: it does not; some need files that are out of reach there.
    """
    stream = _stream(dataset, settings)
    entry: Entry = stream[0]
    answer = entry["answer"]
    if not isinstance(answer, str) or stream.score_answer(answer, entry) < 1:
        return
    try:
        score, why = _confined(dataset, settings, isolation, answer, entry), "it scores differently"
    except (CallError, TypeError, ValueError) as error:
        score, why = 0.0, str(error).strip().splitlines()[-1]
    if score < 1:
        raise InputError(
            f"reasoning-gym's scorer of {dataset} does not work in the sandbox ({why}); choose "
            'another dataset, or, where harm is acceptable, ask for isolation="none"'
        )


def _stream(dataset: str, settings: str) -> Any:
    make = library("reasoning_gym", "reasoning-gym").create_dataset
    try:
        return make(dataset, **json.loads(settings))
    except (TypeError, AssertionError, ValueError) as error:
        raise InputError(
            f"reasoning-gym does not make {dataset} like this: {error}; mend the settings"
        ) from error


def _text(entry: Entry) -> str:
    return str(entry["question"]).strip()


@lru_cache(maxsize=8)
def _questions(dataset: str, settings: str, split: str, size: int) -> dict[str, Entry]:
    """Questions of the split by id; fewer than `size` where the dataset repeats itself."""
    stream = _stream(dataset, settings)
    entries: dict[str, Entry] = {}
    for index in range(min(20 * size, len(stream))):
        entry: Entry = stream[index]
        code = sha256(_text(entry).encode()).digest()
        if (code[0] % 5 == 0) == (split == "test"):
            entries.setdefault(f"{dataset}-{code[:8].hex()}", entry)
        if len(entries) == size:
            break
    return entries
