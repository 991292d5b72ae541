"""`layergym report`: from run folders alone, at any time."""

from __future__ import annotations

import argparse
from pathlib import Path

from layergym import InputError
from layergym.base.hub import on_hub
from layergym.command.console import add_output, output
from layergym.command.values import text

EXAMPLES = """
examples:
  layergym report runs/demo                          on the terminal
  layergym report runs/demo --html                   and one self-contained page
  layergym report runs/demo --png                    and the contribution plot as a picture
  layergym report runs/gigpo runs/grpo --html --out runs/both     how stable is the ranking?
  layergym report published.csv                      a table of per-layer scores
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=Path,
        help="folders of sweeps, runs or evaluations, profile.json files, CSV tables",
    )
    from layergym.evals.report.write import FORMATS

    for name in (name for name in FORMATS if name != "json"):
        parser.add_argument(
            f"--{name}",
            action="append_const",
            dest="formats",
            const=name,
            help=f"also write report.{name}, beside report.json",
        )
    parser.add_argument("--out", type=text, help="where to write (default: FIRST/report)")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Show the report and write the files that were asked for."""
    from layergym.evals.report.build import build
    from layergym.evals.report.render.as_json import as_values
    from layergym.evals.report.render.terminal import show
    from layergym.evals.report.write import by_format, write_report

    if args.out and not args.formats:
        raise InputError("--out is where files go; say which: --html, --md, --png or --txt")
    out = output(args)
    report = build(args.runs)
    show(report, out.results)
    files: dict[str, Path] = {}
    if args.formats:
        first: Path = args.runs[0]
        if args.out is None and on_hub(first):
            raise InputError("where to write? give --out FOLDER")
        folder = (
            Path(args.out)
            if args.out
            else (first / "report" if first.is_dir() else first.with_suffix(""))
        )
        files = by_format(write_report(report, folder, ["json", *args.formats]))
        for file in files.values():
            out.show(str(file))
    out.record(event="report", files=files, **as_values(report))
    return 0
