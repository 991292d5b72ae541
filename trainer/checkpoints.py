"""Checkpoints that hold what trained and nothing else, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel
from transformers.trainer_utils import rotate_checkpoints
from trl import GRPOTrainer  # type: ignore[attr-defined]

from layergym.envs.errors import InputError
from layergym.trainer.delta import FILE, LayerDelta
from layergym.trainer.layers import LayerSelection, ranges
from layergym.trainer.lora import lora_delta


class DeltaCheckpoints(GRPOTrainer):
    """A `GRPOTrainer` whose checkpoints hold a layer delta instead of the model.

    Beside it are optimiser, schedule, random-number and trainer state, as Transformers writes
    them; all of them are read with `weights_only`.
    """

    model: PreTrainedModel
    selection: LayerSelection
    base: str
    """`base_hash` of the model before training."""
    _saving_to: str | None = None

    def delta(self) -> LayerDelta:
        """What training has changed so far, as a delta of the base model.

        Raises:
            InputError: PEFT's adapters are not plain LoRA.
        """
        if hasattr(self.model, "get_base_model"):
            return lora_delta(self.model, self.base, self.selection.layers)
        return LayerDelta.of(self.model, self.base, self.selection.layers)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the trained tensors as they are; the base model is not copied."""
        if self.args.should_save:
            delta = LayerDelta.of(self.model, self.base, self.selection.layers)
            delta.save(Path(output_dir or self._get_output_dir(None)) / FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        delta = LayerDelta.load(Path(resume_from_checkpoint))
        delta.check_base(self.base)
        if delta.tensors.keys() != set(self.selection.names):
            raise InputError(
                f'"{resume_from_checkpoint}" trained layers {ranges(delta.layers)}; this run '
                f'trains layers="{self.selection.spec}"'
            )
        delta.put(self.model)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint beside its place and move it there, so that it is whole or absent."""
        root = Path(self._get_output_dir(trial))
        staging, name = root / "unfinished", f"checkpoint-{self.state.global_step}"
        shutil.rmtree(staging, ignore_errors=True)  # what a killed run left
        self._saving_to = str(staging)
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        finally:
            self._saving_to = None
        if self.args.should_save:
            shutil.rmtree(root / name, ignore_errors=True)
            os.replace(staging / name, root / name)
            staging.rmdir()
            limit = self.args.save_total_limit
            rotate_checkpoints(output_dir=str(root), save_total_limit=limit, use_mtime=True)

    def _get_output_dir(self, trial: Any) -> str:
        return self._saving_to or str(super()._get_output_dir(trial))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No model card: the run folder and the report say what was done."""

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""
