"""WebShop as a state machine: pages, what can be clicked, and where a click leads.

A state is a small value, the shop is read-only, and a page is a list of text nodes, from which
every observation mode is made. Pages, actions and their oddities are those of
princeton-nlp/WebShop (MIT; templates and `web_agent_text_env.py`), its HTML left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal, NamedTuple

from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.products import Product

PAGE_SIZE = 10
BACK, NEXT, PREVIOUS, BUY = "back to search", "next >", "< prev", "buy now"
SUB_PAGES = {name.lower(): name for name in ("Description", "Features", "Reviews", "Attributes")}
_HTML_SPACE = " \n\t\f\r"
_KEPT = 2048


_ACTION = re.compile(r"(.+)\[(.+)\]")


def parse_action(action: str) -> tuple[str, str]:
    """The name and the lower-case argument of `name[argument]`; two empty texts if it is neither.

    Both parts are greedy and may not span lines, so what contains a bracket cannot be clicked.
    """
    match = _ACTION.match(action)
    return (match[1], match[2].lower()) if match else ("", "")


class Node(NamedTuple):
    """One visible text of a page and the element it stands in."""

    kind: Literal["text", "button", "label", "link"]
    text: str


@dataclass(frozen=True, slots=True)
class PageState:
    """Where the shopper is. The goal is not part of it."""

    page: Literal["home", "results", "item", "sub", "done"] = "home"
    keywords: str = ""
    number: int = 0
    """Page of the results, from 1."""
    row: int = -1
    """The product looked at, as the catalogue's row."""
    sub: str = ""
    """Which sub-page: a key of `SUB_PAGES`."""
    options: tuple[tuple[str, str], ...] = ()
    """Chosen (name, value) pairs, in the order in which the names were first chosen."""
    visited: frozenset[str] = frozenset()
    """Asins looked at since the home page."""


class _Item(NamedTuple):
    """What does not change about a product's own page."""

    nodes: tuple[Node, ...]
    clickables: Mapping[str, str | None]
    """What can be clicked on the item page -> the option it belongs to, if it is one."""


