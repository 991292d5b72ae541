"""Damaged files of a model: one sentence that names the model, whatever a library raises."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from layergym.agents.models import tiny
from layergym.agents.names import num_layers, open_model
from layergym.base.errors import InputError


def changed(file: str, change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """What changes a JSON file of a model's folder."""

    def apply(folder: Path) -> None:
        value = json.loads((folder / file).read_bytes())
        change(value)
        (folder / file).write_text(json.dumps(value))

    return apply


DAMAGES: dict[str, Callable[[Path], object]] = {
    "words without a number": changed(
        "tokenizer.json", lambda value: value["model"]["vocab"].update(go="x")
    ),
    "nested": lambda folder: (folder / "tokenizer.json").write_text('{"a":' * 200_000),
    "a text as truth": changed("config.json", lambda value: value.update(use_sliding_window="x")),
    "no width": changed("config.json", lambda value: value.update(hidden_size=None)),
    "no head": changed("config.json", lambda value: value.update(num_attention_heads=0)),
    "another width": changed("config.json", lambda value: value.update(hidden_size=96)),
    "no layers": changed("config.json", lambda value: value.update(num_hidden_layers="many")),
    "an endless header": lambda folder: (folder / "model.safetensors").write_bytes(b"\xff" * 99),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_model_is_refused_in_a_sentence(
    damage: Callable[[Path], object], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(tiny.FOLDER, tmp_path / "model"))
    damage(folder)
    with pytest.raises(InputError) as error:
        num_layers(str(folder))
        open_model(str(folder))
    said = str(error.value)
    assert str(folder) in said and "\n" not in said and len(said) < 600
