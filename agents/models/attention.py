"""Attention masks of our own: which kinds of layers a model has, and what each may attend to."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from layergym.agents.models.architecture import check_exact
from layergym.agents.models.attend import OWN
from layergym.agents.models.cache import cache_keyword
from layergym.base.errors import InputError

DENSE = 1024
"""Slots up to which one mask says of all of them what each sees."""


def attention_windows(model: PreTrainedModel) -> dict[str, int | None]:
    """Attention window in tokens by kind of layer, None for full attention.

    Raises:
        InputError: some layers are no softmax attention (state-space models, say), positions
            cannot be given, the attention kernel takes no mask of its own per row, or `check_exact`
            refuses the model.
    """
    config = model.config.get_text_config(decoder=True)
    check_exact(config)
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None) or [
        "sliding_attention" if window else "full_attention"
    ]
    odd = sorted(set(kinds) - {"full_attention", "sliding_attention"})
    takes = inspect.signature(model.get_decoder().forward).parameters
    if odd or "position_ids" not in takes or not cache_keyword(takes):
        raise InputError(
            f"{type(model).__name__} does not keep a plain key-value cache "
            f"({', '.join(odd) or 'no position ids'}); choose a model with softmax attention"
        )
    if config._attn_implementation not in ("sdpa", "eager", OWN):
        raise InputError(
            f'attention "{config._attn_implementation}" cannot take rows of different lengths; '
            'load the model with attn_implementation="sdpa"'
        )
    return {kind: window if kind == "sliding_attention" else None for kind in sorted(set(kinds))}


def attends_in_blocks(model: PreTrainedModel, slots: int) -> bool:
    """Whether a pass over this many slots gets `branches.branch_masks`, not `additive_masks`."""
    own = model.config.get_text_config(decoder=True)._attn_implementation == OWN
    return own and slots > DENSE


def additive_masks(
    seen: Tensor,
    keys: Tensor,
    positions: Tensor,
    windows: Mapping[str, int | None],
    dtype: torch.dtype,
) -> Tensor | dict[str, Tensor]:
    """What a model takes as `attention_mask`: one mask, or one per kind of layer if there are two.

    Args:
        seen: (B, T, S) bool: whether a token may attend to a key at all.
        keys: positions of the keys, (S,) or (B, 1, S).
        positions: (B, T) of the tokens.
        windows: as `attention_windows` returns them.
        dtype: the model's.

    Returns:
        (B, 1, T, S), 0 where attention is open and the least number where it is not.
    """
    open_, shut = seen.new_zeros((), dtype=dtype), torch.finfo(dtype).min
    masks = {}
    for kind, window in windows.items():
        near = seen if window is None else seen & (keys > positions[..., None] - window)
        masks[kind] = torch.where(near, open_, shut)[:, None]
    return masks if len(masks) > 1 else next(iter(masks.values()))
