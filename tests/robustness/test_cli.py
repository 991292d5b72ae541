"""Wrong command lines: one sentence, exit code 2, nothing written."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from layergym.__main__ import main, parser
from layergym.base.errors import refused
from tests.full_disk import largest_file

NUMBERS = {"count", "least 0", "seed", "share", "weight", "rate", "width"}


@pytest.fixture(scope="module")
def wrong(table: Callable[[str], ModuleType]) -> ModuleType:
    return table("cli")


def test_a_number_that_cannot_be_is_refused_before_anything_is_done(wrong: ModuleType) -> None:
    tried = 0
    for command, (base, options) in wrong.COMMANDS.items():
        for option, kind in options.items():
            for value in wrong.WRONG[kind] if kind in NUMBERS else ():
                ended = wrong.unparsed([*command.split(), *base, f"{option}={value}"])
                line = f"{command} {option}={value[:20]}"
                assert ended is not None, f"{line} was accepted"
                assert ended.code == 2 and ended.err.count("\n") == 1, line
                assert len(ended.err) < 300 and option in ended.err, line
                tried += 1
    assert tried > 400


@pytest.mark.parametrize(
    "line", ["LONG", "--LONG", "train --LONG", "train alfworld-v0 --algorithm LONG", "envs x LONG"]
)
def test_what_is_repeated_of_a_wrong_line_is_short(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for long in ("a" * 5000, "a b " * 2000):
        assert main([part.replace("LONG", long) for part in line.split()]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and len(said) < 600


def options(parser: argparse.ArgumentParser, command: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every option that takes a value, with the command it belongs to."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in {**action.choices}.items():
                inside = "envs" if name == "ENVIRONMENT" else f"{command} {name}".strip()
                yield from options(below, inside)
        elif action.nargs != 0 and action.dest != "command":
            yield command, {*action.option_strings, action.dest}


def test_every_option_of_every_command_is_tried_with_wrong_values(wrong: ModuleType) -> None:
    tried = {(name, option) for name, (_, found) in wrong.COMMANDS.items() for option in found}
    untried = [
        (command, sorted(names))
        for command, names in options(parser())
        if not any((command, name) in tried | wrong.FREE for name in names)
    ]
    assert untried == []


@pytest.mark.parametrize(
    "line",
    [
        "train alfworld-v0 --sampler vllm@nowhere --out run",
        "train alfworld-v0 --sampler vllm@nowhere --out a/b/run",
        "train nothing-v0 --out a/b/run",
        "warmup alfworld-v0 --layers 8 --out a/run",
        "train alfworld-v0 --layers 0-99999999999 --out run",
        "train alfworld-v0 --lora 60000 --layers 0 --out run",
        "train alfworld-v0 --env-arg self=1 --out run",
        "train alfworld-v0 --env-arg split=test --out run",
        "train alfworld-v0 --env-arg max_turns=abc --out run",
        "train alfworld-v0 --tasks 100000 --group 10000 --out run",
        "train alfworld-v0 --max-time \u0663h --out run",
        "train alfworld-v0 --set trl={} --out run",
        "train alfworld-v0 --set optim=foo --out run",
        "train alfworld-v0 --set adam_beta1=2 --steps 1 --tasks 1 --group 2 --layers 0 --out run",
        "sweep alfworld-v0 --layers 0 --sampler vllm@nowhere --out run",
        "sweep alfworld-v0 --layers 0 --dev-split tset --out run",
        "warmup alfworld-v0 --device mps --out run",
        "play alfworld-v0 --agent random --task=",
        "dissect FILE --max-time=",
        "publish FILE --push a/b/c --out run",
        "train alfworld-v0 --resume=",
        "train alfworld-v0 --format plain: --out run",
        "train alfworld-v0 --out FILE",
        "train alfworld-v0 --out FILE/x",
        "sweep alfworld-v0 --scan coarse:0 --out run",
        "sweep alfworld-v0 --arms boost-0*nan --out run",
        "sweep alfworld-v0 --on ray --ray-address 127.0.0.1:9 --layers 0 --out run",
        "eval alfworld-v0 --agent random --eval-tasks 99999 --out run",
        "eval alfworld-v0 --agent openai:m@http://h:99999/v1 --out run",
        "plan --model tiny --sampled 5000 --tokens 10",
        "plan --model tiny --set nothing_of_the_kind=1",
        "plan --model tiny --boost top:3",
        "plan --model tiny --overlap --gpus 2",
        "plan --model tiny --sampler vllm@",
        "plan --model tiny --sampler vllm@http://me:secret@127.0.0.1:9",
        "warmup alfworld-v0 --out FILE",
        "report FILE",
        "trajectories FILE",
    ],
)
def test_what_cannot_work_leaves_nothing_behind(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").write_text("no folder\n")
    assert main(line.split()) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and len(said) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


def test_a_name_that_is_too_long_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new-env", "my_env", "--out", str(tmp_path / ("a" * 300))]) == 2
    assert "too long" in capsys.readouterr().err


def test_a_full_disk_is_a_sentence_and_what_was_kept_is_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [
        "eval",
        "alfworld-v0",
        "--agent",
        "random",
        "--eval-tasks",
        "4",
        "--out",
        str(tmp_path / "e"),
    ]
    with largest_file(20_000):
        assert main(line) == 2
    assert "larger than this account may write" in capsys.readouterr().err
    assert main(line) == 0, "it goes on from what was kept"


def test_a_refusal_of_the_machine_is_found_where_a_library_wraps_it() -> None:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as cause:
            raise RuntimeError("PytorchStreamWriter failed") from cause
    except RuntimeError as error:
        assert refused(error) == "the disk is full"
    assert refused(RuntimeError("I/O error: No space left on device (os error 28)"))
    try:
        try:
            raise FileNotFoundError(errno.ENOENT, "no such file", "x")
        except FileNotFoundError:
            raise KeyError("a fault of ours")  # noqa: B904
    except KeyError as error:
        assert refused(error) is None


def test_a_null_in_the_name_of_a_file_is_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.toml"
    for option in ("prompt", "out"):
        file.write_text(f'env = "alfworld-v0"\nlayers = "0"\n{option} = "a\\u0000b"\n')
        assert main(["train", "--config", str(file)]) == 2
        said = capsys.readouterr().err
        assert "null character" in said and said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]


def test_a_command_without_resume_does_not_speak_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thing").write_text("in use\n")
    assert main(["warmup", "alfworld-v0", "--out", str(tmp_path)]) == 2
    assert "--resume" not in capsys.readouterr().err
    assert main(["train", "alfworld-v0", "--out", str(tmp_path)]) == 2
    assert f"layergym train --resume {tmp_path}" in capsys.readouterr().err
