"""A bank that has trained its variants."""

from __future__ import annotations

import pytest

from layergym.agents.models.tiny import build_model, build_tokenizer
from layergym.envs import register
from layergym.trainer.bank import Bank
from layergym.trainer.spec import RunSpec
from tests.trainer.bank.pairs import Done, Pair, folders, variants


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of a policy of four layers for `Pair`."""
    register("test/BankPair-v0", Pair)
    folder = tmp_path_factory.mktemp("policy")
    tokenizer = build_tokenizer(["Say 0 1 2 3 4 5 6 7 8 9 10 ."])
    build_model(tokenizer, layers=4, width=32, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "recipe.json").write_text('{"model": "new"}')
    return str(folder)


@pytest.fixture(scope="module")
def specs(policy: str) -> list[RunSpec]:
    """Variants for the policy."""
    return variants(policy)


@pytest.fixture(scope="module")
def done(specs: list[RunSpec], tmp_path_factory: pytest.TempPathFactory) -> Done:
    places = folders(tmp_path_factory.mktemp("bank"), len(specs))
    bank = Bank(specs)
    return Done(bank, places, bank.train(places))
