"""Text environments, LLM agents and layer-targeted reinforcement learning.

The public names, for four kinds of users. Names below the first group are imported when they are
first used, so that `import layergym` stays light.

    environments   TextEnv Outcome Panel make panel conforms register find ids InputError
    training       RunSpec train rollout Job open_agent
    evaluation     ContestSpec evaluate
    contributions  SweepSpec EvalSpec every_layer sweep contributions report
"""

from importlib import import_module
from typing import TYPE_CHECKING

from layergym.envs import (
    InputError,
    Outcome,
    Panel,
    TextEnv,
    conforms,
    find,
    ids,
    make,
    panel,
    register,
)
from layergym.envs.registry import load_plugins

if TYPE_CHECKING:
    from layergym.agents.names import open_agent
    from layergym.agents.rollouts import Job, rollout
    from layergym.evals.score.contest import ContestSpec
    from layergym.evals.sweep.panels import EvalSpec
    from layergym.evals.sweep.spec import SweepSpec
    from layergym.face import contributions, evaluate, every_layer, report, sweep
    from layergym.trainer.run import train
    from layergym.trainer.spec import RunSpec

# Gymnasium's convention: what a package has can be made once the package was imported.
load_plugins()

_LAZY = {
    "ContestSpec": "evals.score.contest",
    "EvalSpec": "evals.sweep.panels",
    "Job": "agents.rollouts",
    "RunSpec": "trainer.spec",
    "SweepSpec": "evals.sweep.spec",
    "contributions": "face",
    "evaluate": "face",
    "every_layer": "face",
    "open_agent": "agents.names",
    "report": "face",
    "rollout": "agents.rollouts",
    "sweep": "face",
    "train": "trainer.run",
}

__version__ = "0.1.0"
__all__ = [
    "ContestSpec",
    "EvalSpec",
    "InputError",
    "Job",
    "Outcome",
    "Panel",
    "RunSpec",
    "SweepSpec",
    "TextEnv",
    "conforms",
    "contributions",
    "evaluate",
    "every_layer",
    "find",
    "ids",
    "make",
    "open_agent",
    "panel",
    "register",
    "report",
    "rollout",
    "sweep",
    "train",
]


if not TYPE_CHECKING:  # A type checker would believe every name that it is asked for.

    def __getattr__(name: str) -> object:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
