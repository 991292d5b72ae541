"""Ensembles by majority."""

from collections import Counter
from dataclasses import replace

import pytest
import torch

from layergym.agents.conversation import Layout
from layergym.agents.names import open_model
from layergym.agents.sampler import Request, TransformersSampler
from layergym.envs import panel
from layergym.envs.errors import InputError
from layergym.evals.arm import EvalSpec, score
from layergym.evals.report.model import Table, Text
from layergym.evals.report.vote_section import vote_section
from layergym.evals.vote import Member, VoteSampler, vote, voter_seed
from layergym.trainer.delta import LayerDelta, base_hash, digests
from layergym.trainer.layers import select
from layergym.trainer.run import RunSpec, agent_of, make_env_of

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


def test_one_voter_is_the_model_itself() -> None:
    delta = moved(3, 0.5)
    model, tokenizer = open_model("tiny")
    delta.apply(model)
    [alone] = score(
        RUN,
        SPEC,
        lambda t: agent_of(RUN, model, tokenizer, t),
        arm="full",
        temperatures=[1.0],
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


def test_votes_are_compared_in_pairs() -> None:
    results = [
        vote(RUN, SPEC, [moved(2, 0.2)] * n, name, seed=seed)
        for seed in (0, 1)
        for name, n in (("layers-x2", 2), ("full-x2", 2), ("full-x1", 1))
    ]
    table, verdict = vote_section(results).blocks
    assert isinstance(table, Table) and isinstance(verdict, Text)
    assert [row[0] for row in table.rows] == ["layers x 2", "full x 2", "full x 1"]
    assert "not resolved" in verdict.text


def test_what_cannot_vote_is_refused() -> None:
    with pytest.raises(InputError, match="at least one voter"):
        vote(RUN, SPEC, [], "none", seed=0)
    with pytest.raises(InputError, match="belongs to the base model"):
        vote(RUN, SPEC, [replace(moved(2, 0.2), base="0" * 64)], "other", seed=0)
