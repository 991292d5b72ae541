"""Run folders: what is written is read back; what is damaged is refused with a remedy."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from layergym.base.errors import InputError
from layergym.base.files import write_json, write_text
from layergym.evals.arms import ArmName
from layergym.evals.result_files import read_eval, read_run, read_sweep, write_cost, write_eval
from layergym.evals.results import Cost, EvalResult


def some_result(**changes: object) -> EvalResult:
    result = EvalResult(
        env_id="layergym/ALFWorld-v0",
        split="test",
        panel_hash="a1",
        arm="layer-03",
        seed=2,
        temperature=0.5,
        tasks=("t1", "t2"),
        kinds=("pick", "look"),
        success=((True, False), (True, True)),
        reward=((10.0, 0.0), (10.0, 9.5)),
        turns=((4, 10), (3, 2)),
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def test_an_evaluation_survives_the_disk(tmp_path: Path) -> None:
    path = write_eval(tmp_path, some_result())
    assert path.name == "t0.5.json"
    assert read_eval(path) == some_result()
    assert some_result().rates.tolist() == [0.5, 1.0]


def test_file_names_follow_the_temperature() -> None:
    names = [some_result(temperature=t).name for t in (0.0, 0.5, 1.0)]
    assert names == ["greedy", "t0.5", "t1.0"]


@pytest.mark.parametrize(
    "changes",
    [
        {"tasks": ("t1", "t1")},
        {"tasks": (), "kinds": (), "success": (), "reward": (), "turns": ()},
        {"kinds": ("pick",)},
        {"success": ((True,), (True, True))},
        {"turns": ((1,), (1,))},
        {"temperature": -1.0},
    ],
)
def test_an_inconsistent_evaluation_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        some_result(**changes)


def test_arms_name_layers() -> None:
    assert ArmName("layer-03").layer == 3
    assert ArmName("layer-3x").layer is None
    assert ArmName("layer-03").label == "layer 3"
    assert ArmName("full").label == "full"


def test_a_sweep_is_read_in_order_and_with_everything(sweep_folder: Path) -> None:
    sweep = read_sweep(sweep_folder)
    assert sweep.arms == ("base", "full", *(f"layer-0{i}" for i in range(6)), "middle-2")
    assert sweep.temperatures("base") == (1.0, 0.5, 0.25, 0.0)
    assert [r.seed for r in sweep.results("full", 1.0)] == [0, 1, 2]
    run = read_run(sweep_folder / "arms" / "layer-03" / "seed-1")
    assert (run.arm, run.seed, len(run.metrics)) == ("layer-03", 1, 20)
    assert run.cost.trainable_parameters == 53_000


def test_a_truncated_evaluation_names_the_file_and_the_remedy(sweep_folder: Path) -> None:
    path = sweep_folder / "arms" / "full" / "seed-0" / "evals" / "t1.0.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(InputError, match=r"t1\.0\.json is truncated or not JSON"):
        read_sweep(sweep_folder)


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"format": 1}', "[" * 100_000, "\x00", '{"format": 1, "tasks": 3}']
)
def test_foreign_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t1.0.json"
    path.write_text(text)
    with pytest.raises(InputError):
        read_eval(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_field_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    value = json.loads(write_eval(tmp_path, some_result()).read_text())
    value[data.draw(st.sampled_from(sorted(value)))] = data.draw(JSON)
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(value))
    with contextlib.suppress(InputError):
        assert read_eval(path).rates.shape == (2,)


def test_values_of_the_wrong_type_are_refused(tmp_path: Path) -> None:
    path = write_eval(tmp_path, some_result())
    good = json.loads(path.read_text())
    for key, bad in (("success", [[2, 0], [1, 1]]), ("reward", [["x", 0], [1, 1]]), ("arm", 7)):
        path.write_text(json.dumps({**good, key: bad}))
        with pytest.raises(InputError, match="not an evaluation"):
            read_eval(path)


def test_arms_scored_on_different_panels_are_not_compared(sweep_folder: Path) -> None:
    folder = sweep_folder / "arms" / "layer-01" / "seed-0"
    result = read_eval(folder / "evals" / "t1.0.json")
    write_eval(folder, replace(result, panel_hash="other"))
    with pytest.raises(InputError, match="another task panel"):
        read_sweep(sweep_folder)


def test_an_evaluation_in_the_wrong_folder_is_noticed(sweep_folder: Path) -> None:
    folder = sweep_folder / "arms" / "layer-01" / "seed-0"
    result = read_eval(folder / "evals" / "t1.0.json")
    write_eval(folder, replace(result, arm="layer-02"))
    with pytest.raises(InputError, match="mixed up"):
        read_run(folder)


def test_a_missing_folder_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json is missing"):
        read_run(tmp_path / "nothing")
    with pytest.raises(InputError, match=r"sweep\.json is missing"):
        read_sweep(tmp_path / "nothing")


def test_the_unfinished_line_of_a_killed_run_is_skipped(sweep_folder: Path) -> None:
    folder = sweep_folder / "arms" / "full" / "seed-0"
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20, "succ')
    assert len(read_run(folder).metrics) == 20


def test_a_damaged_line_before_the_end_is_an_error(sweep_folder: Path) -> None:
    folder = sweep_folder / "arms" / "full" / "seed-0"
    path = folder / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"st\n{"step": 2}\n')
    with pytest.raises(InputError, match="line 2"):
        read_run(folder)


@pytest.mark.parametrize("step", ["null", '"3"', "1.5", "true", "[3]"])
def test_a_line_without_its_step_is_an_error(sweep_folder: Path, step: str) -> None:
    folder = sweep_folder / "arms" / "full" / "seed-0"
    (folder / "metrics.jsonl").write_text(f'{{"step": 0}}\n{{"step": {step}}}\n')
    with pytest.raises(InputError, match="line 2"):
        read_run(folder)


def test_what_is_no_number_is_left_out_of_a_line(sweep_folder: Path) -> None:
    folder = sweep_folder / "arms" / "full" / "seed-0"
    odd = '{"step": 1, "reward": NaN, "success": "x", "loss": null, "beta": 1e999, "kl": 2.5}'
    (folder / "metrics.jsonl").write_text(odd + "\n")
    assert read_run(folder).metrics == ({"step": 1, "kl": 2.5},)


def test_costs_may_be_partly_unknown(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    write_cost(tmp_path, Cost(train_s=2.0))
    assert read_run(tmp_path).cost == Cost(train_s=2.0)
    for bad in ("long", 10**400, [1]):
        write_json(tmp_path / "cost.json", {"train_s": bad})
        with pytest.raises(InputError, match="costs"):
            read_run(tmp_path)


def test_writing_replaces_at_once_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a" / "file.txt"
    write_text(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(path, "new \ud800")
    assert path.read_text() == "old"
    assert [p.name for p in path.parent.iterdir()] == ["file.txt"]
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": float("nan")})


def test_a_running_sweep_can_be_read(make_sweep: Callable[..., Path]) -> None:
    folder = make_sweep()
    for file in (folder / "arms" / "layer-05").glob("*/evals/*.json"):
        file.unlink()
    sweep = read_sweep(folder)
    assert "layer-05" in sweep.arms
    assert sweep.results("layer-05", 1.0) == ()
