"""A model whose frozen linear layers are held in 8 or 4 bits, by torchao or bitsandbytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig, TorchAoConfig

from layergym.base.errors import InputError


@dataclass(frozen=True, slots=True)
class Quantization:
    """What is held in fewer bits."""

    kind: str
    """int8: whole numbers with one factor per output (torchao), 8 bits an entry. nf4: the 16
    quantiles of a normal distribution with a factor for every 64 entries (bitsandbytes, as in
    QLoRA, arXiv 2305.14314), about 4.1 bits. Only weights are rounded, so that a row does not
    depend on others."""
    whole: tuple[str, ...] = ()
    """Linear layers that stay as they are stored, or modules with such, by name."""

    def config(self, dtype: torch.dtype) -> Any:
        """What `from_pretrained` wants to know.

        Args:
            dtype: what products are computed in.

        Raises:
            InputError: the library is missing.
        """
        whole = list(self.whole)
        try:
            if self.kind == "nf4":
                import bitsandbytes  # noqa: F401  (transformers looks for it later.)

                return BitsAndBytesConfig(
                    load_in_4bit=True,
                    bnb_4bit_quant_type="nf4",
                    bnb_4bit_use_double_quant=True,
                    bnb_4bit_compute_dtype=dtype,
                    llm_int8_skip_modules=whole,
                )
            from torchao.quantization import Int8WeightOnlyConfig

            return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=whole)
        except ImportError as error:
            raise InputError(
                f"a base in {self.kind} needs {error.name or 'a library'}; "
                'to get it: pip install "layergym[quantize]"'
            ) from error


def scalars(parameter: torch.Tensor) -> int:
    """How many numbers a parameter stands for; bitsandbytes packs two into a byte."""
    shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
    return math.prod(shape) if shape is not None else parameter.numel()


def values(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor's values where it is one of torchao's, which holds them and their factors apart."""
    is_plain = type(tensor) in (torch.Tensor, nn.Parameter)
    return tensor if is_plain or not hasattr(tensor, "qdata") else tensor.dequantize()
