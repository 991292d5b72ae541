"""Wrong command lines: every one is to be refused in a sentence, with exit code 2 and no file."""

from __future__ import annotations

import argparse
import functools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.robustness.children import Ended, files_of, forked, refusal, warm
from benchmarks.robustness.tables import Case, Table, add_part, part
from benchmarks.robustness.wrong import ALONE, COMMANDS, FINE, FREE, WRONG  # noqa: F401

LIMIT_S = 60.0


def lines(only: str = "") -> Iterator[list[str]]:
    """All wrong command lines, or those of one command."""
    for command, (base, options) in COMMANDS.items():
        for option, kind in options.items():
            for value in WRONG[kind]:
                if {(option, value), (command, option, value)} & FINE or (
                    only and command.split()[0] != only
                ):
                    continue
                if option.startswith("-"):
                    # "=" keeps what begins with a minus sign from being taken for an option.
                    yield [*command.split(), *base, f"{option}={value}"]
                else:
                    yield [*command.split(), value, *base[1:]]
    for command, rests in ALONE.items():
        if not only or command == only:
            yield from ([command, *rest] if command else list(rest) for rest in rests)


LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
FILES = {
    "key.toml": "nothing_of_the_kind = 1\n",
    "value.toml": "steps = 0\n",
    "nan.toml": "gamma = nan\n",
    "syntax.toml": "steps = = 3\n",
    "text.toml": 'steps = "many"\n',
    "twice.toml": "steps = 1\nsteps = 2\n",
    "table.toml": "[steps]\nx = 1\n",
    "env.toml": 'env = ["alfworld-v0"]\n',
    "list.yaml": "- steps\n",
    "text.yaml": "steps\n",
    "tag.yaml": 'steps: !!python/object/apply:os.system ["touch PWNED"]\n',
    "laughs.yaml": f"a0: &a0 [x]\n{LAUGHS}steps: *a11\n",
    "deep.yaml": "steps: " + "[" * 3000 + "]" * 3000 + "\n",
    "twice.yaml": "steps: 1\nsteps: 2\n",
    "nested-twice.yaml": "trl:\n  epsilon: 0.1\n  epsilon: 0.2\n",
    "null.toml": 'prompt = "a\\u0000b"\n',
    "out-null.toml": 'out = "a\\u0000b"\n',
    "lines.toml": 'format = "a\\nlayergym train: trained"\n',
    "steers.toml": 'algorithm = "\\u001b[2J\\u001b]0;x\\u0007"\n',
    "date.toml": "steps = 2020-01-01\n",
    "other.toml": 'config = "value.toml"\n',
    "tables.toml": "[trl.epsilon]\nx = 1\n",
    "rows.toml": "[[trl]]\nepsilon = 1\n",
    "half.yaml": 'out: "a\\ud800b"\n',
    "key.yaml": "? [a, b]\n: 1\n",
    "cycle.yaml": "steps: &a [*a]\n",
    "empty.json": "{}\n",
    "BLANK": " \n",
    "SYNTAX": "{% if observation %}",
    "UNKNOWN": "{{ observation }} {{ password }}",
    "DEEP": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
}


def furnish(folder: Path, sweep: Path) -> None:
    """Put into a working folder what lines name in capitals; SWEEP is a copy of `sweep`."""
    shutil.copytree(sweep, folder / "SWEEP")
    shutil.copytree(sweep / "arms/full/seed-0", folder / "RUN")
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "FILE").write_text("no folder\n")
    (folder / "BYTES").write_bytes(b"\xff\xfe\x00\n" * 9)
    (folder / "EMPTY").mkdir()
    (folder / "FULL").mkdir()
    (folder / "FULL" / "thing").write_text("in use\n")


@functools.cache
def _parser() -> argparse.ArgumentParser:
    from layergym.__main__ import parser

    return parser()


def unparsed(argv: Sequence[str]) -> Ended | None:
    """The refusal of a line that cannot be parsed: nothing else has happened by then."""
    from layergym import InputError

    try:
        _parser().parse_args(list(argv))
    except InputError as error:
        return Ended(2, "", f"layergym: {error}\n")
    return None


def tried(argv: Sequence[str], folder: Path, sweep: Path) -> Case:
    """Run one line in `folder`, which is furnished again if it changed."""
    before = files_of(folder)
    ended = unparsed(argv) or forked(argv, folder, LIMIT_S)
    wrote = files_of(folder) != before
    if wrote:
        shutil.rmtree(folder)
        folder.mkdir()
        furnish(folder, sweep)
    shown = " ".join(part if part and " " not in part else repr(part) for part in argv)
    return Case(shown, refusal(ended, wrote), ended.err)


SMALL = ["--layers", "0,1", "--steps", "1", "--tasks", "2", "--group", "2", "--eval-tasks", "3"]


def _swept(place: Path) -> Path:
    line = ["sweep", "alfworld-v0", *SMALL, "--env-arg", "max_turns=3", "--out", "swept", "--quiet"]
    made = forked(line, place, 600)
    assert made.code == 0, made.err
    return place / "swept"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be chosen."""
    add_part(parser)
    parser.add_argument("--only", default="", help="one command")
    parser.add_argument("--sweep", type=Path, help="a finished sweep (default: a small one is run)")


def tables(options: argparse.Namespace) -> Iterator[Table]:
    """One table of all lines."""
    warm()
    with tempfile.TemporaryDirectory() as name:
        folder, sweep = Path(name) / "work", options.sweep or _swept(Path(name))
        folder.mkdir()
        furnish(folder, sweep)
        chosen = part(lines(options.only), options)
        yield Table("wrong command lines", (tried(argv, folder, sweep) for argv in chosen))
