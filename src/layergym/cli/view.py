"""`layergym view`: a page to browse runs, sweeps and evaluations in."""

from __future__ import annotations

import argparse
from pathlib import Path

from layergym import InputError
from layergym.command.console import add_output, output
from layergym.command.values import text, whole

EXAMPLES = """
examples:
  layergym view runs                          all that is in a folder, at http://127.0.0.1:8600
  layergym view runs/demo --port 0            one sweep, at any free port
  layergym view runs/demo --out page.html     one self-contained file, to send to somebody

The page follows runs that go on. It is for this machine alone; from elsewhere, forward the port:
ssh -L 8600:127.0.0.1:8600 MACHINE
"""
PORT = 8600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs",
        nargs="+",
        type=text,
        help="folders of sweeps, runs or evaluations, or folders that hold some",
    )
    parser.add_argument(
        "--port", type=whole(0, 65535), default=PORT, help=f"where to listen (default {PORT})"
    )
    parser.add_argument("--out", type=text, metavar="FILE", help="write the page to a file instead")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until it is interrupted, or write it."""
    from layergym.base.files import write_text
    from layergym.cli.browse.library import Library
    from layergym.cli.browse.page import page_in_one_file
    from layergym.cli.browse.server import PageServer

    out = output(args)
    library = Library([Path(name) for name in args.runs])
    folders = "1 folder" if len(library) == 1 else f"{len(library)} folders"
    if args.out:
        file = _new_file(Path(args.out))
        write_text(file, page_in_one_file(library.everything()))
        out.show(f"{folders}: {file}")
        out.record(event="page", folders=len(library), path=file)
        return 0
    with PageServer(library, args.port) as server:
        out.show(f"{folders}: {server.address} (Ctrl-C ends it)")
        out.record(event="serving", folders=len(library), address=server.address)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            out.note("stopped")
    return 0


def _new_file(path: Path) -> Path:
    if path.exists():
        raise InputError(f"{path} is there already; give another --out")
    if not path.absolute().parent.is_dir():
        raise InputError(f"{path.parent} is not a folder; give another --out")
    return path
