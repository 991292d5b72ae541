"""Ensembles by majority."""

from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from layergym.agents.conversation import Layout
from layergym.agents.models.requests import Request
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.names import open_model
from layergym.base.errors import InputError
from layergym.base.files import write_json
from layergym.envs import panel
from layergym.evals.arms import ArmName
from layergym.evals.report.build import build
from layergym.evals.report.model import Table, Text
from layergym.evals.result_files import read_sweep, write_eval
from layergym.evals.results import EvalResult
from layergym.evals.score.voting import Member, VoteSampler, voter_seed
from layergym.evals.sweep.ensembles import (
    Ensemble,
    ensembles,
    read_votes,
    vote,
    vote_all,
)
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.run_arm import score
from layergym.evals.sweep.spec import SweepSpec, read_spec
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.frozen import base_hash, digests
from layergym.trainer.layers.selection import select
from layergym.trainer.run import agent_of
from layergym.trainer.spec import RunSpec, make_env_of

GAMES = {"max_receptacles": 5, "num_objects": 4, "max_turns": 4}
RUN = RunSpec(env="layergym/ALFWorld-v0", env_args=GAMES)
SPEC = EvalSpec(size=6, repeats=2)


def moved(layer: int, by: float) -> LayerDelta:
    """Some change of one layer, as training would leave."""
    model, _ = open_model("tiny")
    base = base_hash(digests(model, buffers=False))
    selection = select(model, str(layer))
    generator = torch.Generator().manual_seed(layer)
    with torch.no_grad():
        for name in selection.names:
            p = model.get_parameter(name)
            p.add_(by * torch.randn(p.shape, generator=generator) * p.abs().mean())
    return LayerDelta.of(model, base, selection.layers)


def test_one_voter_is_the_model_itself(tmp_path: Path) -> None:
    delta = moved(3, 0.5)
    model, tokenizer = open_model("tiny")
    delta.apply(model)
    [alone] = score(
        RUN,
        SPEC,
        lambda t: agent_of(RUN, model, tokenizer, t),
        arm="full",
        temperatures=[1.0],
        folder=tmp_path,
    )
    assert vote(RUN, SPEC, [delta], "full", seed=0) == alone


def test_the_reply_of_most_voters_is_taken_and_shared() -> None:
    model, tokenizer = open_model("tiny")
    deltas = [None, moved(2, 1.0), moved(5, 1.0), None, moved(6, 1.0)]

    def sampler() -> TransformersSampler:
        return TransformersSampler(model, tokenizer, temperature=1.0, max_new_tokens=8)

    env = make_env_of(RUN, "test")()
    said = env.reset(options={"task": panel(env, 1).tasks[0]})[0]
    first = tuple(tokenizer.encode(said))
    more = tuple(tokenizer.encode("\nNothing happens.\n> "))
    voters = VoteSampler(model, [Member(sampler(), d) for d in deltas], tokenizer, "plain")
    before = base_hash(digests(model, buffers=False))
    alone, layout = [sampler() for _ in deltas], Layout(tokenizer)
    split, context = 0, first
    for turn in range(4):
        ids = more if turn else first
        [taken] = voters.sample([Request(0, ids, bool(turn), 7)])
        texts = []
        for place, (one, delta) in enumerate(zip(alone, deltas, strict=True)):
            undo = delta.put(model) if delta else None
            [own] = one.sample([Request(0, context, False, voter_seed(7, place))])
            if undo:
                undo.put(model)
            texts.append(layout.decode(own.ids).strip())
        winner = layout.decode(taken.ids).strip()
        counts = Counter(texts)
        assert counts[winner] == max(counts.values())
        split += len(counts) > 1
        context = context + taken.ids + more
    assert split
    assert base_hash(digests(model, buffers=False)) == before


ARMS = ("base", "full", "layer-02", "layer-04", "layer-05")
VOTERS = tuple(map(ArmName, ("layer-02", "layer-04", "layer-05")))


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A sweep of two seeds whose arms have moved a little."""
    spec = SweepSpec(run=RUN, eval=SPEC, layers=(2, 4, 5), num_layers=8, seeds=(0, 1))
    write_json(tmp_path / "sweep.json", asdict(spec))
    for place, arm in enumerate(ARMS):
        for seed in (0,) if arm == "base" else (0, 1):
            run = tmp_path / "arms" / arm / f"seed-{seed}"
            write_json(run / "config.json", {"env": RUN.env, "model": "tiny"})
            if arm != "base":
                moved(place + 1, 0.2 + 0.1 * seed).save(run / "delta.safetensors")
            table = np.array([[(place + seed + i) % 2] for i in range(6)])
            write_eval(run, replace(result_of(table), arm=arm, seed=seed))
    return tmp_path


def result_of(success: np.ndarray) -> EvalResult:
    rows = tuple(tuple(bool(v) for v in row) for row in success)
    tasks = tuple(f"t{i}" for i in range(len(rows)))
    zeros = tuple((0.0,) * len(row) for row in rows)
    turns = tuple((1,) * len(row) for row in rows)
    return EvalResult(RUN.env, "test", "p", "base", 0, 1.0, tasks, tasks, rows, zeros, turns)


def test_votes_are_compared_in_pairs_kept_and_reported(trained: Path) -> None:
    sweep, spec = read_sweep(trained), read_spec(trained)
    scored: list[Ensemble] = []
    few = replace(SPEC, size=4, repeats=1)
    votes = vote_all(sweep, spec, few, VOTERS, scored.append)
    names = ["layers-x3"] * 2 + ["full-x3"] * 2 + ["base-x3"] + ["full-x1"] * 2
    assert [one.name for one in scored] == names  # The base has no seeds: one ensemble is enough.
    assert [result.seed for result in votes.results] == [0, 1, 0, 1, 0, 0, 1]
    assert vote_all(sweep, spec, few, VOTERS, scored.append) == votes
    assert len(scored) == len(names)
    assert read_votes(trained) == (votes,)
    section = next(s for s in build([trained]).sections if s.heading == "Votes")
    table, verdict = section.blocks
    assert isinstance(table, Table) and isinstance(verdict, Text)
    assert [row[0] for row in table.rows] == ["layers x 3", "full x 3", "base x 3", "full x 1"]
    assert "of layers 2, 4-5 on 4 tasks, 1 episode per task, 2 seeds" in table.caption


def test_voters_that_another_process_scores_are_left_alone(trained: Path) -> None:
    def meanwhile(one: Ensemble) -> None:
        with pytest.raises(InputError, match="another process works in"):
            vote_all(sweep, spec, few, VOTERS)

    sweep, spec, few = read_sweep(trained), read_spec(trained), replace(SPEC, size=2, repeats=1)
    vote_all(sweep, spec, few, VOTERS, meanwhile)
    assert len(read_votes(trained)) == 1


def test_two_voters_decide_nothing(trained: Path) -> None:
    with pytest.raises(InputError, match="let 3 or more vote"):
        ensembles(read_sweep(trained), VOTERS[:2], (0,))
    with pytest.raises(InputError, match="no run of layer-02 with seed 7"):
        ensembles(read_sweep(trained), VOTERS, (7,))


def test_what_cannot_vote_is_refused() -> None:
    with pytest.raises(InputError, match="at least one voter"):
        vote(RUN, SPEC, [], "none", seed=0)
    with pytest.raises(InputError, match="belongs to the base model"):
        vote(RUN, SPEC, [replace(moved(2, 0.2), base="0" * 64)], "other", seed=0)
