"""`--sampler` says what samples, `--on` where a sweep runs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.base.files import read_json, write_json
from layergym.evals.result_files import read_sweep
from layergym.evals.sweep.spec import read_spec
from layergym.trainer.spec import RunSpec
from tests.trainer.vllm_backend import serving

SMALL = (
    *("alfworld-v0", "--steps", "1", "--tasks", "1", "--group", "2", "--quiet"),
    *("--env-arg", "max_turns=2", "--layers", "3", "--eval-tasks", "2", "--eval-repeats", "1"),
)
PROBE = list(range(16))
"""What an engine is asked before anything else, to see that it has the model."""


def test_a_sweep_samples_and_scores_every_arm_through_a_server(tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    with serving() as server:
        url = f"vllm@{server.url}"
        assert main(["sweep", *SMALL, "--sampler", url, "--out", str(out)]) == 0
        assert any(".layers.3." in name for tensors in server.loaded for name in tensors)
        asked = Counter(body["temperature"] for body in server.asked if body["prompt"] != PROBE)
    assert read_spec(out).run.sampler == url
    for arm in ("full", "layer-03"):
        assert RunSpec.read(out / "arms" / arm / "seed-0").sampler == url
    scored = [result for run in read_sweep(out).runs for result in run.evals]
    assert {result.arm for result in scored} >= {"base", "full", "layer-03"}
    turns: Counter[float] = Counter()
    for result in scored:
        turns[result.temperature] += sum(map(sum, result.turns))
    assert turns[0.0] == asked[0.0] > 0
    assert turns[1.0] < asked[1.0], "rollouts besides"


@pytest.mark.parametrize(
    "line",
    [
        "--sampler vllm --on bank",
        "--sampler vllm@http://127.0.0.1:9 --on bank",
        "--sampler vllm@http://127.0.0.1:9 --jobs 2",
        "--sampler vllm@http://127.0.0.1:9 --on ray",
        "--sampler vllm --arms lora",
        "--sampler vlm",
    ],
)
def test_a_sampler_that_cannot_work_is_refused_before_anything_is_written(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sweep"
    assert main(["sweep", *SMALL, *line.split(), "--out", str(out)]) == 2
    [said] = capsys.readouterr().err.strip().splitlines()
    assert said.startswith("layergym sweep: ")
    assert not out.exists()


def test_adapters_and_vllm_are_refused_in_a_single_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    line = ["train", "alfworld-v0", "--lora", "4", "--sampler", "vllm", "--out", str(out)]
    assert main(line) == 2
    assert "LoRA" in capsys.readouterr().err
    assert not out.exists()


def test_folders_that_say_engine_are_read(tmp_path: Path) -> None:
    old = {"env": "alfworld-v0", "engine": "vllm@http://127.0.0.1:9", "layers": "3"}
    (tmp_path / "config.json").write_text(json.dumps(old))
    assert RunSpec.read(tmp_path).sampler == old["engine"]
    write_json(tmp_path / "sweep.json", {"run": old, "eval": {}, "layers": [3]})
    assert read_spec(tmp_path).run.sampler == old["engine"]
    assert "engine" in read_json(tmp_path / "sweep.json")["run"]
