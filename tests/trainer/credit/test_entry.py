"""An algorithm is one entry of one table: runs, settings and the command line know it then."""

from dataclasses import fields

import pytest

from layergym.__main__ import main, parser
from layergym.base.errors import InputError
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.advantages import grpo
from layergym.trainer.credit.algorithms import ALGORITHMS, Algorithm, Credit, each
from layergym.trainer.spec import RunSpec


def test_a_new_entry_is_known_everywhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match='no algorithm "mine"'):
        RunSpec(env="alfworld-v0", algorithm="mine")
    monkeypatch.setitem(ALGORITHMS, "mine", Algorithm(each(lambda group, _: grpo(group))))
    assert RunSpec(env="alfworld-v0", algorithm="mine").credit.algorithm == "mine"
    with pytest.raises(InputError, match="does not use gamma"):
        RunSpec(env="alfworld-v0", algorithm="mine", gamma=0.5)
    args = parser("train").parse_args(["train", "alfworld-v0", "--algorithm", "mine"])
    assert args.algorithm == "mine"
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "graphgpo, mine" in " ".join(capsys.readouterr().out.split())


def test_a_setting_has_one_default_wherever_it_can_be_given() -> None:
    run, credit, config = (
        {field.name: field.default for field in fields(spec)}
        for spec in (RunSpec, Credit, GiGPOConfig)
    )
    ours = run.keys() & GiGPOConfig.__annotations__.keys()
    assert credit.keys() <= ours
    assert {n: config[n] for n in ours} == {n: run[n] for n in ours}
    assert {n: config[n] for n in credit} == credit