class Shop:
    """The pages over one catalogue; read-only, so one serves any number of episodes."""

    def __init__(self, catalogue: Catalogue, *, show_attributes: bool = False) -> None:
        """Open the shop; `show_attributes` adds the original's optional attributes page."""
        self.catalogue = catalogue
        self._subs = [key for key in SUB_PAGES if show_attributes or key != "attributes"]
        self._item = lru_cache(_KEPT)(self._make_item)
        self._card = lru_cache(_KEPT)(self._make_card)

    def __deepcopy__(self, memo: object) -> Shop:
        """Read-only, so every copy is the same object."""
        return self

    # ---- moving ---------------------------------------------------------------------------

    def search(self, state: PageState, keywords: str, number: int = 1) -> PageState:
        """Search, from any page: chosen options are forgotten."""
        return PageState("results", keywords, number, visited=state.visited)

    def clickables(self, state: PageState) -> list[str]:
        """What the original lists as clickable, in its order (`search` on home cannot be)."""
        if state.page == "home":
            return ["search"]
        if state.page == "done":
            return []
        if state.page == "sub":
            return [BACK, PREVIOUS]
        if state.page == "item":
            return list(self._item(state.row).clickables)
        turns = [PREVIOUS, NEXT] if state.number > 1 else [NEXT]
        return list(dict.fromkeys([BACK, *turns, *self._links(state)]))

    def click(self, state: PageState, name: str) -> PageState | None:
        """The state after clicking `name` (lower case); None when it cannot be clicked."""
        if name == "search" or name not in self.clickables(state):
            return None
        if name == BACK:
            return PageState()
        if state.page == "results":
            return self._click_on_results(state, name)
        if state.page == "sub":
            return replace(state, page="item", sub="")
        return self._click_on_item(state, name)

    def _click_on_results(self, state: PageState, name: str) -> PageState:
        if name in (NEXT, PREVIOUS):
            return self.search(state, state.keywords, state.number + (1 if name == NEXT else -1))
        row = self._links(state)[name]
        visited = state.visited | {self.catalogue.product(row).asin}
        return replace(state, page="item", row=row, visited=visited)

    def _click_on_item(self, state: PageState, name: str) -> PageState:
        if name == PREVIOUS:
            return self.search(state, state.keywords, state.number)
        if name == BUY:
            return replace(state, page="done")
        if name in SUB_PAGES:  # an option of that name leads there too
            return replace(state, page="sub", sub=name)
        option = self._item(state.row).clickables[name] or ""
        return replace(state, options=tuple({**dict(state.options), option: name}.items()))

    def _links(self, state: PageState) -> dict[str, int]:
        """Products on a page of results: lower-case asin -> row."""
        return {self.catalogue.product(row).asin.lower(): row for row in self._shown(state)}

    def _shown(self, state: PageState) -> tuple[int, ...]:
        end = state.number * PAGE_SIZE
        return self.catalogue.search(state.keywords)[end - PAGE_SIZE : end]

    # ---- looking --------------------------------------------------------------------------

    def nodes(self, state: PageState, instruction: str, reward: float = 0.0) -> list[Node]:
        """The visible texts of the page, in order; `reward` is what the done page reports."""
        if state.page == "home":
            shown = [*_nodes("text", "WebShop", "Instruction: ", instruction)]
            return [*shown, Node("button", "Search")]
        if state.page == "done":
            return self._done(state, reward)
        head = [*_nodes("text", "Instruction:", instruction), Node("button", "Back to Search")]
        if state.page == "results":
            return head + self._results(state)
        head.append(Node("button", "< Prev"))
        if state.page == "item":
            return [*head, *self._item(state.row).nodes]
        return head + list(_sub_page(self.catalogue.product(state.row), state.sub))

    def _results(self, state: PageState) -> list[Node]:
        total = len(self.catalogue.search(state.keywords))
        shown = [Node("text", f"Page {state.number} (Total results: {total})")]
        if state.number > 1:
            shown.append(Node("button", "< Prev"))
        shown.append(Node("button", "Next >"))
        for row in self._shown(state):
            shown += self._card(row)
        return shown

    def _done(self, state: PageState, reward: float) -> list[Node]:
        options = json.dumps(dict(state.options), sort_keys=True)
        for character in "<>&'":
            options = options.replace(character, f"\\u{ord(character):04x}")
        asin = self.catalogue.product(state.row).asin
        texts = [
            "Thank you for shopping with us!", "Your code: ", "None",
            " (Paste it in your MTurk interface.)", "Purchased", "asin", asin, "options", options,
            "attrs", "None", "category", "None", "query", "None", "product category", "None",
            "Target", "asin", "options", "attrs", "price upper", "instuction text", "category",
            "product category", "query", "Goal ", "None", "Reward",
            "Your score (min 0.0, max 1.0)", str(reward), "Reward Details ", "None",
        ]  # fmt: skip
        return [Node("text", text) for text in texts]

    def url(self, state: PageState, session: str) -> str:
        """The address that the original gives the page."""
        base = "http://127.0.0.1:3000"
        if state.page == "home":
            return f"{base}/{session}"
        keywords = state.keywords.replace(" ", "+")
        if state.page == "results":
            return f"{base}/search_results/{session}/{keywords}/{state.number}"
        asin, options = self.catalogue.product(state.row).asin, dict(state.options)
        if state.page == "done":
            return f"{base}/done/{session}/{asin}/{options}"
        place = f"{session}/{asin}/{keywords}/{state.number}"
        if state.page == "sub":
            return f"{base}/item_sub_page/{place}/{SUB_PAGES[state.sub]}/{options}"
        return f"{base}/item_page/{place}/{json.dumps(options)}"

    def _make_card(self, row: int) -> tuple[Node, ...]:
        """A product among the results."""
        product = self.catalogue.product(row)
        return *_nodes("link", product.asin), *_nodes("text", product.title, product.price_tag)

    def _make_item(self, row: int) -> _Item:
        product = self.catalogue.product(row)
        nodes: list[Node] = []
        clickables: dict[str, str | None] = dict.fromkeys([BACK, PREVIOUS, *self._subs, BUY])
        for name, values in product.options.items():
            nodes += [*_nodes("text", name), *_nodes("label", *values)]
            clickables.update(dict.fromkeys(values, name))
        tags = f"Price: {product.price_tag}", "Rating: N.A."
        nodes += _nodes("text", product.title, *tags)
        nodes += _nodes("button", *(SUB_PAGES[key] for key in self._subs), "Buy Now")
        return _Item(tuple(nodes), clickables)


def _sub_page(product: Product, sub: str) -> Iterable[Node]:
    if sub == "description":
        return _nodes("text", product.description)
    if sub == "features":
        return _nodes("text", *(f" {bullet}" for bullet in product.bullets))
    if sub == "attributes":
        about = product.category, product.query, product.product_category
        return _nodes("text", *(f" {attribute}" for attribute in product.attributes), *about)
    return ()  # there are no reviews


def _nodes(kind: Literal["text", "button", "label", "link"], *texts: str) -> Iterable[Node]:
    """Texts as an HTML parser sees them: white space alone counts as one space, or as nothing."""
    for text in texts:
        if text.strip(_HTML_SPACE):
            yield Node(kind, text)
        elif text and "\n" not in text:
            yield Node(kind, " ")
