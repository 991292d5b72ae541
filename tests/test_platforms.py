"""What Windows lacks is needed by the sandbox alone."""

import subprocess
import sys

import pytest

LACKING = """
import ctypes, sys
for name in ("fcntl", "resource"):
    sys.modules[name] = None
class CDLL(ctypes.CDLL):
    def __init__(self, name, *args, **more):
        if name is None:
            raise TypeError("a library has a name")
        super().__init__(name, *args, **more)
ctypes.CDLL = CDLL
"""
LIBRARIES = """
import datasets, transformers.modeling_utils, trl.trainer.grpo_trainer, trl.trainer.sft_trainer
"""
"""Which import on their own what the machine has."""
EVERY_MODULE = """
import importlib, pkgutil, layergym
other = ("layergym.envs.sandbox.", "layergym.envs.alfworld.reference", "layergym.agents.tiny_model")
for module in pkgutil.walk_packages(layergym.__path__, "layergym."):
    if not module.name.startswith(other) and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
        print(module.name)
"""
PLAYED = """
import layergym
from layergym.__main__ import main
for name in ("alfworld-v0", "webshop-v0", "math-v0"):
    env = layergym.make(name)
    env.reset(seed=0)
    env.step(env.expert())
sys.exit(main(["envs"]))
"""


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        (LIBRARIES + LACKING + EVERY_MODULE, "layergym.trainer.credit.measures"),
        (LACKING + PLAYED, "layergym/WebShop-v0"),
    ],
    ids=["every module", "environments"],
)
def test_it_works_without_fcntl_and_resource(code: str, printed: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert printed in done.stdout
