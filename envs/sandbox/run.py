"""Host side: one confined process, from the request to its report."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from dataclasses import asdict, dataclass
from numbers import Integral, Real
from typing import Any, Literal

from layergym.base.errors import InputError
from layergym.envs.sandbox.launch import Worker
from layergym.envs.sandbox.values import MAX_FRAME, frame, parsed, split_frame, to_frame

ProgramEnd = Literal["finished", "failed", "time", "output", "killed"]
_GRACE_S = 5.0  # for a worker to report what it has killed
_EXCESS = 16
_RANGES = {  # of each limit, smallest and largest
    "wall_s": (0.01, 86_400),
    "cpu_s": (1, 86_400),
    "memory_mb": (64, 2**20),
    "output_kb": (1, 2**20),
}
_SIGKILL, _SIGXCPU = -int(signal.SIGKILL), -int(signal.SIGXCPU)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run may use."""

    wall_s: float = 20.0
    """Seconds by the clock, from 0.01 to 86,400 (a day)."""
    cpu_s: int = 5
    """Whole seconds, from 1 to 86,400."""
    memory_mb: int = 512
    """Address space, in MiB, from 64 to 2**20; the interpreter and the modules count."""
    output_kb: int = 64
    """Output that is kept, in KiB, from 1 to 2**20; a run that writes 16 times as much is ended."""

    def __post_init__(self) -> None:
        """Check every limit.

        Raises:
            InputError: one is not a number, not whole, or out of range.
        """
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            kind = "a number" if name == "wall_s" else "a whole number"
            right = isinstance(value, Real if name == "wall_s" else Integral)
            if isinstance(value, bool) or not right or not low <= value <= high:
                raise InputError(f"the limit {name} must be {kind} from {low} to {high}: {value!r}")
            object.__setattr__(self, name, float(value) if name == "wall_s" else int(value))

    def doubled(self) -> Limits:
        """Twice the time, for who waits for another run as well as working."""
        most = {name: high for name, (_, high) in _RANGES.items()}
        wall_s, cpu_s = min(2 * self.wall_s, most["wall_s"]), min(2 * self.cpu_s, most["cpu_s"])
        return Limits(wall_s, int(cpu_s), self.memory_mb, self.output_kb)


@dataclass(frozen=True, slots=True)
class ProcessReport:
    """How a process ended."""

    ended: ProgramEnd
    status: int
    cpu_s: float

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        words = {
            "finished": "the program ended early, with exit code 0",
            "failed": f"the program ended early, with exit code {self.status}",
            "time": "the program ran over the time limit",
            "output": "the program wrote too much",
            "killed": f"the program was killed by signal {-self.status}",
        }
        return words[self.ended]


