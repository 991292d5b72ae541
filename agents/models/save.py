"""Save a model as a folder in Hugging Face's layout."""

from __future__ import annotations

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from layergym.base.files import open_to_umask, write_bytes

RECIPE = "recipe.json"
"""How a policy was made. It lies beside the weights, and what suits them is known by it."""


def save_model(
    model: PreTrainedModel, folder: Path, tokenizer: PreTrainedTokenizerBase | None = None
) -> None:
    """Write `model`, its tokenizer, and the recipe of the folder that it was loaded from."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        open_to_umask(weights)
    if model.name_or_path:
        recipe = Path(model.name_or_path) / RECIPE
        if recipe.is_file():
            write_bytes(folder / RECIPE, recipe.read_bytes())
