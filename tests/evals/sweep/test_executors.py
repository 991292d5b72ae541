"""Executors: the same runs, wherever they are executed."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from layergym.base.files import read_json
from layergym.envs import InputError
from layergym.evals.result_files import read_sweep
from layergym.evals.sweep.executors import job as jobs_module
from layergym.evals.sweep.executors.bank import banks
from layergym.evals.sweep.executors.choose import open_executor
from layergym.evals.sweep.executors.devices import GpuSeat
from layergym.evals.sweep.executors.job import work
from layergym.evals.sweep.executors.launch import Launch
from layergym.evals.sweep.executors.processes import Processes, cores, threads_each
from layergym.evals.sweep.executors.ray import RayTasks, _run, pack_folder, unpack_folder
from layergym.evals.sweep.folder import run_sweep, write_sweep
from layergym.evals.sweep.jobs import SweepJob
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.run_folder import finished
from layergym.evals.sweep.spec import SweepSpec

SweepOf = Callable[..., SweepSpec]


def sweep_over(sweep_of: SweepOf, *layers: int, steps: int = 2) -> SweepSpec:
    return replace(sweep_of(steps), layers=layers)


def jobs_of(spec: SweepSpec, folder: Path) -> list[SweepJob]:
    return [SweepJob(arm, spec.eval) for arm in resolve(spec, folder).runs]


@pytest.fixture(scope="module")
def apart(sweep_of: SweepOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep by separate processes on two devices."""
    spec, folder = sweep_over(sweep_of, 3, 5), tmp_path_factory.mktemp("apart")
    write_sweep(spec, folder)
    assert (
        run_sweep(
            resolve(spec, folder), Processes(2, devices=(GpuSeat("5", 0.5), GpuSeat("7", 0.5)))
        )
        == []
    )
    return folder


def test_each_run_has_a_gpu_of_its_own(apart: Path) -> None:
    manifests = [read_json(path) for path in apart.glob("arms/*/*/manifest.json")]
    assert {value["machine"]["gpus"] for value in manifests} == {"5", "7"}


def test_what_can_share_a_bank_does_and_keeps_its_place(sweep_of: SweepOf, tmp_path: Path) -> None:
    spec = replace(sweep_of(), layers=(0, 3, 5), extra=("middle:2",))
    found = [[job.arm.name for job in bundle] for bundle in banks(jobs_of(spec, tmp_path))]
    assert found == [["base"], ["full"], ["layer-00", "layer-03", "layer-05", "middle-2"]]
    _, full, *layers = jobs_of(spec, tmp_path)
    mixed = [full, replace(layers[0], look=2), layers[1], replace(layers[2], look=2)]
    found = [[job.arm.name for job in bundle] for bundle in banks(mixed)]
    assert found == [["full"], ["layer-00", "layer-05"], ["layer-03"]]


def test_a_run_of_a_sweep_reports_to_trackers(sweep_of: SweepOf, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    _, full, *_ = jobs_of(sweep_of(1), tmp_path)
    work([replace(full, report_to=("tensorboard",))])
    assert list(full.folder.rglob("events.out.tfevents.*"))


def test_a_run_is_never_done_by_two_processes(
    sweep_of: SweepOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "LOCK_S", 0.01)
    base, *_ = jobs_of(sweep_of(), tmp_path)
    base.folder.mkdir(parents=True)
    with (
        FileLock(base.folder / ".lock", is_singleton=False),
        pytest.raises(InputError, match="is held by another process"),
    ):
        work((base,))
    work((base,))
    assert finished(base.folder)


def test_a_run_elsewhere_is_brought_back_whole(sweep_of: SweepOf, tmp_path: Path) -> None:
    base, *_ = jobs_of(sweep_of(), tmp_path / "here")
    (base.folder / "old").mkdir(parents=True)
    files = _run(base, pack_folder(base.folder))
    assert files is not None and not finished(base.folder)
    unpack_folder(files, base.folder)
    assert finished(base.folder) and (base.folder / "old").is_dir()
    assert len(list((base.folder / "evals").glob("*.json"))) == 3
    assert [path.name for path in base.folder.parent.iterdir()] == [base.folder.name]


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(InputError, match=r'"slurm".*auto'):
        Launch(on="slurm")  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [{"ray_address": "auto"}, {"cpus": 2}, {"gpus": 1}])
