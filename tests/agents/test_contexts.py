"""Context policies: what a prompt shows, what extends it, and what the rows of training hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import pytest
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from layergym.agents import (
    CONTEXTS,
    Exchange,
    Job,
    LLMAgent,
    PromptStyle,
    Trajectory,
    TransformersSampler,
    View,
    rollout,
)
from layergym.agents.conversation import Layout
from layergym.agents.memory import as_listed
from layergym.agents.models.requests import AnswersTogether, Request, Sample, Sampler
from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv
from layergym.trainer.rows.packing import pack
from tests.agents.conftest import CHATML, NO_SYSTEM

Models = Callable[[str], PreTrainedModel]
Tokenizers = Callable[[str | None], PreTrainedTokenizerFast]
POLICIES = ("whole", "last:0", "last:1", "last:2", "no-thoughts")


class Corridor(TextEnv):
    """Three rooms."""

    max_turns = 3
    instructions = "Walk on."

    def start(self) -> str:
        return "Find the key. Room 0."

    def play(self, action: str) -> Outcome:
        return Outcome(f"Room {self.turn + 1}.", reward=1.0)

    def admissible(self) -> Sequence[str]:
        return [f"go {self.turn}", "look"]


class Witness(AnswersTogether):
    """A sampler, and for every reply what the model had read and then said."""

    def __init__(self, sampler: Sampler) -> None:
        super().__init__()
        self.inner = sampler
        self.max_new_tokens, self.max_context = sampler.max_new_tokens, sampler.max_context
        self.seen: list[tuple[tuple[int, ...], tuple[int, ...]]] = []
        self._context: tuple[int, ...] = ()

    def answer(self, requests: Sequence[Request]) -> list[Sample]:
        [request] = requests
        self._context = (*(self._context if request.extends else ()), *request.ids)
        [sample] = self.inner.sample(requests)
        self.seen.append((self._context, sample.ids))
        self._context += sample.ids
        return [sample]

    def release(self, episodes: Iterable[int]) -> None:
        self.inner.release(episodes)


class Says(AnswersTogether):
    """Samples what it was told to say, one reply a turn."""

    max_new_tokens, max_context = 60, 10_000

    def __init__(self, words: PreTrainedTokenizerFast, replies: Sequence[str]) -> None:
        super().__init__()
        self.words, self.replies = words, replies
        self.turn = 0

    def answer(self, requests: Sequence[Request]) -> list[Sample]:
        end = self.words.convert_tokens_to_ids("<|im_end|>")
        ids = (*self.words.encode(self.replies[self.turn], add_special_tokens=False), end)
        self.turn += 1
        return [Sample(ids, (-0.5,) * len(ids), "stop")]

    def release(self, episodes: Iterable[int]) -> None:
        pass


THOUGHT = tuple(f"<think>hm {n}</think><action>go {n}</action>" for n in range(3))
BARE = tuple(f"<action>go {n}</action>" for n in range(3))


def play(sampler: Sampler, words: PreTrainedTokenizerFast, style: PromptStyle) -> Trajectory:
    [played] = rollout(LLMAgent(sampler, words, style), Corridor, [Job("train-0000", 3)])
    return played


def in_context(policy: str, admissible: bool = False) -> PromptStyle:
    return PromptStyle("think", admissible=admissible, context=CONTEXTS.open(policy))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("template", [CHATML, NO_SYSTEM, None])
def test_rows_are_token_for_token_what_the_model_saw_and_said(
    policy: str, template: str | None, model: Models, tokenizer: Tokenizers
) -> None:
    words = tokenizer(template)
    witness = Witness(TransformersSampler(model("qwen3"), words, max_new_tokens=6))
    played = play(witness, words, in_context(policy, admissible=True))
    assert len(played.turns) == 3
    rows = pack([played], [(1.0, 2.0, 3.0)])
    rest = list(witness.seen)
    for row in rows:
        while rest and row.ids[: len(rest[0][0])] == rest[0][0]:
            context, said = rest.pop(0)
            credit = float(len(witness.seen) - len(rest))
            reply = slice(len(context), len(context) + len(said))
            assert row.ids[reply] == said
            assert all(row.sampled[reply]) and set(row.advantages[reply]) == {credit}
    assert not rest, "every reply is in its row"
    assert sum(sum(row.sampled) for row in rows) == sum(len(said) for _, said in witness.seen)


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_row_trains_on_has_the_probabilities_it_was_sampled_with(
    policy: str, model: Models, tokenizer: Tokenizers
) -> None:
    import torch

    words = tokenizer(CHATML)
    played = play(
        TransformersSampler(model("qwen3"), words, max_new_tokens=6), words, in_context(policy)
    )
    for row in pack([played], [(1.0, 1.0, 1.0)]):
        ids = torch.tensor([row.ids])
        with torch.no_grad():
            logprobs = model("qwen3")(ids).logits[0, :-1].log_softmax(-1)
        found = logprobs.gather(-1, ids[0, 1:, None])[:, 0]
        sampled = torch.tensor(row.sampled[1:])
        assert torch.allclose(found[sampled], torch.tensor(row.logprobs[1:])[sampled], atol=1e-5)


@pytest.mark.parametrize(
    ("policy", "replies", "extends"),
    [
        ("whole", THOUGHT, [False, True, True]),
        ("last:0", THOUGHT, [False, False, False]),
        ("last:1", THOUGHT, [False, True, False]),
        ("last:2", THOUGHT, [False, True, True]),
        ("no-thoughts", THOUGHT, [False, False, False]),
        ("no-thoughts", BARE, [False, True, True]),
    ],
)
def test_a_prompt_extends_exactly_when_it_shows_what_was_seen_and_said(
    policy: str, replies: Sequence[str], extends: list[bool], tokenizer: Tokenizers
) -> None:
    words = tokenizer(CHATML)
    played = play(Says(words, replies), words, in_context(policy))
    assert [turn.reply.extends for turn in played.turns] == extends


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        (
            "last:0",
            ["Find the key. Room 0.\n\n[Turns 1 to 2 are left out.]\n\nRoom 2."],
        ),
        (
            "last:1",
            [
                "Find the key. Room 0.\n\n[Turns 1 to 1 are left out.]\n\nRoom 1.",
                THOUGHT[1],
                "Room 2.",
            ],
        ),
        ("no-thoughts", ["Find the key. Room 0.", BARE[0], "Room 1.", BARE[1], "Room 2."]),
    ],
)
def test_the_last_prompt_is_the_task_the_view_and_the_observation(
    policy: str, shown: list[str], tokenizer: Tokenizers
) -> None:
    words, style = tokenizer(CHATML), in_context(policy)
    played = play(Says(words, THOUGHT), words, style)
    layout = Layout(words)
    system = f"Walk on.\n\n{style.reply.request}"
    roles = ("user", "assistant")
    turns = [{"role": roles[i % 2], "content": text} for i, text in enumerate(shown)]
    whole = [*layout.opening(system, shown[0]), *turns[1:]]
    assert played.turns[2].reply.prompt_ids == layout.encode(layout.render(whole))


@pytest.mark.parametrize("listed", [True, False])
def test_a_bare_action_is_valid_exactly_where_it_is_listed(
    listed: bool, tokenizer: Tokenizers
) -> None:
    words = tokenizer(CHATML)
    style = PromptStyle("act", admissible=listed)
    played = play(Says(words, ["I go.\ngo 0", "go 0", "Action: go 7"]), words, style)
    assert [turn.action for turn in played.turns] == ["go 0", "go 0", "go 7"]
    assert [turn.valid for turn in played.turns] == [listed, False, True]


def test_an_action_is_the_listed_one_that_it_equals_but_for_case_and_a_full_stop(
    tokenizer: Tokenizers,
) -> None:
    words = tokenizer(CHATML)
    played = play(
        Says(words, ["I go.\nGo 0.", "Action: GO  1", "Action: go 7."]),
        words,
        PromptStyle("act", admissible=True),
    )
    assert [turn.action for turn in played.turns] == ["go 0", "go 1", "go 7."]
    assert played.turns[0].reply.text == "I go.\nGo 0."
    assert as_listed("Go A", ["go a", "go A"]) == "Go A"  # It could be either.


def test_a_policy_of_ones_own_sees_the_past_and_may_sum_it_up(tokenizer: Tokenizers) -> None:
    class SumsUp:
        def view(self, past: Sequence[Exchange]) -> View:
            return View((), "So far: " + ", ".join(f"{e.action} ({len(e.ids)})" for e in past))

    words = tokenizer(CHATML)
    played = play(Says(words, BARE), words, PromptStyle("think", context=SumsUp()))
    shown = str(words.decode(list(played.turns[2].reply.prompt_ids)))
    assert "So far: go 0 (22), go 1 (22)\n\nRoom 2." in shown


@pytest.mark.parametrize("name", ["last", "last:", "last:-1", "last:x", "whole:2", "lest:2", ""])
def test_what_names_no_policy_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        CONTEXTS.open(name)


def test_a_policy_of_another_package_is_found_by_name() -> None:
    CONTEXTS.register("nothing", lambda argument: CONTEXTS.open("last:0"))
    assert CONTEXTS.open("nothing:at all") == CONTEXTS.open("last:0")
    with pytest.raises(InputError):
        CONTEXTS.register("last", lambda argument: CONTEXTS.open("whole"))


def test_a_window_s_cost_grows_with_the_turns_and_the_whole_history_s_faster(
    tokenizer: Tokenizers,
) -> None:
    class Long(Corridor):
        max_turns = 40

    words = tokenizer(CHATML)

    def read(policy: str, turns: int) -> int:
        """Tokens that a model without a cache reads."""
        saying = Says(words, BARE * 20)
        env = type("Long", (Long,), {"max_turns": turns})
        agent = LLMAgent(saying, words, in_context(policy))
        [played] = rollout(agent, env, [Job("train-0000", 0)])
        context, total = 0, 0
        for turn in played.turns:
            context = len(turn.reply.prompt_ids) + (context if turn.reply.extends else 0)
            total += context
            context += len(turn.reply.ids)
        return total

    assert read("last:2", 40) < 2.2 * read("last:2", 20)
    assert read("whole", 40) > 2.8 * read("whole", 20)
