"""The arms of `rollout.py`: who samples the replies of given episodes, and how.

The sampler is imported from wherever it stood, so that an earlier version of this project can play
an arm too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import torch
from tokenizers import Tokenizer, models
from transformers import (
    ContinuousBatchingConfig,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from trl.trainer.utils import pad

from benchmarks.forced_lengths import END, Load

PAGE, MOST_CACHED = 32, 512_000
Prompts = list[list[tuple[int, ...]]]
"""By episode and turn, what is new in its prompt."""
Replies = dict[int, list[tuple[int, ...]]]
Generate = Callable[[Sequence[int], dict[int, list[int]], dict[int, tuple[int, ...]]], Any]
"""Replies of some episodes, given their whole contexts and what is new in these."""


def first_of(*places: str) -> Any:
    """The first of some modules of this project that is there."""
    for place in places:
        with suppress(ModuleNotFoundError):
            return import_module(f"layergym.agents.{place}")
    return None


ours = first_of("models.sampler", "sampler")
attention = first_of("models.attend", "models.grouped")


# ---- this project's sampler ---------------------------------------------------------------------


def sampler_of(model: PreTrainedModel, load: Load, temperature: float) -> Any:
    for name in ("use_own_attention", "group_attention"):  # As models that it loads attend.
        if use := getattr(attention, name, None):
            use(model)
    vocabulary = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": END}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, eos_token="</s>")
    return ours.TransformersSampler(
        model, tokenizer, max_new_tokens=load.cap, temperature=temperature
    )


def clocks(model: PreTrainedModel, prompts: Prompts, load: Load, temperature: float) -> Replies:
    sampler = sampler_of(model, load, temperature)
    said: Replies = {e: [] for e in range(len(prompts))}
    sampler.submit([ours.Request(e, one[0], False, e) for e, one in enumerate(prompts)])
    left = len(prompts)
    while left:
        again = []
        for e, sample in sampler.step():
            said[e].append(sample.ids)
            if len(said[e]) < len(prompts[e]):
                again.append(ours.Request(e, prompts[e][len(said[e])], True, e))
            else:
                sampler.release([e])
                left -= 1
        sampler.submit(again)
    return said


def turns(model: PreTrainedModel, prompts: Prompts, load: Load, temperature: float) -> Replies:
    sampler = sampler_of(model, load, temperature)

    def generate(
        live: Sequence[int], _: dict[int, list[int]], new: dict[int, tuple[int, ...]]
    ) -> list[tuple[int, ...]]:
        sampler.release(set(over) - set(live))
        over[:] = live
        requests = [ours.Request(e, new[e], e in begun, e) for e in live]
        begun.update(live)
        return [sample.ids for sample in sampler.sample(requests)]

    over: list[int] = []
    begun: set[int] = set()
    return turn_by_turn(generate, prompts)


def turn_by_turn(generate: Generate, prompts: Prompts) -> Replies:
    contexts: dict[int, list[int]] = {e: [] for e in range(len(prompts))}
    said: Replies = {e: [] for e in contexts}
    for turn in range(max(map(len, prompts))):
        live = [e for e in contexts if turn < len(prompts[e])]
        new = {e: prompts[e][turn] for e in live}
        for e in live:
            contexts[e].extend(new[e])
        for e, ids in zip(live, generate(live, contexts, new), strict=True):
            said[e].append(tuple(ids))
            contexts[e].extend(ids)
    return said


# ---- others -------------------------------------------------------------------------------------


def trl(model: PreTrainedModel, prompts: Prompts, load: Load, temperature: float) -> Replies:
    net: Any = model  # `generate` cannot be typed on the model's own class.
    settings = GenerationConfig(
        max_new_tokens=load.cap, do_sample=False, eos_token_id=END, pad_token_id=END
    )

    def generate(live: Sequence[int], contexts: dict[int, list[int]], _: Any) -> list[Any]:
        rows = [torch.tensor(contexts[e], device=model.device) for e in live]
        ids = pad(rows, padding_value=END, padding_side="left")
        mask = pad([torch.ones_like(p) for p in rows], padding_value=0, padding_side="left")
        with torch.no_grad():
            out = net.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        return [up_to_end(row) for row in out[:, ids.shape[1] :].tolist()]

    return turn_by_turn(generate, prompts)


def batch(model: PreTrainedModel, prompts: Prompts, load: Load, temperature: float) -> Replies:
    net: Any = model
    settings = GenerationConfig(
        max_new_tokens=load.cap, do_sample=False, eos_token_id=END, pad_token_id=END
    )
    contexts = [list(one[0]) for one in prompts]
    said: Replies = {e: [] for e in range(len(prompts))}
    longest = sum(load.observation[1] + load.cap for _ in range(load.turns[1])) + load.prompt[1]
    room = ContinuousBatchingConfig(
        num_blocks=min(len(prompts) * (longest // PAGE + 1), MOST_CACHED // PAGE),
        page_size=PAGE,
        max_batch_tokens=max(1024, len(prompts)),
        max_requests_per_batch=len(prompts),
    )
    with net.continuous_batching_context_manager(
        settings, continuous_batching_config=room, timeout=30
    ) as manager:
        for e, context in enumerate(contexts):
            manager.add_request(context, request_id=f"{e}", max_new_tokens=load.cap)
        left = len(prompts)
        while left:
            found = manager.get_result(timeout=1)
            if found is None:
                assert manager.is_running(), "transformers' loop has ended by itself"
                continue
            assert not found.error, found.error
            e = int(found.request_id.split(":")[0])
            ids = up_to_end(found.generated_tokens)
            said[e].append(tuple(ids))
            if len(said[e]) == len(prompts[e]):
                left -= 1
                continue
            contexts[e] += [*ids, *prompts[e][len(said[e])]]
            name = f"{e}:{len(said[e])}"
            manager.add_request(contexts[e], request_id=name, max_new_tokens=load.cap)
    return said


def up_to_end(ids: list[int]) -> list[int]:
    return ids[: ids.index(END) + 1] if END in ids else ids


ARMS = {"clocks": clocks, "turns": turns, "batch": batch, "trl": trl}
OURS = ("clocks", "turns")
"""Arms that also sample by an episode's own seed."""
