"""Forward passes that cost only what the trained layers need.

Three parts, each one a few lines around the model's own forward:

* activations that enter the lowest trained layer are computed once per batch and reused, because
  nothing below it ever changes;
* the language-model head runs on the positions that carry loss, no others;
* the reference policy is the same model with the original weights of the trained tensors put in.

Shapes: B rows, T tokens, R trees of N slots (`trainer.rows.trees`), H hidden size, K sampled tokens
in all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.processes import part, reshard
from layergym.trainer.rows.trees import Trees


class Prefix:
    """Activations (R, N, H) that enter layer `first`, kept from the first pass for later ones.

    Valid as long as nothing below layer `first` changes and dropout is off.
    """

    def __init__(self, layers: nn.ModuleList, first: int, *, offload: bool = False) -> None:
        """Remember nothing yet.

        Args:
            layers: the model's decoder layers.
            first: the lowest layer that trains, at least 1.
            offload: keep the activations in main memory between passes.
        """
        self._layers = layers
        self._first = first
        self._offload = offload
        self._hidden: torch.Tensor | None = None
        self._in_tuple = False  # whether layers return their activations inside a tuple

    @property
    def hidden(self) -> torch.Tensor | None:
        """The activations, once they are known."""
        return self._hidden

    @hidden.setter
    def hidden(self, values: torch.Tensor) -> None:
        self._hidden = values.cpu() if self._offload else values

    @contextmanager
    def reused(self) -> Iterator[None]:
        """Within it, a forward pass over the same rows starts at layer `first`.

        The first such pass runs all layers and fills the memory.
        """
        with self._recording() if self._hidden is None else self._skipping(self._hidden):
            yield

    @contextmanager
    def _recording(self) -> Iterator[None]:
        def keep(module: nn.Module, args: Any, output: Any) -> None:
            self._in_tuple = isinstance(output, tuple)
            self.hidden = (output[0] if self._in_tuple else output).detach()

        handle = self._layers[self._first - 1].register_forward_hook(keep)
        try:
            yield
        finally:
            handle.remove()

    @contextmanager
    def _skipping(self, hidden: torch.Tensor) -> Iterator[None]:
        # Entries of the list are replaced, not their forward methods: sharded layers (FSDP2) are
        # then not gathered either, and layers keep their indices. The embeddings still run, so
        # that whatever a model does to them stays its own business; the result is not used.
        below = [self._layers[i] for i in range(self._first)]
        for i in range(self._first):
            given = hidden if i == self._first - 1 else None
            self._layers[i] = _Instead(given, self._in_tuple)
        try:
            yield
        finally:
            for i, layer in enumerate(below):
                self._layers[i] = layer


class _Instead(nn.Module):
    """Stands in for a layer: returns given activations, or its input when there are none."""

    def __init__(self, hidden: torch.Tensor | None, in_tuple: bool) -> None:
        super().__init__()
        self._hidden = hidden
        self._in_tuple = in_tuple

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        given = self._hidden
        output = hidden_states if given is None else given.to(hidden_states.device)
        return (output,) if self._in_tuple else output


class Reference:
    """The policy as it was: original weights of the trained tensors, nothing else.

    Of a sharded model every process keeps its own parts.
    """

    def __init__(self, model: nn.Module) -> None:
        """Copy the present values of the parameters of `model` that train."""
        reshard(model)
        self._model = model
        self._trained = [p for p in model.parameters() if p.requires_grad]
        self._others = [part(p.detach()).clone() for p in self._trained]

    @contextmanager
    def active(self) -> Iterator[None]:
        """Within it, the model computes with the original weights; for passes without grad."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        # The values move, not the tensors: FSDP2 holds on to the memory of its parts.
        reshard(self._model)
        for parameter, others in zip(self._trained, self._others, strict=True):
            values = part(parameter.detach())
            held = values.clone()
            values.copy_(others)
            others.copy_(held)


def sampled_logprobs(
    model: nn.Module,
    causal: PreTrainedModel,
    trees: Trees,
    sampled: torch.Tensor,
    *,
    router_loss: bool = False,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Log-probability and entropy (nats) of the sampled tokens.

    Args:
        model: what is called, wrapped for distribution or not; TRL's `add_fused_lm_head` has been
            applied to `causal`.
        causal: the transformers model inside it.
        trees: the B rows. Attention is causal, so no real token sees the padding.
        sampled: (B, T) bool, False in the first column and on padding.
        router_loss: also return the load-balancing loss of a mixture-of-experts model.

    Returns:
        Two (B, T - 1) tensors; entry t speaks about token t + 1 and is 0 where it was not
        sampled. Then the router loss, a scalar, or None.
    """
    wanted = sampled[:, 1:]
    before, here = trees.places[:, :-1][wanted], trees.places[:, 1:][wanted]  # (K,)

    def keep_wanted(module: nn.Module, args: Any, output: Any) -> Any:
        output.last_hidden_state = output.last_hidden_state.flatten(0, 1)[before].unsqueeze(0)
        return output

    handle = causal.base_model.register_forward_hook(keep_wanted)
    try:
        labels = trees.ids.flatten()[here].unsqueeze(0)  # (1, K)
        extra = {"output_router_logits": True} if router_loss else {}
        output = model(**trees.inputs(causal), shift_labels=labels, fused_lm_head=True, **extra)
    finally:
        handle.remove()
    empty = output.log_probs.new_zeros(wanted.shape)
    return (
        empty.masked_scatter(wanted, output.log_probs),
        empty.masked_scatter(wanted, output.entropy),
        output.aux_loss,
    )


def refuse_dropout(model: nn.Module) -> None:
    """Check that two passes over the same rows give the same result.

    Raises:
        InputError: a module drops activations at random while training.
    """
    for name, module in model.named_modules():
        rates = {"p": getattr(module, "p", 0) if isinstance(module, nn.Dropout) else 0}
        rates["attention_dropout"] = getattr(module, "attention_dropout", 0)
        for setting, rate in rates.items():
            if isinstance(rate, int | float) and rate > 0:
                raise InputError(
                    f"{name or 'the model'} has {setting}={rate}; load the model with its dropout "
                    "settings at 0: cached activations and log-probabilities must be repeatable"
                )
