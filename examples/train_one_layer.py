"""Train the middle layer, keep what changed in a small file, and put it into the model again."""

import sys
from pathlib import Path

import layergym as lg
from layergym.agents.names import open_model
from layergym.trainer.layers.delta import LayerDelta

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/one-layer")  # Has to be a new one.

if __name__ == "__main__":
    rooms = {"max_receptacles": 8, "num_objects": 8, "max_turns": 9}
    run = lg.RunSpec(env="alfworld-v0", env_args=rooms, algorithm="gigpo", layers="middle", steps=4)
    lg.train(run, FOLDER)

    path = FOLDER / "delta.safetensors"
    delta = LayerDelta.load(path)
    model, _tokenizer = open_model("tiny")  # Or the folder or hub id that was trained.
    delta.apply(model)  # Refuses a model with other weights.
    model.save_pretrained(FOLDER / "merged")
    print(f"{len(delta.tensors)} tensors, {path.stat().st_size / 1e6:.1f} MB; merged into a model")
