"""Run files: `--config` and `--show-config`."""

from __future__ import annotations

import argparse
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from layergym.__main__ import main
from layergym.base.errors import InputError
from layergym.cli import sweep
from layergym.cli.run_files import filled
from layergym.cli.run_options import single_spec


def parsed(command: str, *argv: str) -> argparse.Namespace:
    module = import_module(f"layergym.cli.{command}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    args = parser.parse_args(argv)
    args.command, args.argv = command, list(argv)
    return filled(args, module.add_arguments, command)


@pytest.fixture
def run_file(tmp_path: Path) -> Any:
    def write(text: str, name: str = "run.toml") -> str:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return str(tmp_path / name)

    return write


RUN = """
env = "alfworld-v0"
tasks = 4
group_size = 3
learning-rate = 1e-5
layers = 14
epsilon_high = 0.28
[env_args]
size = 50
games = "official"
[trl]
loss_type = "cispo"
"""
YAML = """
env: alfworld-v0
tasks_per_step: 4
group: 3
lr: 1.0e-5
layers: "14"
trl: {loss_type: cispo, epsilon_high: 0.28}
env_args: {size: 50, games: official}
"""


@pytest.mark.parametrize(("text", "name"), [(RUN, "run.toml"), (YAML, "run.yaml")])
def test_options_fields_and_settings_of_trl(run_file: Any, text: str, name: str) -> None:
    spec = single_spec(parsed("train", "--config", run_file(text, name)))
    assert (spec.tasks_per_step, spec.group_size, spec.learning_rate) == (4, 3, 1e-5)
    assert spec.layers == "14"
    assert spec.env_args == {"size": 50, "games": "official"}
    assert spec.trl == {"epsilon_high": 0.28, "loss_type": "cispo"}


def test_the_command_line_holds_instead_of_the_file_and_that_of_the_preset(run_file: Any) -> None:
    path = run_file('preset = "layers-math"\ngroup = 3\nsteps = 9\n[env_args]\nsize = 5\n')
    given = ["--config", path, "--steps", "7", "--env-arg", "size=6"]
    spec = single_spec(parsed("train", "math-v0", *given))
    assert (spec.steps, spec.group_size, spec.tasks_per_step) == (7, 3, 512)
    assert spec.env_args == {"size": 6}


@pytest.mark.parametrize(
    "given",
    [
        ["train", "math-v0", "--tasks", "3", "--set", "epsilon=0.1", "--env-arg", "levels=[1, 2]"],
        ["train", "alfworld-v0", "--preset", "gigpo-alfworld", "--no-deterministic"],
        ["sweep", "alfworld-v0", "--seeds", "0", "1", "--layers", "0,3", "--arms", "random"],
        ["eval", "code-v0", "--agent", "random", "expert", "--eval-tasks", "5"],
    ],
)
def test_what_is_shown_can_be_read_again(
    given: list[str], run_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*given, "--show-config"]) == 0
    shown = capsys.readouterr().out
    assert "# " in shown and tomllib.loads(shown)["env"] == given[1]
    path = run_file(shown)
    straight, again = parsed(*given), parsed(given[0], "--config", path)
    if given[0] == "train":
        assert single_spec(again) == single_spec(straight)
    elif given[0] == "sweep":
        assert sweep._spec(again) == sweep._spec(straight)
    else:
        assert (again.env, again.agent, again.eval_tasks) == ("code-v0", ["random", "expert"], 5)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tasks = 0", "tasks"),
        ('tasks = "many"', "a whole number"),
        ("tasks = [1, 2]", "one number"),
        ("admissible = 1", "true or false"),
        ("dtype = 'float8'", "bfloat16"),
        ("env_args = 3", "a table"),
        ("resume = 'runs/x'", "one call"),
        ("tasks = ", "cannot be read"),
        ("preset = 'nobody'", "preset"),
        ("x = 1\nx = 2", "cannot be read"),
        ('out = "a\\u0000b"', "a null character"),
        ('env_args = {games = ["a\\u0000b"]}', "a null character"),
    ],
)
def test_what_is_wrong_is_named(run_file: Any, text: str, named: str) -> None:
    with pytest.raises(InputError, match=named):
        parsed("train", "alfworld-v0", "--config", run_file(text))


LAUGHS = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
NO_YAML = {
    "list": "- 1",
    "object": "!!python/object/apply:os.getcwd []",
    "open": "a: [",
    "two colons": "a: b: c",
    "twice": "tasks: 1\ntasks: 2",
    "twice inside": "trl:\n  epsilon: 0.1\n  epsilon: 0.2",
    "laughs": f"a0: &a0 [x]\n{LAUGHS}tasks: *a11\n",
    "itself": "tasks: &a [*a]",
    "half a pair": 'out: "a\\ud800b"',
    "half a pair in a name": '"a\\ud800b": 1',
    "half a pair inside": 'env_args:\n  games: ["a\\udfffb"]',
    "deep": "tasks: " + "[" * 3000 + "]" * 3000,
}


@pytest.mark.parametrize("text", NO_YAML.values(), ids=NO_YAML)
def test_a_yaml_file_that_is_no_run_file(run_file: Any, text: str) -> None:
    with pytest.raises(InputError, match="run file"):
        parsed("train", "alfworld-v0", "--config", run_file(text, "run.yml"))


def test_a_name_that_is_nothing_is_refused_before_anything_is_written(
    run_file: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run_file("env = 'alfworld-v0'\nepsilon_hig = 0.3\n")
    assert main(["train", "--config", path, "--out", str(tmp_path / "run")]) == 2
    assert "epsilon_high" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        parsed("eval", "alfworld-v0", "--config", str(tmp_path / "none.toml"))
    with pytest.raises(InputError, match="no option"):
        path = tmp_path / "run.toml"
        path.write_text("epsilon = 3", encoding="utf-8")
        parsed("eval", "alfworld-v0", "--config", str(path))
