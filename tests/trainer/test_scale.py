"""Several processes: shares that fit together, and updates equal to those of one process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.commands.config.config_args import load_config_from_file
from safetensors.torch import load_file
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.trainer.processes import Share
from layergym.trainer.rows.packing import Row
from layergym.trainer.rows.passes import Pass, PassLimits, minibatches, passes
from layergym.trainer.trainer import GiGPOTrainer

Build = Callable[..., GiGPOTrainer]
RECIPES = Path(__file__).parents[2] / "docs" / "recipes"

# ---- shares -------------------------------------------------------------------------------------


def row(length: int, advantage: float = 1.0) -> Row:
    sampled = (False,) + (True,) * (length - 1)
    return Row((5,) * length, sampled, (0.0,) + (advantage,) * (length - 1), (0.0,) * length)


def dealt(lengths: list[int], world: int, size: int, loss_type: str) -> list[list[Pass]]:
    """The passes of every process."""
    (minibatch,) = minibatches([row(n) for n in lengths], 1, order=(0,), skip_idle=True)
    return [
        passes(
            minibatch,
            room=PassLimits(size),
            loss_type=loss_type,
            rollout_tokens=minibatch.all_tokens,
            device=torch.device("cpu"),
            share=Share(index, world),
        )
        for index in range(world)
    ]


@pytest.mark.parametrize("world", [1, 2, 3, 8])
@pytest.mark.parametrize("items", [0, 1, 5, 16])
def test_blocks_are_all_items_in_order_and_of_equal_size(world: int, items: int) -> None:
    blocks = [Share(i, world).block(range(items)) for i in range(world)]
    assert [x for block in blocks for x in block] == list(range(items))
    assert max(map(len, blocks)) - min(map(len, blocks)) <= 1


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("rows", [0, 1, 4, 7, 12])
@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "bnpo"])
def test_every_process_has_as_many_passes_and_every_row_counts_once(
    world: int, rows: int, loss_type: str
) -> None:
    lengths = [2 + (7 * i) % 5 for i in range(rows)]
    processes = dealt(lengths, world, 2, loss_type)
    # TRL gathers some measures row by row.
    assert len({tuple(len(one.sampled) for one in done) for done in processes}) == 1
    masks = [one.loss_inputs["completion_mask"].sum(1) for done in processes for one in done]
    assert sorted(int(n) for mask in masks for n in mask if n) == sorted(n - 1 for n in lengths)
    weights = [one.weight for done in processes for one in done]
    if loss_type == "grpo":  # of a mean over rows, those that do not count take their part
        weights = [w * float((m > 0).float().mean()) for w, m in zip(weights, masks, strict=True)]
    assert sum(weights) / world == pytest.approx(1.0 if rows else 0.0)


def test_a_pass_that_only_keeps_step_counts_nothing() -> None:
    first, second = dealt([3, 4, 5], world=2, size=1, loss_type="dapo")
    assert [one.weight > 0 for one in first] == [True, True]
    assert [one.weight > 0 for one in second] == [True, False]
    idle = second[-1]
    assert not idle.loss_inputs["completion_mask"].any()
    assert idle.sampled.any()  # the model still computes something, as the other process does
    idle.observe(torch.zeros_like(idle.sampler_logprobs))
    assert idle.mismatch is not None and not len(idle.mismatch)


def test_processes_compute_rows_of_like_length_at_the_same_time() -> None:
    processes = dealt(list(range(2, 18)), world=2, size=2, loss_type="dapo")
    for together in zip(*processes, strict=True):
        longest = [one.sampled.shape[1] for one in together]
        assert max(longest) - min(longest) <= 1


# ---- recipes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_accelerate_reads_every_recipe(recipe: Path) -> None:
    config = load_config_from_file(str(recipe))
    assert config.num_processes >= config.num_machines >= 1
    if config.distributed_type == "FSDP":
        assert config.fsdp_config["fsdp_version"] == 2


def test_a_launcher_that_started_too_few_processes_is_noticed(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `accelerate launch --cpu --num_processes 2` sets: no rank, and one process."""
    monkeypatch.setenv("ACCELERATE_USE_CPU", "True")
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    with pytest.raises(InputError, match=r"starts one process.*cpu-2-ddp\.yaml"):
        build()


# ---- two processes ------------------------------------------------------------------------------

SCRIPT = """
import importlib.util, json, sys
from pathlib import Path

from transformers import PrinterCallback

from layergym.envs.panels import panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.trainer import GiGPOTrainer

spec = importlib.util.spec_from_file_location("support", sys.argv[1])
support = importlib.util.module_from_spec(spec)
spec.loader.exec_module(support)
for name, (settings, checkpoint) in json.loads(sys.argv[2]).items():
    model = support._tiny_model()
    model = model.bfloat16() if name.startswith("half") else model
    args = GiGPOConfig(**settings)
    trainer = GiGPOTrainer(
        model, args, panel(support.Echo(), 6), support.sampling_rollout(model),
        support.make_tokenizer(),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=checkpoint)
    folder = Path(args.output_dir)
    trainer.save_delta(folder / "final.safetensors")
    if trainer.accelerator.process_index == 1:  # not the one that writes everything else
        lines = [line for line in trainer.state.log_history if "loss" in line]
        about = {"processes": trainer.accelerator.num_processes, "sharded": trainer.sharded}
        (folder / "history.json").write_text(json.dumps([about, *lines]))
"""

