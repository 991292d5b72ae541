"""A real chat template that rewrites history, from the conversation to the rows of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from importlib.resources import files

import pytest
from transformers import PreTrainedTokenizerFast

from layergym.agents import Job, LLMAgent, PromptStyle, Trajectory, rollout
from layergym.agents.models.requests import AnswersTogether, Request, Sample
from layergym.envs.core import Outcome, TextEnv
from layergym.trainer.rows.packing import Row, pack

Tokenizers = Callable[[str | None], PreTrainedTokenizerFast]
THOUGHTS = ("The stove is on the left.", "I hold the egg now.", "Done soon.")
SAID = tuple(
    f"<think>\n{thought}\n</think>\n\n<action>go {n}</action>" for n, thought in enumerate(THOUGHTS)
)


class Corridor(TextEnv):
    """Three rooms."""

    max_turns = 3
    instructions = "Walk on."

    def start(self) -> str:
        return "Room 0."

    def play(self, action: str) -> Outcome:
        return Outcome(f"Room {self.turn + 1}, after {action}.", reward=1.0)


class Speaker(AnswersTogether):
    """Samples what it was told to say, one reply a turn."""

    max_new_tokens, max_context = 200, 10_000

    def __init__(self, words: PreTrainedTokenizerFast, replies: Sequence[str]) -> None:
        super().__init__()
        end = words.convert_tokens_to_ids("<|im_end|>")
        self.replies = [(*words.encode(r, add_special_tokens=False), end) for r in replies]
        self.turn = 0

    def answer(self, requests: Sequence[Request]) -> list[Sample]:
        ids = self.replies[self.turn]
        self.turn += 1
        return [Sample(ids, (-0.5,) * len(ids), "stop") for _ in requests]

    def release(self, episodes: Iterable[int]) -> None:
        pass


def packed(
    words: PreTrainedTokenizerFast, replies: Sequence[str] = SAID
) -> tuple[Trajectory, list[Row]]:
    agent = LLMAgent(Speaker(words, replies), words, PromptStyle("think"))
    (trajectory,) = rollout(agent, Corridor, [Job("train-0000", 0)])
    return trajectory, pack([trajectory], [(1.0, 2.0, 3.0)])


def spelt(words: PreTrainedTokenizerFast, ids: Iterable[int]) -> str:
    text = words.decode(list(ids))
    assert isinstance(text, str)
    return text


def parts(words: PreTrainedTokenizerFast, row: Row) -> tuple[str, str]:
    """What carries no loss in a row, and what does."""
    pairs = list(zip(row.ids, row.sampled, strict=True))
    given, said = ([i for i, s in pairs if s is which] for which in (False, True))
    return spelt(words, given), spelt(words, said)


def template(name: str) -> str:
    """A model's own template, as TRL ships it."""
    return (files("trl") / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


def test_qwen3_starts_a_new_row_where_it_drops_thoughts(tokenizer: Tokenizers) -> None:
    words = tokenizer(template("qwen3"))
    trajectory, rows = packed(words)
    assert [turn.reply.extends for turn in trajectory.turns] == [False, False, False]
    assert [set(row.advantages) - {0.0} for row in rows] == [{1.0}, {2.0}, {3.0}]
    for n, row in enumerate(rows):
        given, said = parts(words, row)
        assert said == SAID[n] + "<|im_end|>", "exactly what was sampled, thoughts and all"
        assert all(thought not in given for thought in THOUGHTS)
        assert all(f"<action>go {k}</action>" in given for k in range(n)), "context, without loss"


def test_qwen3_keeps_one_row_where_nothing_was_thought(tokenizer: Tokenizers) -> None:
    words = tokenizer(template("qwen3"))
    plain = [f"<action>go {n}</action>" for n in range(3)]
    trajectory, (row,) = packed(words, plain)
    assert [turn.reply.extends for turn in trajectory.turns] == [False, True, True]
    assert parts(words, row)[1] == "".join(f"{reply}<|im_end|>" for reply in plain)


@pytest.mark.parametrize("name", ["qwen2_5", "qwen3_training", "qwen3_instruct_2507"])
def test_templates_that_only_append_make_one_row(name: str, tokenizer: Tokenizers) -> None:
    words = tokenizer(template(name))
    trajectory, (row,) = packed(words)
    assert [turn.reply.extends for turn in trajectory.turns] == [False, True, True]
    assert parts(words, row)[1] == "".join(f"{reply}<|im_end|>" for reply in SAID)