def test_what_only_ray_uses_is_refused_elsewhere(given: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="--on ray"):
        Launch(**given)
    Launch(on="ray", **given)


@pytest.mark.parametrize(
    ("launch", "sampler"),
    [
        (Launch(on="bank"), "vllm"),
        (Launch(on="bank"), "vllm@http://127.0.0.1:9"),
        (Launch(on="ray"), "vllm@http://127.0.0.1:9"),
        (Launch(jobs=2), "vllm@http://127.0.0.1:9"),
    ],
)
def test_where_a_sampler_cannot_work_is_refused(
    sweep_of: SweepOf, tmp_path: Path, launch: Launch, sampler: str
) -> None:
    spec = sweep_of()
    spec = replace(spec, run=replace(spec.run, sampler=sampler))
    with pytest.raises(InputError, match=r"vllm|vLLM"):
        open_executor(launch, resolve(spec, tmp_path))
    assert not list(tmp_path.iterdir())


def test_runs_that_share_a_server_take_turns(sweep_of: SweepOf, tmp_path: Path) -> None:
    spec = sweep_of()
    spec = replace(spec, run=replace(spec.run, sampler="vllm@http://127.0.0.1:9"))
    for on in ("processes", "auto"):
        assert "1 at a time" in str(open_executor(Launch(on=on), resolve(spec, tmp_path)))


def test_a_bank_leaves_what_separate_runs_leave(
    sweep_of: SweepOf, apart: Path, tmp_path: Path
) -> None:
    spec = sweep_over(sweep_of, 3, 5)
    write_sweep(spec, tmp_path)
    assert run_sweep(resolve(spec, tmp_path), Processes(2, bundle=banks)) == []
    for one, other in zip(read_sweep(apart).runs, read_sweep(tmp_path).runs, strict=True):
        assert (one.arm, one.evals) == (other.arm, other.evals)
        assert [row["step"] for row in one.metrics] == [row["step"] for row in other.metrics]
        for row, same in zip(one.metrics, other.metrics, strict=True):
            assert row["reward"] == pytest.approx(same["reward"])


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without processors and two workers with one each, as raylets of their own."""
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"object_store_memory": 80 * 2**20, "include_dashboard": False}
    found: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **small})
    found.workers = [found.add_node(num_cpus=1, **small) for _ in range(2)]
    yield found
    found.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray leaves sockets and files open.
def test_ray_goes_on_when_a_machine_is_lost(
    sweep_of: SweepOf, tmp_path: Path, cluster: Any
) -> None:
    spec = sweep_over(sweep_of, 3, 5, steps=5)
    write_sweep(spec, tmp_path)
    tasks = RayTasks(tmp_path, address=cluster.address, cpus=1, gpus=0)
    assert "3 nodes, one folder for all" in tasks.about
    lost: list[str] = []

    def lose_a_machine() -> None:
        going = [p for p in tmp_path.glob("arms/*/*/metrics.jsonl") if p.stat().st_size]
        if going and not lost:
            lost.extend(path.parent.parent.name for path in going)
            cluster.remove_node(cluster.workers[0], allow_graceful=False)

    assert run_sweep(resolve(spec, tmp_path), tasks, on_poll=lose_a_machine) == []
    assert lost
    sweep = read_sweep(tmp_path)
    assert sweep.arms == ("base", "full", "layer-03", "layer-05")
    for run in sweep.runs:
        assert finished(run.path) and not list(run.path.glob("checkpoint-*"))
        assert len(run.evals) == (3 if run.arm == "base" else 2)
        steps = [] if run.arm == "base" else [1, 2, 3, 4, 5]
        assert [row["step"] for row in run.metrics] == steps


@pytest.mark.parametrize("slots", [1, 2, 1000])
def test_runs_share_the_cores_and_keep_to_a_limit_that_is_set(
    monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    share = max(1, cores() // slots)
    for asked in ("", "0", "4,2", "9999"):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert threads_each(slots) == share
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads_each(slots) == share
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_each(slots) == 1
