"""A sweep is resolved once: what was asked for, checked against the environment and the model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from layergym.agents.names import num_layers
from layergym.base.errors import InputError
from layergym.envs import find
from layergym.evals.arms import Arm
from layergym.evals.sweep.spec import Rates, ResolvedSweep, SweepSpec
from layergym.trainer.layers.grammar import boost_factors
from layergym.trainer.layers.lora import lora_rank
from layergym.trainer.layers.selection import check_layers
from layergym.trainer.run import check_run
from layergym.trainer.spec import RunSpec


def resolve(spec: SweepSpec, folder: Path) -> ResolvedSweep:
    """The sweep that `spec` asks for, in `folder`; nothing is loaded or written.

    Raises:
        InputError: an arm cannot be read or does not fit the model, or a setting is wrong.
    """
    depth = spec.num_layers or num_layers(spec.run.model)
    check_run(spec.run, depth)
    spec = replace(spec, run=replace(spec.run, env=find(spec.run.env)), num_layers=depth)
    rates = Rates(spec.lr_full, spec.lr_layer)
    variants = tuple((arm, variant(arm, spec.run, rates.of(arm), depth)) for arm in spec.arms)
    return ResolvedSweep(spec, folder, variants)


def variant(arm: Arm, run: RunSpec, rate: float | None, depth: int) -> RunSpec:
    """What `arm` trains with: the sweep's run with the arm's layers, rate, boost or adapters.

    Args:
        arm: of the sweep.
        run: what all arms share.
        rate: learning rate of the arm; None for what suits the model.
        depth: of the model, in layers.

    Raises:
        InputError: its layers do not fit the model.
    """
    try:
        own = replace(
            run,
            layers="all" if arm.kind == "boost" else arm.layers,
            boost=arm.boost,
            lora=lora_rank(run.model, arm.layers) if arm.kind == "lora" else 0,
            learning_rate=rate,
        )
        check_layers(own.model, own.layers, depth)
        boost_factors(own.boost, depth)
    except InputError as error:
        raise InputError(f'arm "{arm.expression}": {error}') from None
    return own
