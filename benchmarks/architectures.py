"""Every causal architecture of the installed transformers, small and with random weights.

For each: how far what the sampler says of six ragged, growing rows lies from whole prompts alone,
and how far rows in trees lie from rows alone, in nats per token at most, under one mask and in
blocks; or the sentence with which it is refused. Rows in trees are only laid out where masks of our
own are taken. What cannot be made small from the usual settings is counted at the end.

    python benchmarks/architectures.py            # minutes
    python benchmarks/architectures.py --only llama gpt2
"""

from __future__ import annotations

import argparse
import inspect
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]
from update_step import tokenizer_of  # type: ignore[import-not-found]

from layergym.agents.models import attention
from layergym.agents.models.attend import use_own_attention
from layergym.agents.models.requests import Request
from layergym.agents.models.sampler import TransformersSampler
from layergym.base.errors import InputError
from layergym.base.texts import one_line
from layergym.trainer.rows import trees
from layergym.trainer.rows.prefix import sampled_logprobs

SMALL: dict[str, Any] = {
    "vocab_size": 300,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.15,
    "init_std": 0.15,
    "max_position_embeddings": 256,
    "n_positions": 256,
    "n_ctx": 256,
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "moe_intermediate_size"), 48),
    **dict.fromkeys(("num_experts", "num_local_experts", "n_routed_experts"), 4),
    **dict.fromkeys(("num_experts_per_tok", "num_key_value_heads", "n_shared_experts"), 2),
    **dict.fromkeys(("head_dim", "rotary_dim", "v_head_dim", "qk_nope_head_dim"), 8),
    **dict.fromkeys(("qk_rope_head_dim", "kv_lora_rank", "q_lora_rank"), 8),
    **dict.fromkeys(("n_group", "topk_group", "first_k_dense_replace"), 1),
    **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop", "attention_dropout"), 0.0),
    **dict.fromkeys(("dropout", "activation_dropout", "hidden_dropout", "resid_dropout"), 0.0),
    "tie_word_embeddings": True,
}
OTHERS: dict[str, dict[str, Any]] = {
    "gpt_neo": {"attention_types": [[["global"], 2]]},
}
"""What some kinds need beside."""
MOST = 3_000_000
"""Parameters of a model that is tried."""
STEM = (5, 6, 7, 8, 9, 10, 11, 12)
ROWS = tuple((*STEM, *range(20 + 7 * k, 27 + 9 * k)) for k in range(6))


class Skipped(Exception):
    """It cannot be tried here."""


def small(kind: str) -> PreTrainedConfig:
    """A small configuration of this kind of model."""
    config_class = type(AutoConfig.for_model(kind))
    takes = inspect.signature(config_class).parameters
    known = {k: v for k, v in SMALL.items() if k in takes} | OTHERS.get(kind, {})
    if "qk_rope_head_dim" in takes:  # Heads have another size for positions.
        known.pop("head_dim", None)
    config: PreTrainedConfig = AutoConfig.for_model(kind, **known)
    return config


def made(config: PreTrainedConfig) -> PreTrainedModel:
    """A model of it, with random weights."""
    with torch.device("meta"):
        shape = AutoModelForCausalLM.from_config(config)
    if shape.num_parameters() > MOST:
        raise Skipped(f"{shape.num_parameters():,} parameters")
    torch.manual_seed(0)
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    model.eval()
    return model


@torch.no_grad()
def apart_sampled(model: PreTrainedModel) -> float:
    """The sampler's log-probabilities beside those of whole prompts."""
    sampler = TransformersSampler(model, tokenizer_of(), max_new_tokens=6)
    contexts: list[tuple[int, ...]] = [()] * 6
    most = 0.0
    for turn in range(3):
        new = [ROWS[k][: 9 + k] if not turn else ROWS[k][-1 - (k + turn) % 5 :] for k in range(6)]
        said = sampler.sample([Request(k, new[k], bool(turn), k) for k in range(6)])
        for k, sample in enumerate(said):
            prompt = (*contexts[k], *new[k])
            contexts[k] = (*prompt, *sample.ids)
            logits = model(torch.tensor([contexts[k]])).logits[0, len(prompt) - 1 : -1].float()
            alone = logits.log_softmax(-1).gather(-1, torch.tensor(sample.ids)[:, None])[:, 0]
            most = max(most, float((alone - torch.tensor(sample.logprobs)).abs().max()))
    return most


@torch.no_grad()
def apart_in_trees(model: PreTrainedModel) -> float:
    """Log-probabilities of rows in a tree beside those of rows alone."""
    found = []
    for reach in (None, 1e9):
        planted = trees.choose_trees(ROWS, reach, len(ROWS))
        order, laid = trees.arrange(ROWS, planted, reach)
        sampled = torch.zeros(laid.places.shape, dtype=torch.bool)
        for place, row in enumerate(order):
            sampled[place, 1 : len(ROWS[row])] = True
        scores = sampled_logprobs(model, model, laid, sampled)[0]
        found.append({row: scores[p, : len(ROWS[row]) - 1] for p, row in enumerate(order)})
    alone, together = found
    return max(float((alone[row] - together[row]).abs().max()) for row in alone)


def tried(kind: str) -> str:
    """One line of the table.

    Raises:
        Skipped: it cannot be tried.
    """
    try:
        model = made(small(kind))
    except Exception as error:
        raise Skipped(one_line(str(error))[:80]) from error
    try:
        by_sampler = apart_sampled(model)
    except InputError as error:
        return f"refused: {error}"
    add_fused_lm_head(model, outputs=("log_probs", "entropy"))
    if trees.attention_reach(model) is None:
        return f"{by_sampler:>9.0e}   rows stay alone"
    cells = [by_sampler, apart_in_trees(model)]
    use_own_attention(model)
    attention.DENSE, dense = 0, attention.DENSE
    cells.append(apart_in_trees(model))
    attention.DENSE = dense
    return "".join(f"{cell:>9.0e}" for cell in cells)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise `Skipped` within it when time is over."""

    def over(*_: Any) -> None:
        raise Skipped(f"takes more than {seconds} s")

    signal.signal(signal.SIGALRM, over)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def main() -> None:
    """Try and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", help="kinds of model")
    parser.add_argument("--seconds", type=int, default=60, help="for one kind")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    kinds = args.only or sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    print(
        f"transformers {transformers.__version__}\n{'':26}{'sampler':>9}{'trees':>9}{'blocks':>9}"
    )
    skipped, refused, exact = [], 0, 0
    for kind in kinds:
        try:
            with at_most(args.seconds):
                line = tried(kind)
        except Exception as error:
            reason = one_line(str(error)) if isinstance(error, Skipped) else repr(error)
            skipped.append(f"{kind} ({reason[:90]})")
            continue
        refused += line.startswith("refused")
        exact += not line.startswith("refused")
        print(f"{kind:26}{line}", flush=True)
    print(f"\n{exact} computed, {refused} refused, {len(skipped)} not tried:")
    for one in skipped:
        print(f"  {one}")


if __name__ == "__main__":
    main()
