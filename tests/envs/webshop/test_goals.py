"""Goals and splits: same everywhere, and disjoint where it counts."""

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from layergym.base.errors import InputError
from layergym.envs.panels import panel
from layergym.envs.webshop import WebShop
from layergym.envs.webshop.splits import MOST_GOALS, SPLITS, split_of
from layergym.envs.webshop.tasks import number_of

from .conftest import SHOES, write_catalogue

ABOUT = {
    SHOES["asin"]: {
        "attributes": ["light sole"],
        "instruction": "Find me light sole walking shoes",
        "instruction_attributes": ["light sole"],
    }
}


PANELS = [
    "dec7132ea83f1af06eb6a9fcf1c3c1126bc8b244ecbc6a08ad8580c641d2211e",
    "5e424f4a8ea39e77bd1858dff9bbc8d50c67fe9f9fca2591814df9d15fbd8b5f",
    "6f6d7073257f5f38641a50dc2386f5773472496b1c4064686ac3ebedebd96005",
]
"""Hashes of the generated splits; they change only together with the version in the id."""


def targets(env: WebShop) -> list[str]:
    """The product of every task."""
    goals = []
    for task in env.tasks:
        env.reset(options={"task": task})
        goals.append(env.goal.asin)
    return goals


def families(env: WebShop) -> set[str]:
    catalogue = env.shop.catalogue
    rows = [catalogue.row(asin) for asin in targets(env)]
    return {catalogue.product(row).family for row in rows if row is not None}


def test_generated_splits_share_no_product_and_no_family() -> None:
    by_split = [families(WebShop(split=split)) for split in SPLITS]
    assert all(len(found) > 50 for found in by_split)
    assert all(not one & other for one, other in combinations(by_split, 2))


def test_real_splits_by_product_share_no_product(webshop_data: Path) -> None:
    asins = [targets(WebShop(data=webshop_data, split=split)) for split in SPLITS]
    assert all(not set(one) & set(other) for one, other in combinations(asins, 2))
    for found in asins:
        assert max(map(found.count, found)) <= MOST_GOALS


def test_the_original_order_is_500_test_1000_valid_rest_train(webshop_data: Path) -> None:
    envs = {s: WebShop(data=webshop_data, order="original", split=s) for s in SPLITS}
    numbers = {split: [number_of(task) for task in env.tasks] for split, env in envs.items()}
    assert numbers["test"] == list(range(500))
    assert numbers["valid"] == list(range(500, 1500))
    assert numbers["train"] == list(range(1500, 6910))
    products = {split: set(targets(env)) for split, env in envs.items()}
    shared = products["test"] & products["train"]
    assert len(shared) > 0.8 * len(products["test"])  # why splitting by product is the default


def test_same_panels_in_every_process(cache: Path, generated: object) -> None:
    code = (
        "from layergym.envs.panels import panel; from layergym.envs.webshop import WebShop\n"
        "print([panel(WebShop(split=s)).hash for s in ('train', 'valid', 'test')])"
    )
    environment = {**os.environ, "LAYERGYM_CACHE": str(cache), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    own = [panel(WebShop(split=split)).hash for split in SPLITS]
    assert done.stdout.strip() == str(own)
    assert own == PANELS


def test_digest_covers_price_bound_and_reward(tmp_path: Path) -> None:
    data = write_catalogue(tmp_path, [SHOES], ABOUT)
    split = split_of(SHOES["asin"])
    env = WebShop(data=data, split=split)
    strict = WebShop(data=data, split=split, reward="strict")
    goals = {
        "goals": [
            {
                "asin": SHOES["asin"], "instruction_text": "shoes", "attributes": ["light sole"],
                "price_upper": bound, "goal_options": {"size": "8"},
            }
            for bound in (40.0, 50.0)
        ],
        "product_prices": {SHOES["asin"]: 21.0},
    }  # fmt: skip
    (tmp_path / "goals.json").write_text(json.dumps(goals))
    given = WebShop(data=data, split=split, goals=tmp_path / "goals.json")
    digests = [
        env.digest("goal-00000000"), strict.digest("goal-00000000"),
        given.digest("goal-00000000"), given.digest("goal-00000001"),
    ]  # fmt: skip
    assert len(set(digests)) == 4


def test_one_synthetic_goal_per_combination(tmp_path: Path) -> None:
    env = WebShop(data=write_catalogue(tmp_path, [SHOES], ABOUT), split=split_of(SHOES["asin"]))
    texts = []
    for place in range(len(env.tasks)):
        env.reset(options={"task": place})
        texts.append(env.goal.instruction)
    start = "Find me light sole walking shoes with size: "
    assert sorted(text.partition(", and price lower than ")[0] for text in texts) == [
        f"{start}6 | 7", f"{start}8"
    ]  # fmt: skip
    assert all(text.endswith(".00 dollars") for text in texts)
    assert len({env.goal.price_upper}) == 1


def test_human_goals_skip_those_without_attributes(tmp_path: Path) -> None:
    asin = SHOES["asin"]
    human = {
        asin: [
            {"instruction": "light shoes, please.", "instruction_attributes": ["light sole"],
             "instruction_options": ["8"]},
            {"instruction": "any shoes", "instruction_attributes": [], "instruction_options": []},
        ]
    }  # fmt: skip
    data = write_catalogue(tmp_path, [SHOES], {})
    (tmp_path / "items_human_ins.json").write_text(json.dumps(human))
    env = WebShop(data=data, goals="human", split=split_of(asin))
    assert len(env.tasks) == 1
    env.reset(options={"task": 0})
    assert env.goal.instruction.startswith("light shoes, please, and price lower than ")
    assert env.goal.options == ("8",)


@pytest.mark.parametrize("task", [0, np.int64(0), True])
def test_a_place_in_the_split_names_a_task(task: int) -> None:
    env = WebShop(split="test")
    _, info = env.reset(options={"task": task})
    assert info["task"] == env.tasks[int(task)]


@pytest.mark.parametrize(
    "task",
    [
        -1,
        10**9,
        1.5,
        None,
        "goal-1",
        "goal-99999999",
        "x" * 10_000,
        "goal-\u0663",
        "goal-" + "9" * 5_000,
        [0],
    ],
)
def test_there_is_no_such_task(task: object) -> None:
    with pytest.raises(InputError, match="task"):
        WebShop(split="test").reset(options={"task": task})


def test_bad_settings_are_explained(tmp_path: Path) -> None:
    for settings, message in [
        ({"goals": "hardd"}, 'did you mean "hard"'),
        ({"order": "random"}, "no order of goals"),
        ({"observation": "html"}, "no observation mode"),
        ({"reward": "loose"}, "no reward"),
        ({"split": "dev"}, "no split"),
        ({"data": tmp_path}, "expected one items_shuffle"),
    ]:
        with pytest.raises(InputError, match=message):
            WebShop(**settings)  # type: ignore[arg-type]
