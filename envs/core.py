"""The environment contract: write `start` and `play`, get a real `gymnasium.Env`.

An environment holds a *panel* of tasks, named by strings. The same task always starts the same
way, whatever the seed, so that group methods (GRPO, GiGPO) compare episodes of one start.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar, Self

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from layergym.base.errors import ContractError, InputError, unknown
from layergym.envs import border
from layergym.envs.spaces import FreeText


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one action did.

    NumPy's scalars and booleans will do as well: `TextEnv.step` makes plain ones of them.
    """

    text: str
    """The observation that follows; lone surrogates are replaced."""
    reward: float = 0.0
    """Finite, at most 1e15 in size. The sum over an episode is its score: an environment that
    judges by degrees (WebShop, the share of tests passed) pays the degree here, once, and evals
    report its mean beside the rate of success."""
    terminated: bool = False
    valid: bool = True
    """False when the environment did not understand the action or could not do it."""
    success: bool = False
    """True when the task is solved; counted once, at the end of an episode."""


class TextEnv(gymnasium.Env[str, str]):
    """A text environment; subclass it and write `start` and `play`.

    Observations and actions are any `str`. `reset(options={"task": id})` starts a named task;
    without it a task is drawn from the panel with the environment's own seeded generator.
    `info` holds `task`, `kind`, `valid` and `success` after every `reset` and `step`.

    `start` may use `self.np_random`: there it depends on the task alone. In `play` it depends on
    the seed given to `reset`.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (as Env)
    splits: ClassVar[tuple[str, ...]] = ("train", "test")
    instructions: str = ""
    """What an agent should know before the first observation: the goal and the form of actions."""
    reply_form: str = ""
    """For an environment that reads whole replies, reasoning and all: in one line, what each must
    hold, such as an answer in a box. "" where an action is a command."""
    max_turns: int = 30
    """Turns after which an episode is truncated."""
    step_timeout_s: float | None = None
    """For an environment that may block (on a network, a process, a device): seconds after which
    a `reset` or `step` is given up. Rollouts then run it in a thread of its own; None means that
    it never blocks and runs where it is called."""

    def __init__(
        self,
        *,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Create the environment over the tasks of `split`.

        Args:
            split: one of `splits`.
            max_turns: turns after which an episode is truncated; by default the class's own.
            render_mode: `ansi` or None.

        Raises:
            InputError: `split` or `render_mode` is unknown, or `max_turns` is below 1.
        """
        if split not in self.splits:
            raise unknown("split", split, self.splits)
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise unknown("render mode", str(render_mode), self.metadata["render_modes"])
        if max_turns is not None and not _is_count(max_turns):
            raise InputError(f"max_turns must be a whole number of at least 1, not {max_turns!r}")
        self.split = split
        self.render_mode = render_mode
        self.max_turns = type(self).max_turns if max_turns is None else int(max_turns)
        self.observation_space = FreeText()
        self.action_space = FreeText()
        self.task = ""
        self.turn = 0
        self._running = False
        self._text = ""
        self._history = b""

    # ---- what an author writes ------------------------------------------------------------

    def start(self) -> str:
        """Begin `self.task` and return the first observation."""
        raise NotImplementedError(f"{type(self).__name__} must define start(self) -> str")

    def play(self, action: str) -> Outcome:
        """Carry out one action."""
        raise NotImplementedError(f"{type(self).__name__} must define play(self, action)")

    # ---- what an author may write ---------------------------------------------------------

    @property
    def tasks(self) -> Sequence[str]:
        """Ids of the tasks of this split, sorted; by default 1,000 numbered ones."""
        return [f"{self.split}-{i:04d}" for i in range(1000)]

    def kind(self, task: str) -> str:
        """Type of `task`, by which results are broken down; empty when there is only one."""
        return ""

    def digest(self, task: str) -> str:
        """What identifies the content of `task`; the panel hash covers it. By default the id."""
        return task

    def state_key(self) -> Hashable:
        """GiGPO's anchor: equal keys mean equal states (arXiv 2505.10978, section 4.2).

        The default, a digest of the whole history, is always safe. Return something coarser when
        you know that different histories lead to the same state and the same later rewards.
        """
        return self._history.hex()

    def admissible(self) -> Sequence[str] | None:
        """Actions that would be understood now, sorted, or None when they are not known."""
        return None

    def expert(self) -> str | None:
        """The action that a scripted expert takes now, or None when there is no expert."""
        return None

    def clone(self) -> Self:
        """An independent copy in the same state."""
        return copy.deepcopy(self)

    # ---- gymnasium --------------------------------------------------------------------------

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode; `options={"task": id}` names the task.

        Raises:
            InputError: the task is not in this split's panel, or an option is unknown.
            ContractError: the environment begins with something else than texts.
        """
        super().reset(seed=seed)
        options = options or {}
        if extra := set(options) - {"task"}:
            raise unknown("reset option", sorted(extra)[0], ["task"])
        tasks = self.tasks
        if "task" in options:
            task = options["task"]
            if not isinstance(task, str) or not self.has_task(task):
                raise unknown(f"task of the {self.split} split", str(task), tasks)
        else:
            task = tasks[int(self.np_random.integers(len(tasks)))]
        task = border.task_id(task)
        self.task, self.turn, self._running = task, 0, True
        dynamics = self.np_random
        self._np_random = np.random.Generator(np.random.PCG64(_seed_of(type(self), task)))
        try:
            self._text = border.safe_text(self.start(), "what start() returns")
        finally:
            self._np_random = dynamics
        self._history = _chain(b"", self._text)
        return self._text, self._info(valid=True, success=False)

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Take one turn.

        Raises:
            TypeError: `action` is not a string.
            ResetNeeded: the episode has not begun or is over.
            ContractError: `play` returned what is not an outcome, or a reward that is not finite;
                the episode is over.
        """
        if not isinstance(action, str):
            raise TypeError(f"an action is a str, not {type(action).__name__}: {action!r}")
        if not self._running:
            raise ResetNeeded("the episode has not begun or is over; call reset() first")
        self._running = False  # What raises is over.
        outcome = _plain(self.play(border.safe_text(action, "an action")))
        self.turn += 1
        truncated = not outcome.terminated and self.turn >= self.max_turns
        self._running = not (outcome.terminated or truncated)
        self._text = outcome.text
        self._history = _chain(self._history, action, outcome.text)
        info = self._info(valid=outcome.valid, success=outcome.success)
        return outcome.text, outcome.reward, outcome.terminated, truncated, info

    def has_task(self, task: str) -> bool:
        """Whether `task` is in this split's panel."""
        return task in self.tasks

    def render(self) -> str | None:
        """The last observation, when `render_mode` is "ansi"."""
        return self._text if self.render_mode == "ansi" else None

    def _info(self, *, valid: bool, success: bool) -> dict[str, Any]:
        return {
            "task": self.task,
            "kind": border.safe_text(self.kind(self.task), "what kind() returns"),
            "valid": valid,
            "success": success,
        }


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _plain(outcome: Any) -> Outcome:
    """An outcome as it may pass on."""
    if not isinstance(outcome, Outcome):
        raise ContractError(f"play() returned a {type(outcome).__name__}; return an Outcome")
    return Outcome(
        border.safe_text(outcome.text, "the text of an outcome"),
        border.number(outcome.reward, "the reward of an outcome"),
        *(
            border.truth(getattr(outcome, name), name)
            for name in ("terminated", "valid", "success")
        ),
    )


def _seed_of(cls: type, task: str) -> int:
    name = f"{cls.__name__}\0{task}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=16).digest(), "big")


def _chain(history: bytes, *texts: str) -> bytes:
    state = hashlib.blake2b(history, digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.digest()
