"""`layergym doctor` finds what is missing, and says how to get it."""

from __future__ import annotations

import json
from importlib.util import find_spec

import pytest

from layergym.__main__ import main
from layergym.cli import doctor


@pytest.mark.parametrize(
    ("requirement", "verdict", "said"),
    [
        ("torch>=1", "good", ""),
        ("torch<1", "missing", "pip install 'torch<1'"),
        ("no-such-package>=2", "bad", "pip install 'no-such-package>=2'"),
    ],
)
def test_a_package_is_there_untried_or_missing(requirement: str, verdict: str, said: str) -> None:
    [finding] = doctor.packages([requirement])
    assert finding.health == verdict and said in finding.text


def test_a_missing_package_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "needed", lambda: ["no-such-package>=2", "torch>=1"])
    assert main(["doctor", "--json"]) == 1
    found = {row["what"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert found["no-such-package"]["health"] == "bad" and found["torch"]["health"] == "good"


def test_every_extra_is_named_once_with_its_command() -> None:
    found = {finding.what: finding for finding in doctor.extras()}
    assert {"extra png", "extra ray", "extra textworld"} <= found.keys()
    assert not {"extra all", "extra alfworld"} & found.keys()
    lacking = [finding for finding in found.values() if finding.health == "missing"]
    assert all("pip install 'layergym[" in finding.text for finding in lacking)


def test_alfworlds_own_engine_is_there_or_how_to_get_it() -> None:
    found = doctor.alfworld()
    there = all(map(find_spec, ("alfworld", "textworld", "fast_downward")))
    assert found.health == ("good" if there else "missing")
    assert ("engine=alfworld" if there else "layergym[alfworld]") in found.text
