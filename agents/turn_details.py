"""What is known of a turn besides what was seen and said: its tokens, and where its credit is from.

The prompt is that of the model, as text: what was fed since the reply before, or the whole of it.
Only the reply's own tokens carry loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from layergym.agents.types import Trajectory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PARTIAL = "\N{REPLACEMENT CHARACTER}"
"""What a token ends with that holds a part of a character."""


@dataclass(frozen=True, slots=True)
class TurnDetails:
    """One turn."""

    prompt: str = ""
    """What the model was fed before it replied, control tokens included."""
    extends: bool = False
    """Whether that goes on where the reply before ended."""
    pieces: tuple[str, ...] = ()
    """The reply as it was sampled, a text per token; tokens that share a character are joined."""
    logprobs: tuple[float, ...] = ()
    """Of every piece, in nats, under the sampling distribution."""
    episode_part: float | None = None
    """What of the advantage compares whole episodes; the rest compares turns in equal states."""
    state: int | None = None
    """Number of the state among those of the group; turns with equal numbers were compared."""


def details_of(
    trajectory: Trajectory, tokenizer: PreTrainedTokenizerBase | None
) -> tuple[TurnDetails, ...]:
    """What the tokens of a trajectory say, one per turn; () where no model was asked.

    Args:
        trajectory: an episode.
        tokenizer: of the model; None where a server has it, and no token is known.
    """
    details = []
    replies = [turn.reply for turn in trajectory.turns]
    if tokenizer is None:
        known = any(reply.asked for reply in replies)
        return tuple(TurnDetails(r.asked, r.extends) for r in replies) if known else ()
    for said in replies:
        pieces = list(_pieces(tokenizer, said.ids, said.logprobs))
        details.append(
            TurnDetails(
                prompt=_text(tokenizer, said.prompt_ids),
                extends=said.extends,
                pieces=tuple(text for text, _ in pieces),
                logprobs=tuple(value for _, value in pieces),
            )
        )
    return tuple(details)


def with_credit(
    details: Sequence[TurnDetails], episode_parts: Sequence[float], states: Sequence[int]
) -> tuple[TurnDetails, ...]:
    """Add where credit is from; an empty sequence stands for what is not known."""
    parts = episode_parts or (None,) * len(details)
    numbers = states or (None,) * len(details)
    return tuple(
        replace(one, episode_part=part, state=number)
        for one, part, number in zip(details, parts, numbers, strict=True)
    )


def details_as_values(details: TurnDetails) -> dict[str, Any]:
    """As it stands in a file."""
    row: dict[str, Any] = {
        "prompt": details.prompt,
        "extends": details.extends,
        "pieces": list(details.pieces),
        "logprobs": [round(value, 5) for value in details.logprobs],
    }
    known = {"episode_part": details.episode_part, "state": details.state}
    return row | {name: value for name, value in known.items() if value is not None}


def details_of_values(row: Mapping[str, Any]) -> TurnDetails:
    """From a file; what is not there is not known.

    Raises:
        TypeError, ValueError: it is something else.
    """
    part, state = row.get("episode_part"), row.get("state")
    return TurnDetails(
        prompt=str(row.get("prompt") or ""),
        extends=bool(row.get("extends")),
        pieces=tuple(map(str, row.get("pieces") or ())),
        logprobs=tuple(map(float, row.get("logprobs") or ())),
        episode_part=None if part is None else float(part),
        state=None if state is None else int(state),
    )


def _pieces(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], logprobs: Sequence[float]
) -> Iterator[tuple[str, float]]:
    """The text that every token adds; how a token is written may depend on the one before it."""
    before = start = 0
    for end in range(1, len(ids) + 1):
        text = _text(tokenizer, ids[before:end])
        if text.endswith(_PARTIAL) and end < len(ids):
            continue
        yield text[len(_text(tokenizer, ids[before:start])) :], sum(logprobs[start:end])
        before, start = start, end


def _text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)) if ids else ""
