"""What is published: one wheel that works on its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    """Run outside any checkout, and return what was printed."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("heavy", ["torch", "transformers", "scipy", "rich"])
def test_importing_the_package_imports_nothing_heavy(heavy: str, tmp_path: Path) -> None:
    code = f"import sys, layergym; print({heavy!r} in sys.modules)"
    assert run(sys.executable, "-c", code, cwd=tmp_path) == "False\n"


@pytest.mark.parametrize("part", ["agents", "envs", "evals", "trainer"])
def test_a_checkout_without_links_is_not_built(part: str, tmp_path: Path) -> None:
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, tmp_path)
    package = tmp_path / "src" / "layergym"
    for each in ("agents", "envs", "evals", "trainer"):
        (package / each).mkdir(parents=True)
        (package / each / "__init__.py").touch()
    build = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", "built"]
    run(*build, cwd=tmp_path)
    assert (tmp_path / "built" / "layergym" / part / "__init__.py").is_file()

    shutil.rmtree(package / part)
    (package / part).write_text(f"../../{part}")  # what git writes in a link's place
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"src/layergym/{part} is not a folder" in done.stderr


@pytest.mark.parametrize(
    "pinned",
    [
        pytest.param("", id="pinned", marks=pytest.mark.real),
        pytest.param("torch==", id="newest", marks=pytest.mark.latest),
    ],
)
@pytest.mark.timeout(1800)
def test_the_wheel_runs_the_demo_in_an_empty_environment(pinned: str, tmp_path: Path) -> None:
    """With every library pinned, and with the newest ones; torch alone is never the newest.

    A newer torch brings gigabytes of CUDA along.
    """
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(pin for pin in pins if pin.startswith(pinned)))
    run(sys.executable, "-m", "build", "--wheel", "--outdir", tmp_path, ROOT, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, cwd=tmp_path)
    venv.create(tmp_path / "empty", with_pip=True)
    python = tmp_path / "empty" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "-c", constraints, "torch", cwd=tmp_path)
    run(python, "-m", "pip", "install", "-q", "-c", constraints, wheel, cwd=tmp_path)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    ranked = ["train", "alfworld-v0", "--layers", "top:1@tiny-alfworld", "--dry-run"]
    run(python.parent / "layergym", *ranked, cwd=tmp_path)
    said = run(python.parent / "layergym", "demo", "--fast", cwd=tmp_path)
    assert "report.html" in said
    assert (tmp_path / "runs" / "demo" / "report" / "report.html").is_file()
