"""Several models of one base that play in the same batches: nothing is trained."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import torch
from torch import nn
from transformers import PreTrainedModel

from layergym.agents.models.forward import LEAST
from layergym.agents.models.requests import Variants
from layergym.trainer.bank.paths import Rows
from layergym.trainer.bank.routing import holding, routed
from layergym.trainer.layers.delta import LayerDelta


class Together(Variants):
    """Variants of a base; of episodes 0, 1, ... variant i of V plays i, i + V, i + 2 V, ...

    Tensors that deltas have in common (the same objects) are held and computed as one version, and
    rows that read the same are one as long as their variants' layers are the same. Each row comes
    out as it would from its own model alone, up to rounding; on one thread of a CPU, to the bit.
    """

    def __init__(self, base: PreTrainedModel, deltas: Sequence[LayerDelta]) -> None:
        """Make one model that holds `base` with each of these dense deltas.

        Raises:
            Inseparable: rows of several models cannot be told apart in this architecture.
        """
        self.size = len(deltas)
        self._rows = Rows(least=LEAST)
        self._made: dict[int, nn.Parameter] = {}
        views = [holding(base, self._values(base, delta)) for delta in deltas]
        self.model = routed(base, views, self._rows)
        self._probe()

    def variant(self, episode: int) -> int:
        """Which model plays an episode."""
        return episode % self.size

    def feed(self, variants: Sequence[int], alike: Sequence[Hashable] | None = None) -> None:
        """Route the rows of the next pass."""
        self._rows.set(variants, self.model.device, alike)

    def _values(self, base: PreTrainedModel, delta: LayerDelta) -> dict[str, nn.Parameter]:
        tensors = {}
        for name, values in delta.tensors.items():
            if id(values) not in self._made:
                like = base.get_parameter(name)
                own = values.to(like.device, like.dtype)
                self._made[id(values)] = nn.Parameter(own, requires_grad=False)
            tensors[name] = self._made[id(values)]
        return tensors

    @torch.inference_mode()
    def _probe(self) -> None:
        """See whether rows stay rows all the way (they do not where experts mix them)."""
        self.feed([0, self.size - 1])
        ids = torch.zeros(2, 3, dtype=torch.int64, device=self.model.device)
        self.model(input_ids=ids, position_ids=torch.arange(3, device=ids.device).expand(2, 3))
