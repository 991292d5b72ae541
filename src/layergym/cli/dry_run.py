"""`layergym train --dry-run`: what a model would see, and which of its tokens would be trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, takewhile

import numpy as np
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from transformers import PreTrainedTokenizerBase

from layergym.agents import ExpertAgent, Job, LLMAgent, RandomAgent, Trajectory, rollout
from layergym.agents.base import Decision, Episode, asked
from layergym.agents.conversation import Layout
from layergym.agents.models.architecture import check_exact, context_limit
from layergym.agents.models.load import load_config, load_tokenizer
from layergym.agents.models.requests import AnswersTogether, Request, Sample
from layergym.agents.names import defaults, num_layers, source
from layergym.command.console import Output
from layergym.envs import TextEnv, panel
from layergym.trainer.credit.collect import RolloutSpec, collect
from layergym.trainer.rows.packing import Row, rows_of
from layergym.trainer.run import check_run, prompt_style
from layergym.trainer.spec import RunSpec, make_env_of

OPEN, CLOSE = "⟦", "⟧"
SEEN, KNOWN = "⟪", "⟫"


class Dictated(AnswersTogether):
    """A sampler that says what it is told, in the tokens of a model that is not loaded."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_new_tokens: int, max_context: int
    ) -> None:
        """Speak with `tokenizer`, within the limits (in tokens) of the model it belongs to."""
        super().__init__()
        self.max_new_tokens, self.max_context = max_new_tokens, max_context
        self.text: dict[int, str] = {}
        """What to say next in each episode."""
        self._layout = Layout(tokenizer)
        end = tokenizer.eos_token_id
        self._end = () if end is None else (end,)

    def answer(self, requests: Sequence[Request]) -> list[Sample]:
        """The tokens of each episode's text, cut where a model would be cut."""
        replies = [self._layout.encode(self.text[r.episode]) + self._end for r in requests]
        return [self._cut(ids) for ids in replies]

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        for episode in episodes:
            self.text.pop(episode, None)

    def _cut(self, ids: tuple[int, ...]) -> Sample:
        kept = ids[: self.max_new_tokens]
        whole = bool(self._end) and len(kept) == len(ids)
        return Sample(kept, (0.0,) * len(kept), "stop" if whole else "length")


