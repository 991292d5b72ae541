"""Play a fixed panel and keep every episode's outcome."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle

from layergym.agents.base import AnyAgent
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.envs import Panel, TextEnv
from layergym.evals.results import EvalResult, Scored

ERRORS = 0.05
"""The largest share of episodes that may end in errors where there is a score."""
OUT_OF_CONTEXT = 0.1
"""Share of episodes out of context above which a score says more about the context's length."""
CHUNK = 256
"""Episodes in flight at once, where there is memory for as many."""
USUAL = 1024
"""Tokens of an episode, for that estimate; longer ones are played all the same, more slowly."""

OnPlayed = Callable[[Sequence[Trajectory]], None]


@dataclass(frozen=True, slots=True)
class Label:
    """What the result of an evaluation is filed under."""

    arm: str
    temperature: float
    """The temperature at which the agent samples; 0 is greedy."""
    trained: int = 0
    """The seed of the training run that is scored."""
    scored: Scored = "success"
    """What the score is the mean of."""


def play_panel(
    agent: AnyAgent,
    make_env: Callable[[], TextEnv],
    panel: Panel,
    label: Label,
    *,
    repeats: int = 1,
    seed: int = 0,
    on_played: OnPlayed | None = None,
) -> EvalResult:
    """Score `agent` on every task of `panel`, `repeats` times each.

    Every arm plays the same episodes with the same sampling seeds (common random numbers), which
    narrows the intervals of differences between arms.

    Args:
        agent: who plays.
        make_env: makes one environment of the panel's split.
        panel: the tasks.
        label: what the result is filed under.
        repeats: episodes per task.
        seed: of the evaluation; with the task and the repeat it fixes an episode's randomness.
        on_played: gets all episodes, as `panel_jobs` has them, where there is a score.

    Raises:
        InputError: more than `ERRORS` of the episodes ended in errors, so there is no score.
    """
    return play_together(
        agent, make_env, panel, [label], repeats=repeats, seed=seed, on_played=on_played
    )[0]


def play_together(
    agent: AnyAgent,
    make_env: Callable[[], TextEnv],
    panel: Panel,
    labels: Sequence[Label],
    *,
    repeats: int = 1,
    seed: int = 0,
    on_played: OnPlayed | None = None,
) -> list[EvalResult]:
    """As `play_panel`, for an agent that is V agents: number v plays episodes v, v + V, ...

    Args:
        agent: who plays.
        make_env: makes one environment of the panel's split.
        panel: the tasks, which each of the V plays.
        labels: (V,) what the results are filed under.
        repeats: episodes per task.
        seed: of the evaluation.
        on_played: gets the episodes of each of them.

    Raises:
        InputError: more than `ERRORS` of the episodes of one of them ended in errors.
    """
    slots = [(place, repeat) for repeat in range(repeats) for place in range(len(labels))]
    return _played(agent, make_env, panel, labels, slots, seed, [on_played] * len(labels))


def play_temperatures(
    agent_at: Callable[[Sequence[float]], AnyAgent],
    make_env: Callable[[], TextEnv],
    panel: Panel,
    labels: Sequence[Label],
    *,
    repeats: Sequence[int],
    seed: int = 0,
    on_played: Sequence[OnPlayed | None],
) -> list[EvalResult]:
    """As `play_panel` for each label, together: the prompt of a task is computed once for all.

    Args:
        agent_at: makes the agent that plays episodes 0, 1, ... at these temperatures, and again
            from the first one on.
        make_env: makes one environment of the panel's split.
        panel: the tasks.
        labels: (N,) temperatures, and what their results are filed under.
        repeats: (N,) episodes per task.
        seed: of the evaluation.
        on_played: (N,) each gets the episodes at its temperature.

    Raises:
        InputError: more than `ERRORS` of the episodes at one of them ended in errors.
    """
    slots = [(place, repeat) for place, times in enumerate(repeats) for repeat in range(times)]
    agent = agent_at([labels[place].temperature for place, _ in slots])
    return _played(agent, make_env, panel, labels, slots, seed, on_played)


