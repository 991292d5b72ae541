"""An environment in another package is found through its entry point."""

import shutil
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "plugin_package"
PLAY = """
import layergym as lg
assert "example/Vault-v0" in lg.ids(), lg.ids()
assert lg.conforms("vault-v0") == []
env = lg.make("vault-v0", split="test")
note, info = env.reset(options={"task": "test-0007"})
print(env.step(note.split()[-1])[1])
"""


def test_an_installed_package_brings_its_environment(tmp_path: Path) -> None:
    source = shutil.copytree(PACKAGE, tmp_path / "source")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps"]
    options = ["--no-build-isolation", "--no-index", "--target", str(site), str(source)]
    subprocess.run([*install, *options], check=True)
    done = subprocess.run(
        [sys.executable, "-c", PLAY],
        env={"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1.0\n", done.stderr


def test_the_environment_is_at_most_twenty_lines() -> None:
    lines = (PACKAGE / "vault_env" / "__init__.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
