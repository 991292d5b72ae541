"""Runs as Ray tasks, on this machine or on a cluster (extra: `pip install layergym[ray]`).

Every node needs layergym installed. Where all nodes see the sweep's folder under the same path (a
shared file system), runs write into it, and a run whose machine is lost goes on from its last
checkpoint on another. Elsewhere a run works in a folder of its own node and is brought back when
it is over; a lost one begins again where it was last brought back. Either way the folder's lock,
or the return of one attempt only, keeps two attempts from being counted.
"""

from __future__ import annotations

import io
import os
import secrets
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from layergym.base.errors import InputError
from layergym.base.texts import short
from layergym.evals.sweep.executors.job import JobResult, why, work
from layergym.evals.sweep.jobs import SweepJob

RETRIES = 3
"""How often a run is started again after its machine or process was lost."""
CANCEL_S = 10.0
KNOCK_S = 10.0


class RayTasks:
    """One Ray task per run."""

    def __init__(
        self, folder: Path, *, address: str | None, cpus: float, gpus: float | None
    ) -> None:
        """Connect to a cluster, or start one on this machine.

        Args:
            folder: of the sweep.
            address: of the cluster's head ("host:6379", "auto"); None: RAY_ADDRESS, or this
                machine alone.
            cpus: processors that one run occupies.
            gpus: GPUs that one run occupies; parts are possible. None: one where any node has some.
                Ray does not hide GPUs from a task that asks for none: all would use the first.

        Raises:
            InputError: Ray is not installed, the cluster does not answer, or none of its nodes has
                what one run occupies.
        """
        self._ray = _connect(address)
        if gpus is None:
            gpus = float(self._ray.cluster_resources().get("GPU", 0) > 0)
        _check_room(self._ray, cpus, gpus)
        self._shared = _shared(self._ray, folder.resolve())
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": RETRIES, "max_calls": 1}
        self._task = self._ray.remote(**options)(_run)
        self._jobs: dict[Any, SweepJob] = {}

    @property
    def about(self) -> str:
        """The cluster in a few words."""
        nodes = sum(node["Alive"] for node in self._ray.nodes())
        files = "one folder for all" if self._shared else "runs are brought back"
        return f"{nodes} node{'s' * (nodes > 1)}, {files}"

    @property
    def running(self) -> set[Path]:
        """Folders of the jobs that were handed over; Ray starts them as resources allow."""
        return {job.folder for job in self._jobs.values()}

    def offer(self, jobs: Sequence[SweepJob]) -> None:
        """Hand over all of `jobs`; the queue is Ray's."""
        running = self.running
        for job in jobs:
            if job.folder not in running:
                here = _at(job, job.folder.resolve())
                files = None if self._shared else pack_folder(job.folder)
                self._jobs[self._task.remote(here, files)] = job

    def ended(self) -> list[JobResult]:
        """Jobs that ended since this was asked last; what ran elsewhere is brought back."""
        if not self._jobs:
            return []
        refs = list(self._jobs)
        over, _ = self._ray.wait(refs, num_returns=len(refs), timeout=0)
        return [self._reap(ref, self._jobs.pop(ref)) for ref in over]

    def close(self) -> None:
        """Cancel what is under way and leave the cluster."""
        for ref in self._jobs:
            self._ray.cancel(ref, force=True)
        if self._jobs:
            self._ray.wait(list(self._jobs), num_returns=len(self._jobs), timeout=CANCEL_S)
        self._jobs.clear()
        self._ray.shutdown()

    def _reap(self, ref: Any, job: SweepJob) -> JobResult:
        try:
            files = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            return JobResult(job, why(job, str(cause).strip().splitlines()[-1]))
        if files is not None:
            unpack_folder(files, job.folder)
        return JobResult(job)


def pack_folder(folder: Path) -> bytes:
    """All files of a run folder as one archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        if folder.is_dir():
            archive.add(folder, arcname=".")
    return buffer.getvalue()


def unpack_folder(files: bytes, folder: Path) -> None:
    """Make `folder` hold the files of an archive and no others."""
    new = folder.with_name(f".{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(files)) as archive:
        archive.extractall(new, filter="data")
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _run(job: SweepJob, files: bytes | None) -> bytes | None:
    """The task: in place where `files` is None, else on a copy that is returned."""
    if files is None:
        work((job,))
        return None
    with tempfile.TemporaryDirectory(prefix="layergym-") as place:
        folder = Path(place) / "run"
        unpack_folder(files, folder)
        work((_at(job, folder),))
        return pack_folder(folder)


def _at(job: SweepJob, folder: Path) -> SweepJob:
    return replace(job, arm=replace(job.arm, folder=folder))


def _connect(address: str | None) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError("Ray is not installed: pip install 'layergym[ray]'") from None
    where = address or os.environ.get("RAY_ADDRESS") or "local"
    try:
        _check_head(where)
        ray.init(address=where, include_dashboard=False, log_to_driver=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"no Ray cluster answers at {short(where)}: {short(str(error), 200)}; "
            "start one, or mend --ray-address"
        ) from None
    return ray


def _check_head(address: str) -> None:
    """Knock at a cluster's head: Ray itself would go on trying for minutes.

    Raises:
        OSError: nobody answers there.
        ValueError: the address cannot be read.
    """
    place = address.removeprefix("ray://")
    if ":" in place:
        parts = urlsplit(f"//{place}")
        socket.create_connection((parts.hostname or "", parts.port or 0), KNOCK_S).close()


def _check_room(ray: Any, cpus: float, gpus: float) -> None:
    """Refuse runs that no node could take: Ray would let them wait for ever."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(has.get("CPU", 0) >= cpus and has.get("GPU", 0) >= gpus for has in nodes):
        ray.shutdown()
        raise InputError(
            f"no node of the Ray cluster has {cpus:g} processors and {gpus:g} GPUs for one run; "
            "lower --cpus-per-run or --gpus-per-run, or add such a node first"
        )


def _shared(ray: Any, folder: Path) -> bool:
    """Whether every node of the cluster finds the same files in `folder`."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token, path = secrets.token_hex(), folder / ".ray"

    def sees() -> bool:  # A closure travels by value: the node need not import layergym for it.
        return path.is_file() and path.read_text() == token

    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(token)
    try:
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        asked = [
            ray.remote(num_cpus=0)(sees)
            .options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
            .remote()
            for node in nodes
        ]
        return all(ray.get(asked))
    finally:
        path.unlink()
