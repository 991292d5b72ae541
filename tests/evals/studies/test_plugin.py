"""A study is one file: nothing else names it, whether it is ours or another package's."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.base.errors import Notice
from layergym.cli.commands import commands
from layergym.evals.report.build import build
from layergym.evals.report.study import find_studies
from layergym.evals.result_files import read_sweep

ROOT = Path(__file__).parents[3]
STUDY = '''"""Count a sweep's runs."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from layergym.command.console import Output
from layergym.evals.report.model import Section, Text
from layergym.evals.report.study import Finished, Study
from layergym.evals.result_files import read_sweep


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("sweep", type=Path)


def run(args: Namespace, out: Output) -> None:
    out.record(event="runs", count=len(read_sweep(args.sweep).runs))


def sections(finished: Finished) -> tuple[Section, ...]:
    return (Section("Count of runs", (Text(f"{len(finished.sweep.runs)} runs"),)),)


STUDY = Study(examples="", add_arguments=add_arguments, run=run, of_sweep=sections)
'''


@pytest.fixture
def announce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages: `announce / "x.py"`, and what `announce_as` says of it."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    return site


def install(site: Path, module: str, text: str, name: str) -> None:
    (site / f"{module}.py").write_text(text)
    about = site / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[layergym.studies]\n{name} = {module}:STUDY\n")


def test_a_study_of_another_package_is_a_command_and_a_section(
    announce: Path, sweep_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(announce, "counting", STUDY, "count-runs")
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "count-runs" in commands()
    assert "count a sweep's runs\n" in capsys.readouterr().out
    runs = len(read_sweep(sweep_folder).runs)
    assert main(["count-runs", str(sweep_folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"event": "runs", "count": runs}
    [section] = [s for s in build([sweep_folder]).sections if s.heading == "Count of runs"]
    assert section.blocks[0].text == f"{runs} runs"  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["import no_such_module", "STUDY = 3", "raise SystemExit(2)"])
def test_a_broken_study_costs_no_report(announce: Path, sweep_folder: Path, text: str) -> None:
    before = build([sweep_folder])
    install(announce, f"broken_{len(text)}", text, "broken")
    with pytest.warns(Notice, match="broken"):
        assert build([sweep_folder]) == before
    assert main(["broken"]) == 2


def test_a_taken_name_is_refused(announce: Path) -> None:
    install(announce, "rival", STUDY, "vote")
    with pytest.warns(Notice, match="vote"):
        assert find_studies()["vote"].module == "layergym.evals.studies.vote"


def test_no_other_file_names_a_study() -> None:
    """So that a study is added, or taken away, with its file."""
    folders = ("evals", "src/layergym", "agents", "trainer", "envs")
    sources = {file for folder in folders for file in (ROOT / folder).rglob("*.py")}
    for file in sources - set((ROOT / "evals" / "studies").glob("*.py")):
        tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        modules = {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
        assert not any(m.startswith("layergym.evals.studies") for m in modules), file


def test_reports_do_not_import_torch(sweep_folder: Path) -> None:
    check = (
        "import sys; from layergym.__main__ import main\n"
        "assert main(['report', sys.argv[1]]) == 0\n"
        "assert 'torch' not in sys.modules, sorted(m for m in sys.modules if 'layergym' in m)"
    )
    command = [sys.executable, "-c", check, str(sweep_folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
