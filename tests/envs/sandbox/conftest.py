"""One warm sandbox per kind of isolation that this machine can give."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from layergym.base.errors import InputError
from layergym.envs.sandbox import Sandbox


@pytest.fixture(scope="session", params=["bubblewrap", "namespaces", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with Sandbox(isolation=request.param) as made:
        try:
            assert made.isolation == request.param
        except InputError as error:
            pytest.skip(f"this machine cannot: {error}")
        yield made


@pytest.fixture(scope="session")
def robustness() -> ModuleType:
    """The hostile programs, and what tries them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(Path(__file__).resolve().parents[3]), *sys.path])
        return importlib.import_module("benchmarks.robustness.sandbox")
