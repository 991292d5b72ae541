"""Multi-turn generation: this project's sampler against TRL's own path, side by side.

32 environments, 10 turns, greedy. TRL 1.16 (`GRPOTrainer._generate_single_turn`) pads the whole
context on the left and calls `model.generate` anew at every turn; the sampler feeds only what is
new. Both get the same model and the same observations, and what environments take is left out.
Episodes come in groups of 8 with the same first prompt. Weights are random: speed does not depend
on them, and greedy replies must agree all the same. On a CPU the clock is the process's CPU time,
so that other work on the machine does not count; give OMP_NUM_THREADS=1 when there is any.

    python benchmarks/rollout.py               # the shape of SmolLM2-135M, minutes
    python benchmarks/rollout.py --size tiny   # seconds
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import (
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from trl.trainer.utils import pad

from layergym.agents.models.sampler import Request, TransformersSampler

ENVIRONMENTS, GROUP, TURNS = 32, 8, 10
FIRST, OBSERVATION, REPLY = (150, 200), (15, 45), 16
"""Tokens of the first prompt and of an observation (from, to), and of a reply."""
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
    parser.add_argument("--size", choices=SIZES, default="135m")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model = LlamaForCausalLM(SIZES[arguments.size]).to(arguments.device).eval()
    ours, our_replies = play(by_sampler(model), model)
    trl, trl_replies = play(by_trl(model), model)
    same = sum(a == b for a, b in zip(our_replies, trl_replies, strict=True))
    tokens = sum(map(len, our_replies))
    print(f"{arguments.size}, {ENVIRONMENTS} environments x {TURNS} turns, {tokens} tokens sampled")
    print(f"TRL's path      {sum(trl):8.2f} s   last turn {trl[-1]:7.2f} s")
    print(f"layergym        {sum(ours):8.2f} s   last turn {ours[-1]:7.2f} s")
    print(f"ratio           {sum(trl) / sum(ours):8.2f}     last turn {trl[-1] / ours[-1]:7.2f}")
    print(f"identical greedy replies: {same} of {len(our_replies)}")


def play(generate: Generate, model: LlamaForCausalLM) -> tuple[list[float], list[tuple[int, ...]]]:
    """Seconds per turn, and all replies."""
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    contexts: list[list[int]] = [[] for _ in range(ENVIRONMENTS)]
    seconds, replies = [], []
    for new in observations(model.config.vocab_size):
        for context, ids in zip(contexts, new, strict=True):
            context.extend(ids)
        begin = clock()
        said = generate(contexts, new)
        seconds.append(clock() - begin)
        replies += said
        for context, ids in zip(contexts, said, strict=True):
            context.extend(ids)
    return seconds, replies


def observations(vocabulary: int) -> Iterator[list[tuple[int, ...]]]:
    """For each turn, the new tokens of every environment."""
    noise = np.random.default_rng(0)

    def some(span: tuple[int, int]) -> tuple[int, ...]:
        return tuple(noise.integers(3, vocabulary, noise.integers(*span)).tolist())

    groups = [some(FIRST) for _ in range(ENVIRONMENTS // GROUP)]
    yield [prompt for prompt in groups for _ in range(GROUP)]
    for _ in range(TURNS - 1):
        yield [some(OBSERVATION) for _ in range(ENVIRONMENTS)]


def by_sampler(model: LlamaForCausalLM) -> Generate:
    vocabulary = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, eos_token="</s>")
    sampler = TransformersSampler(model, tokenizer, max_new_tokens=REPLY, temperature=0.0)
    begun = False

    def generate(_: list[list[int]], new: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        nonlocal begun
        requests = [Request(i, ids, begun, seed=i) for i, ids in enumerate(new)]
        begun = True
        return [sample.ids for sample in sampler.sample(requests)]

    return generate


def by_trl(model: LlamaForCausalLM) -> Generate:
    net: Any = model  # `generate` cannot be typed on the model's own class.
    settings = GenerationConfig(
        max_new_tokens=REPLY, do_sample=False, eos_token_id=2, pad_token_id=2, bos_token_id=1
    )

    def generate(contexts: list[list[int]], _: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        prompts = [torch.tensor(context, device=model.device) for context in contexts]
        ids = pad(prompts, padding_value=2, padding_side="left")
        mask = pad([torch.ones_like(p) for p in prompts], padding_value=0, padding_side="left")
        with torch.no_grad():
            out = net.generate(input_ids=ids, attention_mask=mask, generation_config=settings)
        return [up_to_end(row) for row in out[:, ids.shape[1] :].tolist()]

    return generate


def up_to_end(ids: list[int]) -> tuple[int, ...]:
    return tuple(ids[: ids.index(2) + 1] if 2 in ids else ids)


if __name__ == "__main__":
    main()
