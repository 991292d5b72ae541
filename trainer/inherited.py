"""Which settings of TRL's `GRPOConfig` hold here; each of them has one entry.

`HONOURED` means what TRL and Transformers say. What `GiGPOConfig` declares itself is ours. `IDLE`
is accepted at any value, for it could change nothing that a user would miss. The rest is refused
when it asks for something, for that would not happen. A field that a newer TRL adds has no entry,
and is refused alike.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from trl import GRPOConfig  # type: ignore[attr-defined]

from layergym.base.errors import InputError, unknown

_NAMES = """
    output_dir max_steps learning_rate lr_scheduler_kwargs warmup_steps warmup_ratio optim
    optim_args weight_decay adam_beta1 adam_beta2 adam_epsilon max_grad_norm bf16 tf32
    activation_checkpointing activation_checkpointing_kwargs gradient_checkpointing_kwargs
    logging_strategy logging_first_step log_on_each_node logging_nan_inf_filter log_level
    log_level_replica disable_tqdm report_to run_name project trackio_space_id trackio_bucket_id
    trackio_static_space_id save_strategy save_steps save_total_limit
    restore_callback_states_from_checkpoint full_determinism seed use_cpu ddp_bucket_cap_mb
    ddp_broadcast_buffers ddp_static_graph ddp_backend ddp_timeout skip_memory_metrics do_train
    local_rank router_aux_loss_coef max_completion_length temperature beta num_iterations
    epsilon delta epsilon_high sapo_temperature_neg sapo_temperature_pos vespo_k_pos
    vespo_lambda_pos vespo_k_neg vespo_lambda_neg importance_sampling_level scale_rewards
    loss_type mask_truncated_completions top_entropy_quantile entropy_coef
    vllm_importance_sampling_correction vllm_importance_sampling_mode
    vllm_importance_sampling_clip_max vllm_importance_sampling_clip_min
    vllm_importance_sampling_cap off_policy_mask_threshold use_bias_correction_kl
    gradient_accumulation_steps
"""
HONOURED = frozenset(_NAMES.split())
"""TRL's meaning, in a `GiGPOTrainer` too. (`gradient_accumulation_steps` says 1.)"""

_IDLE_NAMES = """
    num_train_epochs
    dataloader_drop_last dataloader_num_workers dataloader_pin_memory
    dataloader_persistent_workers dataloader_prefetch_factor dataloader_in_order
    dataloader_multiprocessing_context remove_unused_columns label_names length_column_name
    eval_steps eval_delay per_device_eval_batch_size prediction_loss_only
    eval_do_concat_batches eval_use_gather_object eval_accumulation_steps include_for_metrics
    batch_eval_metrics num_generations_eval fp16_full_eval bf16_full_eval
    ref_model_mixup_alpha ref_model_sync_steps
    entropy_coef_min entropy_coef_max entropy_coef_delta entropy_target
    num_completions_to_print log_multimodal
    hub_model_id hub_token hub_private_repo hub_revision hub_strategy hub_always_push
    ds3_gather_for_generation liger_kernel_config pad_to_multiple_of
"""
IDLE = frozenset(_IDLE_NAMES.split())
"""How something is done that does not happen here: loading rows (a step's are in memory),
evaluating, and what needs a switch that is refused. `max_steps` overrides `num_train_epochs`."""

