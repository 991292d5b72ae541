"""A sweep's single-layer runs: in one layer bank, and one after another.

Each run is a real one: tasks, rollout, credit, loss, AdamW, run folder. The model has SmolLM2's
shape of 135M parameters, 30 layers, with random weights; every layer is trained alone. An episode
is one turn: a prompt of 64 tokens, 24 sampled ones.

    python benchmarks/sweep.py            # 2, 4, 8 and 16 episodes per run, and the default sweep
    python benchmarks/sweep.py --quick    # a small shape, to see that it runs
    python benchmarks/sweep.py --rows 2 4 --alone 5

Engines take turns in processes of their own, on all cores. "One after another" runs some of the
layers (--alone, spread from lowest to highest) and is scaled up to all of them. "Whole" is all that
a user waits for but the import of libraries: opening the model, the rollout, the update, the proof
that nothing else changed, checkpoint and delta.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from layergym.trainer.run import Trained
    from layergym.trainer.spec import RunSpec

PROMPT, NEW = 64, 24
ENV = "benchmark/Talk-v0"
CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class Shape:
    """A Llama model."""

    layers: int = 30
    hidden: int = 576
    inner: int = 1536
    heads: int = 9
    kv_heads: int = 3
    vocabulary: int = 49152


QUICK = Shape(layers=4, hidden=64, inner=128, heads=2, kv_heads=1, vocabulary=512)


def write_model(shape: Shape, folder: Path) -> None:
    """Random weights and a tokenizer of a few words."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from layergym.agents.models.tiny import build_tokenizer

    tokenizer = build_tokenizer(["again"])
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text('{"model": "new"}')


def register_env() -> None:
    """An environment that talks for one turn and rewards at random."""
    import layergym as lg

    class Talk(lg.TextEnv):
        max_turns = 1
        tasks = ("only",)

        def start(self) -> str:
            return "again " * (PROMPT - 2)

        def play(self, action: str) -> lg.Outcome:
            return lg.Outcome("", reward=float(self.np_random.random()), terminated=True)

    lg.register(ENV, Talk)


def run_spec(model: str, rows: int) -> RunSpec:
    """One update of `rows` episodes from one task."""
    from layergym.trainer.spec import RunSpec

    return RunSpec(
        env=ENV, model=model, steps=1, tasks_per_step=1, group_size=rows, max_new_tokens=NEW
    )


def measure(engine: str, model: str, rows: int, layers: list[int], folder: Path) -> dict[str, Any]:
    """Train the layers by one engine; seconds for all of them, and peak memory."""
    from layergym.trainer.bank import Bank
    from layergym.trainer.run import train

    register_env()
    specs = [replace(run_spec(model, rows), layers=str(layer)) for layer in layers]
    folders = [folder / f"{engine}-{rows}-{layer}" for layer in layers]
    began = time.perf_counter()
    if engine == "bank":
        trained = Bank(specs).train(folders)
    else:
        trained = [train(spec, place) for spec, place in zip(specs, folders, strict=True)]
    return {
        "generation": total(trained, "time/rollout_s"),
        "update": total(trained, "time/update_s"),
        "whole": time.perf_counter() - began,
        "tokens": total(trained, "tokens"),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def total(trained: Iterable[Trained], name: str) -> float:
    """A measure summed over runs and steps; a bank's runs put down their shares of its time."""
    return sum(row.get(name, 0.0) for done in trained for row in done.metrics)


def child(*arguments: str) -> dict[str, Any]:
    """`measure` in a process of its own."""
    environment = os.environ | {"TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-W", "ignore", __file__, "--child", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def compare(shape: Shape, rows: list[int], alone: int, folder: Path) -> None:
    """Print the bank beside one run after another, for each number of rows."""
    model = folder / "model"
    write_model(shape, model)
    every = list(range(shape.layers))
    some = sorted({round(i * (shape.layers - 1) / max(alone - 1, 1)) for i in range(alone)})
    print(
        f"{shape.layers} layers alone, {PROMPT}-token prompts, {NEW} sampled tokens; one after "
        f"another: {len(some)} layers measured, times {shape.layers}/{len(some)}"
    )
    heads = ("rows", "engine", "generation s", "update s", "whole s", "tokens/s", "peak MB")
    print("".join(f"{head:>14}" for head in heads))
    for count in rows:
        found = {}
        for engine, layers in (("one by one", some), ("bank", every)):
            listed = ",".join(map(str, layers))
            one = child(engine, str(model), str(count), listed, str(folder / "runs"))
            scale = shape.layers / len(layers)
            for name in ("generation", "update", "whole", "tokens"):
                one[name] *= scale
            found[engine] = one
            show(count, engine, one)
        first, second = found["one by one"], found["bank"]
        ratios = {name: first[name] / second[name] for name in ("generation", "update", "whole")}
        print(
            f"{count:>14}{'bank is':>14}" + "".join(f"{ratio:>13.1f}x" for ratio in ratios.values())
        )


def show(count: int, engine: str, one: Mapping[str, float]) -> None:
    """One line of the table."""
    speed = one["tokens"] / one["generation"]
    print(
        f"{count:>14}{engine:>14}{one['generation']:>14.1f}{one['update']:>14.1f}"
        f"{one['whole']:>14.1f}{speed:>14.0f}{one['megabytes']:>14.0f}",
        flush=True,
    )


def default_sweep(folder: Path, quick: bool) -> None:
    """The demo, a sweep of the embedded model: one process at a time, and one per core."""
    took = {}
    for jobs in sorted({1, CORES}):
        command = [sys.executable, "-m", "layergym", "demo", "--jobs", str(jobs)]
        command += ["--out", str(folder / f"demo-{jobs}"), *(["--fast"] if quick else [])]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        took[jobs] = time.perf_counter() - began
        print(f"default sweep, {jobs} process(es) at a time: {took[jobs]:.0f} s", flush=True)
    print(f"processes side by side are {took[1] / took[CORES]:.1f}x one after another")


def choices(model: str, rows: list[int], layers: int) -> None:
    """What `auto` chooses here, for the benchmark's model and for the default sweep."""
    from layergym.evals.sweep.demo import demo_sweep
    from layergym.trainer.bank.speed import compare_speeds

    for count in rows:
        spec = run_spec(model, count)
        specs = [replace(spec, layers=str(layer)) for layer in range(layers)]
        print(f"auto, {count} rows: {compare_speeds(specs, CORES)}", flush=True)
    sweep = demo_sweep((0,))
    specs = [replace(sweep.run, layers=str(layer)) for layer in sweep.layers]
    print(f"auto, default sweep: {compare_speeds(specs, CORES)}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a small shape")
    parser.add_argument("--rows", type=int, nargs="+", default=[2, 4, 8, 16])
    parser.add_argument("--alone", type=int, default=3, help="layers measured one by one")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        engine, model, rows, layers, folder = args.child
        listed = [int(layer) for layer in layers.split(",")]
        print(json.dumps(measure(engine, model, int(rows), listed, Path(folder))))
        return
    warnings.simplefilter("ignore")
    shape, rows = (QUICK, [2]) if args.quick else (Shape(), args.rows)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compare(shape, rows, min(args.alone, shape.layers), folder)
        choices(str(folder / "model"), rows, shape.layers)
        default_sweep(folder, args.quick)


if __name__ == "__main__":
    main()
