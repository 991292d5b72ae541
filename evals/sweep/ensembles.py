"""Ensembles of a sweep's models: who votes, what they score, and where that is kept.

SWEEP/votes/<voters>/votes.json and <ensemble>/seed-<s>/evals/
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.base.locks import locked
from layergym.evals.arms import FULL, ArmName
from layergym.evals.result_files import on_one_panel, read_eval, write_eval
from layergym.evals.results import EvalResult, Run, Sweep
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.evals.sweep.spec import SweepSpec

if TYPE_CHECKING:
    from layergym.trainer.layers.delta import LayerDelta
    from layergym.trainer.spec import RunSpec

FOLDER = "votes"


def vote(
    run: RunSpec, spec: EvalSpec, deltas: Sequence[LayerDelta | None], name: str, *, seed: int
) -> EvalResult:
    """Score one ensemble on the panel of `spec` at its first temperature above 0.

    Args:
        run: the sweep's run, for environment, model and reply format.
        spec: panel, repeats and seed of the evaluation.
        deltas: one per voter; None is the base.
        name: under which the result is filed, as an arm.
        seed: of the reinforcement learning runs that vote.

    Raises:
        InputError: there are no voters, or a delta belongs to another base.
    """
    from layergym.agents.llm import LLMAgent
    from layergym.agents.names import open_model
    from layergym.evals.score.evaluate import Label, play_panel
    from layergym.evals.score.voting import Member, VoteSampler
    from layergym.trainer.run import agent_of
    from layergym.trainer.spec import make_env_of

    if not deltas:
        raise InputError("an ensemble needs at least one voter")
    model, tokenizer = open_model(run.model, dtype=run.dtype, device=run.device)
    for delta in {id(d): d for d in deltas if d is not None}.values():
        delta.apply(model).put(model)  # Refuses another base.
    temperature = next((t for t in spec.temperatures if t), 1.0)
    alone = [agent_of(run, model, tokenizer, temperature) for _ in deltas]
    members = [Member(a.sampler, d) for a, d in zip(alone, deltas, strict=True)]
    style = alone[0].style
    voters = VoteSampler(model, members, tokenizer, style.format)
    return play_panel(
        LLMAgent(voters, tokenizer, style),
        make_env_of(run, spec.split),
        scored_panel(run, spec),
        Label(name, temperature, seed, spec.score),
        repeats=spec.repeats,
        seed=spec.seed,
    )


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Who votes together."""

    name: str
    seed: int
    """The seed of the runs that vote; the base's own where only the base does."""
    members: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Votes:
    """What the ensembles of one choice of voters scored."""

    voters: tuple[ArmName, ...]
    results: tuple[EvalResult, ...]
    """Those of the voters, then of as many samples of full, one per seed each; then that of the
    base, and those of full alone."""


def ensemble_of(name: str) -> str:
    """Whose samples an ensemble's votes are: "base" for "base-x3"."""
    return name.partition("-x")[0]


def ensembles(sweep: Sweep, voters: Sequence[ArmName], seeds: Sequence[int]) -> list[Ensemble]:
    """Who votes: the given arms, as many samples of full, as many of the base, and full alone.

    The base has no seed of training, so its ensemble is one for all seeds.

    Raises:
        InputError: there are too few voters, or an arm has no run with one of the seeds.
    """
    count = len(voters)
    if count < 3:
        raise InputError(
            f"{count} voters decide nothing: at a tie the first one wins; let 3 or more vote"
        )
    runs = {(run.arm, run.seed): run for run in sweep.runs}
    base = next(run for run in sweep.runs if not run.arm.trained)

    def run_of(arm: ArmName, seed: int) -> Run:
        run = runs.get((arm, seed)) if arm.trained else base
        if run is None:
            raise InputError(
                f"{sweep.path} has no run of {arm} with seed {seed}; "
                "train it first, or leave it out"
            )
        return run

    alike = "layers" if all(arm.layer is not None for arm in voters) else "arms"
    return [
        *(Ensemble(f"{alike}-x{count}", s, tuple(run_of(a, s) for a in voters)) for s in seeds),
        *(Ensemble(f"full-x{count}", s, (run_of(FULL, s),) * count) for s in seeds),
        Ensemble(f"base-x{count}", base.seed, (base,) * count),
        *(Ensemble("full-x1", s, (run_of(FULL, s),)) for s in seeds),
    ]


def vote_all(
    sweep: Sweep,
    spec: SweepSpec,
    scored: EvalSpec,
    voters: Sequence[ArmName],
    on_ensemble: Callable[[Ensemble], None] = lambda ensemble: None,
) -> Votes:
    """Score every ensemble of `ensembles`; what was scored already is kept.

    Args:
        sweep: the sweep's folder as it was read.
        spec: its settings.
        scored: panel, repeats and seed of the evaluation.
        voters: arms.
        on_ensemble: called before each is scored.

    Raises:
        InputError: as `ensembles` and `vote`, or another process scores these voters.
    """
    chosen = ensembles(sweep, voters, spec.seeds)
    key = repr((tuple(voters), scored_panel(spec.run, scored).hash, scored.repeats, scored.seed))
    place = sweep.path / FOLDER / hashlib.sha256(key.encode()).hexdigest()[:12]
    folders = [place / one.name / f"seed-{one.seed}" for one in chosen]
    results = []
    with locked(place):
        for one, folder in zip(chosen, folders, strict=True):
            files = sorted((folder / "evals").glob("*.json"))
            if not files:
                on_ensemble(one)
                deltas = [_delta(member) for member in one.members]
                result = vote(spec.run, scored, deltas, one.name, seed=one.seed)
                files = [write_eval(folder, result)]
            results.append(read_eval(files[0]))
        kept = [str(folder.relative_to(place)) for folder in folders]
        write_json(place / "votes.json", {"voters": list(voters), "ensembles": kept})
    return Votes(tuple(voters), tuple(results))


def read_votes(folder: Path) -> tuple[Votes, ...]:
    """All choices of voters that `vote_all` finished in a sweep's folder.

    Raises:
        InputError: a file is damaged.
    """
    return tuple(map(_read, sorted((folder / FOLDER).glob("*/votes.json"))))


def _read(path: Path) -> Votes:
    value = read_json(path)
    try:
        places = [path.parent / str(place) / "evals" for place in value["ensembles"]]
        results = tuple(read_eval(file) for place in places for file in place.glob("*.json"))
        if len({result.arm for result in results}) < 2 or not on_one_panel(results):
            raise TypeError("two ensembles on one panel are the least")
        return Votes(tuple(map(ArmName, value["voters"])), results)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} holds no votes ({briefly(error)}); delete its folder") from None


def _delta(run: Run) -> LayerDelta | None:
    from layergym.trainer.layers.delta import LayerDelta

    return LayerDelta.load(run.path / "delta.safetensors") if run.arm.trained else None
