"""Multi-turn generation side by side: this project's sampler, TRL's path, transformers' batching.

Episodes in groups of 8 with the same first prompt; replies have the lengths that the load says
(`forced_lengths.py`), and what environments take is left out. All arms get the same weights and the
same observations. Weights are random: speed does not depend on them, and greedy replies must agree.
At temperatures above 0 only the arms of this project play, for only they sample by an episode's own
seed, and must agree with one another.

clocks    the sampler, every episode asking again as soon as its reply is finished
turns     the sampler, all episodes waiting for the longest reply of a turn
trl       TRL 1.16 (`GRPOTrainer._generate_single_turn`): pads the whole context on the left and
          calls `generate` again at every turn
batch     transformers' continuous batching (what `generate_batch` runs on), every episode asking
          again as soon as its reply is finished, its prefix cache on
before    `turns` with the code of another checkout, given by --before

Useful is every token that some arm has to compute at least once (first prompts once per group,
observations, replies) as a share of all computed slots. It depends on lengths alone, so a thin
model shows it of the realistic load in minutes. On a CPU the clock is the process's CPU time, so
that other work on the machine does not count; give OMP_NUM_THREADS=1 when there is any.

    python benchmarks/rollout.py --small                       # about three minutes
    python benchmarks/rollout.py --load realistic --size thin  # useful slots, ten minutes
    python benchmarks/rollout.py --load brief                  # the realistic lengths, fewer turns
    python benchmarks/rollout.py --load fixed                  # equal lengths, minutes
    python benchmarks/rollout.py --load realistic --depth 6 --environments 16 --turns 2 2
    python benchmarks/rollout.py --load realistic              # hours on a CPU; for a GPU
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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.forced_lengths import LOADS, SIZES, Count, Load, drawn, episodes, force
from benchmarks.rollout_arms import ARMS, OURS, Prompts, Replies

HEAD = (
    f"{'at':>4} {'arm':8} {'s':>9} {'ratio':>6} {'tokens':>8} {'tokens/s':>9} {'passes':>7} "
    f"{'slots':>10} {'useful':>7}  replies"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--load", choices=LOADS, default="realistic")
    parser.add_argument("--size", default="135m", help=f"{', '.join(SIZES)} or a published shape")
    parser.add_argument("--depth", type=int, help="of the shape's layers, only this many")
    parser.add_argument("--small", action="store_true", help="a small model and load")
    parser.add_argument("--arms", nargs="+", default=[*ARMS], choices=ARMS)
    parser.add_argument("--before", metavar="PATH", help="a checkout of an earlier version")
    parser.add_argument("--environments", type=int)
    parser.add_argument("--turns", type=int, nargs=2, metavar=("FROM", "TO"))
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.0])
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
    found: list[dict[str, Any]] = []
    for one in results(arguments, load):
        found.append(one)
        print(json.dumps(one) if arguments.json else shown(one, found), flush=True)


def results(arguments: argparse.Namespace, load: Load) -> Iterator[dict[str, Any]]:
    """Of every arm at every temperature, as soon as it is there."""
    if not arguments.json:
        print(HEAD, flush=True)
    for temperature in arguments.temperatures:
        for arm in arguments.arms:
            if arm in OURS or not temperature:
                yield measured(arm, temperature, arguments, load)
    if arguments.before:
        yield from before(arguments.before)


def measured(
    arm: str, temperature: float, arguments: argparse.Namespace, load: Load
) -> dict[str, Any]:
    """Play the load once, after a little of it to warm up."""
    dtype = getattr(torch, arguments.dtype)
    model = drawn(arguments.size, dtype, arguments.device, arguments.depth)
    count = force(model, load.cap)
    prompts = episodes(load, model.config.vocab_size)
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    play = ARMS[arm]
    play(model, [one[:1] for one in prompts[:2]], load, temperature)
    count.passes = count.slots = 0
    synchronize(model)
    began = clock()
    said = play(model, prompts, load, temperature)
    synchronize(model)
    return {"arm": arm, "temperature": temperature} | result(clock() - began, said, prompts, count)


def result(seconds: float, said: Replies, prompts: Prompts, count: Count) -> dict[str, Any]:
    sampled = sum(len(reply) for replies in said.values() for reply in replies)
    first = {one[0] for one in prompts}
    new = sum(map(len, first)) + sum(len(ids) for one in prompts for ids in one[1:])
    return {
        "s": round(seconds, 2),
        "tokens": sampled,
        "tokens_per_s": round(sampled / seconds, 1),
        "passes": count.passes,
        "slots": count.slots,
        "useful": round((sampled + new) / count.slots, 4),
        "replies": hash(tuple(tuple(said[e]) for e in range(len(prompts)))),
    }


def before(path: str) -> list[dict[str, Any]]:
    """The arm "turns" with the package of another checkout, at every temperature."""
    environment = os.environ | {"PYTHONPATH": os.path.join(path, "src")}
    asked = [one for one in sys.argv[1:] if one != "--json"]
    at = asked.index("--before")
    command = [sys.executable, __file__, *asked[:at], *asked[at + 2 :]]
    command += ["--arms", "turns", "--json"]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [one | {"arm": "before"} for one in found]


def shown(one: dict[str, Any], found: Sequence[dict[str, Any]]) -> str:
    """A line; ratio and replies are compared with the first arm of the same temperature."""
    first = next(each for each in found if each["temperature"] == one["temperature"])
    equal = "the same" if one["replies"] == first["replies"] else "OTHERS"
    ratio = one["s"] / max(first["s"], 1e-9)
    return (
        f"{one['temperature']:4} {one['arm']:8} {one['s']:9.2f} {ratio:6.2f} "
        f"{one['tokens']:8,} {one['tokens_per_s']:9.1f} {one['passes']:7} {one['slots']:10,} "
        f"{one['useful']:7.1%}  {equal}"
    )


def synchronize(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
