"""Checkpoints that hold what trained and nothing else, whole or not at all."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers.trainer import OPTIMIZER_NAME, SCHEDULER_NAME

from layergym.base.errors import InputError
from layergym.base.files import sync
from layergym.trainer.layers.delta import FILE, LayerDelta
from layergym.trainer.layers.lora import lora_delta
from layergym.trainer.layers.selection import LayerSelection
from layergym.trainer.parts.masters import SteppedInFloat32
from layergym.trainer.processes import SeveralProcesses, gathered, reshard, spread_like
from layergym.trainer.seals import damage, rotate, seal


class DeltaCheckpoints(SteppedInFloat32, SeveralProcesses):
    """A `GRPOTrainer` whose checkpoints hold a layer delta instead of the model.

    Beside it are optimiser, schedule, random-number and trainer state, as Transformers writes
    them; all of them are read with `weights_only`. The first process writes all but the random
    numbers, and writes tensors whole: a checkpoint can be resumed by any number of processes,
    sharded or not.
    """

    optimizer: Any
    lr_scheduler: Any
    selection: LayerSelection
    base: str
    """`base_hash` of the model before training."""
    _saving_to: str | None = None

    def delta(self) -> LayerDelta:
        """What training has changed so far, as a delta; every process must ask for it.

        Raises:
            InputError: PEFT's adapters are not plain LoRA.
        """
        reshard(self.model)
        if hasattr(self.model, "get_base_model"):
            return lora_delta(self.model, self.base, self.selection.layers, self.masters.of)
        return self._trained()

    def _trained(self) -> LayerDelta:
        """The tensors that train, as they are stepped."""
        return LayerDelta.of(self.model, self.base, self.selection.layers, self.masters.of)

    def save_delta(self, path: Path) -> None:
        """Write `delta()` to one file, there for every process when this returns."""
        delta = self.delta()
        if self.args.should_save:
            delta.save(path)
        self.accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Write the trained tensors as they are; the base model is not copied."""
        reshard(self.model)
        delta = self._trained()
        if self.args.should_save:
            delta.save(Path(output_dir or self._get_output_dir(None)) / FILE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if why := damage(Path(resume_from_checkpoint)):
            raise InputError(f"{why}; go on from another checkpoint")
        delta = LayerDelta.load(Path(resume_from_checkpoint))
        delta.check_base(self.base)
        if delta.tensors.keys() != set(self.selection.names):
            raise InputError(
                f'"{resume_from_checkpoint}" trained other tensors than this run, which trains '
                f'layers="{self.selection.spec}"; '
                "go on with the layers of that run"
            )
        reshard(self.model)
        delta.put(self.model)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        stored = self.optimizer.state_dict()
        stored["state"] = {
            number: {name: _on_cpu(value) for name, value in values.items()}
            for number, values in stored["state"].items()
        }
        if self.args.should_save:
            torch.save(stored, Path(output_dir) / OPTIMIZER_NAME)
            torch.save(self.lr_scheduler.state_dict(), Path(output_dir) / SCHEDULER_NAME)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        folder = Path(checkpoint)
        self._load_masters(LayerDelta.load(folder))
        stored = torch.load(folder / OPTIMIZER_NAME, map_location="cpu", weights_only=True)
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for number, values in stored["state"].items():
            for name, value in values.items():
                if value.shape == parameters[number].shape:
                    values[name] = spread_like(value, parameters[number])
        self.optimizer.load_state_dict(stored)
        self.lr_scheduler.load_state_dict(torch.load(folder / SCHEDULER_NAME, weights_only=True))

    def _load_masters(self, delta: LayerDelta) -> None:
        """What a checkpoint holds of the trained tensors, before the model rounds it."""
        parameters = dict(self.model.named_parameters()) if len(self.masters) else {}
        for name, value in delta.tensors.items() if parameters else ():
            self.masters.set(parameters[name], spread_like(value, parameters[name]))

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint beside its place and move it there, so that it is whole or absent.

        Only then older ones go, by their numbers, down to `save_total_limit`.
        """
        root = Path(self._get_output_dir(trial))
        staging, name = root / "unfinished", f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            shutil.rmtree(staging, ignore_errors=True)  # what a killed run left
        self.accelerator.wait_for_everyone()
        self._saving_to = str(staging)
        try:
            super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        finally:
            self._saving_to = None
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            seal(staging / name)
            shutil.rmtree(root / name, ignore_errors=True)
            os.replace(staging / name, root / name)
            staging.rmdir()
            sync(root)
            rotate(root, self.args.save_total_limit, root / name)

    def _get_output_dir(self, trial: Any) -> str:
        return self._saving_to or str(super()._get_output_dir(trial))

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """No model card: the run folder and the report say what was done."""

    def _send_telemetry(self) -> None:
        """Nothing is sent anywhere."""


def _on_cpu(value: Any) -> Any:
    return gathered(value).cpu() if isinstance(value, torch.Tensor) else value
