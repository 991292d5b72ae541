"""kill -9 at any moment: the resumed run ends exactly like one that was never interrupted."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import importlib.util, json, sys
from pathlib import Path

from transformers import PrinterCallback
from transformers.trainer_utils import get_last_checkpoint

from layergym.envs.panels import panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.trainer import GiGPOTrainer

spec = importlib.util.spec_from_file_location("support", sys.argv[1])
support = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support)
folder = Path(sys.argv[2])

model = support._tiny_model()
args = GiGPOConfig(
    output_dir=str(folder), max_steps=40, tasks_per_step=2, num_generations=4, layers="2",
    learning_rate=1e-2, beta=0.1, use_cpu=True, report_to="none", disable_tqdm=True,
    save_strategy="steps", save_steps=1, save_total_limit=2,
)
trainer = GiGPOTrainer(
    model, args, panel(support.Echo(), 6), support.sampling_rollout(model), support.make_tokenizer()
)
trainer.remove_callback(PrinterCallback)
folder.mkdir(exist_ok=True)
print("ready", flush=True)
trainer.train(resume_from_checkpoint=get_last_checkpoint(folder))
trainer.delta().save(folder / "final.safetensors")
lines = [line for line in trainer.state.log_history if "loss" in line]
kept = [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]
(folder / "history.json").write_text(json.dumps(kept))
"""


def start(folder: Path) -> subprocess.Popen[str]:
    support = str(Path(__file__).with_name("conftest.py"))
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, support, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )


def finished(folder: Path) -> tuple[bytes, object]:
    history = json.loads((folder / "history.json").read_text())
    return (folder / "final.safetensors").read_bytes(), history


def wait_until_ready(run: subprocess.Popen[str]) -> None:
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    with start(straight) as run:
        wait_until_ready(run)
        began = time.monotonic()
        assert run.wait() == 0
        lasted = time.monotonic() - began

    moments, killed = random.Random(0), 0
    for _ in range(10):
        with start(broken) as run:
            wait_until_ready(run)
            try:
                run.wait(timeout=moments.uniform(0.02, 0.2) * lasted)
                break
            except subprocess.TimeoutExpired:
                run.send_signal(signal.SIGKILL)
                killed += 1
    with start(broken) as run:
        assert run.wait() == 0
    assert killed >= 3
    assert finished(broken) == finished(straight)
