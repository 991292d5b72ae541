"""One warm sandbox per kind of isolation that this machine can give."""

from collections.abc import Iterator

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
