"""The WebShop environment."""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Hashable, Sequence
from dataclasses import astuple
from functools import lru_cache
from pathlib import Path
from typing import Any

from layergym.base.errors import InputError, unknown
from layergym.envs.core import Outcome, TextEnv
from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.expert import oracle, query
from layergym.envs.webshop.generated import DIFFICULTIES, open_generated
from layergym.envs.webshop.loading import open_files
from layergym.envs.webshop.observations import MODES, plain_text, rich_text
from layergym.envs.webshop.pages import PageState, Shop, parse_action
from layergym.envs.webshop.products import ShoppingGoal
from layergym.envs.webshop.reward import REWARDS
from layergym.envs.webshop.splits import SPLITS
from layergym.envs.webshop.tasks import CatalogueGoals, GivenGoals, Goals, Tasks, number_of

ORDERS = ("product", "original")


class WebShop(TextEnv):
    """Buy what an instruction asks for, in a shop with a search box (arXiv 2207.01206).

    A state machine equal to princeton-nlp/WebShop at 64fa2a5 in pages, actions, search order and
    reward, over one catalogue that all environments and processes of a machine share. Without
    `data` the catalogue is a generated one. The reward comes with `click[buy now]`, which ends the
    episode; success is a reward of 1. `info["score"]` is 100 times the reward.

    A task is a goal; `options={"task": ...}` takes its id, or its place in the split.
    """

    splits = SPLITS
    max_turns = 15
    instructions = (
        "You are shopping on a website. Find a product that has everything the instruction asks "
        "for, choose the options it asks for, and buy it within the price it names.\n"
        "There are two kinds of action:\n"
        "search[keywords] searches the shop, from any page.\n"
        "click[value] clicks on a button, a product code or an option that the page shows.\n"
        "click[buy now] buys the product on the page and ends the episode."
    )

    def __init__(
        self,
        *,
        data: str | Path | None = None,
        goals: str | Path = "",
        order: str = "product",
        observation: str = "text",
        reward: str = "original",
        show_attributes: bool = False,
        **settings: Any,
    ) -> None:
        """Create the environment.

        Args:
            data: WebShop's `items_shuffle*.json`, or its folder; None: the generated catalogue.
            goals: which goals. Of the generated catalogue "easy", "medium" or "hard", of `data`
                "synthetic" (default), "human", or a file of goals and prices drawn elsewhere
                (`layergym.envs.webshop.goals.GoalFile`). Default: all that were generated.
            order: "product" splits by product; "original" takes WebShop's first 500 goals as test
                and the next 1,000 as valid.
            observation: "text", "text_rich" or "url".
            reward: "original", or "strict", which wants exactly the options asked for.
            show_attributes: WebShop's optional page with a product's attributes.
            **settings: `split`, `max_turns` and `render_mode` of `TextEnv`.

        Raises:
            InputError: a setting is unknown, does not fit the others, or `data` cannot be used.
        """
        super().__init__(**settings)
        for what, name, known in (
            ("order of goals", order, ORDERS),
            ("observation mode", observation, MODES),
            ("reward", reward, REWARDS),
        ):
            if name not in known:
                raise unknown(what, name, known)
        self.shop, self._goals = _open(str(data or ""), str(goals), show_attributes)
        self._tasks = _tasks(self._goals, self.split, order)
        if not self._tasks:
            raise InputError(
                f"there is no goal in the {self.split} split of these goals; "
                "take another split, or more goals"
            )
        self._mode = observation
        self._reward_name = reward
        self._score = 0.0
        self.state = PageState()
        """Where the shopper is."""

    @property
    def tasks(self) -> Sequence[str]:
        """Ids of the goals of this split: `goal-` and the place in WebShop's order of all goals."""
        return self._tasks

    @property
    def goal(self) -> ShoppingGoal:
        """What the current task asks for."""
        return self._goal

    def kind(self, task: str) -> str:
        """The difficulty of a generated task; with `data`, the category of its product."""
        return self._goals.kind(number_of(task))

    def digest(self, task: str) -> str:
        """A hash of the goal, what its product costs, and how a purchase is scored."""
        goal = self._goals.goal(number_of(task))
        row = self.shop.catalogue.row(goal.asin)
        price = None if row is None else self._goals.priced(self.shop.catalogue.product(row)).price
        content = json.dumps([*astuple(goal), price, self._reward_name])
        return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode; `options={"task": ...}` takes an id or a place in `tasks`.

        Raises:
            InputError: there is no such task, or an option is unknown.
        """
        if options and "task" in options:
            options = {**options, "task": self._task(options["task"])}
        return super().reset(seed=seed, options=options)

    def _task(self, task: object) -> str:
        if isinstance(task, str):
            if task in self._tasks:
                return task
            known = f"{self._tasks[0]} to {self._tasks[-1]}"
            raise InputError(f'the {self.split} split has no task "{task[:40]}"; it has {known}')
        try:
            place = operator.index(task)  # type: ignore[arg-type]
        except TypeError:
            raise InputError(f"a task is an id or a whole number, not {task!r}") from None
        if not 0 <= place < len(self._tasks):
            last = len(self._tasks) - 1
            raise InputError(f"the {self.split} split has tasks 0 to {last}; there is no {place}")
        return self._tasks[place]

    def start(self) -> str:
        """Open the home page."""
        self._goal = self._goals.goal(number_of(self.task))
        self._score = 0.0
        self.state = PageState()
        return self._look()

    def play(self, action: str) -> Outcome:
        """Search or click; anything else changes nothing."""
        name, argument = parse_action(action)
        if name == "search":
            self.state = self.shop.search(self.state, argument)
            return Outcome(self._look())
        after = self.shop.click(self.state, argument) if name == "click" else None
        if after is None:
            return Outcome(self._text, valid=False)
        self.state = after
        if after.page != "done":
            return Outcome(self._look())
        product = self._goals.priced(self.shop.catalogue.product(after.row))
        reward = REWARDS[self._reward_name](product, self._goal, dict(after.options))
        self._score = 100 * reward
        return Outcome(self._look(reward), reward, terminated=True, success=reward == 1)

    def _look(self, reward: float = 0.0) -> str:
        if self._mode == "url":
            return self.shop.url(self.state, self.task)
        nodes = self.shop.nodes(self.state, self._goal.instruction, reward)
        if self._mode == "text":
            return plain_text(nodes)
        return rich_text(nodes, self.shop.url(self.state, self.task), self.state.visited)

    def state_key(self) -> Hashable:
        """The page, what was searched, and what was chosen; more where the mode shows more."""
        state = self.state
        key = (state.page, state.keywords, state.number, state.row, state.sub)
        if self._mode == "text":
            return (*key, tuple(sorted(state.options)))
        return (*key, state.options, state.visited)

    def admissible(self) -> Sequence[str]:
        """Every click that does something, and on the home page a search for the instruction."""
        if self.state.page == "home":
            return [f"search[{query(self._goal.instruction)}]"]
        actions = {f"click[{name}]": name for name in self.shop.clickables(self.state)}
        return sorted(a for a, name in actions.items() if parse_action(a) == ("click", name))

    def expert(self) -> str | None:
        """What an oracle does that knows the product the goal was made from."""
        return oracle(self.shop, self.state, self._goal)

    def _info(self, *, valid: bool, success: bool) -> dict[str, Any]:
        return {**super()._info(valid=valid, success=success), "score": self._score}


@lru_cache(8)
def _open(data: str, goals: str, show_attributes: bool) -> tuple[Shop, Goals]:
    """One shop and one set of goals per process, shared by its environments."""
    if not data:
        if goals not in ("", *DIFFICULTIES):
            raise unknown("difficulty", goals, DIFFICULTIES)
        catalogue = open_generated()
        return _shop(catalogue, show_attributes), CatalogueGoals(catalogue, "requests", goals)
    catalogue = open_files(data)
    shop = _shop(catalogue, show_attributes)
    if goals in ("", "synthetic"):
        return shop, CatalogueGoals(catalogue, "synthetic")
    if goals == "human":
        return shop, CatalogueGoals(catalogue, "requests")
    if not Path(goals).is_file():
        raise unknown("kind of goals", goals, ("synthetic", "human", "the path of a goal file"))
    return shop, GivenGoals(catalogue, Path(goals))


@lru_cache(8)
def _shop(catalogue: Catalogue, show_attributes: bool) -> Shop:
    return Shop(catalogue, show_attributes=show_attributes)


@lru_cache(32)
def _tasks(goals: Goals, split: str, order: str) -> Tasks:
    return Tasks(goals.numbers(split, order))
