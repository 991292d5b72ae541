"""The mathematics environment: answer at once, or work with a tool and check first."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Self

from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.fences import blocks
from layergym.envs.math import generated
from layergym.envs.math.answers import equal
from layergym.envs.math.find import find_answer, spoken_answer
from layergym.envs.math.grading import grader
from layergym.envs.math.problems import Question, questions
from layergym.envs.rows import TableRow, read_once
from layergym.envs.sandbox import shared
from layergym.envs.tags import between

_UNCLEAN = 0.9  # what a right answer earns among others; a wrong one earns nothing for its form
_MAX_SHOWN = 1000

_ASK = r"Solve the problem. Give the final answer, and only it, in \boxed{}."
_TOOLS = """
Before you answer you may calculate, one thing a turn: an expression in <calc> </calc>, or a \
Python program in a ```python block, of which you see what it prints. Programs share nothing."""
_FORM = r"Reason step by step. End with the final answer in \boxed{}."
_FORM_WITH_TOOLS = r"Calculate one thing, or end with the final answer in \boxed{}."
_ATTEMPTS = "\nYou are told when an answer is wrong, and have {attempts} attempts in all."


class Math(TextEnv):
    r"""Mathematical questions with one right answer.

    The final answer of a reply is its last `\boxed{}`, else `<answer>` tag, else `####`, else what
    follows "the answer is". A right one earns 1, or 0.9 in a reply that gives other answers too; a
    wrong one earns 0 whatever its form. With `tools`, turns may calculate; with `attempts` above 1,
    a wrong answer may be mended.
    """

    splits = ("train", "valid", "test")
    max_turns = 8

    def __init__(  # noqa: PLR0913 (gymnasium.make takes settings flat)
        self,
        *,
        split: str = "train",
        problems: str | Path = "generated",
        families: Sequence[str] = generated.FAMILIES,
        levels: Sequence[int] = generated.LEVELS,
        size: int | None = None,
        tools: bool = False,
        attempts: int = 1,
        isolation: str = "auto",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment over the questions of one split.

        Args:
            split: train, valid or test.
            problems: `generated`, or a dataset as a file, a folder or `hub:owner/name`.
            families: of generated questions, such as "chain_sum" or "gcd".
            levels: difficulties of generated questions, of 1, 2 and 3.
            size: number of generated questions in the split.
            tools: allow calculations before the answer.
            attempts: answers that may be given.
            isolation: how programs and the grader are confined; see `Sandbox`.
            max_turns: turns of an episode; by default `attempts`, and 8 with tools.
            render_mode: `ansi` or None.

        Raises:
            InputError: a setting is unknown, or the questions cannot be read.
        """
        if attempts < 1:
            raise InputError(f"attempts must be at least 1, not {attempts}")
        turns = max_turns if max_turns is not None or tools else attempts
        super().__init__(split=split, max_turns=turns, render_mode=render_mode)
        self._tools = tools
        self._attempts = attempts
        grader(isolation)  # refuses one that there is not
        self._isolation = isolation
        self.reply_form = _FORM_WITH_TOOLS if tools else _FORM
        self.instructions = _ASK + (_TOOLS if tools else "")
        self.instructions += _ATTEMPTS.format(attempts=attempts) if attempts > 1 else ""
        chosen = (tuple(families), tuple(levels), size)
        if problems == "generated":
            questions: Sequence[Question] = generated.generated_questions(split, *chosen)
        elif chosen != (generated.FAMILIES, generated.LEVELS, None):
            raise InputError("families, levels and size can be set for generated questions only")
        else:
            questions = read_once(_asked, problems, split)
        self._questions = {question.id: question for question in questions}
        self._wrong = 0
        self._learnt: frozenset[str] = frozenset()

    # ---- tasks ------------------------------------------------------------------------------

    @property
    def tasks(self) -> Sequence[str]:
        """Ids of the questions of this split, sorted."""
        return sorted(self._questions)

    def has_task(self, task: str) -> bool:
        """Whether `task` is in this split's panel."""
        return task in self._questions

    def kind(self, task: str) -> str:
        """Family and level of a generated question, or the level that the dataset gives."""
        return self._questions[task].kind

    def digest(self, task: str) -> str:
        """SHA-256 of the question and its answer."""
        question = self._questions[task]
        text = f"{question.text}\0{question.answer}"
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def question(self, task: str) -> str:
        """What is asked in `task`, as the check for leaked test problems compares it."""
        return self._questions[task].text

    @property
    def _question(self) -> Question:
        return self._questions[self.task]

    # ---- play -------------------------------------------------------------------------------

    def start(self) -> str:
        """Ask the question.

        Raises:
            InputError: programs cannot be isolated here.
        """
        shared(self._isolation).check()
        self._wrong = 0
        self._learnt = frozenset()
        return self._question.text

    def play(self, action: str) -> Outcome:
        """Judge an answer, or carry out a calculation."""
        answer = find_answer(action)
        if answer is None:
            if source := self._calculation(action):
                return self._run(source)
            answer = spoken_answer(action)
        if answer is None:
            return self._no_answer()
        if equal(self._question.answer, answer.text, grader(self._isolation)):
            reward = 1.0 if answer.clean else _UNCLEAN
            return Outcome("Right.", reward=reward, terminated=True, success=True)
        self._learnt |= {f"not {answer.text}"}
        return self._wrong_answer("Wrong.")

    def _no_answer(self) -> Outcome:
        text = r"There is no final answer; give it in \boxed{}."
        if self._tools:
            return Outcome(text, valid=False)
        return replace(self._wrong_answer(text), valid=False)

    def _wrong_answer(self, text: str) -> Outcome:
        self._wrong += 1
        left = self._attempts - self._wrong
        if not left:
            return Outcome(text, terminated=True)
        return Outcome(f"{text} Check your steps; attempts left: {left}.")

    def _calculation(self, action: str) -> str:
        """The program that an action asks to run, if it may; empty when there is none."""
        calculations = list(between(action, "calc"))
        programs = [block.text for block in blocks(action) if block.fenced]
        if not self._tools or not (calculations or programs):
            return ""
        return programs[-1] if programs else f"print({calculations[-1].strip()})"

    def _run(self, source: str) -> Outcome:
        output = shared(self._isolation, ("numpy",)).run(source)
        shown = output.text.strip()[-_MAX_SHOWN:] or "(no output)"
        if output.ended in ("time", "killed", "output"):
            shown += f"\n(stopped: {output.ended})"
        self._learnt |= {shown}
        return Outcome(shown)

    def state_key(self) -> Hashable:
        """The question, the attempts used, and what was learnt, whatever the way and order."""
        return self.task, self._wrong, self._learnt

    def clone(self) -> Self:
        """An independent copy in the same state; the questions are shared."""
        twin = copy.copy(self)
        twin._np_random = copy.deepcopy(self._np_random)
        return twin

    def expert(self) -> str | None:
        """The right answer."""
        return f"\\boxed{{{self._question.answer}}}"


def _asked(rows: list[TableRow], source: str, _: str) -> list[Question]:
    return questions(rows, source)
