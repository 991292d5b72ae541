"""A real pretrained model on GSM8K and HumanEval."""

from pathlib import Path

import pytest

from layergym.__main__ import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize(
    ("env", "data", "turns"),
    [("math-v0", "gsm8k", 1), ("code-v0", "humaneval/HumanEval.jsonl.gz", 2)],
)
def test_smollm2_is_scored(
    env: str,
    data: str,
    turns: int,
    smollm2: str,
    shared_data: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["--env-arg", f"problems={shared_data / data}", "--env-arg", f"max_turns={turns}"]
    options = ["--eval-tasks", "20", "--temperature", "0", "--max-new-tokens", "160"]
    assert main(["eval", env, "--agent", smollm2, *settings, *options]) == 0
    shown = capsys.readouterr().out
    assert "20 tasks" in shown
    assert "success (%)" in shown
