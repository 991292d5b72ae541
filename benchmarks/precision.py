"""A checkpoint stored in bfloat16, trained in bfloat16 and, from the same values, in float32.

First table: runs of ten steps with equal seeds, each in both types. Shares of entries that differ
from the start, as they are stepped and as bfloat16 shows them; the length of the update in bfloat16
over that in float32, and the cosine of the two; of the bfloat16 run the last reward, and how long
the change is beside the weights, per layer. Both sample other tokens now and then, and so learn
from other episodes: "another seed" compares two float32 runs, and says what that alone does. Two
processes are FSDP2. "resumed" compares two bfloat16 runs, one of them stopped in the middle.

Second table: the bfloat16 model plays, then the trainer scores what it said, in
differently laid out passes. Nats per sampled token, mean and largest.

    python benchmarks/precision.py                             # the embedded policy
    python benchmarks/precision.py --model smollm2 --env math  # short questions, few episodes
"""

from __future__ import annotations

import argparse
import functools
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.models.save import save_model
from layergym.agents.names import open_model, open_stored
from layergym.agents.rollouts import Job, rollout
from layergym.base.files import write_json
from layergym.envs.panels import panel
from layergym.evals.sweep.demo import demo_sweep
from layergym.trainer.bank import Bank
from layergym.trainer.rows.packing import Row, pack
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import arrange, attention_reach, choose_trees
from layergym.trainer.run import agent_of, train
from layergym.trainer.spec import RunSpec, make_env_of

TYPES = ("float32", "bfloat16")
WAYS = ("one layer", "another seed", "resumed", "all", "lora", "bank", "two processes")
FSDP2 = Path(__file__).parents[1] / "docs" / "recipes" / "cpu-2-fsdp2.yaml"
MATH = {"families": ["gcd"], "levels": [1], "size": 200}


@dataclass(frozen=True)
class Done:
    """A run: its trained tensors, and the last line of its metrics."""

    tensors: dict[str, Tensor]
    metrics: dict[str, float]

    def of(self, kind: str) -> list[float]:
        """A measure of every layer that trains."""
        return [v for name, v in self.metrics.items() if name.startswith(f"{kind}/")]

    def mean(self, kind: str) -> float:
        """The mean over the layers that train."""
        return sum(self.of(kind)) / max(len(self.of(kind)), 1)


def spec_of(model: Path, env: str) -> RunSpec:
    """Settings that all runs share."""
    if env == "alfworld":
        return replace(demo_sweep((0,)).run, model=str(model))
    return RunSpec(
        env="layergym/Math-v0", env_args=MATH, model=str(model), format="plain", max_new_tokens=12
    )


