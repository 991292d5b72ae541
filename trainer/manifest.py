"""Where a result comes from: versions, seeds, task panel, commit, command, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from layergym.envs import Panel

PACKAGES = (
    "layergym",
    "accelerate",
    "alfworld",
    "gymnasium",
    "numpy",
    "torch",
    "transformers",
    "trl",
)


def manifest(panels: Sequence[Panel], seeds: Sequence[int]) -> dict[str, Any]:
    """Describe the process that is about to produce a result, as JSON values."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "commit": _commit(),
        "seeds": list(seeds),
        "panels": [
            {"env_id": p.env_id, "split": p.split, "size": len(p), "hash": p.hash} for p in panels
        ],
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        },
    }


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _commit() -> str | None:
    """Commit of the source tree, with a trailing + when it has uncommitted changes."""
    root = Path(__file__).resolve().parent.parent
    head = _git(root, "rev-parse", "--show-toplevel", "HEAD")
    if head is None or Path(head[0]) != root:
        return None
    return head[1] + ("+" if _git(root, "status", "--porcelain", "-uno") else "")


def _git(root: Path, *command: str) -> list[str] | None:
    """Lines that git prints in `root`; None without git or outside a repository."""
    try:
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), *command],
            capture_output=True,
            text=True,
        )
    except OSError:
        return None
    return done.stdout.splitlines() if done.returncode == 0 else None
