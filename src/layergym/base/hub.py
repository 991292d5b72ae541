"""Things on the Hugging Face hub by name: what is not on this machine yet is fetched.

hf://owner/name             a delta, as `layergym publish` pushes it
hf://datasets/owner/name    a layer profile, or episodes
hf://owner/name@revision    as it was at a commit, branch or tag
"""

from __future__ import annotations

import re
from pathlib import Path

from layergym.base.errors import InputError, briefly

SCHEME = "hf://"
_NAME = re.compile(r"hf:/{1,2}(datasets/)?([\w.-]+/[\w.-]+)(?:@([\w.-]+))?")
"""A `Path` joins the two slashes."""
FILES = (
    "README.md",
    "delta.safetensors",
    "layergym.json",
    "profile.json",
    "trajectories.jsonl",
)
"""All that is fetched: numbers and texts, nothing that could run."""


def on_hub(name: str | Path) -> bool:
    """Whether a name is that of something on the hub."""
    return str(name).startswith("hf:/")


def fetched(name: str | Path) -> Path:
    """Where something is on this machine: a path as it is, what is on the hub in its cache.

    Without a network, what was fetched before is found.

    Raises:
        InputError: the name cannot be one, or the hub does not give it.
    """
    if not on_hub(name):
        return Path(name)
    match = _NAME.fullmatch(str(name))
    if match is None:
        raise InputError(f'"{name}" is no name on the hub; write hf://owner/name')
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    kind, repository, revision = match.groups()
    try:
        folder = snapshot_download(
            repository,
            repo_type="dataset" if kind else "model",
            revision=revision,
            allow_patterns=list(FILES),
        )
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        raise InputError(
            f"{name} cannot be fetched: {briefly(error)}; look at its name, log in with hf auth, "
            "or go online"
        ) from None
    return Path(folder)
