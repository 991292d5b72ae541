"""Where layergym installs from wheels alone, so without a compiler: a table for docs/install.md.

    pip install uv && python benchmarks/installs.py                  # the package itself
    python benchmarks/installs.py --extras                           # and each extra

uv resolves all requirements for a platform and a Python that need not be here, with wheels only.
pip then confirms, package by package, that the registry has a wheel for them (`--dry-run` reads
metadata, `--only-binary=:all:` refuses sources). The machine's own settings of both are ignored.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.11", "3.12", "3.13")


@dataclass(frozen=True, slots=True)
class Platform:
    """A kind of machine, as uv and as pip call it."""

    name: str
    uv: str
    pip: tuple[str, ...]


PLATFORMS = (
    Platform(
        "Linux x86_64",
        "x86_64-manylinux_2_28",
        (*(f"manylinux_2_{minor}_x86_64" for minor in range(5, 29)), "manylinux2014_x86_64"),
    ),
    Platform(
        "macOS arm64",
        "aarch64-apple-darwin",
        ("macosx_13_0_arm64", "macosx_12_0_arm64", "macosx_11_0_arm64", "macosx_10_13_universal2"),
    ),
    Platform("Windows amd64", "x86_64-pc-windows-msvc", ("win_amd64",)),
)


def resolve(platform: Platform, python: str, extra: str = "") -> tuple[list[str], str]:
    """What would be installed, as NAME==VERSION; else nothing, and the package without a wheel."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-config"]
    command += ["--no-header", "--no-annotate", "--only-binary", ":all:"]
    command += ["--python-platform", platform.uv, "--python-version", python]
    command += [*(["--extra", extra] if extra else []), str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lacking = sorted(set(re.findall(r"Wheels are required for `([\w.-]+)`", done.stderr)))
        return [], ", ".join(lacking) or done.stderr.strip()
    return done.stdout.split("\n")[:-1], ""


def confirm(pins: Sequence[str], platform: Platform, python: str) -> str:
    """What pip says where it finds no wheel of a pin; nothing where it finds all."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder, "pins.txt")
        listed.write_text("\n".join(pins))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
        # uv has seen to it that each pin admits this Python; pip asks the one that it runs in.
        command += ["--ignore-requires-python", "--disable-pip-version-check"]
        command += ["--only-binary=:all:", "--target", folder, "--implementation", "cp"]
        command += ["--python-version", python, "--requirement", str(listed)]
        command += [part for tag in platform.pip for part in ("--platform", tag)]
        own = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        done = subprocess.run(
            command, capture_output=True, text=True, env={**own, "PIP_CONFIG_FILE": os.devnull}
        )
    return done.stderr.strip().split("\n")[-1] if done.returncode else ""


def rows(extras: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Rows of the table: what, where, which Python, and what came of it."""
    for extra in ("", *extras):
        for platform in PLATFORMS:
            for python in PYTHONS if not extra else ("3.12",):
                pins, lacking = resolve(platform, python, extra)
                found = lacking and f"no wheel of {lacking}"
                if pins and not extra:
                    found = confirm(pins, platform, python)
                what = f"layergym[{extra}]" if extra else "layergym"
                yield what, platform.name, python, found or f"{len(pins)} wheels"


def main() -> None:
    """Print the table, a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--extras", action="store_true", help="each extra as well")
    extras: Sequence[str] = ()
    if parser.parse_args().extras:
        about = tomllib.loads((ROOT / "pyproject.toml").read_text())
        extras = sorted(about["project"]["optional-dependencies"])
    print("| what | platform | Python | resolved |\n|---|---|---|---|")
    for row in rows(extras):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
