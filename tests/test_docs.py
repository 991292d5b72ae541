"""Every code block of the README, of CONTRIBUTING and of docs/ runs.

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
from layergym.base.files import write_json
from layergym.evals.result_files import write_eval
from layergym.evals.results import EvalResult

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SOLVED = {"base": 8, "full": 17, "layer-00": 12, "layer-01": 16}
"""Of 20 tasks, in the sweep folder that the README reads."""


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


def write_demo(folder: Path) -> None:
    """A sweep as `layergym demo` leaves one, with two layers and one evaluation per run."""
    write_json(folder / "sweep.json", {"num_layers": 2, "run": {"model": "tiny"}})
    tasks = tuple(f"task-{place:02d}" for place in range(20))
    for arm, solved in SOLVED.items():
        run = folder / "arms" / arm / "seed-0"
        write_json(run / "config.json", {"env": "layergym/ALFWorld-v0"})
        success = tuple((place < solved,) for place in range(len(tasks)))
        result = EvalResult(
            env_id="layergym/ALFWorld-v0",
            split="test",
            panel_hash="0" * 64,
            arm=arm,
            seed=0,
            temperature=1.0,
            tasks=tasks,
            kinds=("pick",) * len(tasks),
            success=success,
            reward=tuple((float(won),) for (won,) in success),
            turns=((5,),) * len(tasks),
        )
        write_eval(run, result)


def shown(page: Path) -> list[str]:
    """The lines that a page shows, indented, as the output of the `python` block above them."""
    text = page.read_text(encoding="utf-8")
    after = re.findall(r"^```python\n(?:(?!```).*\n)*```\n\n((?:    .*\n|\n)*)", text, re.MULTILINE)
    return [line[4:] for lines in after for line in lines.splitlines() if line]


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_runs_and_prints_what_is_shown(
    page: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    write_demo(tmp_path / "runs" / "demo")
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks(page, "python"))],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(shown(page)) - {"..."} <= set(done.stdout.splitlines())


def test_the_readme_shows_output() -> None:
    assert len(shown(ROOT / "README.md")) > 10


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


def test_the_map_names_files_that_are_there() -> None:
    """Also folders, and the files of a folder that are named without it."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    files = [f"/{file}" for file in tracked.stdout.splitlines()]
    if not files:
        pytest.skip("not a checkout")
    named = set(re.findall(r"`([\w/]+(?:\.py|\.toml|/))`", text))
    assert len(named) > 100
    assert [n for n in named if not any(f"/{n}" in file for file in files)] == []
