"""ScienceWorld (Wang et al., arXiv 2203.07540): experiments of an elementary-school curriculum."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

from layergym.base.errors import InputError, unknown
from layergym.envs.adapters.extras import library
from layergym.envs.adapters.replayed import Replayed
from layergym.envs.core import Outcome

_JAVA = "JAVA_TOOL_OPTIONS"


class ScienceWorld(Replayed):
    """ScienceWorld's experiments; needs topics, such as topics=["boil","melt"], and Java.

    A task is `topic/variation`, in ScienceWorld's own splits. The reward is the change of the score
    (0 to 1); solved is the full score. All environments of a process share one Java machine.
    """

    splits = ("train", "valid", "test")
    max_turns = 100
    step_timeout_s = 120.0
    instructions = (
        "You are in a house with a laboratory. Do the task by commands such as: look around, open "
        "door to kitchen, go to kitchen, pick up thermometer, use thermometer on water, activate "
        "stove, focus on water, wait, inventory."
    )

    def __init__(
        self,
        *,
        topics: Sequence[str],
        simplifications: str = "",
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Choose the experiments.

        Args:
            topics: names of ScienceWorld's tasks, such as "boil" or "find-plant".
            simplifications: "easy", or ScienceWorld's own names, separated by commas.
            split: train, valid or test.
            max_turns: by default 100, as in the paper.
            render_mode: as everywhere.

        Raises:
            InputError: scienceworld or Java is missing, or there is no such topic.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        known = library("scienceworld.constants", "scienceworld").ID2TASK.values()
        for topic in topics:
            if topic not in known:
                raise unknown("topic of ScienceWorld", topic, known)
        self._simplifications = simplifications
        self._tasks = [
            f"{topic}/{number:04d}"
            for topic in sorted(topics)
            for number in _variations(topic, split)
        ]
        self._known: list[str] = []
        self._gold: list[str] = []
        self._score = 0.0

    @property
    def tasks(self) -> Sequence[str]:
        """`topic/variation`, sorted."""
        return self._tasks

    def kind(self, task: str) -> str:
        """The topic."""
        return task.partition("/")[0]

    def digest(self, task: str) -> str:
        """The task and how it is simplified."""
        return f"{task} {self._simplifications}"

    def start(self) -> str:
        """Set the experiment up."""
        if self.inner is None:
            self.inner = _world()
        topic, _, number = self.task.partition("/")
        self.inner.load(topic, int(number), self._simplifications, generateGoldPath=True)
        self._gold = list(self.inner.get_gold_action_sequence())
        text, info = self.inner.reset()
        self._score, self._known = 0.0, sorted(set(info["valid"]))
        return f"{info['taskDesc'].strip()}\n{text.strip()}"

    def act(self, action: str) -> Outcome:
        """Carry out one command."""
        known = action in self._known
        text, _, done, info = self.inner.step(action)
        score = max(0, int(info["score"])) / 100
        gained, self._score = score - self._score, score
        self._known = sorted(set(info["valid"]))
        return Outcome(
            text.strip(),
            gained,
            terminated=bool(done),
            valid=known or not text.startswith("No known action"),
            success=score >= 1,
        )

    def admissible(self) -> Sequence[str] | None:
        """The commands that would be understood now; hundreds."""
        return self._known

    def expert(self) -> str | None:
        """The next step of ScienceWorld's own solution; None where the episode has left it.

        ScienceWorld draws another solution at every start.
        """
        done = len(self.acted)
        follows = list(self.acted) == self._gold[:done] and done < len(self._gold)
        return self._gold[done] if follows else None


@cache
def _machine() -> Any:
    """The Java machine of this process, in the first environment that talks to it.

    ScienceWorld lists objects in the order of hash sets, which depends on where Java put them; with
    one hash code for all objects that order is the order of insertion, always the same.
    """
    simulator = library("scienceworld", "scienceworld")
    before = os.environ.get(_JAVA, "")
    os.environ[_JAVA] = f"{before} -XX:+UnlockExperimentalVMOptions -XX:hashCode=2".strip()
    try:
        return simulator.ScienceWorldEnv()
    except FileNotFoundError as error:
        raise InputError("ScienceWorld needs Java, version 8 or later; install it") from error
    finally:
        os.environ[_JAVA] = before
        if not before:
            del os.environ[_JAVA]


def _world() -> Any:
    """One more world in the Java machine; closing it leaves the machine alone."""
    first = _machine()
    shared: Any = type("World", (type(first),), {"close": lambda self: None})
    world = shared.__new__(shared)
    world.__dict__.update(first.__dict__)
    world.server = first._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface()
    return world


@cache
def _variations(topic: str, split: str) -> tuple[int, ...]:
    world = _world()
    world.load(topic)
    name = {"train": "train", "valid": "dev", "test": "test"}[split]
    return tuple(sorted(getattr(world, f"get_variations_{name}")()))
