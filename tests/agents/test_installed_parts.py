"""Parts of an agent that an installed package announces: a context, a form of replies, a prompt."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
WRITE = """
import layergym as lg
from layergym.agents.memory import EpisodeMemory
from layergym.trainer.run import prompt_style
from layergym.trainer.spec import RunSpec

spec = RunSpec(
    env="vault-v0", context="newest:99", format="typed", prompt="function:brief:Go!"
)
style = prompt_style(spec)
memory = EpisodeMemory(style, "Instructions.", "The note says 7")
for action in ("5", "6", "7"):
    memory.see("Nothing happens.", None)
    print(memory.turns())
    reply = style.reply.write(action)
    memory.remember(reply, style.reply.parse(reply).action)
for wrong in ({"context": "newer"}, {"format": "typd"}, {"prompt": "function:brif"}):
    try:
        RunSpec(env="vault-v0", **wrong)
    except lg.InputError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the package is installed."""
    folder = tmp_path_factory.mktemp("installed")
    source = shutil.copytree(TESTS / "plugin_package", folder / "source")
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(folder / "site"), str(source)]
    subprocess.run([*install, *options], check=True)
    return folder / "site"


def run(site: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(TESTS.parent / "src")])},
        capture_output=True,
        text=True,
    )


def test_a_run_is_addressed_by_the_parts_of_an_installed_package(site: Path) -> None:
    done = run(site, "-c", WRITE)
    assert done.returncode == 0, done.stderr
    *lines, context, format, prompt = done.stdout.splitlines()
    prompts = [ast.literal_eval(line) for line in lines]
    assert prompts == [
        [{"role": "user", "content": f"Go! {did} Nothing happens."}] for did in ("", "5?", "6?")
    ]
    for told, known in ((context, "newest"), (format, "typed"), (prompt, "brief")):
        assert f'did you mean "{known}"' in told
