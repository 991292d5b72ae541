"""Wrong, damaged and hostile input, tried by what it is; one table of how much was badly met.

    python -m benchmarks.robustness                        # a part of everything, some minutes
    python -m benchmarks.robustness cli --every 5          # one of them, every fifth case
    python -m benchmarks.robustness kills --only sweep --kills 20

The exit code is 1 if anything was badly met.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from benchmarks.robustness.tables import Counted, counted, summary

SMALL = {
    "sandbox": "--every 12",
    "cli": "--every 100",
    "files": "--only eval train --every 120",
    "servers": "--every 20",
    "envs": "--every 60",
    "kills": "--only eval publish --kills 3",
    "twice": "--only eval publish --times 1",
    "full": "--only eval publish --sizes 2",
}
"""The kinds of input, each with the part of it that is tried where none is chosen."""


def parser() -> argparse.ArgumentParser:
    """Every kind with its own options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__)
    made.formatter_class = argparse.RawDescriptionHelpFormatter
    kinds = made.add_subparsers(dest="kind", metavar="KIND")
    for name in SMALL:
        module = importlib.import_module(f"benchmarks.robustness.{name}")
        text = (module.__doc__ or "").splitlines()[0]
        below = kinds.add_parser(name, help=text, description=text)
        module.add_arguments(below)
        below.set_defaults(tables=module.tables)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Try what is chosen, print every case that was badly met, and the table."""
    lines = parser()
    chosen = lines.parse_args(argv)
    small = [lines.parse_args([name, *part.split()]) for name, part in SMALL.items()]
    found: list[Counted] = []
    for options in [chosen] if chosen.kind else small:
        found += map(counted, options.tables(options))
    print(f"\n{summary(found)}")
    return int(any(one.bad for one in found))


if __name__ == "__main__":
    sys.exit(main())
