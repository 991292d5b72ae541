"""The sampler says what the model says, whatever the batch."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from layergym.agents.models import prefill
from layergym.agents.models import sampler as module
from layergym.agents.models.architecture import cache_bytes
from layergym.agents.models.attend import use_own_attention
from layergym.agents.models.draw import AT_ONCE, draw, draw_at_once
from layergym.agents.models.forward import LEAST
from layergym.agents.models.requests import Request, Sample
from layergym.agents.models.sampler import SHARE, TransformersSampler
from layergym.base.errors import InputError, Notice
from tests.agents.conftest import FAMILIES

Models = Callable[[str], PreTrainedModel]
Tokenizers = Callable[[str | None], PreTrainedTokenizerFast]
STOP = 257
Asked = list[tuple[Request, Sample, list[int]]]


def dialogues(sampler: TransformersSampler, turns: int = 4, seed: int = 0) -> Iterator[Asked]:
    """Six episodes; three share a first prompt, one ends every turn, one rewrites its history.

    Yields, per turn, each request with its answer and the whole prompt that the model saw.
    """
    noise = np.random.default_rng(seed)
    contexts: dict[int, list[int]] = {}
    shared = tuple(noise.integers(0, 256, 9).tolist())
    for turn in range(turns):
        live = range(min(turn, 3), 6)
        sampler.release(set(contexts) - set(live))
        requests = []
        for episode in live:
            new = tuple(noise.integers(0, 256, 1 + (episode * 3 + turn * 5) % 7).tolist())
            new = shared if turn == 0 and episode % 2 else new
            rewrites = episode == 4 and turn == 2
            if rewrites:
                new = (*contexts[episode][:6], *contexts[episode][8:], *new)
            fresh = rewrites or turn == 0
            contexts[episode] = [*(() if fresh else contexts[episode]), *new]
            requests.append(Request(episode, new, not fresh, seed=episode + 7))
        samples = sampler.sample(requests)
        yield [(r, s, list(contexts[r.episode])) for r, s in zip(requests, samples, strict=True)]
        for request, sample in zip(requests, samples, strict=True):
            contexts[request.episode].extend(sample.ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_generate(
    family: str, model: Models, tokenizer: Tokenizers
) -> None:
    net = model(family)
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=8, temperature=0.0)
    for _, sample, prompt in itertools.chain(*dialogues(sampler)):
        ids = torch.tensor([prompt])
        whole = cast(Any, net).generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8)
        assert list(sample.ids) == whole[0, len(prompt) :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_logprobs_are_those_of_a_full_forward_pass(
    family: str, temperature: float, model: Models, tokenizer: Tokenizers
) -> None:
    net = model(family)
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=8, temperature=temperature)
    for _, sample, prompt in itertools.chain(*dialogues(sampler)):
        with torch.no_grad():
            logits = net(torch.tensor([[*prompt, *sample.ids]])).logits[0, len(prompt) - 1 : -1]
        logprobs = torch.log_softmax(logits / (temperature or 1.0), -1)
        said = logprobs.gather(-1, torch.tensor(sample.ids)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(sample.logprobs), said, atol=1e-5, rtol=0)


def test_an_episode_does_not_depend_on_its_batch(model: Models, tokenizer: Tokenizers) -> None:
    def samplers() -> TransformersSampler:
        return TransformersSampler(model("qwen3"), tokenizer(None), max_new_tokens=8)

    together: dict[int, list[tuple[Request, Sample]]] = {}
    for request, sample, _ in itertools.chain(*dialogues(samplers())):
        together.setdefault(request.episode, []).append((request, sample))
    for turns in together.values():
        alone = samplers()
        assert [alone.sample([request])[0].ids for request, _ in turns] == [s.ids for _, s in turns]


def test_an_episode_is_sampled_at_its_own_temperature(model: Models, tokenizer: Tokenizers) -> None:
    def said(temperature: float | tuple[float, ...]) -> dict[int, list[Sample]]:
        sampler = TransformersSampler(
            model("qwen3"), tokenizer(None), max_new_tokens=8, temperature=temperature
        )
        found: dict[int, list[Sample]] = {}
        for request, sample, _ in itertools.chain(*dialogues(sampler)):
            found.setdefault(request.episode, []).append(sample)
        return found

    every = (0.7, 0.0, 2.0)
    alone = [said(one) for one in every]
    for episode, samples in said(every).items():
        assert samples == alone[episode % 3][episode]
    with pytest.raises(InputError, match="temperature must be 0 or more, not -1"):
        said((1.0, -1.0))


def asked(episode: int, turn: int) -> Request:
    """What the ten episodes of up to four turns are asked."""
    prompts = np.random.default_rng(episode).integers(0, 256, (4, 5 + episode))
    return Request(episode, tuple(prompts[turn].tolist()), turn > 0, seed=episode)


def played(
    sampler: TransformersSampler, order: np.random.Generator, in_flight: int
) -> dict[int, list[Sample]]:
    """Each episode on its own clock, asked whenever `order` says so."""
    said: dict[int, list[Sample]] = {e: [] for e in range(10)}
    todo, idle = order.permutation(10).tolist(), []
    left = len(todo)
    while left:
        while todo and left - len(todo) < in_flight:
            idle.append(todo.pop())
        while idle and order.random() < 0.6:
            e = idle.pop(int(order.integers(len(idle))))
            sampler.submit([asked(e, len(said[e]))])
        for e, sample in sampler.step():
            said[e].append(sample)
            if len(said[e]) == 1 + e % 4:
                sampler.release([e])
                left -= 1
            else:
                idle.append(e)
    return said


def turn_by_turn(sampler: TransformersSampler) -> dict[int, list[Sample]]:
    """All wait for the longest reply of a turn."""
    said: dict[int, list[Sample]] = {e: [] for e in range(10)}
    for turn in range(4):
        live = [e for e in said if turn < 1 + e % 4]
        sampler.release(set(said) - set(live))
        for e, sample in zip(live, sampler.sample([asked(e, turn) for e in live]), strict=True):
            said[e].append(sample)
    return said


@pytest.mark.parametrize("family", ["qwen3", "gemma3"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_replies_do_not_depend_on_when_they_are_asked_or_beside_whom(
    temperature: float, family: str, model: Models, tokenizer: Tokenizers
) -> None:
    net, stop = model(family), range(25)

    def sampler() -> TransformersSampler:
        return TransformersSampler(
            net, tokenizer(None), max_new_tokens=12, stop_ids=stop, temperature=temperature
        )

    first = turn_by_turn(sampler())
    assert len({len(sample.ids) for said in first.values() for sample in said}) > 1
    for seed, in_flight in enumerate([10, 10, 4, 1]):
        other = played(sampler(), np.random.default_rng(seed), in_flight)
        for episode, said in first.items():
            for ours, theirs in zip(said, other[episode], strict=True):
                assert ours.ids == theirs.ids
                assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)


def test_only_rows_that_are_being_answered_are_computed(
    model: Models, tokenizer: Tokenizers
) -> None:
    net, rows = model("llama"), []
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=40, stop_ids=range(20))
    requests = [Request(e, (e, 1, 2, 3, 4), False, seed=e) for e in range(12)]
    hook = net.model.embed_tokens.register_forward_hook(lambda _, args, __: rows.append(args[0]))
    try:
        lengths = [len(sample.ids) for sample in sampler.sample(requests)]
    finally:
        hook.remove()
    assert len(set(lengths)) > 5
    live = [sum(length > k for length in lengths) for k in range(1, max(lengths))]
    assert [len(ids) for ids in rows if ids.shape[1] == 1] == [max(LEAST, n) for n in live]


def test_one_long_observation_pads_no_other(model: Models, tokenizer: Tokenizers) -> None:
    sampler = TransformersSampler(model("llama"), tokenizer(None), max_new_tokens=2)
    sampler.sample([Request(e, (1, 2, 3), False, seed=e) for e in range(32)])
    before = sampler.net.computed
    new = {e: (5,) * (357 if e == 7 else 1) for e in range(32)}
    sampler.sample([Request(e, ids, True, seed=e) for e, ids in new.items()])
    assert sampler.net.computed - before < 2 * (357 + 31) + 32 * LEAST


def test_a_prompt_longer_than_a_pass_is_fed_in_pieces(
    model: Models, tokenizer: Tokenizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = [tuple(range(n % 7, 200, 3)) for n in range(4)]
    said, widths = [], []
    net = model("qwen3")
    hook = net.model.embed_tokens.register_forward_hook(
        lambda _, args, __: widths.append(args[0].shape[1])
    )
    try:
        for piece in (prefill.PIECE, 16):
            widths.clear()
            monkeypatch.setattr(prefill, "PIECE", piece)
            sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=6)
            asked = [Request(e, prompts[e // 2], False, seed=e) for e in range(8)]
            said.append([sample.ids for sample in sampler.sample(asked)])
    finally:
        hook.remove()
    assert said[0] == said[1]
    assert max(widths) == 16


def test_an_episode_can_be_given_up_in_the_middle_of_a_reply(
    model: Models, tokenizer: Tokenizers
) -> None:
    def sampler() -> TransformersSampler:
        return TransformersSampler(model("qwen3"), tokenizer(None), max_new_tokens=8)

    requests = [Request(e, (e, 1, 2, 3), False, seed=e) for e in range(6)]
    whole = sampler().sample(requests)
    some = sampler()
    some.submit(requests)
    for _ in range(3):
        assert not some.step()
    some.release([0, 4])
    done: dict[int, Sample] = {}
    while len(done) < 4:
        done |= dict(some.step())
    assert {e: s.ids for e, s in done.items()} == {e: whole[e].ids for e in (1, 2, 3, 5)}


def test_a_reply_ends_with_the_stop_token(model: Models, tokenizer: Tokenizers) -> None:
    net, stop = model("llama"), set(range(40))
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=8, stop_ids=stop)
    samples = [sample for _, sample, _ in itertools.chain(*dialogues(sampler))]
    stop |= {STOP}
    assert {sample.finish for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert (sample.ids[-1] in stop) == (sample.finish == "stop")
        assert not stop & set(sample.ids[:-1])
        assert len(sample.ids) == 8 or sample.finish == "stop"


def test_dropout_is_off_while_sampling_and_on_again_after(tokenizer: Tokenizers) -> None:
    config = LlamaConfig.from_dict({**FAMILIES["llama"].to_dict(), "attention_dropout": 0.9})
    net = LlamaForCausalLM(config).train()
    first, second = (
        TransformersSampler(net, tokenizer(None), max_new_tokens=8).sample(
            [Request(0, (1, 2, 3), False, seed=1)]
        )
        for _ in range(2)
    )
    assert first == second
    assert net.training


def test_only_new_tokens_are_fed(model: Models, tokenizer: Tokenizers) -> None:
    net, fed = model("llama"), []
    hook = net.model.embed_tokens.register_forward_hook(lambda _, args, __: fed.append(args[0]))
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=3, temperature=0.0)
    prompt = tuple(range(20))
    try:
        sampler.sample([Request(episode, prompt, False, seed=0) for episode in range(4)])
        first, _, _ = fed
        fed.clear()
        sampler.sample([Request(episode, (5, 6), True, seed=0) for episode in range(4)])
    finally:
        hook.remove()
    assert (first.shape[0], first.count_nonzero()) == (1, 20 - 1), "one prompt, whose first id is 0"
    # The last sampled token was not fed yet: it comes with the new ones, padded to 4.
    assert [tuple(ids.shape) for ids in fed] == [(4, 4), (4, 1), (4, 1)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draw_follows_the_distribution(temperature: float) -> None:
    logits = torch.tensor([[1.0, -1.0, float("-inf"), 0.5]])
    u = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
    ids, logprobs = draw(logits.expand(len(u), -1), u, temperature)
    wanted = torch.softmax(logits[0] / temperature, -1)
    counts = torch.bincount(ids, minlength=4) / len(u)
    torch.testing.assert_close(counts, wanted, atol=1e-4, rtol=0)
    torch.testing.assert_close(logprobs.exp(), wanted[ids])


def test_draw_at_the_edges_takes_a_token_with_mass() -> None:
    logits = torch.tensor([[float("-inf"), 0.0, 0.0, float("-inf")]]).expand(2, -1)
    ids, _ = draw(logits, torch.tensor([0.0, np.nextafter(1.0, 0.0)], dtype=torch.float64), 1.0)
    assert ids.tolist() == [1, 2]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_is_drawn_the_same_whatever_is_drawn_beside_it(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rows, vocabulary = 7, AT_ONCE // 3  # Two parts of three rows, and one of one.
    logits = 4 * torch.randn(rows, vocabulary, generator=generator)
    uniforms = torch.rand(rows, generator=generator, dtype=torch.float64)
    whole = draw_at_once(logits, uniforms, temperature)
    for found, wanted in zip(draw(logits, uniforms, temperature), whole, strict=True):
        assert torch.equal(found, wanted)


def test_a_deep_model_in_bfloat16_says_what_it_says_of_whole_rows(tokenizer: Tokenizers) -> None:
    """One rounding that turns out otherwise grows from layer to layer."""
    torch.manual_seed(0)
    config = LlamaConfig(
        **FAMILIES["llama"].to_dict() | {"num_hidden_layers": 16, "initializer_range": 0.2}
    )
    net = LlamaForCausalLM(config).bfloat16().eval()
    use_own_attention(net)
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=30)
    apart = []
    for request, sample, context in next(dialogues(sampler)):
        assert not request.extends
        ids = torch.tensor([context + list(sample.ids)])
        with torch.no_grad():
            whole = net(ids).logits[0].float().log_softmax(-1)
        said = whole[len(context) - 1 : -1].gather(-1, torch.tensor(sample.ids)[:, None])[:, 0]
        apart.append((said - torch.tensor(sample.logprobs)).abs().mean())
    assert float(torch.stack(apart).mean()) < 1e-4


def test_a_diverged_model_is_reported(model: Models, tokenizer: Tokenizers) -> None:
    net = type(model("llama"))(FAMILIES["llama"])
    torch.nn.init.constant_(net.model.norm.weight, float("nan"))
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=2)
    with pytest.raises(FloatingPointError, match="diverged"):
        sampler.sample([Request(0, (1, 2), False, seed=0)])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"max_context": 1025}, "max_context must be between 1 and 1024"),
    ],
)
def test_settings_out_of_range_are_refused(
    settings: dict[str, float], message: str, model: Models, tokenizer: Tokenizers
) -> None:
    with pytest.raises(InputError, match=message):
        TransformersSampler(model("llama"), tokenizer(None), **settings)  # type: ignore[arg-type]


def test_a_model_without_key_value_cache_is_refused(tokenizer: Tokenizers) -> None:
    net = MambaForCausalLM(MambaConfig(vocab_size=300, hidden_size=16, num_hidden_layers=1))
    with pytest.raises(InputError, match="MambaForCausalLM"):
        TransformersSampler(net, tokenizer(None))


def test_memory_that_runs_out_is_halved_and_the_replies_stay(
    model: Models, tokenizer: Tokenizers
) -> None:
    """Replies of one token end in the pass of their prompt, others while they are decoded."""

    def limited(_: Any, args: Any, given: dict[str, Any]) -> None:
        if limit and len(given["input_ids"]) > LEAST:
            raise torch.OutOfMemoryError("no memory for so many")

    net, said, limit = model("llama"), [], False
    ends = net(input_ids=torch.tensor([[1, 2]])).logits[0, -1].topk(3).indices.tolist()
    hook = net.register_forward_pre_hook(limited, with_kwargs=True)
    requests = [Request(n, (1, 2, n % 3), False, seed=n) for n in range(24)]
    try:
        for limit in (False, True):
            sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=6, stop_ids=ends)
            with pytest.warns(Notice, match="memory ran out") if limit else nullcontext():
                first = sampler.sample(requests)
                then = [Request(n, (7,), True, seed=n) for n in range(24)]
                said.append([(s.ids, s.finish) for s in (*first, *sampler.sample(then))])
    finally:
        hook.remove()
    assert said[0] == said[1]


def test_memory_that_runs_out_is_said_in_a_sentence(model: Models, tokenizer: Tokenizers) -> None:
    def limited(*_: Any) -> None:
        raise torch.OutOfMemoryError("no memory at all")

    net = model("llama")
    hook = net.register_forward_pre_hook(limited)
    sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=2)
    try:
        with (
            pytest.warns(Notice, match="with 3 episodes: 1 are"),
            pytest.raises(InputError, match=r"memory ran out for a single episode.*no memory at"),
        ):
            sampler.sample([Request(episode, (1, 2), False, seed=0) for episode in range(3)])
    finally:
        hook.remove()


@pytest.mark.parametrize("family", ["qwen2", "gemma3"])
def test_episodes_beyond_memory_are_answered_all_the_same(
    family: str, model: Models, tokenizer: Tokenizers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two rows at a time, every one of six is computed again in every turn."""
    net, said = model(family), []
    slot = cache_bytes(net.config, net.dtype)
    for room in (1 << 40, 2 * 64 * slot / SHARE + 1):
        monkeypatch.setattr(module, "free_memory", lambda device, room=room: room)
        sampler = TransformersSampler(net, tokenizer(None), max_new_tokens=8)
        said.append([(s, p) for _, s, p in itertools.chain(*dialogues(sampler))])
    for (ours, read), (theirs, prompt) in zip(*said, strict=True):
        assert ours.ids == theirs.ids and read == prompt
        assert ours.logprobs == pytest.approx(theirs.logprobs, abs=1e-5)
