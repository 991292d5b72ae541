"""Run one command of layergym in a forked child of this process, and say how it ended.

The child has imported everything already, so hundreds of commands take minutes and not hours.
"""

from __future__ import annotations

import importlib
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.robustness.tables import Verdict

SENTENCE = 600
MEMORY = 6 << 30


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int | None
    """None: it did not end in time."""
    out: str
    err: str

    @property
    def traceback(self) -> bool:
        """Whether Python's own words were printed."""
        return "Traceback (most recent" in self.err + self.out


class Child:
    """A command that runs; its working folder is `folder`."""

    def __init__(self, argv: Sequence[str], folder: Path) -> None:
        """Start `layergym ARGV` in a forked child, which leads a group of processes of its own."""
        importlib.import_module("layergym.__main__")
        self._texts = [tempfile.TemporaryFile("w+b") for _ in (1, 2)]  # noqa: SIM115
        sys.stdout.flush()
        sys.stderr.flush()
        self._number = os.fork()
        if self._number == 0:
            os.setsid()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            for place, text in enumerate(self._texts, start=1):
                os.dup2(text.fileno(), place)
            _own_streams()
            _be(lambda: _main(argv, folder))

    def stopped(self, after_s: float, by: Sequence[int], limit_s: float) -> tuple[bool, Ended]:
        """Send signals after a while, as a terminal does: to all that the command started.

        Whether it had ended by itself, and how it ended.
        """
        if (code := _awaited(self._number, after_s)) is not None:
            return True, self._said(code)
        for number in by:
            with suppress(ProcessLookupError):
                os.killpg(self._number, number)
            time.sleep(0.05)
        return False, self.ended(limit_s)

    def ended(self, limit_s: float) -> Ended:
        """How it ended; what has not by then is killed with all that it started."""
        code = _awaited(self._number, limit_s)
        if code is None:
            os.killpg(self._number, signal.SIGKILL)
            os.waitpid(self._number, 0)
        return self._said(code)

    def _said(self, code: int | None) -> Ended:
        said = []
        for text in self._texts:
            with text:
                text.seek(0)
                said.append(text.read().decode("utf-8", "replace"))
        return Ended(code, *said)


def forked(argv: Sequence[str], folder: Path, limit_s: float) -> Ended:
    """Run `layergym ARGV` in a child whose working folder is `folder`."""
    return Child(argv, folder).ended(limit_s)


def _own_streams() -> None:
    """Read and write as a new interpreter does, whatever the parent has in their place."""
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115


def _main(argv: Sequence[str], folder: Path) -> int:
    from layergym.__main__ import main

    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    return main(list(argv))


def _be(call: Callable[[], int]) -> None:
    """End this child as the interpreter would."""
    code = 1
    try:
        code = call()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _awaited(child: int, limit_s: float) -> int | None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


def warm() -> None:
    """Import what commands import, once, before children are forked."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import layergym.evals.sweep.folder
    import layergym.trainer.run
    import layergym.trainer.warmup.warmup  # noqa: F401


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below `folder`, with sizes and times of the last change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        changed = 0 if path.is_dir() else about.st_mtime_ns
        found[str(path.relative_to(folder))] = (about.st_size * path.is_file(), changed)
    return found


def broken(ended: Ended) -> Verdict | None:
    """How a command failed to end by itself; None where it did end."""
    if ended.code is None:
        return "hang"
    if ended.traceback:
        return "traceback"
    if ended.code < 0:
        return "killed"
    return None


def last_line(ended: Ended) -> str:
    """What was said last on standard error: the refusal, if there is one."""
    return (ended.err.strip().splitlines() or [""])[-1]


def in_a_sentence(ended: Ended) -> bool:
    """Whether what was said last is one line of ours, and no longer than a sentence."""
    last = last_line(ended)
    return last.startswith("layergym") and len(last) <= SENTENCE


def refusal(ended: Ended, wrote: bool) -> Verdict:
    """The verdict on a command that ought to have been refused."""
    if failed := broken(ended):
        return failed
    if ended.code != 2:
        return "accepted"
    if wrote:
        return "wrote"
    return "clear" if in_a_sentence(ended) else "long"
