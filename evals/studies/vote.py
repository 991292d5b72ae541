"""Ensembles by majority: several trained variants of one model vote on every action.

The members of an ensemble share one dialogue. At each turn every member is sampled, the action
that most of them parse to is taken (at a tie the one that was said first), and its reply goes into
the dialogue of all. In a task of one turn, such as a question, this is the majority over final
answers; with one model sampled several times it is self-consistency (Wang et al. 2022). Voting of
single-layer models is a follow-up in arXiv 2607.01232.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.agents.conversation import Layout
from layergym.agents.llm import LLMAgent
from layergym.agents.models.requests import AnswersTogether, Request, Sample, Sampler
from layergym.agents.names import open_model
from layergym.agents.parsing import Format, parse
from layergym.base.errors import InputError, briefly
from layergym.base.files import read_json, write_json
from layergym.evals.results import EvalResult, Run, Sweep, layer_of, read_eval, write_eval
from layergym.evals.score.evaluate import Label, evaluate
from layergym.evals.sweep.run_arm import EvalSpec, scored_panel
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.run import RunSpec, agent_of, make_env_of

FOLDER = "votes"
"""In a sweep's folder: VOTERS/votes.json, and VOTERS/ENSEMBLE/seed-<s>/evals."""


@dataclass(frozen=True, slots=True)
class Member:
    """One voter: what is put into the base model before it is sampled."""

    sampler: Sampler
    delta: LayerDelta | None


class VoteSampler(AnswersTogether):
    """A sampler whose replies are those of the majority of its members."""

    def __init__(
        self,
        model: PreTrainedModel,
        members: Sequence[Member],
        tokenizer: PreTrainedTokenizerBase,
        format: Format,
    ) -> None:
        """Let `members`, whose samplers all run `model`, vote on actions in `format`."""
        super().__init__()
        self._model, self._members = model, members
        self.max_new_tokens = members[0].sampler.max_new_tokens
        self.max_context = members[0].sampler.max_context
        self._layout, self._format = Layout(tokenizer), format
        self._contexts: dict[int, tuple[int, ...]] = {}

    def answer(self, requests: Sequence[Request]) -> list[Sample]:
        """The majority's reply to each request, in order."""
        for request in requests:
            before = self._contexts.get(request.episode, ()) if request.extends else ()
            self._contexts[request.episode] = before + request.ids
        said = [self._ask(place, requests) for place in range(len(self._members))]
        chosen = [self._majority(samples) for samples in zip(*said, strict=True)]
        for request, sample in zip(requests, chosen, strict=True):
            self._contexts[request.episode] += sample.ids
        return chosen

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        over = list(episodes)
        for episode in over:
            self._contexts.pop(episode, None)
        for member in self._members:
            member.sampler.release(over)

    def _ask(self, place: int, requests: Sequence[Request]) -> list[Sample]:
        member = self._members[place]
        asked = [
            Request(r.episode, self._contexts[r.episode], False, voter_seed(r.seed, place))
            for r in requests
        ]
        if member.delta is None:
            return member.sampler.sample(asked)
        undo = member.delta.put(self._model)
        try:
            return member.sampler.sample(asked)
        finally:
            undo.put(self._model)

    def _majority(self, samples: Sequence[Sample]) -> Sample:
        texts = [self._layout.decode(sample.ids) for sample in samples]
        actions = [" ".join(parse(text, self._format).action.lower().split()) for text in texts]
        [(winner, _)] = Counter(actions).most_common(1)
        return samples[actions.index(winner)]


def voter_seed(seed: int, place: int) -> int:
    """Seeds a voter's own randomness in an episode; the first one keeps the episode's."""
    if not place:
        return seed
    digest = hashlib.blake2b(f"voter\0{seed}\0{place}".encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big")


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
    return evaluate(
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
    """Of the runs that vote; the base's own where only the base does."""
    members: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Votes:
    """What was found about one choice of voters."""

    voters: tuple[str, ...]
    results: tuple[EvalResult, ...]
    """Of the voters and of as many samples of full, for every seed; then of the base, and of full
    alone."""


def ensembles(sweep: Sweep, voters: Sequence[str], seeds: Sequence[int]) -> list[Ensemble]:
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
    base = next(run for run in sweep.runs if run.arm == "base")

    def run_of(arm: str, seed: int) -> Run:
        found = base if arm == "base" else runs.get((arm, seed))
        if found is None:
            raise InputError(f"{sweep.path} has no run of {arm} with seed {seed}")
        return found

    alike = "layers" if all(layer_of(arm) is not None for arm in voters) else "arms"
    return [
        *(Ensemble(f"{alike}-x{count}", s, tuple(run_of(a, s) for a in voters)) for s in seeds),
        *(Ensemble(f"full-x{count}", s, (run_of("full", s),) * count) for s in seeds),
        Ensemble(f"base-x{count}", base.seed, (base,) * count),
        *(Ensemble("full-x1", s, (run_of("full", s),)) for s in seeds),
    ]


def vote_all(
    sweep: Sweep,
    spec: SweepSpec,
    scored: EvalSpec,
    voters: Sequence[str],
    on_ensemble: Callable[[Ensemble], None] = lambda ensemble: None,
) -> Votes:
    """Score every ensemble of `ensembles`; what was scored already is kept.

    Args:
        sweep: the sweep's folder as it was read.
        spec: its settings.
        scored: panel, repeats and seed of the evaluation.
        voters: arms.
        on_ensemble: called before each is scored.
    """
    chosen = ensembles(sweep, voters, spec.seeds)
    key = repr((tuple(voters), scored_panel(spec.run, scored).hash, scored.repeats, scored.seed))
    place = sweep.path / FOLDER / hashlib.sha256(key.encode()).hexdigest()[:12]
    folders = [place / one.name / f"seed-{one.seed}" for one in chosen]
    results = []
    for one, folder in zip(chosen, folders, strict=True):
        files = sorted((folder / "evals").glob("*.json"))
        if not files:
            on_ensemble(one)
            deltas = [_delta(member) for member in one.members]
            found = vote(spec.run, scored, deltas, one.name, seed=one.seed)
            files = [write_eval(folder, found)]
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
        return Votes(tuple(map(str, value["voters"])), results)
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} holds no votes ({briefly(error)}); delete its folder") from None


def _delta(run: Run) -> LayerDelta | None:
    return None if run.arm == "base" else LayerDelta.load(run.path / "delta.safetensors")