class WorkerRun:
    """One process in a worker. Leaving the `with` block ends it."""

    def __init__(self, worker: Worker, limits: Limits, *, keep_output: bool = False) -> None:
        """Have `worker` fork a process; its output is dropped unless `keep_output`."""
        self._worker = worker
        self._limits = limits
        self._deadline = time.monotonic() + limits.wall_s + _GRACE_S
        self._received = bytearray()
        self._output = bytearray()
        self._written = 0
        self._stopping = False
        self._report: ProcessReport | None = None
        self._channel, theirs = socket.socketpair()
        self._channel.setblocking(False)
        self._pipe, writer = os.pipe()
        os.set_blocking(self._pipe, False)
        self._open = {self._channel.fileno(), self._pipe}
        if not keep_output:
            os.close(writer)
            writer = os.open(os.devnull, os.O_WRONLY)
        request = json.dumps(asdict(limits)).encode() + b"\n"
        try:
            socket.send_fds(worker.control, [request], [theirs.fileno(), writer])
        except OSError:
            self._lose()
        finally:
            theirs.close()
            os.close(writer)

    def __enter__(self) -> WorkerRun:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process, if it has not ended, and wait for the worker's report."""
        self.stop()
        self.finish()
        self._channel.close()
        os.close(self._pipe)

    @property
    def output(self) -> str:
        """What it wrote, as far as it was kept."""
        kept = bytes(self._output).decode("utf-8", "replace")
        return kept if self._written <= len(self._output) else f"{kept}\n[output cut]"

    def send(self, message: Any) -> None:
        """Send a message; nothing happens when the process is gone.

        Raises:
            InputError: the message is too long, or cannot be JSON.
        """
        try:
            frame = to_frame(message)
        except (ValueError, TypeError, RecursionError) as error:
            raise InputError(f"too much for the sandbox: {error}") from error
        self._write(frame)

    def pass_on(self, body: bytes) -> None:
        """Send a message that another process has written, unread."""
        self._write(frame(body))

    def _write(self, data: bytes) -> None:
        left = memoryview(data)
        while left and self._report is None:
            try:
                left = left[self._channel.send(left) :]
            except BlockingIOError:
                self._wait(sending=True)
            except OSError:
                return

    def take(self) -> bytes | None:
        """Wait for a message, unread; None when the process ended without one, or wrote no frame.

        What comes before it is asked for stays with the process, above the length of a message.
        """
        while True:
            try:
                body = split_frame(self._received)
            except ValueError:
                self.stop()
                return None
            if body is not None or self._report is not None:
                return body
            self._wait()

    def receive(self) -> Any:
        """Wait for a message; None when the process ended without one, or broke the rules."""
        body = self.take()
        message = None if body is None else parsed(body)
        if message is None:
            self.stop()
        return message

    def finish(self) -> ProcessReport:
        """Wait for the end."""
        while self._report is None:
            self._wait()
        return self._report

    def stop(self) -> None:
        """Have the process killed; `finish` waits for it."""
        if self._report is None and not self._stopping:
            self._stopping = True
            with contextlib.suppress(OSError):
                self._worker.control.sendall(b"stop\n")

    # ---- events -----------------------------------------------------------------------------

    def _wait(self, *, sending: bool = False) -> None:
        """Wait for one event of the process, and take it in."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            self._lose()
            return
        control, channel = self._worker.control.fileno(), self._channel.fileno()
        full = len(self._received) > MAX_FRAME  # there is something to take; more must wait
        sources = self._open - {channel} if full else self._open
        poll = select.poll()
        for source in {control, *sources}:
            poll.register(source, select.POLLIN)
        if sending:
            poll.register(channel, select.POLLOUT | (select.POLLIN if channel in sources else 0))
        ready = {source for source, _ in poll.poll(1000 * left)}
        for source in ready & sources:
            self._take(source)
        if control in ready:
            self._end()

    def _take(self, source: int) -> bool:
        """Take in what has arrived; False when there was nothing."""
        try:
            part = os.read(source, 1 << 18)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            part = b""
        if not part:
            self._open.discard(source)
        elif source == self._pipe:
            self._keep(part)
        else:
            self._received += part
        return bool(part)

    def _keep(self, part: bytes) -> None:
        room = max(0, 1024 * self._limits.output_kb - len(self._output))
        self._output += part[:room]
        self._written += len(part)
        if self._wrote_too_much:
            self.stop()

    @property
    def _wrote_too_much(self) -> bool:
        return self._written > _EXCESS * 1024 * self._limits.output_kb

    def _end(self) -> None:
        """The process is gone: take the worker's report, and what is still under way."""
        try:
            said = self._worker.report()
        except (OSError, ValueError):
            said = {}
        if not said:
            self._lose()
            return
        self._report = ProcessReport(self._how(said), int(said["status"]), float(said["cpu_s"]))
        for source in list(self._open):
            while self._take(source):
                continue

    def _how(self, said: dict[str, Any]) -> ProgramEnd:
        status = said["status"]
        over_cpu = status == _SIGKILL and said["cpu_s"] >= self._limits.cpu_s
        if said["timed_out"] or status == _SIGXCPU or over_cpu:
            return "time"
        if self._wrote_too_much:
            return "output"
        if status < 0:
            return "killed"
        return "failed" if status else "finished"

    def _lose(self) -> None:
        """The worker is gone or does not answer: it cannot be used again."""
        self._worker.usable = False
        self._report = ProcessReport("killed", _SIGKILL, 0.0)
