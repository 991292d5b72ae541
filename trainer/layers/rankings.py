"""Layer profiles as rankings of layers: from a file, from the hub, or shipped with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layergym.base.errors import InputError
from layergym.base.files import read_json
from layergym.base.hub import fetched, on_hub

SHIPPED = Path(__file__).parents[2] / "evals" / "profiles"
"""A folder for each profile that ships with the package, which goes by the folder's name."""


def shipped_profiles() -> list[str]:
    """The names of the profiles that ship with the package, sorted."""
    return sorted(folder.parent.name for folder in SHIPPED.glob("*/profile.json"))


def read_ranking(path: Path) -> dict[str, Any]:
    """A layer profile's "num_layers" and "layers", and whatever else it says, unchecked.

    Args:
        path: a `profile.json`, a hub id, or the name of a profile that ships.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if on_hub(path):
        path = fetched(path) / "profile.json"
    elif not path.exists() and str(path) in shipped_profiles():
        path = SHIPPED / path / "profile.json"
    if not path.is_file():
        raise InputError(
            f'no layer profile at "{path}"; a sweep writes one, and by name there are: '
            f"{', '.join(shipped_profiles())}"
        )
    try:
        profile = read_json(path)
        int(profile["num_layers"])
        for entry in profile["layers"]:
            int(entry["layer"]), float(entry["contribution"] or 0)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise InputError(
            f'"{path}" is not a layer profile: it needs "num_layers" and "layers" with "layer" '
            'and "contribution"'
        ) from error
    return profile
