"""Every setting of TRL's: it holds, it is ours, it is idle, or it is refused."""

from __future__ import annotations

from dataclasses import MISSING, fields, make_dataclass
from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig  # type: ignore[attr-defined]

from layergym.base.errors import InputError
from layergym.trainer import inherited
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.inherited import HONOURED, IDLE, REFUSED

OURS = frozenset(GiGPOConfig.__annotations__)
KNOWN = frozenset(field.name for field in fields(GiGPOConfig))


def config(folder: Path, **settings: Any) -> GiGPOConfig:
    return GiGPOConfig(
        output_dir=str(folder), **{"max_steps": 1, "use_cpu": True, "bf16": False} | settings
    )


@pytest.mark.parametrize("name", [f.name for f in fields(GRPOConfig)])
def test_every_setting_of_trl_has_one_entry(name: str) -> None:
    assert [name in known for known in (HONOURED, IDLE, OURS, REFUSED)].count(True) == 1


def changed(name: str) -> Any:
    """Some other value than the default."""
    [field] = [f for f in fields(GRPOConfig) if f.name == name]
    default = field.default if field.default_factory is MISSING else field.default_factory()
    if isinstance(default, bool):
        return not default
    if isinstance(default, (int, float)):
        return default + 1
    return "something else"


@pytest.mark.parametrize("name", sorted(REFUSED.keys() & {f.name for f in fields(GRPOConfig)}))
def test_a_setting_without_effect_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{name}="):
        config(tmp_path, **{name: changed(name)})


@pytest.mark.parametrize("name", sorted(IDLE))
def test_a_setting_that_could_change_nothing_is_accepted(name: str, tmp_path: Path) -> None:
    others: dict[str, dict[str, object]] = {
        "dataloader_prefetch_factor": {"dataloader_num_workers": 2, name: 4},
        "hub_strategy": {name: "end"},
        "pad_to_multiple_of": {name: 64},
    }
    settings = others.get(name, {name: changed(name)})
    assert getattr(config(tmp_path, **settings), name) == settings[name]


@pytest.mark.parametrize(
    "settings",
    [
        {"fp16": False, "use_vllm": False, "log_completions": False, "push_to_hub": False},
        {"fp16": None, "deepspeed": "", "fsdp": [], "model_init_kwargs": {}, "debug": []},
        {"top_k": -1, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0},
        {"top_k": None, "reward_weights": [1.0], "include_num_input_tokens_seen": False},
    ],
)
def test_a_setting_that_asks_for_nothing_is_accepted(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    config(tmp_path, **settings)


def test_zero_is_a_number_and_not_off(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="data_seed=0"):
        config(tmp_path, data_seed=0)


def test_a_setting_of_a_newer_trl_is_refused_and_not_ignored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    newer = make_dataclass("Newer", [("knob", int, 1)])
    monkeypatch.setattr(inherited, "GRPOConfig", newer)
    inherited.check_inherited(newer(), OURS)
    with pytest.raises(InputError, match="knob=2"):
        inherited.check_inherited(newer(knob=2), OURS)


@pytest.mark.parametrize(
    ("scale", "norm"),
    [("group", "std"), ("none", "none"), ("batch", "batch"), (True, "std"), (False, "none")],
)
def test_scale_rewards_is_grpos_norm(scale: Any, norm: str, tmp_path: Path) -> None:
    assert config(tmp_path, algorithm="grpo", scale_rewards=scale).credit.norm == norm


def is_a_number(name: str) -> bool:
    [field] = [f for f in fields(GiGPOConfig) if f.name == name]
    said = str(field.type)
    return not isinstance(field.default, bool) and ("int" in said or "float" in said)


@pytest.mark.parametrize(
    "name", sorted(n for n in HONOURED | OURS if n in KNOWN and is_a_number(n))
)
@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_number_that_is_none_is_refused_in_every_setting(
    name: str, value: float, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=name):
        config(tmp_path, **{name: value})


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"adam_beta2": 1.0}, "adam_beta2"),
        ({"adam_epsilon": -1e-8}, "adam_epsilon"),
        ({"warmup_steps": -1}, "warmup_steps"),
        ({"max_completion_length": 0}, "max_completion_length"),
        ({"save_total_limit": -1}, "save_total_limit"),
        ({"ddp_timeout": 0}, "ddp_timeout"),
        ({"vespo_k_pos": -1.0}, "vespo_k_pos"),
        ({"sapo_temperature_pos": 0.0}, "sapo_temperature_pos"),
        ({"off_policy_mask_threshold": -0.1}, "off_policy_mask_threshold"),
        ({"scale_rewards": "batch"}, "batch"),
        ({"algorithm": "rloo", "scale_rewards": "batch"}, "scale_rewards"),
        ({"algorithm": "grpo", "scale_rewards": "none", "norm": "none"}, "one setting"),
        ({"algorithm": "grpo", "scale_rewards": "some"}, "norm"),
        ({"algorithm": "dr_grpo", "loss_type": "bnpo"}, "loss_type"),
        ({"beta": float("nan")}, "beta"),
        ({"beta": -0.1}, "beta"),
        ({"learning_rate": float("inf")}, "learning_rate"),
        ({"temperature": 0.0}, "temperature"),
        ({"epsilon": -0.1}, "epsilon"),
        ({"max_grad_norm": float("nan")}, "max_grad_norm"),
        ({"seed": -1}, "seed"),
        ({"num_iterations": 0}, "num_iterations"),
        ({"external_engine": True, "loss_type": "vespo"}, "token_mask"),
        ({"external_engine": True, "vllm_importance_sampling_mode": "some"}, "some"),
    ],
)
def test_settings_that_cannot_hold_are_refused(
    settings: dict[str, Any], named: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=named):
        config(tmp_path, **settings)
