"""Scores that others can check: fixed panels, every action kept, one digest over all of it.

FOLDER/<panel>/       an evaluation (`contest.py`), so that an interrupted one goes on
FOLDER/referee.json   the result: per panel its tasks and hash, and of every episode the actions,
                      the outcome and the reward. Whoever has the environment can play them again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from layergym.agents.base import SCRIPTED
from layergym.agents.servers.openai_client import PREFIX, RequestLimits
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.evals.score.contest import Contest, ContestSpec, OnEpisode
from layergym.evals.stats.board import Board, scores_by_kind
from layergym.trainer.manifest import manifest

FORMAT = 1
FILE = "referee.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelAsked:
    """One panel that a model is to be scored on."""

    name: str
    spec: ContestSpec
    """With one agent and one seed."""
    tasks: int
    """How many the published panel has."""
    data: Mapping[str, str] = field(default_factory=dict)
    """The panel's hash with each of the published data sets, by its name; "" where nobody has
    recorded it yet."""


def referee(
    preset: str,
    asked: Sequence[PanelAsked],
    folder: Path,
    limits: RequestLimits | None = None,
    on_episode: OnEpisode | None = None,
) -> dict[str, Any]:
    """Play all panels and write FOLDER/referee.json; what was played already is not played again.

    Returns:
        What the file holds.

    Raises:
        InputError: a panel is not the published one, episodes ended in errors, or `folder` holds
            something else.
    """
    contests = [Contest.open(one.spec, folder / one.name) for one in asked]
    for one, contest in zip(asked, contests, strict=True):
        _check_panel(one, contest)
        contest.play(limits, on_episode)
    found = [_panel(one, contest) for one, contest in zip(asked, contests, strict=True)]
    [agent] = asked[0].spec.agents
    about = manifest([contest.panel for contest in contests], asked[0].spec.seeds)
    values = {
        "format": FORMAT,
        "preset": preset,
        "model": Path(agent).name if Path(agent).exists() else agent,
        "model_hash": _model_hash(agent),
        "commit": about["commit"],
        "versions": about["versions"],
        "panels": found,
    }
    values["digest"] = result_digest(values)
    write_json(folder / FILE, values)
    return values


def result_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of a result without its digest, in canonical JSON."""
    rest = {name: value for name, value in values.items() if name != "digest"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def scores(episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Success and mean reward with their intervals, over all tasks and by type of task."""
    tasks = list(dict.fromkeys(episode["task"] for episode in episodes))
    kinds = {episode["task"]: episode["kind"] for episode in episodes}
    found: dict[str, Any] = {}
    for what in ("success", "reward"):
        of = {task: [float(e[what]) for e in episodes if e["task"] == task] for task in tasks}
        rates = np.array([[np.mean(of[task]) for task in tasks]])
        board = Board.of({what: rates}, untrained=[what])
        found[what] = asdict(board.score(what))
        if what == "success":
            by_kind = scores_by_kind(board, [kinds[task] for task in tasks])
            found["kinds"] = {
                kind: {"tasks": count, **asdict(own[what])}
                for kind, (count, own) in by_kind.items()
                if kind
            }
    return found


def _check_panel(one: PanelAsked, contest: Contest) -> None:
    """Refuse a whole panel that is not the published one; a part of it is called a part."""
    if one.spec.size is not None:
        return
    if len(contest.panel) != one.tasks:
        raise InputError(
            f"{one.name} has {len(contest.panel)} tasks here, the published panel {one.tasks}; "
            "give the published data, or --eval-tasks for a part"
        )
    if one.data and _data(one, contest) is None:
        known = ", ".join(f"{name} {digest[:12]}" for name, digest in one.data.items())
        raise InputError(
            f"{one.name} has other tasks here ({contest.panel.hash[:12]}) than with the published "
            f"data ({known}); give the published data, or --eval-tasks for a part"
        )


def _data(one: PanelAsked, contest: Contest) -> str | None:
    """Which published data the panel is of: one with its hash, else one without a hash."""
    names = {digest: name for name, digest in one.data.items()}
    return names.get(contest.panel.hash, names.get(""))


def _panel(one: PanelAsked, contest: Contest) -> dict[str, Any]:
    spec, panel = contest.spec, contest.panel
    [agent], [seed] = spec.agents, spec.seeds
    if missing := contest.missing(agent, seed):
        raise InputError(
            f"{len(missing)} episodes of {one.name} are missing or ended in errors; mend the "
            "cause and give the same command again"
        )
    played = contest.played(agent, seed)
    episodes = [_episode(played[job]) for job in contest.jobs(seed)]
    return {
        "name": one.name,
        "env_id": panel.env_id,
        "split": panel.split,
        "tasks": len(panel),
        "hash": panel.hash,
        "whole": spec.size is None,
        "data": (_data(one, contest) or "") if spec.size is None else "",
        "recorded": panel.hash in one.data.values(),
        "settings": _settings(spec),
        **scores(episodes),
        "episodes": episodes,
    }


def _episode(one: Trajectory) -> dict[str, Any]:
    return {
        "task": one.task,
        "kind": one.kind,
        "seed": one.seed,
        "success": one.success,
        "reward": one.total_reward,
        "ended": one.ended,
        "actions": [turn.action for turn in one.turns],
    }


def _settings(spec: ContestSpec) -> dict[str, Any]:
    """What the model was asked with; a place on this machine means nothing on another."""
    kept = ("repeats", "temperature", "max_new_tokens", "format", "admissible", "context", "shots")
    return {
        **{name: getattr(spec, name) for name in kept},
        "prompt": spec.prompt,
        "env_args": {n: v for n, v in spec.env_args.items() if not _is_place(v)},
    }


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and Path(value).expanduser().exists()


def _model_hash(agent: str) -> str:
    """The hash of a model's weights, of a trained run that of its base and delta; "" of others."""
    from layergym.evals.score.policies import is_trained, trained_run
    from layergym.trainer.layers.delta import FINISHED
    from layergym.trainer.layers.stored import stored_hash

    if agent.startswith(PREFIX) or agent in SCRIPTED:
        return ""
    if is_trained(agent):
        folder, spec = trained_run(agent)
        own = hashlib.sha256((folder / FINISHED).read_bytes()).hexdigest()
        return f"{stored_hash(spec.model)}+{own}"
    return stored_hash(agent)
