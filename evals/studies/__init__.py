"""Questions after a sweep, one file each.

A study is one file: its command's arguments, what it does, what it keeps on disk, and its section
of the report. To add one, write `evals/studies/NAME.py`; no other file is edited. The
first line of its docstring says what the command does; the rest says what is asked, how it is
answered, and which files the study keeps in the sweep's folder::

    '''Count a sweep's runs.'''  # What `layergym --help` says about it.

    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from layergym.command.console import Output
    from layergym.evals.report.model import Section, Text
    from layergym.evals.report.study import Finished, Study
    from layergym.evals.result_files import read_sweep

    EXAMPLES = "examples: layergym NAME runs/sweep"


    def add_arguments(parser: ArgumentParser) -> None:
        parser.add_argument("sweep", type=Path, help="sweep folder")


    def run(args: Namespace, out: Output) -> None:
        sweep = read_sweep(args.sweep)
        out.show(f"{len(sweep.runs)} runs")  # What was found, for people,
        out.record(event="runs", count=len(sweep.runs))  # and with --json.


    def sections(finished: Finished) -> tuple[Section, ...]:
        text = Text(f"{len(finished.sweep.runs)} runs.")
        return (Section("Runs", (text,)),)  # () where the study was not carried out.


    STUDY = Study(examples=EXAMPLES, add_arguments=add_arguments, run=run, of_sweep=sections)

Then `layergym NAME` is a command (`--json` and `--quiet` come by themselves), and every report on a
sweep has the section. A study of several sweeps gives `over_sweeps`, as `bases.py` does. One that
trains begins a sweep folder and returns `Begun`, as `compare.py` does.

Reports import every study. So torch, and what imports it (`agents`, `trainer`, `evals/sweep`,
`evals/score`), is imported inside the functions that compute, never at the top of the file.
Arithmetic that is long, or of use elsewhere, belongs in `evals/score/` or `evals/stats/`.

A study in another package is announced by its entry point::

    [project.entry-points."layergym.studies"]
    NAME = "package.module:STUDY"
"""
