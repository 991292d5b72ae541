"""From trajectories to tensors, token for token.

Turns whose prompt extends what came before share one row; any other turn starts a new row. What a
row holds is exactly what was fed and sampled: no text is tokenised here. A chat template that
rewrites history (dropping `<think>`, say) therefore starts new rows, and never trains on tokens
that were not sampled.

Shapes: N rows, T tokens of the longest row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from layergym.agents.types import Trajectory


@dataclass(frozen=True, slots=True)
class Row:
    """One sequence of tokens; all four tuples have one entry per token."""

    ids: tuple[int, ...]
    sampled: tuple[bool, ...]
    """True for tokens that the policy chose: only these carry loss."""
    advantages: tuple[float, ...]
    logprobs: tuple[float, ...]
    """The sampler's log-probabilities in nats; 0 where `sampled` is False."""

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as tensors, padded on the right; entry t of each speaks about token t."""

    ids: torch.Tensor
    """(N, T) int64."""
    sampled: torch.Tensor
    """(N, T) bool; False on prompts, observations and padding."""
    advantages: torch.Tensor
    """(N, T) float32."""
    logprobs: torch.Tensor
    """(N, T) float32."""


def rows_of(trajectory: Trajectory, advantages: Sequence[float]) -> list[Row]:
    """Pack one trajectory.

    Args:
        trajectory: a record with token ids; turns of scripted agents hold none and give no row.
        advantages: one per turn, or none at all for a trajectory that is masked.

    Raises:
        ValueError: a turn claims to extend a prompt, but there is none before it, or a token was
            sampled without a prompt.
    """
    if not advantages:
        return []
    rows: list[_Open] = []
    for turn, advantage in zip(trajectory.turns, advantages, strict=True):
        reply = turn.reply
        if not reply.extends:
            rows.append(_Open([], [], [], []))
        elif not rows:
            raise ValueError("the first reply of a trajectory cannot extend a previous one")
        if reply.ids and not reply.prompt_ids and not rows[-1].ids:
            raise ValueError("a reply without a prompt: its first token has no probability")
        rows[-1].add(reply.prompt_ids, False, 0.0, [0.0] * len(reply.prompt_ids))
        rows[-1].add(reply.ids, True, advantage, reply.logprobs)
    return [row.closed() for row in rows if any(row.sampled)]


def pack(trajectories: Sequence[Trajectory], advantages: Sequence[Sequence[float]]) -> list[Row]:
    """Pack many trajectories, in order; `advantages` as `trainer.credit` returns them."""
    pairs = zip(trajectories, advantages, strict=True)
    return [row for trajectory, values in pairs for row in rows_of(trajectory, values)]


def collate(rows: Sequence[Row]) -> Batch:
    """Stack rows into tensors, padded on the right to the longest, with token 0."""
    longest = max(map(len, rows))

    def stack(
        columns: Sequence[tuple[float, ...]], fill: float, dtype: torch.dtype
    ) -> torch.Tensor:
        padded = [list(c) + [fill] * (longest - len(c)) for c in columns]
        return torch.tensor(padded, dtype=dtype)

    return Batch(
        ids=stack([row.ids for row in rows], 0, torch.int64),
        sampled=stack([row.sampled for row in rows], False, torch.bool),
        advantages=stack([row.advantages for row in rows], 0.0, torch.float32),
        logprobs=stack([row.logprobs for row in rows], 0.0, torch.float32),
    )


@dataclass(slots=True)
class _Open:
    """A row that is being written."""

    ids: list[int]
    sampled: list[bool]
    advantages: list[float]
    logprobs: list[float]

    def add(
        self, ids: Sequence[int], sampled: bool, advantage: float, logprobs: Sequence[float]
    ) -> None:
        self.ids += ids
        self.sampled += [sampled] * len(ids)
        self.advantages += [advantage] * len(ids)
        self.logprobs += logprobs

    def closed(self) -> Row:
        """The finished row; what follows its last sampled token teaches nothing and is cut."""
        end = len(self.sampled) - self.sampled[::-1].index(True)
        return Row(
            tuple(self.ids[:end]),
            tuple(self.sampled[:end]),
            tuple(self.advantages[:end]),
            tuple(self.logprobs[:end]),
        )
