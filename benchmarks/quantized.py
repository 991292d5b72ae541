"""What a base in 8 or 4 bits costs: bytes, nats per token, time of a pass.

Questions with their answers (mathematics, of many kinds) are read by the model as it is stored
and by the same model with its layers quantised, but for one in the middle, as for training that
one alone. "KL" is the mean divergence of its next-token distribution from the stored model's, in
nats per token, and "gradient" how far the layer's gradient of the likelihood lies from the stored
model's, as a share of its length. On a CPU, seconds say little about a GPU.

    pip install "layergym[quantize]"
    python benchmarks/quantized.py --model smollm2
"""

from __future__ import annotations

import argparse
import time
import warnings

import torch
import transformers
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div
from transformers import PreTrainedModel

from layergym.agents.names import num_layers, open_model
from layergym.envs import make
from layergym.envs.panels import panel
from layergym.trainer.layers.selection import decoder_layers, quantization


def texts(count: int) -> list[str]:
    """Questions, each with the expert's answer."""
    env, found = make("math-v0"), []
    for task in panel(env, count).tasks:
        question, _ = env.reset(options={"task": task})
        found.append(f"{question}\n{env.expert()}")
    return found


def read(model: PreTrainedModel, ids: list[Tensor], layer: int) -> tuple[list[Tensor], Tensor]:
    """Log-probabilities (T, V) of each text, and the gradient of one layer, in one row."""
    model.requires_grad_(False)
    trained = list(decoder_layers(model)[layer].parameters())
    for parameter in trained:
        parameter.requires_grad_(True)
    found = []
    for row in ids:
        logits = model(input_ids=row[None]).logits[0, :-1].float()
        cross_entropy(logits, row[1:], reduction="sum").backward()
        found.append(logits.detach().log_softmax(-1))
    return found, torch.cat([p.grad.float().flatten() for p in trained if p.grad is not None])


def held(parameter: Tensor) -> int:
    """Bytes; torchao's tensors tell those of the numbers they stand for."""
    flatten = getattr(parameter, "__tensor_flatten__", None)
    if flatten is None:
        return parameter.nbytes
    return sum(getattr(parameter, name).nbytes for name in flatten()[0])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--texts", type=int, default=12)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    layer = num_layers(args.model) // 2
    print(f"{'base':8}{'MB':>8}{'KL':>10}{'gradient':>10}{'seconds':>9}", flush=True)
    for kind in ("none", "int8", "nf4"):
        fewer_bits = quantization(args.model, str(layer), kind)
        model, tokenizer = open_model(args.model, quantization=fewer_bits)
        ids = [tokenizer(text, return_tensors="pt").input_ids[0] for text in texts(args.texts)]
        started = time.process_time()
        logprobs, gradient = read(model, ids, layer)
        seconds = time.process_time() - started
        if kind == "none":
            exact, direction = logprobs, gradient
        rows = [
            kl_div(ours, theirs, reduction="sum", log_target=True)
            for ours, theirs in zip(logprobs, exact, strict=True)
        ]
        kl = float(sum(rows)) / sum(map(len, exact))
        off = float((gradient - direction).norm() / direction.norm())
        size = sum(map(held, model.parameters())) / 1e6
        print(f"{kind:8}{size:>8,.1f}{kl:>10.4f}{off:>10.3f}{seconds:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