SHARED: dict[str, Any] = {
    "max_steps": 2,
    "tasks_per_step": 3,
    "num_generations": 3,
    "per_device_train_batch_size": 2,
    "optim": "sgd",
    "max_grad_norm": 0.5,
    "learning_rate": 0.1,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "steps",
    "save_steps": 1,
    "disable_tqdm": True,
}
CASES: dict[str, dict[str, Any]] = {
    "layers": {"layers": "1,4", "beta": 0.1},
    "all": {"layers": "all", "loss_type": "grpo"},
    "epochs": {"layers": "3", "num_iterations": 2, "max_steps": 4, "save_steps": 2, "beta": 0.1},
    "half": {"layers": "1,4"},
    "half-all": {"layers": "all"},
    "adam": {"layers": "2", "optim": "adamw_torch", "learning_rate": 1e-2},
}
RESUMED: dict[str, Any] = {**CASES["adam"], "beta": 0.1, "max_steps": 3}


def launched(recipe: str, folder: Path, cases: dict[str, Any]) -> None:
    support = str(Path(__file__).with_name("conftest.py"))
    script = folder / "script.py"
    script.write_text(SCRIPT)
    config = str(RECIPES / f"{recipe}.yaml")
    launch = [sys.executable, "-W", "ignore", "-m", "accelerate.commands.launch"]
    done = subprocess.run(
        [*launch, "--config_file", config, str(script), support, json.dumps(cases)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


@pytest.fixture(scope="module")
def alone(
    build_in: Build,
    tiny_model: Callable[..., PreTrainedModel],
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, GiGPOTrainer]:
    """Every case, done by one process."""
    root = tmp_path_factory.mktemp("one")
    done = {}
    for name, settings in (CASES | {"resumed": RESUMED}).items():
        model = tiny_model().bfloat16() if name.startswith("half") else tiny_model()
        where = {"output_dir": str(root / name)}
        done[name] = build_in(model=model, **{**SHARED, **settings, **where})
        done[name].train()
    return done


@pytest.fixture(scope="module", params=["cpu-2-ddp", "cpu-2-fsdp2"])
def together(
    request: pytest.FixtureRequest,
    alone: dict[str, GiGPOTrainer],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """A recipe, and what two processes left: every case, and a run that one process began."""
    recipe, root = request.param, tmp_path_factory.mktemp("two")
    first = f"{alone['resumed'].args.output_dir}/checkpoint-1"
    placed: dict[str, Any] = {}
    for name, settings in (CASES | {"resumed": RESUMED}).items():
        where = {"output_dir": str(root / name)}
        placed[name] = ({**SHARED, **settings, **where}, first if name == "resumed" else None)
    launched(recipe, root, placed)
    return recipe, root


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_two_processes_update_as_one_does(
    name: str,
    together: tuple[str, Path],
    alone: dict[str, GiGPOTrainer],
    tiny_model: Callable[..., PreTrainedModel],
) -> None:
    recipe, root = together
    one, two = alone[name], load_file(root / name / "final.safetensors")
    found = distance(one.delta().tensors, two)
    print(f"{recipe} {name}: max |dW| = {found:.1e}")
    start = dict(tiny_model().named_parameters())
    moved = distance(two, {n: start[n].detach() for n in two})
    assert moved > 1e-3
    rounded = name.startswith("half")  # In bfloat16, how a pass is cut shows in its last bits.
    assert found <= (0.1 * moved if rounded else 1e-4 if name == "adam" else 1e-6)
    about, *lines = json.loads((root / name / "history.json").read_text())
    assert about == {"processes": 2, "sharded": recipe == "cpu-2-fsdp2"}
    history = [line for line in one.state.log_history if "loss" in line]
    same_measures(lines, history, rel=0.05 if rounded else 1e-4)


def same_measures(
    found: list[dict[str, Any]], expected: list[dict[str, Any]], *, rel: float
) -> None:
    """Whole-step measures are equal; TRL's means over passes depend on how rows are cut."""
    names = "loss grad_norm reward success turns rows tokens groups_zero_variance"
    names += " mismatch_max" * (rel < 0.01)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        norms = {name for name in other if name.startswith("grad_norm/")}
        for name in (norms | set(names.split())) & other.keys():
            assert one[name] == pytest.approx(other[name], rel=rel, abs=rel / 50), name


@pytest.mark.slow
def test_a_checkpoint_is_resumed_by_any_number_of_processes(
    together: tuple[str, Path], alone: dict[str, GiGPOTrainer], build: Build, tmp_path: Path
) -> None:
    two = together[1] / "resumed"
    expected = alone["resumed"].delta().tensors
    assert distance(load_file(two / "final.safetensors"), expected) <= 1e-4
    one = build(**{**SHARED, **RESUMED, "output_dir": str(tmp_path / "one")})
    one.train(resume_from_checkpoint=str(two / "checkpoint-2"))
    assert distance(one.delta().tensors, expected) <= 1e-4
    left = {path.name for path in two.iterdir()}
    assert left == {"checkpoint-2", "checkpoint-3", "final.safetensors", "history.json"}
