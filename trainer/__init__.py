"""The trainer: credit, packing, layer targeting, `GiGPOTrainer`.

Names that need torch are imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layergym.trainer.config import GiGPOConfig
    from layergym.trainer.layers.delta import LayerDelta
    from layergym.trainer.run import train
    from layergym.trainer.spec import RunSpec
    from layergym.trainer.trainer import GiGPOTrainer

_LAZY = {
    "GiGPOConfig": "config",
    "GiGPOTrainer": "trainer",
    "LayerDelta": "layers.delta",
    "RunSpec": "spec",
    "train": "run",
}

__all__ = ["GiGPOConfig", "GiGPOTrainer", "LayerDelta", "RunSpec", "train"]


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
