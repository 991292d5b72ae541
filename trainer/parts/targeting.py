"""What differs for each layer: its learning rate, which of its entries train, how far it moves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from layergym.agents.models.architecture import check_exact
from layergym.base.errors import InputError, briefly
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.grammar import boost_factors, changed_by, ranges
from layergym.trainer.layers.mask import draw_mask, mask_gradients, unchanged
from layergym.trainer.layers.redrawn import drawn, resting
from layergym.trainer.parts.checkpoints import DeltaCheckpoints
from layergym.trainer.parts.noted import Noted
from layergym.trainer.parts.updates import Updates
from layergym.trainer.rows.prefix import refuse_dropout


class LayerTargeting(Noted, DeltaCheckpoints):
    """A `GRPOTrainer` that knows the decoder layers of its model."""

    args: GiGPOConfig
    _layers: torch.nn.ModuleList
    _factors: dict[int, float]
    _updates: Updates | None = None

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Transformers' optimiser, with boosted layers in groups of their own.

        Raises:
            InputError: it refuses one of its settings.
        """
        new = self.optimizer is None
        try:
            optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        except ValueError as error:
            raise InputError(
                f"the optimiser refuses a setting: {briefly(error)}; mend it"
            ) from error
        if new and self._factors:
            groups = []
            for group in optimizer.param_groups:
                by_factor = defaultdict(list)
                for parameter in group["params"]:
                    by_factor[self._factors.get(id(parameter), 1.0)].append(parameter)
                groups += [
                    {**group, "params": parameters, "lr": group["lr"] * factor}
                    for factor, parameters in by_factor.items()
                ]
            optimizer.param_groups[:] = groups
        return optimizer

    def learning_rate_factors(self, boost: str) -> dict[int, float]:
        """Learning-rate factor by the id of the parameter.

        Raises:
            InputError: `boost` cannot be read, or names layers that do not train.
        """
        factors = boost_factors(boost, self.selection.num_layers)
        if idle := tuple(sorted(factors.keys() - set(self.selection.layers))):
            raise InputError(
                f"boost names layers {ranges(idle)}, which do not train; add them to layers="
            )
        return {id(p): f for i, f in factors.items() for p in self._layers[i].parameters()}

    def scatter(self) -> dict[str, torch.Tensor]:
        """Where single entries train, choose them; where each tensor stays frozen.

        Raises:
            InputError: a setting would move the other entries too, or they are those of a delta of
                another base.
        """
        entries, spec = self.selection.entries, self.selection.spec
        if entries is None:
            return {}
        if self.sharded:
            raise InputError(f'layers="{spec}" masks whole tensors; launch it without FSDP')
        if self.args.weight_decay:
            raise InputError(f'weight decay moves every entry; set it to 0 with layers="{spec}"')
        if changed := changed_by(spec):
            delta = LayerDelta.load(changed.delta)
            delta.check_base(self.base)
            masks = unchanged(self.model, delta, bfloat16=changed.bfloat16)
        else:
            masks = draw_mask(self.model, self.selection.names, entries, self.args.seed)
        mask_gradients(self.model, masks)
        return masks

    def only_drawn(self) -> AbstractContextManager[None]:
        """Within it, of layers that take turns only those of this step get gradients."""
        asked, step = self.selection.redrawn, self.state.global_step
        if asked is None:
            return nullcontext()
        chosen = drawn(asked, len(self._layers), seed=self.args.seed, step=step)
        return resting(self._layers, chosen)

    def check_model(self) -> None:
        """Check that the model can be trained this way.

        Raises:
            InputError: it has dropout, has a router loss that needs all layers, or cannot be
                batched exactly; or layers take turns and there are several processes.
        """
        if self.selection.redrawn and self.accelerator.num_processes > 1:
            raise InputError(
                f'layers="{self.selection.spec}" trains in one process; launch it without '
                "Accelerate, or name the layers"
            )
        check_exact(self.model.config)
        refuse_dropout(self.model)
        if self.aux_loss_enabled and not self.selection.whole_model:
            raise InputError(
                "the router loss runs through every layer; set router_aux_loss_coef=0 to train "
                "some layers of a mixture-of-experts model"
            )

    def trained_by_layer(self) -> dict[str, list[torch.nn.Parameter]]:
        """What trains, by layer; embeddings, final norm and head as "other"."""
        trained = {id(p): p for p in self.model.parameters() if p.requires_grad}
        named = {
            f"layer_{i}": [p for p in self._layers[i].parameters() if trained.pop(id(p), None) is p]
            for i in self.selection.layers
        }
        return named | ({"other": list(trained.values())} if trained else {})

    def measure_from_here(self, frozen: Mapping[str, torch.Tensor]) -> None:
        """Remember what trains as it is now, for `moved`.

        Args:
            frozen: by the name of a parameter that trains only in part, where it does not (bool).
        """
        named = self.model.named_parameters()
        masks = {id(p): frozen[name] for name, p in named if name in frozen}
        self._updates = Updates(self.trained_by_layer(), masks)

    def create_scheduler(self, *args: Any, **kwargs: Any) -> Any:
        """Transformers' schedule; every optimiser step is measured from now on."""
        schedule = super().create_scheduler(*args, **kwargs)
        optimizer = getattr(self.optimizer, "optimizer", self.optimizer)
        optimizer.register_step_post_hook(lambda *_: self.note(self.moved()))
        return schedule

    def moved(self) -> dict[str, float]:
        """How far what trains is from the start; every process must ask for it."""
        if self._updates is None:
            return {}
        return self._updates.measures(
            self.masters.of, self.accelerator.reduce if self.sharded else lambda sums: sums
        )
