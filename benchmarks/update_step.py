"""Time and peak memory of one whole update phase, one arm per process, side by side.

The phase: old and reference log-probabilities, two epochs, KL term, AdamW, on fixed rows of a
SmolLM2-135M shape with random weights: 16 rows of 512 tokens, 15 % of them sampled.

    full           TRL at its defaults (gradient checkpointing on), every parameter trains
    full, tuned    the same with gradient checkpointing off
    frozen         TRL at its defaults, all but one layer frozen
    frozen, tuned  the same with gradient checkpointing off
    ours           GiGPOTrainer with layers=<middle>

    python benchmarks/update_step.py            # minutes
    python benchmarks/update_step.py --quick    # a small shape, to see that it runs

Times are CPU seconds of one thread, so that a busy machine distorts them little.
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARMS = ("full", "full, tuned", "frozen", "frozen, tuned", "ours")
EPOCHS = 2
BETA = 0.04


@dataclass(frozen=True)
class Shape:
    """What is trained on what."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    vocabulary: int
    rows: int
    tokens: int
    rows_per_pass: int
    action: int = 8
    """Sampled tokens per turn."""
    observation: int = 45
    """Other tokens per turn: 8 of 53 are 15 %."""

    @property
    def middle(self) -> int:
        """The layer that trains."""
        return self.layers // 2

    @property
    def layer_parameters(self) -> int:
        """Weights of one layer's matrices."""
        attention = self.hidden * self.hidden * (2 + 2 * self.kv_heads / self.heads)
        return int(attention + 3 * self.hidden * self.inner)


SHAPES = {
    "smollm2-135m": Shape(30, 576, 1536, 9, 3, 49152, 16, 512, 4),
    "quick": Shape(8, 128, 384, 4, 2, 4096, 8, 128, 4),
}


def build_config(shape: Shape) -> Any:
    """A Llama configuration of this shape."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )


def build(config: Any, dtype: Any, folder: Path) -> None:
    """Save a model with random weights and a tokenizer that has a padding token.

    TRL loads its reference model from the folder that the policy came from.
    """
    import torch
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=dtype).save_pretrained(folder)
    tokenizer_of().save_pretrained(folder)


def tokenizer_of() -> Any:
    """A tokenizer that has a padding token and an end; nothing is ever turned into tokens."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 2, "<unk>": 3}, unk_token="<unk>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def episodes(shape: Shape) -> list[Any]:
    """One row per episode: observations and actions take turns; half of the episodes succeed."""
    import random

    from layergym.agents.types import Reply, Trajectory, Turn

    rng = random.Random(0)

    def tokens(n: int) -> tuple[int, ...]:
        return tuple(rng.randrange(3, shape.vocabulary) for _ in range(n))

    def episode(number: int) -> Trajectory:
        turns: list[Turn] = []
        left = shape.tokens
        while left >= shape.observation + shape.action:
            seen, said = tokens(shape.observation), tokens(shape.action)
            left -= len(seen) + len(said)
            if left < shape.observation + shape.action:
                seen = tokens(len(seen) + left)
            reply = Reply("", seen, said, (-10.0,) * len(said), extends=bool(turns))
            turns.append(Turn("", (number, left), reply, "", float(number % 2), True))
        return Trajectory("E", "task", number, tuple(turns), "terminated", bool(number % 2))

    return [episode(i) for i in range(shape.rows)]


