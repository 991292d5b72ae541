"""One pass over a rollout's rows, each by itself and in trees: seconds, slots, and the difference.

The rows are those of real episodes: the embedded policy plays groups of eight on ALFWorld's small
rooms. The models that learn from them have published shapes and random weights; their middle layer
trains. Times are CPU seconds of one thread, forward and backward.

    python benchmarks/trees.py              # the shapes of SmolLM2 135M and 360M
    python benchmarks/trees.py --quick      # a small shape, to see that it runs
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Sequence

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

from layergym.agents.models.shapes import published
from layergym.agents.names import open_model
from layergym.agents.rollouts import Job, rollout
from layergym.envs.panels import panel
from layergym.evals.sweep.demo import demo_sweep
from layergym.trainer.layers.selection import select
from layergym.trainer.rows.packing import Row, pack
from layergym.trainer.rows.prefix import sampled_logprobs
from layergym.trainer.rows.trees import Trees, arrange, attention_reach, choose_trees
from layergym.trainer.run import agent_of
from layergym.trainer.spec import make_env_of

SHAPES = ("smollm2-135m", "smollm2-360m")
QUICK = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=4,
    num_attention_heads=2,
    num_key_value_heads=1,
)


def played(tasks: int, group: int) -> list[Row]:
    """Rows of `tasks` groups of episodes."""
    spec = demo_sweep((0,)).run
    agent = agent_of(spec, *open_model(spec.model), 1.0)
    make = make_env_of(spec, "train")
    jobs = [Job(task, seed) for task in panel(make(), tasks).tasks for seed in range(group)]
    episodes = rollout(agent, make, jobs)
    return pack(episodes, [[1.0] * len(one.turns) for one in episodes])


def model_of(shape: str) -> PreTrainedModel:
    """Random weights; the middle layer trains."""
    config = published(shape) or QUICK
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    select(model, str(config.num_hidden_layers // 2))
    return model


def one_pass(
    model: PreTrainedModel, rows: Sequence[Row], reach: float | None
) -> tuple[float, Trees, torch.Tensor]:
    """CPU seconds, the layout, and the gradient."""
    ids = [row.ids for row in rows]
    began = time.process_time()
    order, trees = arrange(ids, choose_trees(ids, reach, len(rows)), reach)
    sampled = torch.zeros(trees.places.shape, dtype=torch.bool)
    for i, row in enumerate(order):
        sampled[i, : len(rows[row])] = torch.tensor(rows[row].sampled)
    model.zero_grad()
    logprobs = sampled_logprobs(model, model, trees, sampled)[0]
    logprobs.sum().backward()
    took = time.process_time() - began
    gradient = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return took, trees, torch.cat(gradient)


def compare(shape: str, rows: Sequence[Row], rounds: int) -> None:
    """Print both ways, the best of a few rounds in turns."""
    model = model_of(shape)
    ways = {"rows": None, "trees": attention_reach(model)}
    best: dict[str, float] = {}
    layouts, gradients = {}, {}
    for _ in range(rounds):
        for name, reach in ways.items():
            took, layouts[name], gradients[name] = one_pass(model, rows, reach)
            best[name] = min(took, best.get(name, took))
    apart = (gradients["rows"] - gradients["trees"]).abs().max() / gradients["rows"].abs().max()
    print(
        f"{shape:>12}{len(rows):>6}{sum(map(len, rows)):>9}{layouts['rows'].ids.numel():>9}"
        f"{layouts['trees'].ids.numel():>9}{best['rows']:>10.2f}{best['trees']:>10.2f}"
        f"{best['rows'] / best['trees']:>8.2f}x{apart:>11.1e}",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a small shape")
    parser.add_argument("--tasks", type=int, default=2, help="groups of eight episodes")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = played(args.tasks, 8)
    print(
        f"{'shape':>12}{'rows':>6}{'tokens':>9}{'padded':>9}{'slots':>9}"
        f"{'rows s':>10}{'trees s':>10}{'ratio':>9}{'gradient':>11}"
    )
    for shape in ("quick",) if args.quick else SHAPES:
        compare(shape, rows, 1 if args.quick else 3)


if __name__ == "__main__":
    main()
