"""Run inside the environment with vLLM: an engine in its own process, checked against the model.

python vllm_here.py MODEL_FOLDER LAYER
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoModelForCausalLM

from layergym.agents.models.requests import Request
from layergym.agents.servers.vllm import VLLMSampler
from layergym.agents.servers.vllm_here import VLLMHere

PROMPTS = [tuple(range(start, start + 12)) for start in (20, 40, 60)]


def main() -> None:
    folder, layer = sys.argv[1], f".layers.{sys.argv[2]}."
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    engine = VLLMHere(folder, dtype="float32", enforce_eager=True, max_model_len=512)
    print("base", far(engine, model))
    changed = {}
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.named_parameters():
        if layer in name:
            noise = torch.randn(weight.shape, generator=generator) * weight.detach().std()
            weight.data += 0.3 * noise
            changed[name] = weight.data
    print("stale", far(engine, model))
    engine.load(changed)
    print("loaded", far(engine, model))
    engine.restore()
    print("restored", far(engine, model))


def far(engine: VLLMHere, model: torch.nn.Module) -> float:
    """Largest difference between log-probabilities of the engine's greedy replies, in nats."""
    sampler = VLLMSampler(engine, stop_ids=(), max_new_tokens=8, temperature=0.0)
    asked = [Request(n, prompt, False, 0) for n, prompt in enumerate(PROMPTS)]
    worst = 0.0
    for prompt, said in zip(PROMPTS, sampler.sample(asked), strict=True):
        ids = torch.tensor([prompt + said.ids])
        with torch.no_grad():
            logprobs = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
        ours = logprobs.gather(-1, ids[0, 1:, None])[len(prompt) - 1 :, 0]
        worst = max(worst, float((ours - torch.tensor(said.logprobs)).abs().max()))
    return worst


if __name__ == "__main__":
    main()