_REASONS: Mapping[str, str] = {
    "sampling is the rollout's: give it to the sampler that plays the episodes": """
        top_p top_k min_p generation_kwargs chat_template_kwargs repetition_penalty
        cache_implementation use_transformers_continuous_batching use_transformers_paged
        transformers_continuous_batching_config max_tool_calling_iterations
        use_vllm vllm_mode vllm_model_impl vllm_enable_sleep_mode
        vllm_structured_outputs_regex vllm_server_base_url vllm_server_host vllm_server_port
        vllm_server_timeout vllm_group_port vllm_gpu_memory_utilization vllm_max_model_length
        vllm_tensor_parallel_size""",
    "an environment gives one reward": "reward_weights multi_objective_aggregation",
    "the reference is the model as it was at the start": "sync_ref_model",
    "it would depend on how a step is cut into passes": "use_adaptive_entropy",
    "the trainer gets a model that is loaded": """
        model_init_kwargs trust_remote_code cast_lm_head_to_fp32 use_cache""",
    "the loss is computed in passes over trees of rows": """
        use_liger_kernel label_smoothing_factor neftune_noise_alpha
        torch_compile torch_compile_backend torch_compile_mode torch_empty_cache_steps
        auto_find_batch_size average_tokens_across_devices include_num_input_tokens_seen
        optim_target_modules""",
    "bf16 is the 16-bit format that is supported": "fp16",
    "tasks come from the panel and follow from seed and step": """
        data_seed ignore_data_skip shuffle_dataset generation_batch_size
        train_sampling_strategy group_by_length""",
    "a trainer does not evaluate: see layergym.evals": """
        eval_strategy eval_on_start do_eval do_predict load_best_model_at_end
        metric_for_best_model greater_is_better""",
    "a checkpoint is what resuming needs, written once": """
        save_only_model save_on_each_node enable_jit_checkpoint resume_from_checkpoint""",
    "a run is published by layergym publish": "push_to_hub",
    "several processes are configured with accelerate": """
        accelerator_config parallelism_config fsdp fsdp_config deepspeed""",
    "episodes are kept in trajectories.jsonl": """
        log_completions log_unique_prompts log_completions_hub_repo""",
    "it hooks into every module of the model": "debug",
}
REFUSED = {name: reason for reason, names in _REASONS.items() for name in names.split()}
"""Why a setting has no effect here."""


def check_inherited(args: Any, ours: frozenset[str]) -> None:
    """Refuse settings of `GRPOConfig` that ask for what would not happen.

    Args:
        args: the settings, before Transformers derives anything from them.
        ours: the fields that have a meaning of their own here.

    Raises:
        InputError: there is one.
    """
    for setting in fields(GRPOConfig):
        if setting.name in HONOURED | IDLE | ours or _asks_for_nothing(args, setting):
            continue
        reason = REFUSED.get(setting.name, "it is new in this version of TRL and not supported yet")
        raise InputError(
            f"{setting.name}={getattr(args, setting.name)!r} has no effect in a GiGPOTrainer: "
            f"{reason}; leave it out"
        )


CHOICES: Mapping[str, tuple[str, ...]] = {
    "importance_sampling_level": ("token", "sequence"),
    "loss_type": ("grpo", "dr_grpo", "dapo", "bnpo", "cispo", "sapo", "luspo", "vespo"),
}
"""Settings of TRL's that are one of a few words, which it looks at in the first step only."""


def check_choices(args: Any) -> None:
    """Refuse words that TRL does not know.

    Raises:
        InputError: there is one.
    """
    for name, words in CHOICES.items():
        if getattr(args, name) not in words:
            raise unknown(name, str(getattr(args, name)), words)


def check_settings(
    settings: Mapping[str, Any], decided: Collection[str], config: type[GRPOConfig]
) -> None:
    """Refuse what is not a setting of the trainer's, what a run decides otherwise, and wrong kinds.

    Args:
        settings: by name.
        decided: what is set already.
        config: whose fields they are; what it declares itself has a meaning of its own here.

    Raises:
        InputError: there is one.
    """
    there = {setting.name: setting for setting in fields(config)}
    used = HONOURED | config.__annotations__.keys()
    for name, value in settings.items():
        if name not in there:
            raise unknown("setting of a run", name, used - set(decided))
        if name in decided:
            raise InputError(f"{name} follows from the run's other settings; leave it out")
        if name not in used:
            reason = REFUSED.get(name, "a run does not use it")
            raise InputError(f"{name} has no effect in a run: {reason}; leave it out")
        for kind, words in ((bool, "true or false"), (str, "a text")):
            if isinstance(there[name].default, kind) and not isinstance(value, kind):
                raise InputError(f"{name} must be {words}, not {value!r}")


_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "include_num_input_tokens_seen": (False,),
    "min_p": (0.0,),
    "reward_weights": ([1.0],),
    "top_k": (-1, None),
}
"""Other values that ask for what the default asks for."""


def _asks_for_nothing(args: Any, setting: Field[Any]) -> bool:
    value = getattr(args, setting.name)
    default = setting.default if setting.default_factory is MISSING else setting.default_factory()
    if _off(value) and (default is MISSING or _off(default)):
        return True
    return bool(value == default) or value in _NEUTRAL.get(setting.name, ())


def _off(value: Any) -> bool:
    return value is None or value is False or value in ("", [], {})
