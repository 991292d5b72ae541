"""A layer profile of SmolLM2-135M on mathematics: warm start, sweep over layers, report.

What it needs is in the folder that `pack.py` makes. Pieces of the model that came with an earlier
call are kept in `--state`, so that a transfer may be smaller than the model. The sweep is
`layergym sweep` as anyone can type it: base, full, single layers and the control, as processes that
share the GPU, since a small model keeps it waiting for the host.
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
from pathlib import Path

from layergym.agents.models.pull import install, pulled

SETTING = ["--format", "plain", "--max-new-tokens", "12"]


def assembled(pack: Path, state: Path) -> Path | None:
    """The model's file from its pieces, those of earlier calls included; None: some are missing."""
    state.mkdir(parents=True, exist_ok=True)
    for piece in (pack / "smollm2").glob("piece-*"):
        shutil.copy(piece, state / piece.name)
    parts = sorted(state.glob("piece-*"), key=lambda path: int(path.name.split("-")[1]))
    data = b"".join(part.read_bytes() for part in parts)
    if hashlib.sha256(data).hexdigest() != (pack / "smollm2" / "sha256").read_text().strip():
        return None
    whole = state / "smollm2.gguf"
    whole.write_bytes(data)
    return whole


def layergym(*words: str, budget: float) -> float:
    """Run a command of layergym; seconds that it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "layergym", *words]
    print("$ layergym " + " ".join(words), flush=True)
    subprocess.run(command, check=True, timeout=budget, stdout=sys.stderr)
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pack", type=Path, default=Path(".gpu"))
    parser.add_argument("--state", type=Path, default=Path.home() / "layergym-gpu")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--small", action="store_true", help="the embedded policy, a few steps")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--seeds", nargs="+", default=["0"])
    parser.add_argument("--lr-full", default="2e-5")
    parser.add_argument("--lr-layer", default="1e-4")
    parser.add_argument("--layers", default="0,3,6,9,12,15,18,21,24,27,29")
    parser.add_argument("--jobs", default="14", help="processes side by side on the one GPU")
    options = parser.parse_args()
    until = time.monotonic() + float(os.environ.get("STEP_SECONDS", "3600"))
    out = Path(os.environ.get("STEP_OUT", "runs/gpu"))
    os.environ.setdefault("LAYERGYM_CACHE", str(options.state / "cache"))
    # As many processes as cores: none of them should start threads of its own.
    os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    device = ["--device", options.device]
    problems = ["--env-arg", f"problems={(options.pack / 'math').resolve()}"]
    warm = options.state / "warm"
    if options.small:
        model, layers = "tiny", ["--layers", "3,4", "--steps", "2", "--tasks", "2", "--group", "2"]
    elif pulled("smollm2") is None and (whole := assembled(options.pack, options.state)) is None:
        print(json.dumps({"error": "pieces of the model are missing; carry the rest"}))
        return
    else:
        if pulled("smollm2") is None:
            assert whole is not None
            install("smollm2", whole)
        shutil.rmtree(warm, ignore_errors=True)
        spent = layergym(
            *("warmup", "math-v0", *problems, "--model", "smollm2", "--format", "plain"),
            *("--steps", "48", "--batch-size", "16", "--lr", "1e-4", *device, "--out", str(warm)),
            budget=until - time.monotonic(),
        )
        print(json.dumps({"warmup_s": round(spent, 1)}), flush=True)
        model = str(warm)
        layers = ["--steps", str(options.steps), "--tasks", "16", "--group", "8"]
        layers += ["--layers", options.layers, "--arms", "random"]
    folder = options.state / "sweep"
    shutil.rmtree(folder, ignore_errors=True)
    left = until - time.monotonic()
    try:
        spent = layergym(
            *("sweep", "math-v0", *problems, "--model", model, *SETTING, *layers, *device),
            *("--seeds", *options.seeds, "--lr-full", options.lr_full),
            *("--lr-layer", options.lr_layer, "--jobs", options.jobs),
            *("--eval-tasks", "4" if options.small else "400", "--eval-repeats", "1"),
            *("--max-time", f"{max(20, int(left - 60))}s", "--out", str(folder)),
            budget=left - 10,
        )
        print(json.dumps({"sweep_s": round(spent, 1)}), flush=True)
    finally:
        packed(folder, out / "profile.tar.gz")


def packed(folder: Path, target: Path) -> None:
    """The sweep's folder without weights, checkpoints and locks."""
    if not folder.is_dir():
        return

    def kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        parts = member.name.split("/")
        heavy = member.name.endswith((".safetensors", ".lock", "trajectories.jsonl"))
        return None if heavy or any(p.startswith("checkpoint-") for p in parts) else member

    target.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(target, "w:gz") as archive:
        archive.add(folder, arcname="profile", filter=kept)


if __name__ == "__main__":
    main()
