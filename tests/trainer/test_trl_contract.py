"""Names of TRL and Transformers that the trainer leans on without their promise to keep them.

Each test names what is used and where, so that a new TRL release fails here first, in words.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from transformers import Trainer
from trl import GRPOTrainer  # type: ignore[attr-defined]
from trl.trainer import add_fused_lm_head  # type: ignore[attr-defined]

import layergym.trainer.trainer as ours

SOURCE = inspect.getsource(GRPOTrainer)


def moved(what: str, used: str) -> str:
    return f"TRL or Transformers changed {what}; GiGPOTrainer {used}"


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    ("owner", "name", "first", "used"),
    [
        (GRPOTrainer, "_prepare_inputs", ["self", "generation_batch"], "supplies rows there"),
        (GRPOTrainer, "training_step", ["self", "model", "inputs"], "cuts a step into passes"),
        (GRPOTrainer, "compute_loss", ["self", "model", "inputs"], "calls it once per pass"),
        (GRPOTrainer, "_compute_loss", ["self", "model", "inputs"], "relies on its loss"),
        (
            GRPOTrainer,
            "_get_per_token_logps_and_entropies",
            ["self", "model", "input_ids", "attention_mask", "logits_to_keep"],
            "computes log-probabilities there",
        ),
        (GRPOTrainer, "_save_checkpoint", ["self", "model", "trial"], "moves whole checkpoints"),
        (GRPOTrainer, "create_model_card", ["self"], "writes no model card"),
        (GRPOTrainer, "_send_telemetry", ["self"], "sends nothing"),
        (GRPOTrainer, "create_optimizer", ["self", "model"], "boosts layers there"),
        (Trainer, "save_model", ["self", "output_dir", "_internal_call"], "writes layer deltas"),
        (
            Trainer,
            "_load_from_checkpoint",
            ["self", "resume_from_checkpoint", "model"],
            "reads layer deltas",
        ),
        (Trainer, "_get_output_dir", ["self", "trial"], "writes checkpoints aside first"),
    ],
    ids=lambda value: value if isinstance(value, str) and "_" in value else "",
)
def test_overridden_methods_exist(owner: Any, name: str, first: list[str], used: str) -> None:
    method = getattr(owner, name, None)
    assert method is not None, moved(f"{owner.__name__}.{name}", used)
    assert parameters(method)[: len(first)] == first, moved(f"the arguments of {name}", used)
    assert name == "_compute_loss" or getattr(ours.GiGPOTrainer, name) is not method


@pytest.mark.parametrize(
    "text",
    [
        'self._metrics[mode]["entropy"].append',
        "self._entropy_bonus_enabled = ",
        "self.top_entropy_quantile = ",
        "self.aux_loss_enabled = ",
        "self.num_iterations = args.num_iterations",
        "self.loss_type = args.loss_type",
        "if self.beta == 0.0:",
        "per_token_logps, entropies, aux_loss = self._get_per_token_logps_and_entropies(",
        'inputs.get("old_per_token_logps")',
        'inputs["ref_per_token_logps"]',
        'inputs["num_items_in_batch"]',
        "if advantages.dim() == 1:",
        'mask = completion_mask if "tool_mask" not in inputs',
    ],
)
def test_the_loss_reads_what_we_prepare(text: str) -> None:
    assert text in SOURCE, moved(f"the line `{text}` of GRPOTrainer", "prepares what it reads")


def test_no_other_input_is_read_by_the_loss() -> None:
    """A key that the loss reads unconditionally and we do not give would be a KeyError."""
    import re

    body = inspect.getsource(GRPOTrainer._compute_loss)
    keys = set(re.findall(r'inputs\["(\w+)"\]', body))
    ours_or_optional = {
        "prompt_ids",
        "prompt_mask",
        "completion_ids",
        "completion_mask",
        "advantages",
        "num_items_in_batch",
        "ref_per_token_logps",
        "tool_mask",
        "importance_sampling_ratio",
    }
    assert keys <= ours_or_optional, moved("the inputs of _compute_loss", f"lacks {keys}")


def test_the_fused_head_takes_shifted_labels() -> None:
    source = inspect.getsource(add_fused_lm_head)
    for name in ("fused_lm_head", "shift_labels", "last_hidden_state", "base_model"):
        assert name in source, moved(f"add_fused_lm_head ({name})", "scores sampled tokens with it")


def test_losses_that_are_means_over_rows_are_known() -> None:
    """`trainer/rows/passes.py` weights passes by how the loss averages."""
    body = inspect.getsource(GRPOTrainer._compute_loss)
    tail = body[body.index("mode = ") :]
    for branch in (
        'if self.loss_type in ["grpo", "sapo"]:',
        'elif self.loss_type == "bnpo":',
        'elif self.loss_type == "dr_grpo":',
        'elif self.loss_type in ["cispo", "dapo", "vespo"]:',
        'elif self.loss_type == "luspo":',
    ):
        assert branch in tail, moved(f"the branch `{branch}`", "must weight passes accordingly")
