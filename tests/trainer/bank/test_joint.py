"""Variants sample together, and each goes on as soon as some of its own replies are finished."""

from __future__ import annotations

from typing import Any, cast

from layergym.agents.models.requests import Request, Sampler
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.models.tiny import build_model, build_tokenizer
from layergym.trainer.bank.joint import JointSampler, SeatSampler
from layergym.trainer.bank.lockstep import LATER
from layergym.trainer.bank.paths import Rows

VARIANTS, EPISODES, TURNS = 2, 3, 3
TOKENIZER = build_tokenizer(["Say 0 1 2 3 4 5 6 7 8 9 10 ."])
NET = build_model(TOKENIZER, layers=2, width=32, seed=3)
Said = dict[tuple[int, int], list[tuple[int, ...]]]
"""By variant and episode, the tokens of each reply."""


def sampler(joint: JointSampler | None) -> TransformersSampler:
    return TransformersSampler(NET, TOKENIZER, max_new_tokens=40, variants=joint)


class Talks:
    """The episodes of one variant; each asks again as soon as it is answered."""

    def __init__(self, variant: int, said: Said) -> None:
        self.variant, self.said = variant, said
        self.left = EPISODES

    def requests(self, episodes: range | list[int]) -> list[Request]:
        turns = {e: len(self.said.setdefault((self.variant, e), [])) for e in episodes}
        seed = 10 * self.variant
        return [Request(e, (3 + e, 4 + n), n > 0, seed + e) for e, n in turns.items()]

    def answered(self, sampler: Sampler, replies: Any) -> None:
        for episode, sample in replies:
            said = self.said[self.variant, episode]
            said.append(sample.ids)
            if len(said) < TURNS:
                sampler.submit(self.requests([episode]))
            else:
                sampler.release([episode])
                self.left -= 1


def alone() -> Said:
    said: Said = {}
    for variant in range(VARIANTS):
        talks, own = Talks(variant, said), sampler(None)
        own.submit(talks.requests(range(EPISODES)))
        while talks.left:
            talks.answered(own, own.step())
    return said


def test_a_variant_goes_on_while_another_waits_and_says_what_it_says_alone() -> None:
    joint, said, overtaken = (
        JointSampler(sampler, Rows(lineage=((0, 1),) * 2), VARIANTS),
        cast(Said, {}),
        0,
    )
    playing: dict[SeatSampler, Talks] = {
        joint.of(cast(Any, None), variant): Talks(variant, said) for variant in range(VARIANTS)
    }
    for seat, talks in playing.items():
        seat.submit(talks.requests(range(EPISODES)))
    while playing:
        seats = list(playing)
        for seat, found in zip(seats, joint.serve(seats), strict=True):
            if found is LATER:
                overtaken += 1
                continue
            playing[seat].answered(seat, found)
            if not playing[seat].left:
                del playing[seat]
    assert said == alone()
    assert overtaken > 0
    assert len({len(ids) for replies in said.values() for ids in replies}) > 3