def _played(
    agent: AnyAgent,
    make_env: Callable[[], TextEnv],
    panel: Panel,
    labels: Sequence[Label],
    slots: Sequence[tuple[int, int]],
    seed: int,
    on_played: Sequence[OnPlayed | None],
) -> list[EvalResult]:
    """Play for each task one episode for each slot, a label's place and a repeat."""
    jobs = [Job(t, _episode_seed(seed, t, repeat)) for t in panel.tasks for _, repeat in slots]
    fits = getattr(getattr(agent, "sampler", None), "rows_that_fit", None)
    at_once = min(CHUNK, fits(USUAL)) if fits else CHUNK
    played = rollout(agent, make_env, jobs, in_flight=at_once)
    results = []
    for place, (label, take) in enumerate(zip(labels, on_played, strict=True)):
        own = [t for t, (of, _) in zip(played, cycle(slots), strict=False) if of == place]
        refuse_errors(own, f"{label.arm}, seed {label.trained}")
        if take:
            take(own)
        results.append(result_of(own, panel, label))
    return results


def refuse_errors(played: Sequence[Trajectory], who: str) -> None:
    """Refuse to make a score of episodes many of which ended in errors.

    Raises:
        InputError: more than `ERRORS` of them did.
    """
    if errors := too_many_errors(played):
        raise InputError(f"{who}: {errors}")


def too_many_errors(played: Sequence[Trajectory]) -> str:
    """How many of the episodes ended in errors, and in which; "" up to a share of `ERRORS`."""
    failed = Counter(t.error for t in played if t.ended == "error")
    if failed.total() <= ERRORS * len(played):
        return ""
    [(error, _)] = failed.most_common(1)
    return (
        f"{failed.total()} of {len(played)} episodes ended in errors, so there is no score; mend "
        f"the cause and resume. Most often: {error}"
    )


def too_short_context(played: Sequence[Trajectory]) -> str:
    """How many of the episodes ran out of context; "" up to a share of `OUT_OF_CONTEXT`."""
    cut = sum(t.ended == "context" for t in played)
    if cut <= OUT_OF_CONTEXT * len(played):
        return ""
    return (
        f"{cut} of {len(played)} episodes ended because the model's context was full, so there is "
        "no score of the agent; allow fewer tokens per reply, or fewer turns"
    )


def panel_jobs(panel: Panel, repeats: int, seed: int) -> list[Job]:
    """The episodes of an evaluation: all repeats of a task, then the next task."""
    return [Job(t, _episode_seed(seed, t, r)) for t in panel.tasks for r in range(repeats)]


def result_of(played: Sequence[Trajectory], panel: Panel, label: Label) -> EvalResult:
    """The outcomes of `panel_jobs`, in their order."""
    repeats = len(played) // len(panel)
    rows = [played[i : i + repeats] for i in range(0, len(played), repeats)]
    return EvalResult(
        env_id=panel.env_id,
        split=panel.split,
        panel_hash=panel.hash,
        arm=label.arm,
        seed=label.trained,
        temperature=float(label.temperature),
        tasks=panel.tasks,
        kinds=tuple(row[0].kind for row in rows),
        success=tuple(tuple(t.success for t in row) for row in rows),
        reward=tuple(tuple(t.total_reward for t in row) for row in rows),
        turns=tuple(tuple(len(t.turns) for t in row) for row in rows),
        errors=sum(t.ended == "error" for t in played),
        out_of_context=sum(t.ended == "context" for t in played),
        shortened=sum(t.shortened for t in played),
        scored=label.scored,
    )


def _episode_seed(seed: int, task: str, repeat: int) -> int:
    name = f"eval\0{seed}\0{task}\0{repeat}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=7).digest(), "big")
