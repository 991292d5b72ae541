"""`layergym train --dry-run` shows what the model would see, and trains nothing."""

import json
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.agents import Job, rollout
from layergym.agents.models.save import save_model
from layergym.agents.models.tiny import build_model, build_subword_tokenizer
from layergym.agents.names import open_model
from layergym.cli.dry_run import CLOSE, KNOWN, OPEN, SEEN
from layergym.trainer.credit.schedule import jobs_of
from layergym.trainer.run import agent_of
from layergym.trainer.spec import RunSpec, make_env_of

SMALL = ["--group", "2", "--env-arg", "max_turns=3", "--dry-run"]


def dry(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(["train", *argv, *SMALL]) == 0
    return capsys.readouterr().out


def test_it_shows_the_very_tokens_that_the_model_would_get(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = dry(capsys, "alfworld-v0")
    task = shown.split("task ")[1].split(":")[0]
    spec = RunSpec(env="alfworld-v0")
    model, tokenizer = open_model("tiny")
    agent = agent_of(spec, model, tokenizer, 1.0)
    [played] = rollout(agent, make_env_of(spec, "train"), [Job(task, 0)])
    prompt = str(tokenizer.decode(list(played.turns[0].reply.prompt_ids)))
    body = " ".join(shown.split("─\n")[1].split())
    assert body.startswith(" ".join(prompt.split()) + OPEN)
    assert body.count(OPEN) == body.count(CLOSE) == 3
    assert body.count(f"<eos>{CLOSE}<obs>") == 2


def test_it_counts_as_json_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    counts = json.loads(dry(capsys, "alfworld-v0", "--json"))
    assert counts["episodes"] == 2
    assert 6 * 2 <= counts["trained"] < counts["tokens"]
    assert not list(tmp_path.iterdir())


def test_its_tasks_are_those_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    shown = dry(capsys, "alfworld-v0", "--seed", "5")
    tasks = make_env_of(RunSpec(env="alfworld-v0"), "train")().tasks
    first = next(jobs_of(tasks, 5, 0, per_rollout=1, repeats=2))
    assert f"task {first.task}:" in shown


def test_without_a_list_of_actions_it_says_a_word_or_what_the_expert_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = dry(capsys, "math-v0")
    assert shown.count(OPEN) == 2  # one in the heading
    assert "tokens are words that this model does not know" in shown
    tokenizer = build_subword_tokenizer(["What is 1 + 1? \\boxed{2}"])
    save_model(build_model(tokenizer, layers=1, width=32), tmp_path / "m", tokenizer)
    given = ["--model", str(tmp_path / "m"), "--max-new-tokens", "40", "--group", "8", "--dry-run"]
    assert main(["train", "math-v0", *given]) == 0
    shown = capsys.readouterr().out
    assert "solved" in shown and "terminated" in shown
    assert "End with the final answer in" in shown, "as a chat model is asked"


def test_windows_show_what_is_new_in_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    shown = dry(capsys, "alfworld-v0", "--context", "last:0", "--admissible")
    assert "row 1 of 3: " in shown and "row 3 of 3: " in shown
    assert shown.count(OPEN) == shown.count(CLOSE) == 3 + 1  # one in the heading
    assert shown.count(SEEN) == shown.count(KNOWN) == 2 + 1
    first, second = (shown.split(f"row {n} of 3")[1].split("row ")[0] for n in (1, 2))
    common = second.split(SEEN)[1].split(KNOWN)[0]
    assert " ".join(common.split()) in " ".join(first.split())
    counts = json.loads(dry(capsys, "alfworld-v0", "--context", "last:0", "--json"))
    assert counts["tokens"] > json.loads(dry(capsys, "alfworld-v0", "--json"))["tokens"]


def test_a_prompt_file_and_examples_are_what_the_model_sees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% if examples | length == 2 %}look help{% endif %} {{ observation }}")
    options = ["--prompt", str(file), "--shots", "2", "--format", "tool"]
    shown = dry(capsys, "math-v0", *options)
    assert "<obs> look help" in shown
    assert main(["train", "math-v0", *SMALL, "--prompt", str(tmp_path / "none")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    file.write_text("{{ observatoin }}")
    assert main(["train", "math-v0", *SMALL, "--prompt", str(file)]) == 2
    assert "observatoin" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--layers", "9"], "the model has 8 layers, 0 to 7"),
        (["--layers", "random:9"], "between 1 and 8"),
        (["--layers", "top:2@nowhere.json"], "no layer profile"),
        (["--boost", "3*x"], "has no factor"),
        (["--context", "last"], "how many turns"),
        (["--context", "hole"], 'did you mean "whole"'),
        (["--format", "thinks"], 'did you mean "think"'),
        (["--lr", "-1"], "it takes a number above 0"),
    ],
)
def test_what_the_run_would_refuse_is_refused(
    options: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "alfworld-v0", *SMALL, *options]) == 2
    assert sentence in capsys.readouterr().err
