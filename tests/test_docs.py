"""Every code block of the README and of docs/ runs.

```python   the blocks of a page run in order, in one process
```bash     runs as it stands, in a folder of its own (slow)
```console  what needs a GPU, a server or hours: every layergym command must parse
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from layergym.__main__ import parser

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def pages_with(language: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, language)]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The commands of this virtual environment first, and no hub."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_runs(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    source = "\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_readme_prints_what_it_shows(tmp_path: Path, environment: dict[str, str]) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = blocks(ROOT / "README.md", "python")[0]
    shown = re.findall(r"^    (.*)$", text.split(block)[1].split("```")[1], re.MULTILINE)
    done = subprocess.run(
        [sys.executable, "-c", block], env=environment, capture_output=True, text=True, cwd=tmp_path
    )
    assert len(shown) > 5
    assert set(shown) - {"..."} <= set(done.stdout.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("page", pages_with("bash"), ids=lambda page: page.name)
def test_bash_runs(page: Path, tmp_path: Path, environment: dict[str, str]) -> None:
    script = "set -euo pipefail\n" + "\n".join(blocks(page, "bash"))
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


COMMANDS = [
    line.partition("layergym ")[2]
    for page in PAGES
    for block in blocks(page, "console")
    for line in block.splitlines()
    if re.match(r"\$ ([A-Z_]+=\S+ |accelerate launch .*-m )?layergym ", line)
]


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_parse(command: str) -> None:
    assert parser().parse_args(shlex.split(command, comments=True)).command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target
    for recipe in re.findall(r"docs/recipes/[\w.-]+", text):
        assert (ROOT / recipe).is_file(), recipe


@pytest.mark.slow
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "docs", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "api.html").is_file()
