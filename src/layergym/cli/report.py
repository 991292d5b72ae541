"""`layergym report`: from run folders alone, at any time."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """
examples:
  layergym report runs/demo                          on the terminal
  layergym report runs/demo --html                   and one self-contained page
  layergym report runs/gigpo runs/grpo --html --out runs/both     how stable is the ranking?
  layergym report published.csv                      a table of per-layer scores
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("runs", nargs="+", type=Path, help="sweep folders, or CSV tables")
    for name in ("html", "json", "md"):
        parser.add_argument(f"--{name}", action="store_true", help=f"also write report.{name}")
    parser.add_argument("--out", type=Path, help="where to write (default: FIRST/report)")


def run(args: argparse.Namespace) -> int:
    """Show the report and write the files that were asked for."""
    from layergym.evals.report import build, show, write_report

    show(build(args.runs))
    formats = [name for name in ("html", "json", "md") if getattr(args, name)]
    if formats:
        first: Path = args.runs[0]
        out = args.out or (first / "report" if first.is_dir() else first.with_suffix(""))
        for file in write_report(args.runs, out, formats):
            print(file)
    return 0
