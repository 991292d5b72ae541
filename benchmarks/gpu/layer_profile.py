"""The layer profile of SmolLM2-135M of docs/results.md: warm starts, sweeps, what they have kept.

What it needs is in the folder that `pack.py` makes. Pieces of the model that came with an earlier
call are kept in `--state`, so that a transfer may be smaller than the model. Every part is a
command of layergym as anyone can type it, and goes on where an earlier call stopped. The runs of a
sweep share the GPU, since a small model keeps it waiting for the host.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from layergym.agents.models.pull import install, pulled

PROMPT = "docs/results/smollm2-135m-math/prompt.jinja"
WARM_FAMILIES = (
    *("gcd", "number_sequence", "leg_counting", "chain_sum", "simple_equations", "products"),
    "count_primes",
)


@dataclass(frozen=True)
class Place:
    """Where things are, and on what they run."""

    pack: Path
    state: Path
    device: str
    small: bool
    jobs: str
    seeds: Sequence[str]
    until: float

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return self.until - time.monotonic()

    def warm(self, seed: int) -> str:
        """The model that the sweep from warm start `seed` begins with."""
        return "tiny" if self.small else str(self.state / f"warm-{seed}")

    def sweep(self, seed: int) -> Path:
        """The folder of that sweep."""
        return self.state / f"profile-{seed}"

    def run(self, *words: str) -> None:
        """Run a command of layergym, for the time that is left at most."""
        command = [sys.executable, "-m", "layergym", *words]
        print("$ layergym " + " ".join(words), file=sys.stderr, flush=True)
        subprocess.run(command, check=True, timeout=self.left, stdout=sys.stderr)


def questions(families: Sequence[str], size: int) -> list[str]:
    """Options that choose generated questions of the first level."""
    return [
        *("--env-arg", f"families={json.dumps(list(families))}"),
        *("--env-arg", "levels=[1]", "--env-arg", f"size={size}"),
        *("--format", "plain", "--prompt", PROMPT),
    ]


def model(place: Place) -> None:
    """Put the model together from its pieces, those of earlier calls included."""
    if place.small or pulled("smollm2") is not None:
        return
    place.state.mkdir(parents=True, exist_ok=True)
    for piece in (place.pack / "smollm2").glob("piece-*"):
        shutil.copy(piece, place.state / piece.name)
    parts = sorted(place.state.glob("piece-*"), key=lambda path: int(path.name.split("-")[1]))
    data = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(data).hexdigest() != (place.pack / "smollm2" / "sha256").read_text().strip():
        sys.exit("pieces of the model are missing; carry the rest")
    whole = place.state / "smollm2.gguf"
    whole.write_bytes(data)
    install("smollm2", whole)


def warm(place: Place, seed: int = 0) -> None:
    """A supervised start on seven families: rewards are rare without it."""
    if place.small or Path(place.warm(seed)).is_dir():
        return
    place.run(
        *("warmup", "math-v0", *questions(WARM_FAMILIES, 3500), "--model", "smollm2"),
        *("--random-actions", "0", "--steps", "48", "--batch-size", "16", "--lr", "1e-4"),
        *("--seed", str(seed), "--device", place.device, "--out", place.warm(seed)),
    )


def sweep(place: Place) -> None:
    """Base, full, every layer alone, both controls; both rates from a grid."""
    chosen = ["--layers", "3,4"] if place.small else ["--arms", "random,lora"]
    grid = ["--lr-grid", "5e-6", "2e-5", "5e-5", "1e-4", "3e-4", "1e-3", "--dev-tasks", "400"]
    _sweep(place, 0, *chosen, *([] if place.small else grid))


def second(place: Place) -> None:
    """Every fourth layer from another warm start, at the rates that were chosen."""
    rates = json.loads((place.sweep(0) / "tuning.json").read_text())
    warm(place, 1)
    layers = ",".join(map(str, range(1, 30, 4)))
    chosen = [
        "--layers",
        layers,
        "--lr-full",
        str(rates["full"]),
        "--lr-layer",
        str(rates["layer"]),
    ]
    _sweep(place, 1, *chosen)


def _sweep(place: Place, seed: int, *chosen: str) -> None:
    folder, deadline = place.sweep(seed), f"{max(10, int(place.left - 40))}s"
    if (folder / "sweep.json").is_file():
        place.run("sweep", "--resume", str(folder), "--jobs", place.jobs, "--max-time", deadline)
        return
    size = ["--steps", "14", "--tasks", "16", "--group", "8", "--save-every", "14"]
    if place.small:
        size = ["--steps", "2", "--tasks", "2", "--group", "2"]
    place.run(
        *("sweep", "math-v0", *questions(["number_sequence"], 40 if place.small else 1000)),
        *("--model", place.warm(seed), "--max-new-tokens", "12", *size, *chosen),
        *("--seeds", *place.seeds, "--eval-tasks", "8" if place.small else "1000"),
        *("--device", place.device, "--jobs", place.jobs, "--max-time", deadline),
        *("--out", str(folder)),
    )


def retention(place: Place) -> None:
    """How the arms answer ARC's questions, which nothing here trains."""
    few = ["--limit", "20"] if place.small else []
    file = str(place.pack / "arc.json")
    place.run("retention", str(place.sweep(0)), "--choice", file, *few, "--device", place.device)


def dissect(place: Place) -> None:
    """Full training taken apart, as far as there is time."""
    few = [] if place.small else ["--eval-tasks", "400", "--eval-repeats", "1"]
    spare = f"{max(5, int(place.left - 20))}s"
    place.run(
        *("dissect", str(place.sweep(0)), "--sets", "moved", "put-back", "kinds", "stack", *few),
        *("--max-time", spare, "--device", place.device),
    )


PARTS = {part.__name__: part for part in (model, warm, sweep, retention, second, dissect)}


def packed(folder: Path, target: Path) -> None:
    """The sweep's folder without weights, checkpoints and locks."""
    if not folder.is_dir():
        return

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = member.name.split("/")
        heavy = member.name.endswith((".safetensors", ".lock", ".pt", "trajectories.jsonl"))
        return None if heavy or any(p.startswith("checkpoint-") for p in parts) else member

    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, arcname=folder.name, filter=kept)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"of: {' '.join(PARTS)}")
    parser.add_argument("--pack", type=Path, default=Path(".gpu"))
    parser.add_argument("--state", type=Path, default=Path("runs/gpu-state"))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="the embedded policy, a few steps")
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    parser.add_argument("--jobs", default="15", help="processes side by side on the one GPU")
    options = parser.parse_args()
    place = Place(
        options.pack,
        options.state,
        options.device,
        options.small,
        options.jobs,
        options.seeds,
        time.monotonic() + float(os.environ.get("STEP_SECONDS", "36000")) - 20,  # To pack up in.
    )
    out = Path(os.environ.get("STEP_OUT", "runs/gpu"))
    os.environ.setdefault("LAYERGYM_CACHE", str((options.state / "cache").resolve()))
    # As many processes as cores: none of them should start threads of its own.
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    todo = [part for part in PARTS if part in options.parts]
    if options.small:
        todo = [part for part in todo if part not in ("second", "retention")]
    try:
        for part in todo:
            began = time.monotonic()
            PARTS[part](place)
            print(json.dumps({"part": part, "s": round(time.monotonic() - began, 1)}), flush=True)
    finally:
        for seed in (0, 1):
            packed(place.sweep(seed), out / f"profile-{seed}.tar.gz")


if __name__ == "__main__":
    main()
