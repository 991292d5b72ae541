"""Environments are made by Gymnasium's own conventions."""

import subprocess
import sys

import pytest

WAYS = {
    "imported": 'import layergym; env = gymnasium.make("layergym/ALFWorld-v0")',
    "named module": 'env = gymnasium.make("layergym:layergym/ALFWorld-v0")',
    "register_envs": """
import layergym
gymnasium.register_envs(layergym)
env = gymnasium.make("layergym/ALFWorld-v0", max_turns=3)
""",
    "vector": """
import layergym
env = gymnasium.make_vec("layergym/Math-v0", num_envs=2, vectorization_mode="sync")
""",
}


@pytest.mark.parametrize("way", WAYS)
def test_an_import_is_all_that_gymnasium_needs(way: str) -> None:
    code = f"import gymnasium\n{WAYS[way]}\nobservation, info = env.reset(seed=0)\nenv.close()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_all_names_are_there_after_the_import() -> None:
    code = "import gymnasium, layergym; known = set(gymnasium.registry); print(*layergym.ids())"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(known >= set(layergym.ids()))"],
        capture_output=True,
        text=True,
    )
    names, known = done.stdout.splitlines()
    assert "layergym/WebShop-v0" in names
    assert known == "True"
