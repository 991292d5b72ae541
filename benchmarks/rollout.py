"""Multi-turn generation side by side: this project's sampler, TRL's path, transformers' batching.

Episodes in groups of 8 with the same first prompt; replies have the lengths that the load says
(`forced_lengths.py`), and what environments take is left out. All arms get the same model and the
same observations. Weights are random: speed does not depend on them, and greedy replies must agree.

clocks    the sampler, every episode asking again as soon as its reply is finished
turns     the sampler, all episodes waiting for the longest reply of a turn
trl       TRL 1.16 (`GRPOTrainer._generate_single_turn`): pads the whole context on the left and
          calls `generate` again at every turn
batch     transformers' continuous batching (what `generate_batch` runs on), every episode asking
          again as soon as its reply is finished, its prefix cache on
before    `turns` with the code of another checkout, given by --before

Useful is every token that some arm has to compute at least once: first prompts once per group,
observations, replies. On a CPU the clock is the process's CPU time, so that other work on the
machine does not count; give OMP_NUM_THREADS=1 when there is any.

    python benchmarks/rollout.py --small                     # about a minute
    python benchmarks/rollout.py --load fixed                # equal lengths, minutes
    python benchmarks/rollout.py --load realistic            # hours on a CPU; for a GPU
    python benchmarks/rollout.py --size qwen2.5-1.5b --dtype bfloat16       # a GPU
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
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

from layergym.agents.models.sampler import (  # type: ignore[attr-defined]  # As in earlier versions.
    Request,
    TransformersSampler,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.forced_lengths import END, LOADS, Count, Load, drawn, episodes, force

PAGE, MEMORY_BLOCKS = 256, 2000
Prompts = list[list[tuple[int, ...]]]
"""By episode and turn, what is new in its prompt."""
Replies = dict[int, list[tuple[int, ...]]]
Generate = Callable[[Sequence[int], dict[int, list[int]], dict[int, tuple[int, ...]]], Any]
"""Replies of some episodes, given their whole contexts and what is new in these."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--load", choices=LOADS, default="realistic")
    parser.add_argument("--size", default="135m", help="135m, small or a published shape")
    parser.add_argument("--small", action="store_true", help="a small model and load")
    parser.add_argument("--arms", nargs="+", default=[*ARMS], choices=ARMS)
    parser.add_argument("--before", metavar="PATH", help="a checkout of an earlier version")
    parser.add_argument("--environments", type=int)
    parser.add_argument("--turns", type=int, nargs=2, metavar=("FROM", "TO"))
    parser.add_argument("--temperature", type=float, default=0.0, help="of the sampler's arms")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="the results, one JSON object a line")
    arguments = parser.parse_args()
    if arguments.small:
        arguments.load, arguments.size = "small", "small"
    load = LOADS[arguments.load]
    load = dataclasses.replace(
        load,
        environments=arguments.environments or load.environments,
        turns=tuple(arguments.turns or load.turns),
    )
    found = [measured(arm, arguments, load) for arm in arguments.arms]
    if arguments.before:
        found.append(before(arguments.before))
    if arguments.json:
        for one in found:
            print(json.dumps(one))
    else:
        print(shown(found))


def measured(arm: str, arguments: argparse.Namespace, load: Load) -> dict[str, Any]:
    """Play the load once, after a little of it to warm up."""
    model = drawn(arguments.size, getattr(torch, arguments.dtype), arguments.device)
    count = force(model, load.cap)
    prompts = episodes(load, model.config.vocab_size)
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    play = ARMS[arm]
    play(model, [one[:1] for one in prompts[:2]], load, arguments.temperature)
    count.passes = count.slots = 0
    synchronize(model)
    began = clock()
    said = play(model, prompts, load, arguments.temperature)
    synchronize(model)
    return result(arm, clock() - began, said, prompts, count)


def result(
    arm: str, seconds: float, said: Replies, prompts: Prompts, count: Count
) -> dict[str, Any]:
    sampled = sum(len(reply) for replies in said.values() for reply in replies)
    first = {one[0] for one in prompts}
    new = sum(map(len, first)) + sum(len(ids) for one in prompts for ids in one[1:])
    return {
        "arm": arm,
        "s": round(seconds, 2),
        "tokens": sampled,
        "tokens_per_s": round(sampled / seconds, 1),
        "passes": count.passes,
        "slots": count.slots,
        "useful": round((sampled + new) / count.slots, 4),
        "replies": hash(tuple(tuple(said[e]) for e in range(len(prompts)))),
    }


def before(path: str) -> dict[str, Any]:
    """The arm "turns" with the package of another checkout."""
    environment = os.environ | {"PYTHONPATH": os.path.join(path, "src")}
    asked = [one for one in sys.argv[1:] if one != "--json"]
    at = asked.index("--before")
    command = [sys.executable, __file__, *asked[:at], *asked[at + 2 :]]
    command += ["--arms", "turns", "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"arm": "before"}


def shown(found: Sequence[dict[str, Any]]) -> str:
    """A table; ratios are to the first arm."""
    lines = [
        f"{'arm':8} {'s':>9} {'ratio':>6} {'tokens/s':>9} {'passes':>7} {'useful':>7}  replies"
    ]
    for one in found:
        equal = "the same" if one["replies"] == found[0]["replies"] else "OTHERS"
        ratio = one["s"] / max(found[0]["s"], 1e-9)
        lines.append(
            f"{one['arm']:8} {one['s']:9.2f} {ratio:6.2f} {one['tokens_per_s']:9.1f} "
            f"{one['passes']:7} {one['useful']:7.1%}  {equal}"
        )
    return "\n".join([*lines, f"{found[0]['tokens']:,} tokens sampled"])


def synchronize(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


# ---- this project's sampler ---------------------------------------------------------------------


def sampler_of(model: PreTrainedModel, load: Load, temperature: float) -> TransformersSampler:
    vocabulary = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": END}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=vocabulary, eos_token="</s>")
    return TransformersSampler(model, tokenizer, max_new_tokens=load.cap, temperature=temperature)


def clocks(model: PreTrainedModel, prompts: Prompts, load: Load, temperature: float) -> Replies:
    sampler = sampler_of(model, load, temperature)
    said: Replies = {e: [] for e in range(len(prompts))}
    sampler.submit([Request(e, one[0], False, e) for e, one in enumerate(prompts)])
    left = len(prompts)
    while left:
        again = []
        for e, sample in sampler.step():
            said[e].append(sample.ids)
            if len(said[e]) < len(prompts[e]):
                again.append(Request(e, prompts[e][len(said[e])], True, e))
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
        requests = [Request(e, new[e], e in begun, e) for e in live]
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
        num_blocks=min(len(prompts) * (longest // PAGE + 1), MEMORY_BLOCKS),
        page_size=PAGE,
        max_batch_tokens=max(1024, len(prompts)),
        max_requests_per_batch=len(prompts),
    )
    with net.continuous_batching_context_manager(settings, room, timeout=30) as manager:
        for e, context in enumerate(contexts):
            manager.add_request(context, request_id=f"{e}", max_new_tokens=load.cap)
        left = len(prompts)
        while left:
            found = manager.get_result(timeout=1)
            if found is None:
                continue
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


if __name__ == "__main__":
    main()
