"""`layergym doctor`: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from packaging.requirements import Requirement

from layergym.base.errors import InputError
from layergym.base.needed import needed
from layergym.command.console import Output, add_output, output

EXAMPLES = """
examples:
  layergym doctor              the first thing to run, and to paste into a report of a fault
  layergym doctor --json       the same, a line for each finding
"""
Health = Literal["good", "missing", "bad"]
"""It is there; it is not, and only some things need it; nothing works without it."""
_COLOURS: Mapping[str, str] = {"good": "green", "missing": "yellow", "bad": "red"}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was looked at."""

    what: str
    health: Health
    text: str
    """What is there, or what to do."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Print every finding; 1 where something is bad, which nothing can do without."""
    out = output(args)
    findings = [
        Diagnosis("python", "good", f"{platform.python_version()} on {platform.platform()}"),
        *packages(needed()),
        *extras(),
        alfworld(),
        *devices(),
        isolation(),
        model(),
        plugins(),
    ]
    _print(findings, out)
    return int(any(finding.health == "bad" for finding in findings))


def packages(wanted: Sequence[str]) -> Iterator[Diagnosis]:
    """Whether required packages are there, in versions that were tried.

    Args:
        wanted: requirements as in package metadata, such as "torch<2.16,>=2.11".
    """
    for requirement in map(Requirement, wanted):
        name, range_ = requirement.name, str(requirement.specifier)
        try:
            there = version(name)
        except PackageNotFoundError:
            yield Diagnosis(name, "bad", f"not installed: pip install '{name}{range_}'")
            continue
        if requirement.specifier.contains(there, prereleases=True):
            yield Diagnosis(name, "good", there)
        else:
            yield Diagnosis(name, "missing", f"{there} was not tried: pip install '{name}{range_}'")


def extras() -> Iterator[Diagnosis]:
    """Each extra of this package: there, or how to get it; `alfworld` says more of its own."""
    wanted: dict[str, set[str]] = {}
    for requirement in map(Requirement, requires("layergym") or ()):
        for extra in _extras_of(str(requirement.marker or "")):
            wanted.setdefault(extra, set()).add(requirement.name)
    for extra in sorted(wanted.keys() - {"all", "alfworld"}):
        lacking = sorted(name for name in wanted[extra] if not _installed(name))
        command = f"pip install 'layergym[{extra}]'"
        text = f"needs {', '.join(lacking)}: {command}" if lacking else "installed"
        yield Diagnosis(f"extra {extra}", "missing" if lacking else "good", text)


def alfworld() -> Diagnosis:
    """Whether alfworld's own engine is there, which ours is compared with."""
    from layergym.envs.alfworld.reference import parts_lacking

    if not (lacking := parts_lacking()):
        return Diagnosis("alfworld's engine", "good", "--env-arg engine=alfworld")
    text = (
        f"needs {', '.join(lacking)}: pip install 'layergym[alfworld]', with a C++ compiler and "
        "cmake; alfworld-v0 is whole without it"
    )
    return Diagnosis("alfworld's engine", "missing", text)


def devices() -> Iterator[Diagnosis]:
    """What models can compute on here; nothing without torch, whose lack is told elsewhere."""
    if not _installed("torch"):
        return
    import torch

    from layergym.agents.models.compute import choose_device, fast_bfloat16, mps_available

    cores = os.cpu_count() or 1
    fast = "bfloat16 and float32" if fast_bfloat16(torch.device("cpu")) else "float32"
    yield Diagnosis("cpu", "good", f"{cores} cores; computes in {fast}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(index)
            gigabytes = about.total_memory / 2**30
            yield Diagnosis(f"gpu {index}", "good", f"{about.name}, {gigabytes:.0f} GiB")
    elif shutil.which("nvidia-smi"):
        text = f"there is one, but torch {torch.__version__} cannot use it: see pytorch.org"
        yield Diagnosis("gpu", "missing", text)
    else:
        yield Diagnosis("gpu", "missing", "none; small models train on the CPU")
    if mps_available():
        yield Diagnosis("mps", "good", "Apple's GPU: --device mps")
    yield Diagnosis("device", "good", f'"auto" is {choose_device().type}')


def isolation() -> Diagnosis:
    """The strongest isolation of model-written code that works here."""
    from layergym.envs.sandbox import ISOLATIONS
    from layergym.envs.sandbox.launch import start_worker

    try:
        worker = start_worker("auto", (), "")
    except InputError as error:
        return Diagnosis("isolation", "missing", f"code-v0 cannot be played: {error}")
    worker.close()
    stronger = ISOLATIONS[: ISOLATIONS.index(worker.isolation)]
    hint = f"; stronger, where installed: {', '.join(stronger)}" if stronger else ""
    return Diagnosis("isolation", "good", f"{worker.isolation}{hint}")


def model() -> Diagnosis:
    """Whether the small pretrained model was fetched."""
    from layergym.agents.models.pull import pulled

    if folder := pulled("smollm2"):
        return Diagnosis("smollm2", "good", str(folder))
    return Diagnosis("smollm2", "missing", "not fetched: layergym pull smollm2")


def plugins() -> Diagnosis:
    """Whether what other packages announce can be loaded."""
    import layergym
    from layergym.agents.contexts import CONTEXTS
    from layergym.agents.formats import FORMATS
    from layergym.envs.registry import load_plugins

    causes = (*load_plugins(), *CONTEXTS.troubles(), *FORMATS.troubles())
    troubles = "; ".join(map(str, causes))
    text = troubles or f"{len(layergym.ids())} environments"
    return Diagnosis("plug-ins", "missing" if troubles else "good", text)


def _extras_of(marker: str) -> list[str]:
    return [part.split('"')[1] for part in marker.split("extra == ")[1:]]


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _shown(findings: Sequence[Diagnosis]) -> Iterator[Diagnosis]:
    """Findings with all good packages in one line, where a person looks for what is amiss."""
    names = {Requirement(text).name for text in needed()}
    good = [f"{f.what} {f.text}" for f in findings if f.what in names and f.health == "good"]
    yield Diagnosis("packages", "good", ", ".join(good))
    yield from (f for f in findings if not (f.what in names and f.health == "good"))


def _print(findings: Sequence[Diagnosis], out: Output) -> None:
    from rich.table import Table
    from rich.text import Text

    from layergym.base.texts import printable

    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        out.record(event="finding", **asdict(finding))
    for finding in _shown(findings):
        colour = _COLOURS[finding.health]
        words = (finding.what, finding.health, finding.text)
        first, second, third = (printable(word) for word in words)
        table.add_row(Text(first), Text(second, colour), Text(third))
    out.show(table)