class RandomSpeaker(LLMAgent):
    """A random agent that is asked and answers as a model would.

    It takes an admissible action. Where none are listed it takes the expert's every other time, to
    show what a reply is like, and else a word of the observation.
    """

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in episodes that wait for a decision."""
        assert isinstance(self.sampler, Dictated)
        for episode in episodes:
            action = _random_action(episode)
            self.sampler.text[episode.id] = self.style.reply.write(action)
        super().ask(episodes)


def _random_action(episode: Episode) -> str:
    if asked(Episode.admissible, episode) not in (None, []):
        [decision] = RandomAgent().act([episode])
        return decision.action if isinstance(decision, Decision) else ""
    words = episode.observation.split() or ["nothing"]
    rng = np.random.default_rng([episode.seed, episode.env.turn])
    word = words[int(rng.integers(len(words)))]
    has_expert = type(episode.env).expert is not TextEnv.expert
    [move] = ExpertAgent().act([episode]) if has_expert and rng.random() < 0.5 else [None]
    return move.action if isinstance(move, Decision) else word


def dry_run(spec: RunSpec, out: Output) -> None:
    """Play the first group of the run with a random agent and show it as the trainer gets it.

    Raises:
        InputError: the environment, model or a setting is unknown or does not fit.
    """
    check_run(spec, num_layers(spec.model))
    known = defaults(spec.model)
    tokenizer = load_tokenizer(source(spec.model))
    config = load_config(source(spec.model)).get_text_config(decoder=True)
    check_exact(config)
    longest = context_limit(config, None)
    sampler = Dictated(tokenizer, spec.max_new_tokens or known.max_new_tokens, longest)
    agent = RandomSpeaker(sampler, tokenizer, prompt_style(spec))
    fresh = make_env_of(spec, "train")
    played: list[Trajectory] = []

    def play(jobs: Sequence[Job]) -> list[Trajectory]:
        played.extend(rollout(agent, fresh, jobs))
        return played

    rollout_spec = RolloutSpec(
        seed=spec.seed, tasks=1, group_size=spec.group_size, credit=spec.credit
    )
    rows = collect(panel(fresh()), play, rollout_spec, 0).rows
    out.show(
        f"{played[0].env_id}, task {played[0].task}: {len(played)} episodes by a random agent, in "
        f"the tokens of {spec.model} (no weights loaded)\n"
        f"What the model would see in the first; what would be trained is in {OPEN} {CLOSE}, what "
        f"a row has in common with the one before it in {SEEN} {KNOWN}:"
    )
    for title, text in _shown(played[0], tokenizer):
        out.show(Rule(title, style="dim", align="left"))
        out.show(text)
    out.show(Rule(style="dim"))
    out.show(_episodes(played))
    out.show(_verdict(rows, longest, tokenizer.unk_token_id))
    out.record(
        event="dry run",
        task=played[0].task,
        episodes=len(played),
        tokens=sum(map(len, rows)),
        trained=sum(sum(row.sampled) for row in rows),
    )


def _shown(
    trajectory: Trajectory, tokenizer: PreTrainedTokenizerBase
) -> Iterator[tuple[str, Text]]:
    """Each row of an episode, token for token, under a title.

    What carries loss is in brackets and bold, what the row before began with as well is dim.
    """
    rows = rows_of(trajectory, [0.0] * len(trajectory.turns))
    for number, (before, row) in enumerate(zip([None, *rows], rows, strict=False), start=1):
        known = 0 if before is None else _shared(before.ids, row.ids)
        text = Text()
        marks = ((position < known, trained) for position, trained in enumerate(row.sampled))
        pairs = zip(row.ids, marks, strict=True)
        for (old, trained), run in groupby(pairs, key=lambda pair: pair[1]):
            part = str(tokenizer.decode([id for id, _ in run], clean_up_tokenization_spaces=False))
            text.append(_marked(part, old, trained), _style(old, trained))
        yield _title(number, len(rows), row, known), text


def _shared(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two rows begin with in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    )


def _marked(part: str, old: bool, trained: bool) -> str:
    if trained:
        return f"{OPEN}{part}{CLOSE}"
    return f"{SEEN}{part}{KNOWN}" if old else part


def _style(old: bool, trained: bool) -> str:
    return "bold green" if trained else "dim" if old else ""


def _title(number: int, rows: int, row: Row, known: int) -> str:
    """What is new in a row; "" where an episode is a single one."""
    if rows == 1:
        return ""
    return (
        f"row {number} of {rows}: {len(row):,} tokens, {len(row) - known:,} of them new, "
        f"{sum(row.sampled):,} trained"
    )


def _episodes(played: Sequence[Trajectory]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("episode", "turns", "valid", "reward", "rows", "tokens", "trained", "ended"):
        table.add_column(name, justify="left" if name == "ended" else "right")
    for number, trajectory in enumerate(played, start=1):
        rows = rows_of(trajectory, [0.0] * len(trajectory.turns))
        table.add_row(
            str(number),
            str(len(trajectory.turns)),
            str(sum(turn.valid for turn in trajectory.turns)),
            f"{trajectory.total_reward:g}",
            str(len(rows)),
            f"{sum(map(len, rows)):,}",
            f"{sum(sum(row.sampled) for row in rows):,}",
            trajectory.error or ("solved" if trajectory.success else trajectory.ended),
        )
    return table


def _verdict(rows: Sequence[Row], longest: int, unknown: int | None) -> str:
    tokens, trained = sum(map(len, rows)), sum(sum(row.sampled) for row in rows)
    share = f" ({100 * trained / tokens:.1f} %)" if tokens else ""
    lines = [
        f"{trained:,} of {tokens:,} tokens would be trained{share}; the longest row has "
        f"{max(map(len, rows), default=0):,} of {longest:,} tokens that the model can hold"
    ]
    strange = sum(row.ids.count(unknown) for row in rows) if unknown is not None else 0
    if strange:
        lines.append(
            f"{strange:,} tokens are words that this model does not know; take another model, or "
            "make one that knows them: layergym warmup"
        )
    if not any(any(row.advantages) for row in rows):
        lines.append(
            "all episodes earned the same: such a group teaches nothing (a random agent seldom "
            "solves a task; a model has to, now and then)"
        )
    return "\n".join(lines)
