"""Sweep folders of known truth."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import HfApi

from layergym.base.files import write_json, write_text
from layergym.evals import publish
from layergym.evals.result_files import write_cost, write_eval
from layergym.evals.results import Cost, EvalResult
from layergym.evals.stats.simulate import Design, outcomes
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec
from tests.hub_server import HubServer, StandIn

KINDS = ("pick", "look", "clean")


@dataclass(frozen=True)
class Truth:
    """Expected scores per arm, at temperature 1 and greedy; the base's by temperature."""

    arms: Mapping[str, float]
    greedy: Mapping[str, float] = field(default_factory=dict)
    base_by_temperature: Mapping[float, float] = field(default_factory=dict)
    design: Design = field(default_factory=Design)
    seed: int = 0
    settings: Mapping[str, object] = field(default_factory=dict)


SMALL = Truth(
    arms={
        "base": 0.23,
        "full": 0.76,
        **{f"layer-{i:02d}": p for i, p in enumerate((0.44, 0.52, 0.53, 0.62, 0.65, 0.63))},
        "middle-2": 0.66,
    },
    greedy={
        "base": 0.6,
        "full": 0.8,
        **{f"layer-{i:02d}": p for i, p in enumerate((0.6, 0.62, 0.65, 0.7, 0.72, 0.7))},
    },
    base_by_temperature={0.5: 0.55, 0.25: 0.6},
    settings={
        "run": {"model": "tiny", "algorithm": "gigpo"},
        "num_layers": 6,
        "lr_full": 1e-3,
        "lr_layer": None,
    },
)


def write_sweep(folder: Path, truth: Truth) -> Path:
    generator = np.random.default_rng(truth.seed)
    write_json(folder / "sweep.json", dict(truth.settings))
    write_json(folder / "manifest.json", {"commit": "abc", "versions": {"torch": "2.13"}})
    _write_arms(folder, truth.arms, 1.0, truth.design, generator)
    if truth.greedy:
        _write_arms(folder, truth.greedy, 0.0, truth.design, generator)
    for temperature, score in truth.base_by_temperature.items():
        _write_arms(folder, {"base": score}, temperature, truth.design, generator)
    return folder


def _write_arms(
    folder: Path,
    scores: Mapping[str, float],
    temperature: float,
    design: Design,
    generator: np.random.Generator,
) -> None:
    trained = [arm != "base" for arm in scores]
    drawn = outcomes(list(scores.values()), trained, design, generator)
    for (arm, score), table in zip(scores.items(), drawn, strict=True):
        for seed, success in enumerate(table):
            run = folder / "arms" / arm / f"seed-{seed}"
            if not (run / "config.json").is_file():
                _write_run(run, arm, score, generator)
            write_eval(run, result_of(success, arm=arm, seed=seed, temperature=temperature))


def _write_run(run: Path, arm: str, score: float, generator: np.random.Generator) -> None:
    write_json(run / "config.json", {"env": "layergym/ALFWorld-v0"})
    rate = 1e-3 if arm == "full" else 3e-3
    rises = np.linspace(0.2, score, 20) + generator.normal(0, 0.02, 20)
    rows = [
        {"step": i, "success": float(v), "reward": float(10 * v), "learning_rate": rate}
        for i, v in enumerate(rises)
    ]
    if arm == "base":
        write_cost(run, Cost(eval_s=3.0))
        return
    write_text(run / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    parameters = 342_000 if arm == "full" else 53_000
    write_cost(run, Cost(18.0, 13.0, 5.0, 3.0, 1.3e6, 9e8, parameters, 4.0 * parameters))


def result_of(
    success: np.ndarray, *, arm: str = "base", seed: int = 0, temperature: float = 1.0
) -> EvalResult:
    tasks, repeats = success.shape
    return EvalResult(
        env_id="layergym/ALFWorld-v0",
        split="test",
        panel_hash="p" * 64,
        arm=arm,
        seed=seed,
        temperature=temperature,
        tasks=tuple(f"task-{i:04d}" for i in range(tasks)),
        kinds=tuple(KINDS[i % 3] for i in range(tasks)),
        success=tuple(tuple(bool(v) for v in row) for row in success),
        reward=tuple(tuple(10.0 * float(v) for v in row) for row in success),
        turns=tuple((5,) * repeats for _ in range(tasks)),
    )


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    """A hub on this machine, for uploads and downloads, with an empty cache."""
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        address = server.hub.address
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        for name, value in {
            "ENDPOINT": address,
            "HUGGINGFACE_CO_URL_TEMPLATE": template,
            "HF_HUB_CACHE": str(tmp_path / "hub-cache"),
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        monkeypatch.setenv("HF_TOKEN", "hf_x")
        monkeypatch.setattr(publish, "HfApi", lambda: HfApi(endpoint=address, token="hf_x"))
        yield server.hub
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def sweep_of() -> Callable[..., SweepSpec]:
    """A sweep of a few seconds: base, full and two layers of the embedded policy."""
    games = {"size": 12, "max_receptacles": 5, "num_objects": 4, "max_turns": 6}

    def make(steps: int = 2) -> SweepSpec:
        return SweepSpec(
            run=RunSpec(
                env="layergym/ALFWorld-v0",
                env_args=games,
                steps=steps,
                tasks_per_step=4,
                group_size=4,
                save_every=1,
            ),
            eval=EvalSpec(size=6, repeats=2, base_temperatures=(1.0, 0.5, 0.0)),
            layers=(0, 1),
            num_layers=8,
        )

    return make


@pytest.fixture(scope="session")
def small_sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("small") / "sweep", SMALL)


@pytest.fixture
def sweep_folder(small_sweep: Path, tmp_path: Path) -> Path:
    """A small sweep: 6 layers, 3 seeds, 128 tasks, base at four temperatures."""
    return shutil.copytree(small_sweep, tmp_path / "sweep")


@pytest.fixture
def make_sweep(tmp_path: Path) -> Callable[..., Path]:
    """Write further sweeps, by name, with changes to the small one."""

    def make(name: str = "sweep", **changes: object) -> Path:
        return write_sweep(tmp_path / name, Truth(**{**vars(SMALL), **changes}))

    return make
