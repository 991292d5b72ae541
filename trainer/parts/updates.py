"""How far a run has moved what it trains, and how much of that a model in bfloat16 shows.

Of every tensor at most `SAMPLE` entries are looked at, evenly spaced, so that no second copy of
what trains is needed; tensors up to that size are compared whole.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from layergym.base.errors import Notice
from layergym.trainer.layers.delta import Stepped
from layergym.trainer.processes import part

SAMPLE = 1 << 16
VANISHED = 0.05
"""`notice_vanished` speaks up where a smaller share of the trained entries has changed."""


class Updates:
    """Compares what trains with what it was when this was made."""

    def __init__(
        self,
        layers: Mapping[str, Sequence[nn.Parameter]],
        frozen: Mapping[int, torch.Tensor],
    ) -> None:
        """Keep the present values.

        Args:
            layers: parameters by the layer's name; those that do not train are left out.
            frozen: by the id of a parameter that trains only in part, where it does not (bool).
        """
        self._kept = {
            name: [(p, *_sampled(p, frozen.get(id(p)))) for p in parameters if p.requires_grad]
            for name, parameters in layers.items()
        }

    @torch.no_grad()
    def measures(
        self, stepped: Stepped, total: Callable[[torch.Tensor], torch.Tensor]
    ) -> dict[str, float]:
        """What has changed so far; names are log keys.

        `change/L` is the length of the change of layer L as a share of the length of its weights,
        `changed/L` the share of its entries that differ from the start, and `changed_bf16/L` the
        share that differ once both are rounded to bfloat16.

        Args:
            stepped: what the optimiser steps for a parameter.
            total: adds up over the processes that hold parts of the model.
        """
        names = [name for name, kept in self._kept.items() if kept]
        if not names:
            return {}
        sums = total(torch.stack([_sums(self._kept[name], stepped) for name in names])).tolist()
        measured = {}
        for name, (changed, shown, count, moved, size) in zip(names, sums, strict=True):
            measured[f"change/{name}"] = (moved / size) ** 0.5 if size else 0.0
            measured[f"changed/{name}"] = changed / max(count, 1)
            measured[f"changed_bf16/{name}"] = shown / max(count, 1)
        return measured


_Kept = tuple[nn.Parameter, torch.Tensor, torch.Tensor]
"""A parameter, which entries of this process's part are looked at, and what they were."""


def _sampled(
    parameter: nn.Parameter, frozen: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    flat = part(parameter.detach()).flatten()
    if frozen is None:
        index = torch.arange(0, len(flat), _stride(len(flat)), device=flat.device)
    else:
        free = (~frozen).flatten().nonzero()[:, 0]
        index = free[:: _stride(len(free))]
    return index, flat[index].clone()


def _stride(entries: int) -> int:
    return max(1, -(-entries // SAMPLE))


def _sums(kept: Sequence[_Kept], stepped: Stepped) -> torch.Tensor:
    """(5,) entries changed, entries that bfloat16 shows, all; squared change, squared start."""
    rows = []
    for parameter, index, before in kept:
        now, was = part(stepped(parameter).detach()).flatten()[index].float(), before.float()
        sums = (
            now != was,
            now.bfloat16() != was.bfloat16(),
            torch.ones_like(was),
            (now - was).square(),
            was.square(),
        )
        rows.append(torch.stack([terms.sum(dtype=torch.float32) for terms in sums]))
    return torch.stack(rows).sum(0)


def notice_vanished(measures: Mapping[str, float], dtype: torch.dtype) -> None:
    """Give a `Notice` where a model that computes in `dtype` hardly shows what a run has trained.

    Args:
        measures: as `Updates.measures` returns them, after the last step.
        dtype: the model's.
    """
    half = dtype == torch.bfloat16
    kind = "changed_bf16/" if half else "changed/"
    shares = {name: share for name, share in measures.items() if name.startswith(kind)}
    gone = {
        n: s for n, s in shares.items() if s < VANISHED and measures[n.replace(kind, "change/")]
    }
    if not gone:
        return
    worst = min(gone, key=lambda name: gone[name])
    remedy = "train on, raise --lr" + (", or take --dtype float32" if half else "")
    warnings.warn(
        f"{str(dtype).removeprefix('torch.')} shows changes in only {gone[worst]:.1%} of the "
        f"trained entries of {worst.removeprefix(kind)}: the updates are below its rounding, so "
        f"scores can hardly differ from the base's; {remedy}",
        Notice,
        stacklevel=2,
    )