def trainer_of(arm: str, shape: Shape, folder: Path, output: str) -> Any:
    """A trainer whose rollout is the fixed episodes."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    make = ours if arm == "ours" else stock
    return make(arm, shape, model, tokenizer, arguments(shape, output, "cpu"))


def arguments(shape: Shape, output: str, device: str) -> dict[str, Any]:
    """What all arms have in common."""
    return {
        "output_dir": output,
        "num_iterations": EPOCHS,
        "beta": BETA,
        "num_generations": shape.rows,
        "max_steps": EPOCHS,
        "learning_rate": 1e-6,
        "use_cpu": device == "cpu",
        "bf16": False,
        "report_to": "none",
        "save_strategy": "no",
        "disable_tqdm": True,
        "logging_strategy": "no",
    }


def ours(arm: str, shape: Shape, model: Any, tokenizer: Any, shared: dict[str, Any]) -> Any:
    from layergym.envs.panels import Panel
    from layergym.trainer.config import GiGPOConfig
    from layergym.trainer.trainer import GiGPOTrainer

    args = GiGPOConfig(
        algorithm="grpo",
        layers=str(shape.middle),
        tasks_per_step=1,
        per_device_train_batch_size=shape.rows_per_pass,
        **shared,
    )
    panel = Panel("E", "train", ("task",), "")
    return GiGPOTrainer(model, args, panel, lambda jobs: episodes(shape), tokenizer)


def stock(arm: str, shape: Shape, model: Any, tokenizer: Any, shared: dict[str, Any]) -> Any:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer  # type: ignore[attr-defined]

    from layergym.trainer.rows.packing import pack

    if arm.startswith("frozen"):
        model.requires_grad_(False)
        model.model.layers[shape.middle].requires_grad_(True)

    def rollout_func(prompts: list[Any], trainer: Any) -> dict[str, Any]:
        found = episodes(shape)
        rows = pack(found, [[0.0] * len(t.turns) for t in found])
        start = shape.observation
        return {
            "prompt_ids": [list(row.ids[:start]) for row in rows],
            "completion_ids": [list(row.ids[start:]) for row in rows],
            "env_mask": [[int(s) for s in row.sampled[start:]] for row in rows],
            "logprobs": None,
            "total": [t.total_reward for t in found],
        }

    passes = shape.rows // shape.rows_per_pass
    args = GRPOConfig(
        per_device_train_batch_size=shape.rows_per_pass,
        gradient_accumulation_steps=passes,
        gradient_checkpointing="tuned" not in arm,
        **shared,
    )
    return GRPOTrainer(
        model=model,
        reward_funcs=lambda total, **_: total,
        args=args,
        train_dataset=Dataset.from_dict({"prompt": ["x"] * shape.rows}),
        processing_class=tokenizer,
        rollout_func=rollout_func,
    )


def measure(arm: str, shape: Shape, folder: Path) -> dict[str, float]:
    """Run one arm in this process."""
    import torch
    from transformers import TrainerCallback

    torch.set_num_threads(1)
    clock: dict[str, float] = {}

    class Clock(TrainerCallback):
        def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
            clock["start"] = time.process_time()

        def on_train_end(self, *args: Any, **kwargs: Any) -> None:
            clock["end"] = time.process_time()

    with tempfile.TemporaryDirectory() as output:
        trainer = trainer_of(arm, shape, folder, output)
        trainer.add_callback(Clock())
        before = peak_gb()
        trainer.train()
    return {
        "cpu_s": clock["end"] - clock["start"],
        "before_gb": before,
        "peak_gb": peak_gb(),
        "gflops": matmul_gflops(shape),
    }


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def matmul_gflops(shape: Shape) -> float:
    """What this thread reaches on the layer's own largest multiplication."""
    import torch

    a = torch.randn(shape.rows_per_pass * shape.tokens, shape.hidden)
    b = torch.randn(shape.hidden, shape.inner)
    a @ b
    start = time.process_time()
    for _ in range(20):
        a @ b
    return 20 * 2 * a.shape[0] * shape.hidden * shape.inner / 1e9 / (time.process_time() - start)


def operations(arm: str, shape: Shape) -> float:
    """Floating-point operations of the multiplications by weights, in units of 10^12.

    Unit below: one layer's weights applied to every token. Backward costs one unit for the
    gradient of the input and one for that of the weights. The head costs `head` units where it
    sees every token, and its backward applies it once more to recompute the logits.
    """
    unit = 2 * shape.layer_parameters * shape.rows * shape.tokens
    head = shape.vocabulary * shape.hidden / shape.layer_parameters
    total, first = shape.layers, shape.middle
    above = total - first - 1
    if arm == "ours":
        head *= shape.action / (shape.observation + shape.action)
        forward = first + (1 + EPOCHS) * (total - first + head)
        units = forward + EPOCHS * (2 * head + above + 2)
    else:
        forward = (2 + EPOCHS) * (total + head)
        backward = {
            "full": 3 * head + 3 * total,
            "full, tuned": 3 * head + 2 * total,
            "frozen": 2 * head + 2 * total + 1,
            "frozen, tuned": 2 * head + above + 2,
        }[arm]
        units = forward + EPOCHS * backward
    return unit * units / 1e12


def report(results: dict[str, dict[str, float]], shape: Shape) -> None:
    mine = results["ours"]
    print(
        f"\n{shape.layers} layers x {shape.hidden}, {shape.rows} rows x {shape.tokens} tokens, "
        f"layer {shape.middle} trains, {shape.rows_per_pass} rows per pass\n"
    )
    print(
        f"{'':15}{'CPU s':>8}{'ours is':>9}{'peak GB':>9}{'ours':>7}{'TFLOP':>8}{'of matmul':>11}"
    )
    for arm, found in results.items():
        tflop = operations(arm, shape)
        reached = tflop * 1000 / found["cpu_s"] / found["gflops"]
        print(
            f"{arm:15}{found['cpu_s']:8.1f}{found['cpu_s'] / mine['cpu_s']:8.2f}x"
            f"{found['peak_gb']:9.2f}{mine['peak_gb'] / found['peak_gb']:6.2f}x"
            f"{tflop:8.2f}{reached:10.0%}"
        )
    print(
        "\nours is: how many times faster. ours (memory): share of that arm's peak. TFLOP: "
        "multiplications by weights,\ncounted. of matmul: the rate reached, as a share of what a "
        "bare matrix product of the layer's size reaches here."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a small shape")
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    shape = SHAPES["quick" if options.quick else "smollm2-135m"]
    if options.arm:
        warnings.simplefilter("ignore")
        print("RESULT " + json.dumps(measure(options.arm, shape, options.model)))
        return
    import torch

    with tempfile.TemporaryDirectory() as folder:
        build(build_config(shape), torch.float32, Path(folder))
        results = {arm: run_arm(arm, Path(folder), options.quick) for arm in ARMS}
    report(results, shape)


def run_arm(arm: str, folder: Path, quick: bool) -> dict[str, float]:
    """Measure one arm in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--arm", arm, "--model", str(folder)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRL_EXPERIMENTAL_SILENCE": "1",
    }
    output = subprocess.run(
        command + ["--quick"] * quick,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    line = next(line for line in output.splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    print(f"{arm}: {found['cpu_s']:.1f} CPU s, peak {found['peak_gb']:.2f} GB", flush=True)
    return found


if __name__ == "__main__":
    main()
