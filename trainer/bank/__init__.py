"""The layer bank: every layer trained alone, in one run.

`bank.py` is the bank; `routing.py` makes one model that computes each row with its variant's
weights; `joint.py` samples, scores and backpropagates for all variants in one batch; `trainer.py`
is the trainer of one variant, and `lockstep.py` lets the variants wait for one another.
"""

from layergym.trainer.bank.bank import Bank, groups

__all__ = ["Bank", "groups"]
