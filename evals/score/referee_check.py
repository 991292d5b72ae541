"""Checking a referee's result, and comparing two of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from layergym.agents.types import CUT
from layergym.base.errors import InputError, briefly, error_line, faults
from layergym.base.files import read_json
from layergym.envs import TextEnv, border, make, panel
from layergym.evals.score.referee import FORMAT, result_digest, scores
from layergym.evals.stats import Estimate
from layergym.evals.stats.board import Board


@dataclass(frozen=True, slots=True)
class Checked:
    """One thing that was looked at."""

    what: str
    holds: bool | None
    """None: it could not be looked at here."""


def read_result(path: Path) -> dict[str, Any]:
    """A referee's result.

    Raises:
        InputError: the file is something else.
    """
    values = read_json(path)
    try:
        if values["format"] != FORMAT:
            raise ValueError(f"format {str(values['format'])[:20]}")
        for one in values["panels"]:
            [int(e["seed"]) for e in one["episodes"]]
            texts = [one[name] for name in ("name", "env_id", "split", "hash")]
            played = [(e["task"], e["kind"], e["ended"], *e["actions"]) for e in one["episodes"]]
            if not all(isinstance(text, str) for row in [texts, *played] for text in row):
                raise TypeError("a name is not a text")
            if not isinstance(one["settings"]["env_args"], Mapping) or not played:
                raise TypeError("a panel without settings or episodes")
            scores(one["episodes"])
        if not values["panels"]:
            raise ValueError("no panel")
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not a referee's result: {briefly(error)}") from None
    return values


def check_result(values: Mapping[str, Any], env_args: Mapping[str, Any]) -> list[Checked]:
    """Look at everything that can be looked at without the model.

    Args:
        values: what `read_result` gave.
        env_args: where the environment's data are here.
    """
    whole = result_digest(values) == values.get("digest")
    found = [Checked("the file is as it was written", whole)]
    for one in values["panels"]:
        found += _check_panel(one, env_args)
    return found


def compare_results(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Estimate]:
    """Second minus first in success, paired over tasks, by the names of the panels.

    Raises:
        InputError: their panels, or the rules on them, differ.
    """
    one, two = ({p["name"]: p for p in values["panels"]} for values in (first, second))
    if one.keys() != two.keys():
        raise InputError(
            f"the results are of different panels ({', '.join(one)}; {', '.join(two)}), so they "
            "cannot be compared"
        )
    for name in one:
        for what in ("hash", "repeats", "rules"):
            left, right = _fixed(one[name])[what], _fixed(two[name])[what]
            if left != right:
                raise InputError(
                    f"the results cannot be compared: {what} of {name} is {str(left)[:40]} in one "
                    f"and {str(right)[:40]} in the other"
                )
    return {name: _difference(one[name], two[name]) for name in one}


def _fixed(one: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal; where the environment's data lay is not."""
    settings = one["settings"]
    rules = {n: v for n, v in settings["env_args"].items() if not isinstance(v, str)}
    return {"hash": one["hash"], "repeats": settings.get("repeats"), "rules": rules}


def _difference(one: Mapping[str, Any], two: Mapping[str, Any]) -> Estimate:
    tables = {}
    for name, result in (("first", one), ("second", two)):
        of: dict[str, list[bool]] = {}
        for episode in result["episodes"]:
            of.setdefault(episode["task"], []).append(bool(episode["success"]))
        tables[name] = np.array([[np.mean(of[task]) for task in sorted(of)]])
    return Board.of(tables, untrained=tables).difference("second", "first")


def _check_panel(one: Mapping[str, Any], env_args: Mapping[str, Any]) -> list[Checked]:
    name, episodes = one["name"], one["episodes"]
    again = scores(episodes)
    stated = {what: one.get(what) for what in again}
    found = [Checked(f"{name}: scores follow from the episodes", _equal(again, stated))]
    try:
        env = make(one["env_id"], split=one["split"], **{**one["settings"]["env_args"], **env_args})
        here = panel(env, None if one.get("whole") else len({e["task"] for e in episodes}))
    except InputError as error:
        return [*found, Checked(f"{name}: not played again ({error})", None)]
    listed = {episode["task"] for episode in episodes} == set(here.tasks)
    same = listed and here.hash == one["hash"]
    found.append(Checked(f"{name}: these are the tasks of the panel", same))
    if same:
        wrong = sum(not _holds(env, episode) for episode in episodes)
        found.append(
            Checked(
                f"{name}: {len(episodes) - wrong} of {len(episodes)} episodes come out the same "
                "when their actions are played again",
                not wrong,
            )
        )
    env.close()
    return found


def _holds(env: TextEnv, episode: Mapping[str, Any]) -> bool:
    """Whether an episode's actions lead to its outcome."""
    try:
        env.reset(seed=episode["seed"], options={"task": episode["task"]})
        total, success, over = 0.0, False, False
        for action in episode["actions"]:
            if over:
                return False
            now = border.stepped(env.step(action))
            total += now.reward
            over = now.terminated or now.truncated
            success = over and now.success
    except faults() as error:
        raise InputError(f"task {episode['task']} cannot be played: {error_line(error)}") from error
    ended = over or episode["ended"] in CUT
    reward = float(episode["reward"])
    return ended and success == episode["success"] and isclose(total, reward, abs_tol=1e-9)


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, Mapping):
        known = isinstance(right, Mapping) and left.keys() == right.keys()
        return known and all(_equal(left[name], right[name]) for name in left)
    if isinstance(left, list):
        return isinstance(right, Sequence) and list(right) == left
    if isinstance(left, float) and isinstance(right, int | float):
        return isclose(left, right, rel_tol=1e-9, abs_tol=1e-9)
    return bool(left == right)
