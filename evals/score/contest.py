"""Several agents on one panel, episode by episode on disk, so that nothing is played twice.

FOLDER/eval.json                           the `ContestSpec` and the panel
FOLDER/manifest.json                       versions, panel, commit, command
FOLDER/agents/<agent>/seed-<s>/            a run folder: config.json,
    trajectories.jsonl                     every episode, a line as soon as it is over
    evals/<t1.0 | greedy>.json             once all episodes are there and none is an error
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from layergym.agents.base import AnyAgent
from layergym.agents.rollouts import Job, rollout
from layergym.agents.servers.openai_client import PREFIX, Endpoint, RequestLimits, check_omitted
from layergym.agents.shots import SPLIT
from layergym.agents.styles import check_style
from layergym.agents.trajectories import NAME, Record, Recorder, read_records
from layergym.agents.turn_details import details_of
from layergym.agents.types import Trajectory
from layergym.base.errors import briefly
from layergym.base.files import read_json, write_json
from layergym.base.locks import vacant
from layergym.base.numbers import Bounds, check_numbers
from layergym.envs import InputError, Panel, TextEnv, find, make, panel
from layergym.evals.result_files import write_eval
from layergym.evals.score.evaluate import CHUNK, Label, panel_jobs, result_of
from layergym.trainer.manifest import manifest

FILE = "eval.json"
OnEpisode = Callable[[str, Trajectory], None]
"""Called with the agent and each episode that is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContestSpec:
    """Everything that determines an evaluation of agents."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "size": Bounds(1, 100_000, whole=True, optional=True),
        "repeats": Bounds(1, 10_000, whole=True),
        "seeds": Bounds(0, 2**32 - 1, whole=True),
        "temperature": Bounds(0, 100),
        "max_new_tokens": Bounds(1, 10_000_000, whole=True, optional=True),
    }
    env: str
    """Id of the environment."""
    env_args: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the environment."""
    agents: tuple[str, ...]
    """Who plays, by name; the others are compared with the first."""
    split: str = "test"
    """Split of the panel."""
    size: int | None = None
    """Tasks of the panel; None: all."""
    repeats: int = 1
    """Episodes per task and seed."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the episodes: every task is played again for each."""
    temperature: float = 1.0
    """Sampling temperature of models; 0 is greedy."""
    max_new_tokens: int | None = None
    """Tokens of a model's reply at most; None: what suits the model."""
    dtype: str = "auto"
    """What models that are loaded here compute with (`agents.models.compute`)."""
    device: str = "auto"
    """Where they compute."""
    format: str | None = None
    """The form of a reply, as in `RunSpec`."""
    admissible: bool | None = None
    """List the admissible actions in every prompt; None: for chat models."""
    context: str = "whole"
    """What of an episode a prompt shows."""
    prompt: str = ""
    """The text of a Jinja template for the prompt."""
    shots: int = 0
    """Episodes of the environment's expert that the prompt shows as examples."""
    prices: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Per agent, for a million tokens read and a million written."""
    omit: tuple[str, ...] = ()
    """Parameters that servers are not sent; see `openai_client.OPTIONAL`."""

    def __post_init__(self) -> None:
        """Refuse doubles, prices of nobody, and addresses that are none."""
        _check_kinds(self)
        for what, values in (("agent", self.agents), ("seed", self.seeds)):
            if len(set(values)) < len(values) or not values:
                raise InputError(f"give every {what} once, and at least one")
        for name in self.prices:
            if name not in self.agents:
                raise InputError(
                    f'a price is given for "{name}", which does not play; '
                    "leave it out, or let it play"
                )
        check_omitted(self.omit)
        for name in self.agents:
            if name.startswith(PREFIX):
                Endpoint.parse(name)

    @classmethod
    def read(cls, folder: Path) -> ContestSpec:
        """The description of the evaluation in `folder`.

        Raises:
            InputError: `folder` is not an evaluation's folder.
        """
        held = read_json(folder / FILE)
        values = {f.name: held[f.name] for f in fields(cls) if f.name in held}
        try:
            values["agents"], values["seeds"] = tuple(held["agents"]), tuple(held["seeds"])
            values["omit"] = tuple(held.get("omit", ()))
            values["prices"] = {n: (float(p[0]), float(p[1])) for n, p in held["prices"].items()}
            return cls(**values)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise InputError(f"{folder / FILE} is damaged: {briefly(error)}") from None


def _check_kinds(spec: ContestSpec) -> None:
    """Refuse values of another kind than the fields are, or out of range.

    Raises:
        InputError: one of these.
    """
    for text in (spec.env, spec.split, *spec.agents):
        if not isinstance(text, str):
            raise InputError(f"an evaluation needs names, not {str(text)[:40]}")
    check_numbers(spec, spec.BOUNDS)
    if not isinstance(spec.env_args, Mapping):
        raise InputError("settings of an environment have names; write them as NAME=VALUE")
    check_style(spec)


@dataclass(frozen=True)
class Contest:
    """An evaluation in its folder."""

    spec: ContestSpec
    panel: Panel
    folder: Path

    @classmethod
    def open(cls, spec: ContestSpec, folder: Path) -> Contest:
        """Begin in `folder`, or go on there.

        Raises:
            InputError: `folder` holds something else, or an evaluation with other settings.
        """
        spec = replace(spec, env=find(spec.env))
        contest = cls(spec, panel(_maker(spec)(), spec.size), folder)
        if is_contest(folder):
            held = cls.read(folder)
            if held.spec != spec:
                raise InputError(f"{folder} holds an evaluation with other settings; give another")
            if held.panel != contest.panel:
                raise InputError(f"the tasks have changed since {folder} was begun; give another")
        elif not vacant(folder):
            raise InputError(f"{folder} is not empty and holds no evaluation; give another folder")
        else:
            write_json(folder / "manifest.json", manifest([contest.panel], spec.seeds))
            settings = {**asdict(spec), "panel": asdict(contest.panel)}
            write_json(folder / FILE, settings)
        return contest

    @classmethod
    def read(cls, folder: Path) -> Contest:
        """The evaluation in `folder`, whether or not its environment is at hand.

        Raises:
            InputError: `folder` is not an evaluation's folder.
        """
        spec = ContestSpec.read(folder)
        try:
            held = read_json(folder / FILE)["panel"]
            texts = [held["env_id"], held["split"], held["hash"], *held["tasks"]]
            if not isinstance(held["tasks"], list) or not all(isinstance(t, str) for t in texts):
                raise TypeError("the panel is not one of tasks")
            tasks = Panel(**{**held, "tasks": tuple(held["tasks"])})
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{folder / FILE} is damaged: {briefly(error)}") from None
        whole = len(tasks) if spec.size is None else spec.size
        different = len(set(tasks.tasks))
        if not different == len(tasks) == whole or not different:
            raise InputError(
                f"{folder / FILE} is damaged: its panel has {different} different tasks "
                f"in {len(tasks)} places, not {whole}; evaluate into another folder"
            )
        return cls(spec, tasks, folder)

    @property
    def episodes(self) -> int:
        """Episodes of one agent."""
        return len(self.panel) * self.spec.repeats * len(self.spec.seeds)

    def run_folder(self, agent: str, seed: int) -> Path:
        """Where the episodes of one agent and seed are."""
        clean = re.sub(r"[^\w.-]+", "-", agent).strip("-.")[-60:]
        digest = hashlib.blake2b(agent.encode(), digest_size=3).hexdigest()
        name = clean if clean == agent else f"{clean}-{digest}"
        return self.folder / "agents" / name / f"seed-{seed}"

    def jobs(self, seed: int) -> list[Job]:
        """The episodes of one agent and seed."""
        return panel_jobs(self.panel, self.spec.repeats, seed)

    def records(self, agent: str, seed: int) -> list[Record]:
        """All episodes that were recorded, failed attempts too."""
        return list(read_records(self.run_folder(agent, seed) / NAME))

    def played(self, agent: str, seed: int) -> dict[Job, Trajectory]:
        """The last record of every episode."""
        return {Job(t.task, t.seed): t for t in (r.trajectory for r in self.records(agent, seed))}

    def missing(self, agent: str, seed: int) -> list[Job]:
        """Episodes that were not played yet, or ended in an error."""
        played = self.played(agent, seed)
        return [j for j in self.jobs(seed) if j not in played or played[j].ended == "error"]

    def play(
        self,
        limits: RequestLimits | None = None,
        on_episode: OnEpisode | None = None,
        in_flight: int = CHUNK,
    ) -> None:
        """Play what is missing, agent by agent, and file the results of those that are complete.

        When all of the episodes that an agent plays at once end in errors, the rest of its
        episodes are left for another time: most likely the server is gone.

        Args:
            limits: how servers are treated.
            on_episode: called as episodes end.
            in_flight: episodes at once; bounds memory.
        """
        for name in self.spec.agents:
            if any(self.missing(name, seed) for seed in self.spec.seeds):
                agent = _agent(name, self.spec, limits)
                play = partial(self._play, name, agent, on_episode, in_flight)
                all(map(play, self.spec.seeds))
                del agent, play  # Before the next one is loaded.
            for seed in self.spec.seeds:
                self._file(name, seed)

    def _play(
        self, name: str, agent: AnyAgent, on_episode: OnEpisode | None, in_flight: int, seed: int
    ) -> bool:
        """Whether it went well enough to go on."""
        folder = self.run_folder(name, seed)
        if not (folder / "config.json").is_file():
            config = {**asdict(self.spec), "arm": name, "seed": seed}
            write_json(folder / "config.json", config)
        with Recorder(folder / NAME) as recorder:

            def over(_: int, trajectory: Trajectory) -> None:
                details = details_of(trajectory, getattr(agent, "tokenizer", None))
                recorder.write(Record(trajectory, name, details=details))
                if on_episode:
                    on_episode(name, trajectory)

            jobs = self.missing(name, seed)
            for start in range(0, len(jobs), in_flight):
                chunk = jobs[start : start + in_flight]
                ended = rollout(agent, _maker(self.spec), chunk, on_end=over)
                if all(trajectory.ended == "error" for trajectory in ended):
                    return False
        return True

    def _file(self, name: str, seed: int) -> None:
        if self.missing(name, seed):
            return
        played = self.played(name, seed)
        episodes = [played[job] for job in self.jobs(seed)]
        result = result_of(episodes, self.panel, Label(name, self.spec.temperature, seed))
        write_eval(self.run_folder(name, seed), result)


def is_contest(path: Path) -> bool:
    """Whether `path` is an evaluation's folder."""
    return (path / FILE).is_file()


def _maker(spec: ContestSpec) -> Callable[[], TextEnv]:
    return lambda: make(spec.env, split=spec.split, **spec.env_args)


def _agent(name: str, spec: ContestSpec, limits: RequestLimits | None) -> AnyAgent:
    # With torch, which reports do without.
    from layergym.agents.names import Speech, open_agent
    from layergym.evals.score.policies import is_trained, open_trained

    speech = Speech(
        temperature=spec.temperature,
        max_new_tokens=spec.max_new_tokens,
        format=spec.format,
        admissible=spec.admissible,
        context=spec.context,
        prompt=spec.prompt,
        shots=spec.shots,
        omit=spec.omit,
        dtype=spec.dtype,
        device=spec.device,
    )
    examples = _maker(replace(spec, split=SPLIT))
    if is_trained(name):
        return open_trained(name, speech, _maker(spec), examples)
    return open_agent(name, speech, limits, make_env=_maker(spec), examples=examples)
