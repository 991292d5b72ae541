"""Says so where a checkout lacks its links, which would leave most of the package out."""

from pathlib import Path

from setuptools import setup

PARTS = Path(__file__).parent / "src" / "layergym"
MISSING = [part for part in ("agents", "envs", "evals", "trainer") if not (PARTS / part).is_dir()]
if MISSING:
    raise SystemExit(
        f"src/layergym/{MISSING[0]} is not a folder: this checkout has no symbolic links; "
        "run: git config core.symlinks true && git checkout -- src/layergym (on Windows, in "
        "developer mode), or install a released wheel"
    )
setup()
