"""Wrong command lines: every one is to be refused in a sentence, with exit code 2 and no file.

python benchmarks/robustness/cli.py            # all of them, some minutes
python benchmarks/robustness/cli.py --only eval --every 5
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.robustness.children import Case, Ended, files_of, forked, refusal, told, warm  # noqa: E402

LIMIT_S = 60.0
NO_NUMBERS = ["", "abc", "nan", "inf", "1e999", "9" * 5000, "--"]
WRONG: dict[str, list[str]] = {
    "count": ["0", "-1", "1.5", "99999999999", "\u0661", *NO_NUMBERS],
    "least 0": ["-1", "1.5", "99999999999", "1e3", *NO_NUMBERS],
    "seed": ["-1", "1.5", "4294967296", *NO_NUMBERS],
    "share": ["-0.1", "1.1", "2", "-inf", *NO_NUMBERS],
    "weight": ["-0.1", "-1", "-1e-9", *NO_NUMBERS],
    "rate": ["0", "-1", "-1e-9", "1e9", *NO_NUMBERS],
    "time": ["", "0x1", "-1s", "1", "1.5h", "h", "1d", "٣h", "inf"],
    "layers": ["", "8", "99", "-1", "3-1", "0-99999999999", "top:1@nowhere.json", "middle:0",
               "middle:99999999999999999999", "1.5", "all,1", "0,,1", "random:99", "foo", "top:3"],
    "choice": ["", "foo", "GIGPO", "0", "gigpo,grpo"],
    "model": ["", ".", "./nowhere", "/dev/null", "nowhere/at/all", "openai:m@http://127.0.0.1:9/v1",
              "smollm3", "a" * 300, "FILE", "EMPTY"],
    "env": ["", "alfwrld-v0", "layergym/Nothing-v0", "../x", "alfworld-v9", "a" * 400, "é-v0",
            "bad id", "textworld-v0"],
    "env-arg": ["x", "=1", "split=test", "self=1", "max_turns=abc", "max_turns=0", "levels=9",
                "colour=red", "max_turns=[1]", "render_mode=\"x\"", "1=2", "id=3", "name=alfworld",
                "step_timeout_s=abc", "max_turns=1e999", "games=nowhere", "games=7"],
    "old folder": ["FILE", "FULL", "FILE/x", "", "a" * 300, "/proc/x", "/dev/null",
                   "/dev/null/x"],
    "run": ["nowhere", "FILE", "EMPTY", "FULL", "", "a" * 300, "/dev/null", "."],
    "split": ["", "tset", "valid\n", "../x"],
    "sampler": ["", "vlm", "vllm@", "vllm@nowhere", "vllm@http://127.0.0.1:9",
               "vllm@http://u:p@127.0.0.1:9", "vllm@http://[", "vllm@http://127.0.0.1:99999"],
}  # fmt: skip
"""By kind, what an option of that kind cannot take."""

RUN = {
    "--steps": "count", "--tasks": "count", "--group": "count", "--dynamic-sampling": "least 0",
    "--gamma": "share", "--omega": "weight", "--norm": "choice", "--invalid-penalty": "weight",
    "--beta": "weight", "--temperature": "rate", "--max-new-tokens": "count",
    "--rows-per-pass": "count", "--save-every": "count", "--algorithm": "choice",
    "--format": "choice", "--model": "model", "--env-arg": "env-arg", "env": "env",
}  # fmt: skip
COMMANDS: dict[str, tuple[Sequence[str], dict[str, str]]] = {
    "train": (["alfworld-v0", "--steps", "1", "--tasks", "1", "--group", "2", "--layers", "0"],
              RUN | {"--layers": "layers", "--boost": "layers", "--lora": "least 0",
                     "--lr": "rate", "--seed": "seed", "--patience": "count",
                     "--out": "old folder", "--resume": "run", "--max-time": "time",
                     "--report-to": "choice"}),
    "sweep": (["alfworld-v0", "--steps", "2", "--tasks", "1", "--group", "2", "--layers", "0"],
              RUN | {"--layers": "layers", "--seeds": "seed", "--lr-full": "rate",
                     "--lr-layer": "rate", "--eval-tasks": "count", "--eval-repeats": "count",
                     "--eval-split": "split", "--dev-tasks": "count", "--jobs": "count",
                     "--cpus-per-run": "weight", "--gpus-per-run": "weight", "--on": "choice",
                     "--out": "old folder", "--resume": "run", "--max-time": "time",
                     "--lr-grid": "grid", "--race": "race", "--scan": "scan", "--arms": "arms"}),
    "eval": (["alfworld-v0", "--agent", "random", "--eval-tasks", "2"],
             {"--eval-tasks": "count", "--eval-repeats": "count", "--temperature": "weight",
              "--max-new-tokens": "count", "--seeds": "seed", "--in-flight": "count",
              "--concurrency": "count", "--per-minute": "rate", "--retries": "least 0",
              "--timeout": "rate", "--price": "price", "--omit": "choice", "--eval-split": "split",
              "--format": "choice", "--out": "old folder", "--resume": "run", "env": "env",
              "--env-arg": "env-arg", "--agent": "agent"}),
    "play": (["alfworld-v0", "--agent", "random"],
             {"--seed": "seed", "--temperature": "weight", "--split": "split", "env": "env",
              "--env-arg": "env-arg", "--task": "run", "--agent": "agent"}),
    "warmup": (["alfworld-v0", "--steps", "1", "--batch-size", "1", "--out", "new"],
               {"--steps": "count", "--batch-size": "count", "--lr": "rate", "--seed": "seed",
                "--random-actions": "share", "--depth": "count", "--width": "width",
                "--layers": "layers", "--format": "choice", "--model": "model",
                "--trajectories": "recorded", "--out": "old folder", "env": "env",
                "--env-arg": "env-arg"}),
    "plan": (["--model", "tiny"],
             RUN | {"--gpus": "count", "--tokens": "count", "--sampled": "least 0",
                    "--gpu": "choice", "--layers": "layers"}),
    "compare": (["FULL"], {"sweep": "run", "--seeds": "seed", "--eval-tasks": "count",
                           "--jobs": "count", "--out": "old folder"}),
    "vote": (["FULL"], {"sweep": "run", "--eval-tasks": "count", "--eval-repeats": "count"}),
    "predict": (["FULL"], {"sweep": "run", "--tasks": "count"}),
    "retention": (["FULL"], {"sweep": "run", "--limit": "count", "--choice": "run",
                             "--text": "run"}),
    "trajectories": (["FULL"], {"folder": "run", "--limit": "count", "--export": "run"}),
    "report": (["FULL"], {"runs": "run", "--out": "old folder"}),
    "publish": (["FULL", "--out", "new"], {"run": "run", "--out": "old folder"}),
    "pull": (["smollm2"], {"name": "model"}),
    "demo": (["--fast"], {"--seeds": "seed", "--jobs": "count", "--out": "old folder"}),
    "new-env": (["my_env"], {"name": "env", "--out": "old folder"}),
    "envs": (["check", "alfworld-v0"], {"env": "env", "--env-arg": "env-arg"}),
}  # fmt: skip
"""Each command with arguments that work, and the kind of its further ones."""
WRONG |= {
    "grid": ["abc", "1e-4", "0,1e-3", "-1,1e-3", "1e-3,1e-3", "nan,1e-3", "inf,1e-3"],
    "race": ["abc", "0", "-1", "1.5", "99", "2", "1,1", "nan", "inf"],
    "scan": ["", "coarse", "coarse:", "coarse:0", "coarse:1", "coarse:x", "fine:2", "coarse:-2"],
    "arms": ["", "foo", "middle:99", "lora-99", "boost-", "boost-0*-1", "boost-0*nan", "random:99",
             "boost-0*0", "..", "base", "0"],
    "price": ["", "x", "random=1", "random=1,2,3", "random=-1,2", "random=nan,1", "other=1,2",
              "random=inf,1", "=1,2"],
    "agent": ["", "./nowhere", "openai:", "openai:m@localhost:1", "openai:m@http://u:p@h/v1",
              "openai:m@http://[/v1", "openai:m@http://h:99999/v1", "FILE", "EMPTY"],
    "recorded": ["nowhere", "FILE", "EMPTY", "/dev/null", "BYTES"],
    "width": ["0", "-1", "16", "1.5", "99999999999", *NO_NUMBERS],
}  # fmt: skip
FINE = {
    ("--model", "EMPTY"), ("--split", "valid\n"), ("--report-to", "0"), ("--boost", ""),
    ("--lr-grid", ""), ("--race", ""), ("--format", ""), ("--out", "new"),
    ("--trajectories", ""), ("--resume", ""), ("--cpus-per-run", "0"),
}  # fmt: skip
"""Not wrong after all."""
ALONE: dict[str, list[list[str]]] = {
    "": [["nothing"], ["--nothing"], ["trian"], ["train sweep"], ["é"], ["-x"], ["a" * 400]],
    "train": [["alfworld-v0", "extra"], ["--nothing"], ["alfworld-v0", "--tasks", "100000",
              "--group", "10000"], ["alfworld-v0", "--lora", "60000", "--steps", "1", "--layers",
              "0", "--tasks", "1", "--group", "2"], [], ["--resume"]],
    "sweep": [["alfworld-v0", "--seeds"], ["alfworld-v0", "--seeds", "0", "0"], [],
              ["alfworld-v0", "--layers", "0,0", "--arms", "0"],
              ["alfworld-v0", "--lr-full", "1", "--lr-grid", "1,2"],
              ["alfworld-v0", "--on", "ray", "--ray-address", "nowhere:1"],
              ["alfworld-v0", "--on", "ray", "--ray-address", "127.0.0.1:9"],
              ["alfworld-v0", "--on", "ray", "--ray-address", "x" * 300],
              ["alfworld-v0", "--on", "ray", "--gpus-per-run", "1", "--layers", "0", "--steps",
               "1", "--tasks", "1", "--group", "2", "--eval-tasks", "2"],
              ["alfworld-v0", "--eval-split", "train", "--race", "1", "--steps", "2",
               "--dev-split", "train"]],
    "eval": [[], ["alfworld-v0", "--agent"], ["alfworld-v0", "--agent", "random", "random"],
             ["alfworld-v0", "--seeds", "0", "0"], ["--resume", "FULL", "--eval-tasks", "2"],
             ["alfworld-v0", "--agent", "random", "--eval-tasks", "99999"],
             ["alfworld-v0", "--agent", "tiny", "--eval-tasks", "99999"]],
    "warmup": [["alfworld-v0"], ["--out", "new"], ["alfworld-v0", "--model", "tiny", "--width",
               "1", "--out", "new"]],
    "plan": [[], ["--model", "tiny", "--sampled", "5000", "--tokens", "10"]],
    "demo": [["--seeds"], ["--seeds", "0", "0"], ["extra"]],
    "publish": [["FULL"], []],
    "trajectories": [["FULL", "--solved", "--failed"], []],
    "report": [[], ["--html"]],
}  # fmt: skip
"""Further wrong lines of a command."""


def lines(only: str = "") -> Iterator[list[str]]:
    """All wrong command lines, or those of one command."""
    for command, (base, options) in COMMANDS.items():
        for option, kind in options.items():
            for value in WRONG[kind]:
                if (option, value) in FINE or (only and command != only):
                    continue
                if option.startswith("-"):
                    # "=" keeps what begins with a minus sign from being taken for an option.
                    yield [command, *base, f"{option}={value}"]
                elif command == "envs":
                    yield [command, "check", value]
                else:
                    yield [command, value, *base[1:]]
    for command, rests in ALONE.items():
        if not only or command == only:
            yield from ([command, *rest] if command else list(rest) for rest in rests)


def furnish(folder: Path) -> None:
    """Put into a working folder what lines name in capitals."""
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
        return Ended(2, "", f"{error}\n")
    return None


def tried(argv: Sequence[str], folder: Path, limit_s: float = LIMIT_S) -> Case:
    """Run one line in `folder`, which is furnished anew if it changed."""
    before = files_of(folder)
    ended = unparsed(argv) or forked(argv, folder, limit_s)
    wrote = files_of(folder) != before
    if wrote:
        shutil.rmtree(folder)
        folder.mkdir()
        furnish(folder)
    shown = " ".join(part if part and " " not in part else repr(part) for part in argv)
    return Case(shown, refusal(ended, wrote), ended.err)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="one command")
    parser.add_argument("--every", type=int, default=1, help="every n-th line only")
    parser.add_argument("--first", type=int, default=0, help="begin with this line")
    options = parser.parse_args()
    warm()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "work"
        folder.mkdir()
        furnish(folder)
        chosen = list(lines(options.only))[options.first :: options.every]
        cases = [tried(argv, folder) for argv in chosen]
    return int(told("wrong command lines", cases, ["clear"]) > 0)


if __name__ == "__main__":
    sys.exit(main())
