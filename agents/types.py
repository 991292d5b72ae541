"""What passes between rooms: replies, turns, trajectories, groups. All frozen.

One word, one meaning: a *turn* is one exchange with the environment, a *trajectory* the record of
an episode, a *group* several trajectories from the same start.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from math import fsum
from typing import Literal

EpisodeEnd = Literal["terminated", "truncated", "context", "error"]
"""How an episode ended: by the environment, at the limit of turns (or given up), out of the
model's context, or by an error."""
CUT = ("truncated", "context")
"""Ends that came from a limit."""
MOST_TOKENS = 10**9
"""More than one reply can have read."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens that a model read and wrote for one reply, as they are billed."""

    prompt: int
    """Tokens of the whole prompt, cached or not."""
    completion: int

    @classmethod
    def counted(cls, prompt: object, completion: object) -> Usage | None:
        """What someone else counted; None where it cannot be: not whole, below 0, beyond reason."""
        for count in (prompt, completion):
            whole = type(count) is int or (isinstance(count, float) and count.is_integer())
            if not whole or not 0 <= count <= MOST_TOKENS:  # type: ignore[operator]
                return None
        return cls(int(prompt), int(completion))  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a sampler said, token for token. Scripted agents leave the token fields empty."""

    text: str
    prompt_ids: tuple[int, ...] = ()
    """Tokens fed since the previous reply if `extends`, else the whole prompt."""
    ids: tuple[int, ...] = ()
    """Sampled tokens, the end token included when it was sampled."""
    logprobs: tuple[float, ...] = ()
    """Log-probability of each sampled token under the sampling distribution (nats)."""
    extends: bool = False
    """True when the prompt is the previous prompt + the previous reply + `prompt_ids` (of a server,
    `asked`), exactly."""
    finish: Literal["stop", "length"] = "stop"
    forgotten: int = 0
    """Earlier turns that the prompt left out because the model's context was full."""
    usage: Usage | None = None
    """What a server counted, where one was asked; its tokens themselves are not known."""
    asked: str = ""
    """The messages that a server was sent as text, without what it was sent before if `extends`."""

    def __post_init__(self) -> None:
        """Check that every sampled token has its log-probability."""
        if len(self.ids) != len(self.logprobs):
            raise ValueError(f"{len(self.ids)} tokens but {len(self.logprobs)} log-probabilities")


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: what was seen, what was said, what it did."""

    observation: str
    state_key: Hashable
    """The environment's key of the state in which the action was chosen (GiGPO's anchor)."""
    reply: Reply
    action: str
    reward: float
    valid: bool


@dataclass(frozen=True, slots=True)
class Trajectory:
    """The record of one episode. A failed episode is data: `ended == "error"`."""

    env_id: str
    task: str
    seed: int
    turns: tuple[Turn, ...]
    ended: EpisodeEnd
    success: bool
    kind: str = ""
    error: str = ""
    last_key: Hashable = None
    """The environment's key of the state that a truncated episode was left in; None: unknown."""

    @property
    def shortened(self) -> bool:
        """Whether prompts left earlier turns out because the model's context was full."""
        return any(turn.reply.forgotten for turn in self.turns)

    @property
    def total_reward(self) -> float:
        """Undiscounted sum of the rewards, whatever their order."""
        return fsum(turn.reward for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Group:
    """Trajectories from the same start, compared with one another."""

    trajectories: tuple[Trajectory, ...]

    def __post_init__(self) -> None:
        """Refuse an empty group and a mixture of starts."""
        starts = {(t.env_id, t.task) for t in self.trajectories}
        if len(starts) != 1:
            raise ValueError(f"a group has one environment and task, not {sorted(starts)}")
