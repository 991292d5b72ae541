"""Multi-turn generation: this project's sampler against TRL's own path, side by side.

Environments in groups of 8 with the same first prompt, greedy replies of a fixed length. TRL 1.16
(`GRPOTrainer._generate_single_turn`) pads the whole context on the left and calls `model.generate`
anew at every turn; the sampler feeds only what is new. Both get the same model and the same
observations, and what environments take is left out. Weights are random: speed does not depend on
them, and greedy replies must agree all the same. On a CPU the clock is the process's CPU time, so
that other work on the machine does not count; give OMP_NUM_THREADS=1 when there is any.

    python benchmarks/rollout.py               # the shape of SmolLM2-135M, minutes
    python benchmarks/rollout.py --size tiny   # seconds
    python benchmarks/rollout.py --size qwen2.5-1.5b --dtype bfloat16 --environments 64   # a GPU
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from trl.trainer.utils import pad

from layergym.agents.models.sampler import Request, TransformersSampler
from layergym.agents.models.shapes import published

GROUP = 8
FIRST, OBSERVATION = (150, 200), (15, 45)
"""Tokens of the first prompt and of an observation (from, to)."""
END = 2


@dataclass(frozen=True)
class Load:
    """How many environments play how many turns, and how many tokens a reply has."""

    environments: int
    turns: int
    reply: int


SIZES = {
    "135m": LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rope_parameters={"rope_type": "default", "rope_theta": 100_000.0},
        rms_norm_eps=1e-5,
        initializer_range=0.0417,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    ),
    "tiny": LlamaConfig(
        vocab_size=400,
        hidden_size=64,
        intermediate_size=192,
        num_hidden_layers=8,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        initializer_range=0.1,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    ),
}
Generate = Callable[[list[list[int]], list[tuple[int, ...]]], list[tuple[int, ...]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="135m", help="135m, tiny or a published shape")
    parser.add_argument("--environments", type=int, default=32)
    parser.add_argument("--turns", type=int, default=10)
    parser.add_argument("--reply", type=int, default=16, help="tokens of a reply")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="the result as one JSON object")
    arguments = parser.parse_args()
    load = Load(arguments.environments, arguments.turns, arguments.reply)
    warm = Load(min(load.environments, 2 * GROUP), 2, 4)
    began = time.perf_counter()

    def progress(done: str, **found: float) -> None:
        """A line as soon as a part is done: a time box may end the rest."""
        if arguments.json:
            after = round(time.perf_counter() - began, 1)
            print(json.dumps({"done": done, "after_s": after, **found}), flush=True)

    progress("imports")
    model = drawn(arguments.size, getattr(torch, arguments.dtype), arguments.device)
    progress("model")
    play(by_sampler(model, load), model, warm)
    progress("layergym, warm")
    ours, our_replies = play(by_sampler(model, load), model, load)
    progress("layergym", s=round(sum(ours), 2))
    play(by_trl(model, load), model, warm)
    progress("TRL, warm")
    trl, trl_replies = play(by_trl(model, load), model, load)
    found = {
        "size": arguments.size,
        "environments": load.environments,
        "turns": load.turns,
        "tokens": sum(map(len, our_replies)),
        "trl_s": round(sum(trl), 2),
        "ours_s": round(sum(ours), 2),
        "ratio": round(sum(trl) / sum(ours), 2),
        "last_turn_ratio": round(trl[-1] / ours[-1], 2),
        "ours_tokens_per_s": round(sum(map(len, our_replies)) / sum(ours)),
        "identical": sum(a == b for a, b in zip(our_replies, trl_replies, strict=True)),
        "replies": len(our_replies),
    }
    print(json.dumps(found) if arguments.json else shown(found))


def shown(found: dict[str, Any]) -> str:
    return (
        "{size}, {environments} environments x {turns} turns, {tokens} tokens sampled\n"
        "TRL's path      {trl_s:8.2f} s\n"
        "layergym        {ours_s:8.2f} s   {ours_tokens_per_s} tokens a second\n"
        "ratio           {ratio:8.2f}     last turn {last_turn_ratio:7.2f}\n"
        "identical greedy replies: {identical} of {replies}"
    ).format(**found)


def drawn(size: str, dtype: torch.dtype, device: str) -> PreTrainedModel:
    """A model with random weights, drawn where it computes."""
    torch.manual_seed(0)
    with torch.device(device):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(
            SIZES.get(size) or published(size), dtype=dtype
        )
    model.eval()
    return model


def play(
    generate: Generate, model: PreTrainedModel, load: Load
) -> tuple[list[float], list[tuple[int, ...]]]:
    """Seconds per turn, and all replies."""
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    contexts: list[list[int]] = [[] for _ in range(load.environments)]
    seconds, replies = [], []
    for new in observations(model.config.vocab_size, load):
        for context, ids in zip(contexts, new, strict=True):
            context.extend(ids)
        synchronize(model)
        begin = clock()
        said = generate(contexts, new)
        synchronize(model)
        seconds.append(clock() - begin)
        replies += said
        for context, ids in zip(contexts, said, strict=True):
            context.extend(ids)
    return seconds, replies


def synchronize(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


def observations(vocabulary: int, load: Load) -> Iterator[list[tuple[int, ...]]]:
    """For each turn, the new tokens of every environment."""
    noise = np.random.default_rng(0)

    def some(span: tuple[int, int]) -> tuple[int, ...]:
        return tuple(noise.integers(3, vocabulary, noise.integers(*span)).tolist())

    groups = [some(FIRST) for _ in range(load.environments // GROUP)]
    yield [prompt for prompt in groups for _ in range(GROUP)]
    for _ in range(load.turns - 1):
        yield [some(OBSERVATION) for _ in range(load.environments)]


def by_sampler(model: PreTrainedModel, load: Load) -> Generate:
    vocabulary = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": END}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, eos_token="</s>")
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=load.reply, temperature=0.0)
    begun = False

    def generate(_: list[list[int]], new: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        nonlocal begun
        requests = [Request(i, ids, begun, seed=i) for i, ids in enumerate(new)]
        begun = True
        return [sample.ids for sample in sampler.sample(requests)]

    return generate


def by_trl(model: PreTrainedModel, load: Load) -> Generate:
    net: Any = model  # `generate` cannot be typed on the model's own class.
    settings = GenerationConfig(
        max_new_tokens=load.reply, do_sample=False, eos_token_id=END, pad_token_id=END
    )

    def generate(contexts: list[list[int]], _: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        prompts = [torch.tensor(context, device=model.device) for context in contexts]
        ids = pad(prompts, padding_value=END, padding_side="left")
        mask = pad([torch.ones_like(p) for p in prompts], padding_value=0, padding_side="left")
        with torch.no_grad():
            out = net.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        return [up_to_end(row) for row in out[:, ids.shape[1] :].tolist()]

    return generate


def up_to_end(ids: list[int]) -> tuple[int, ...]:
    return tuple(ids[: ids.index(END) + 1] if END in ids else ids)


if __name__ == "__main__":
    main()
