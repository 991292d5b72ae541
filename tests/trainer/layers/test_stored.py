"""The base's hash from the files of a checkpoint."""

from pathlib import Path

import pytest
import torch

from layergym.agents.models import tiny
from layergym.agents.names import open_model, open_stored
from layergym.trainer.layers import stored
from layergym.trainer.layers.frozen import base_hash, digests
from layergym.trainer.layers.stored import stored_hash


def loaded_hash(model: str, dtype: str = "auto") -> str:
    return base_hash(digests(open_model(model, dtype=dtype)[0], buffers=False))


def saved(folder: Path, shard: str = "1GB") -> str:
    model, tokenizer = open_stored("tiny")
    model.save_pretrained(folder, max_shard_size=shard)
    tokenizer.save_pretrained(folder)
    return str(folder)


def refuse(*names: object) -> None:
    raise AssertionError("weights were loaded")


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_files_give_the_hash_of_the_model_that_they_load_as(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = loaded_hash("tiny", dtype)
    monkeypatch.setattr(stored, "open_stored", refuse)
    assert stored_hash("tiny", dtype) == expected


def test_so_do_several_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path, "300KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    monkeypatch.setattr(stored, "open_stored", refuse)
    assert stored_hash(folder) == loaded_hash("tiny")


def test_a_half_precision_checkpoint_counts_as_it_is_opened(tmp_path: Path) -> None:
    model, tokenizer = open_stored("tiny")
    model.to(torch.bfloat16).save_pretrained(tmp_path)  # type: ignore[arg-type]
    tokenizer.save_pretrained(tmp_path)
    assert (
        stored_hash(str(tmp_path)) == loaded_hash(str(tmp_path)) == loaded_hash("tiny", "bfloat16")
    )


def test_a_checkpoint_of_another_form_is_loaded(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "kept")
    model, _ = open_stored(folder.replace(str(tmp_path), str(tiny.FOLDER)))
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    assert stored_hash(folder) == loaded_hash("tiny")
