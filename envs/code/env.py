"""The code environment: write a program, see the visible tests, repair, submit."""

from __future__ import annotations

import copy
from collections.abc import Hashable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Literal, Self

from layergym.base.errors import unknown
from layergym.envs.code import datasets, generated
from layergym.envs.code.problems import CodeProblem
from layergym.envs.code.replies import read_program
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.rows import TableRow, read_once
from layergym.envs.sandbox import Verdict, shared

Reward = Literal["all", "fraction"]

_MAX_SHOWN = 600

_INSTRUCTIONS = """You write Python programs. Give the whole program in a code block:
```python
...
```
It is run against the visible tests and you see what happens, so that you can repair it. \
When you are done, write "submit", alone or before a last program: it is then judged on hidden \
tests, once. You have {turns} turns; a program given in the last one is judged as well. \
Only the standard library and numpy can be imported; there are no files, network or threads."""


class Code(TextEnv):
    """Programming problems, with visible tests to try a program on and hidden ones to judge it.

    The reward comes with the submission, which ends the episode: 1 if every hidden test passes,
    else 0, or the share that passes. Programs run in `layergym.envs.sandbox`.
    """

    splits = ("train", "valid", "test")
    reply_form = "Answer with the whole program in a ```python block."
    max_turns = 4

    def __init__(
        self,
        *,
        split: str = "train",
        problems: str | Path = "generated",
        reward: Reward = "all",
        isolation: str = "auto",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment over the problems of one split.

        Args:
            split: train, valid or test.
            problems: `generated`, or HumanEval or MBPP as a file, a folder or `hub:owner/name`.
            reward: `all` for all hidden tests or nothing, `fraction` for the share that passes.
            isolation: how programs are confined; see `Sandbox`.
            max_turns: turns of an episode; 1 makes every program a submission.
            render_mode: `ansi` or None.

        Raises:
            InputError: a setting is unknown, or the problems cannot be read.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        if reward not in ("all", "fraction"):
            raise unknown("reward", reward, ("all", "fraction"))
        self.instructions = _INSTRUCTIONS.format(turns=self.max_turns)
        self._reward = reward
        # HumanEval+ and MBPP+ compare with `numpy.testing`.
        self._sandbox = shared(isolation, ("numpy", "numpy.testing"))
        listed = (
            generated.generated_problems(split)
            if problems == "generated"
            else read_once(_posed, problems, split)
        )
        self._problems = {problem.id: problem for problem in listed}
        self._program = ""

    # ---- tasks ------------------------------------------------------------------------------

    @property
    def tasks(self) -> Sequence[str]:
        """Ids of the problems of this split, sorted."""
        return sorted(self._problems)

    def has_task(self, task: str) -> bool:
        """Whether `task` is in this split's panel."""
        return task in self._problems

    def kind(self, task: str) -> str:
        """Family and level of a generated problem, or the name of the dataset."""
        return self._problems[task].kind

    def digest(self, task: str) -> str:
        """SHA-256 of the problem: what is asked and how it is judged."""
        problem = self._problems[task]
        parts = [problem.statement, problem.preamble, problem.hidden.setup, *problem.visible.checks]
        text = "\0".join([*parts, *(source for source, _ in problem.hidden.steps)])
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def question(self, task: str) -> str:
        """What is asked in `task`, as the check for leaked test problems compares it."""
        return self._problems[task].statement

    @property
    def _problem(self) -> CodeProblem:
        return self._problems[self.task]

    # ---- play -------------------------------------------------------------------------------

    def start(self) -> str:
        """Ask the question.

        Raises:
            InputError: programs cannot be isolated here.
        """
        self._sandbox.check()
        self._program = ""
        shown = self._problem.visible.checks
        tests = "\n".join(["Visible tests:", *shown]) if shown else "There are no visible tests."
        return f"{self._problem.statement}\n\n{tests}"

    def play(self, action: str) -> Outcome:
        """Run a program against the visible tests, or judge a submission."""
        program, submitted = read_program(action, self._problem.entry)
        self._program = program or self._program
        if not self._program:
            return Outcome("There is no program yet; give one in a code block.", valid=False)
        if submitted or self.turn + 1 >= self.max_turns:
            return self._judge()
        verdict = self._sandbox.examine(self._problem.source(self._program), self._problem.visible)
        return Outcome(_report(verdict), valid="SyntaxError: " not in verdict.error)

    def _judge(self) -> Outcome:
        verdict = self._sandbox.examine(self._problem.source(self._program), self._problem.hidden)
        passed = sum(check.passed for check in verdict.checks)
        reward = verdict.fraction if self._reward == "fraction" else float(verdict.passed)
        text = f"Judged: {passed} of {len(verdict.checks)} hidden tests passed."
        return Outcome(text, reward=reward, terminated=True, success=verdict.passed)

    def state_key(self) -> Hashable:
        """The problem and the last program, which decide all that is shown and earned from here."""
        return self.task, sha256(self._program.encode("utf-8", "surrogatepass")).hexdigest()

    def clone(self) -> Self:
        """An independent copy in the same state; the problems are shared."""
        twin = copy.copy(self)
        twin._np_random = copy.deepcopy(self._np_random)
        return twin

    def expert(self) -> str | None:
        """Submit the reference solution."""
        return f"submit\n```python\n{self._problem.solution}\n```"


def _report(verdict: Verdict) -> str:
    if verdict.error and not any(check.passed for check in verdict.checks):
        return f"The program did not run:\n{verdict.error[-_MAX_SHOWN:]}"
    if not verdict.checks:
        return "The program runs."
    lines = [
        f"{'passed' if check.passed else 'FAILED'}: {check.source}"
        + ("" if check.passed else f"\n  {check.detail[-_MAX_SHOWN:]}")
        for check in verdict.checks
    ]
    return "\n".join(lines)


def _posed(rows: list[TableRow], _: str, split: str) -> list[CodeProblem]:
    return datasets.problems(rows, split)