def of_way(spec: RunSpec, way: str, depth: int) -> RunSpec:
    """The run that trains this way, at the learning rates of arXiv 2607.01232."""
    middle = str(depth // 2)
    if way == "all":
        return replace(spec, layers="all", learning_rate=1e-6)
    if way == "lora":
        return replace(spec, layers=middle, lora=4, learning_rate=1e-4)
    return replace(spec, layers=middle, learning_rate=5e-6)


def run(spec: RunSpec, folder: Path, way: str) -> Done:
    """Train as `spec` says, in one of `WAYS`."""
    if way == "bank":
        beside = replace(spec, layers=str(int(spec.layers) + 1))
        Bank([spec, beside]).train([folder, folder.with_name(f"{folder.name}-beside")])
    elif way == "two processes":
        write_json(folder.with_suffix(".json"), asdict(spec))
        words = ["--config_file", str(FSDP2), __file__, "--one", str(folder)]
        launch = [sys.executable, "-m", "accelerate.commands.launch", *words]
        subprocess.run(launch, check=True, capture_output=True)
    elif way == "resumed":
        spec = replace(spec, save_every=spec.steps // 2)
        train(spec, folder, until=spec.steps // 2)
        train(spec, folder, resume=True)
    else:
        train(spec, folder)
    return read(folder)


def one_of_two(folder: Path) -> None:
    """What each of several processes does."""
    found = json.loads(folder.with_suffix(".json").read_text(encoding="utf-8"))
    train(RunSpec.of(found), folder)


def read(folder: Path) -> Done:
    """What a run left."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return Done(load_file(folder / "delta.safetensors"), json.loads(lines[-1]))


def moved(done: Done, start: dict[str, Tensor]) -> Tensor:
    """The update in one vector: of LoRA the ups, which start from 0."""
    names = sorted(n for n in done.tensors if not n.endswith("lora_A"))
    return torch.cat([(done.tensors[n] - start.get(n, torch.zeros(()))).flatten() for n in names])


def compare(name: str, ours: Done, theirs: Done, start: dict[str, Tensor]) -> None:
    """Print a line; `ours` is in bfloat16 and `theirs` in float32, where they differ in that."""
    one, other = moved(ours, start), moved(theirs, start)
    equal = "  equal to the bit" if torch.equal(one, other) else ""
    by_layer = ours.of("change")
    spread = f"  {min(by_layer):.1e} to {max(by_layer):.1e}" if len(by_layer) > 1 else ""
    print(
        f"{name:16}{theirs.mean('changed'):>10.2%}{ours.mean('changed'):>10.2%}"
        f"{ours.mean('changed_bf16'):>10.2%}{float(one.norm() / other.norm()):>9.2f}"
        f"{float(torch.cosine_similarity(one, other, dim=0)):>8.3f}"
        f"{ours.metrics['reward']:>9.3f}{ours.mean('change'):>10.1e}{spread}{equal}",
        flush=True,
    )


def updates(spec: RunSpec, folder: Path, depth: int, ways: Sequence[str]) -> None:
    """The first table."""
    model, _ = open_stored(spec.model)
    start = {name: p.detach().float() for name, p in model.named_parameters()}

    @functools.cache
    def done(way: str, dtype: str, seed: int = 0) -> Done:
        own = replace(of_way(spec, way, depth), dtype=dtype, seed=seed)
        return run(own, folder / f"{way}-{dtype}-{seed}".replace(" ", "-"), way)

    head = f"\n{'':16}{'entries that changed':^30}{'length':>9}{'cosine':>8}"
    print(f"{head}{'reward':>9}{'change':>10}")
    print(f"{'':16}{'float32':>10}{'bfloat16':>10}{'shown':>10}")
    for way in ways:
        if way == "another seed":
            pair = done("one layer", "float32", 1), done("one layer", "float32")
        elif way == "resumed":
            pair = done("resumed", "bfloat16"), done("one layer", "bfloat16")
        else:
            pair = done(way, "bfloat16"), done(way, "float32")
        compare(way, *pair, start)


# ---- sampler and trainer ------------------------------------------------------------------------


def mismatch(spec: RunSpec) -> None:
    """The second table."""
    print(f"\n{'nats per token':34}" + "".join(f"{name:>12}{'largest':>10}" for name in TYPES))
    found = [_scored(replace(spec, dtype=dtype)) for dtype in TYPES]
    for name in found[0]:
        print(f"{name:34}" + "".join(f"{a:>12.1e}{b:>10.1e}" for a, b in (f[name] for f in found)))


def _scored(spec: RunSpec) -> dict[str, tuple[float, float]]:
    """Differences by what is compared: their mean and the largest."""
    model, tokenizer = open_model(spec.model, dtype=spec.dtype, device="cpu")
    make = make_env_of(spec, "train")
    tasks = panel(make(), spec.tasks_per_step).tasks
    jobs = [Job(task, seed) for task in tasks for seed in range(spec.group_size)]
    episodes = rollout(agent_of(spec, model, tokenizer, 1.0), make, jobs)
    rows = pack(episodes, [[1.0] * len(one.turns) for one in episodes])
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    said = torch.cat([torch.tensor(r.logprobs)[torch.tensor(r.sampled)] for r in rows])
    reach = attention_reach(model)

    def scored(reach: float | None, together: int) -> Tensor:
        found: dict[int, Tensor] = {}
        for first in range(0, len(rows), together):
            found |= _pass(model, rows[first : first + together], first, reach)
        return torch.cat([found[i] for i in range(len(rows))])

    alone, side, trees = scored(None, 1), scored(None, 16), scored(1e9, 16)
    as_trained = scored(reach, spec.rows_per_pass)
    pairs = {
        "sampler, trainer as it trains": (said, as_trained),
        "sampler, rows alone": (said, alone),
        "sampler, rows in trees": (said, trees),
        "rows alone, 16 rows in a pass": (alone, side),
        "rows alone, rows in trees": (alone, trees),
    }
    apart = {name: (one - other).abs() for name, (one, other) in pairs.items()}
    return {name: (float(d.mean()), float(d.max())) for name, d in apart.items()}


def _pass(model: object, rows: Sequence[Row], first: int, reach: float | None) -> dict[int, Tensor]:
    """Log-probabilities of what was sampled, by row."""
    ids = [row.ids for row in rows]
    order, trees = arrange(ids, choose_trees(ids, reach, len(ids)), reach)
    sampled = torch.zeros(trees.places.shape, dtype=torch.bool)
    for place, i in enumerate(order):
        sampled[place, : len(ids[i])] = torch.tensor(rows[i].sampled)
    with torch.no_grad():
        found = sampled_logprobs(model, model, trees, sampled)[0]  # type: ignore[arg-type]
    return {first + i: found[place][sampled[place, 1:]] for place, i in enumerate(order)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--env", choices=["alfworld", "math"], default="alfworld")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--tasks", type=int, default=4, help="in a step")
    parser.add_argument("--played", type=int, default=4, help="tasks of the second table; 0: none")
    parser.add_argument("--group", type=int, default=8, help="episodes of a task")
    parser.add_argument("--ways", nargs="*", choices=WAYS, default=list(WAYS))
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    if args.one:
        one_of_two(args.one)
        return
    began = time.process_time()
    with tempfile.TemporaryDirectory() as name:
        opened, tokenizer = open_stored(args.model)
        stored: Any = opened
        depth = stored.config.num_hidden_layers
        save_model(stored.to(torch.bfloat16), Path(name) / "stored", tokenizer)
        spec = spec_of(Path(name) / "stored", args.env)
        spec = replace(spec, steps=args.steps, save_every=args.steps)
        spec = replace(spec, group_size=args.group)
        updates(replace(spec, tasks_per_step=args.tasks), Path(name), depth, args.ways)
        if args.played:
            mismatch(replace(spec, tasks_per_step=args.played))
    print(f"\n{time.process_time() - began:.0f} s of CPU time, other processes not counted")


if __name__ == "__main__":
    main()
