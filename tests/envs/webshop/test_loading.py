"""WebShop's files, whatever state they are in."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from layergym.base.errors import InputError
from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.loading import cached, open_files, read_array
from layergym.envs.webshop.products import (
    NO_LIMIT,
    approximate_nouns,
    parse_product,
    price_bound,
)

from .conftest import SHOES, write_catalogue


def test_malformed_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    rows: list[Any] = [
        SHOES,
        SHOES,
        {**SHOES, "asin": "nan"},
        {**SHOES, "asin": "B0000000012"},
        {"asin": "B000000002"},
        {**SHOES, "asin": "B000000003", "customization_options": {"size": ["8"]}},
        {**SHOES, "asin": "B000000004", "customization_options": ["8"]},
        {**SHOES, "asin": "B000000005", "full_description": 7},
        {**SHOES, "asin": "B000000006", "small_description": {}},
        "a text",
        None,
        {"asin": "B000000007", "name": "Only a Name"},
    ]
    catalogue = open_files(str(write_catalogue(tmp_path, rows, {SHOES["asin"]: "not an object"})))
    assert len(catalogue) == 2
    assert catalogue.skipped == {
        "repeated asin": 1, "bad asin": 2, "bad name": 1, "bad customization_options": 2,
        "bad full_description": 1, "bad small_description": 1, "bad not an object": 2,
    }  # fmt: skip
    bare = catalogue.product(catalogue.row("B000000007") or 0)
    assert (bare.price_tag, bare.price, bare.options, bare.bullets) == ("$100.0", 100.0, {}, [""])


def test_rows_are_cleaned_as_in_the_original() -> None:
    product = parse_product(SHOES, {}, {}, None)
    assert product.options == {"size": ["6 | 7", "8"]}
    assert product.price_tag == "$20.5 to $30.0"
    assert 20.5 <= product.price <= 30.0
    assert product.query == "walking shoes"
    assert product.attributes == ["DUMMY_ATTR"]
    assert product.search_text() == (
        "walking shoes for women soft shoes & more. light sole size: 6 | 7, 8"
    )


@pytest.mark.parametrize(
    ("pricing", "tag"),
    [
        ("", "$100.0"), (None, "$100.0"), ("$", "$100.0"), ("$1,299.00", "$1299.0"),
        ("$1.2.3", "$100.0"), ("$5 $6 $7", "$5.0 to $6.0"), (5, "$100.0"), ("free", "$100.0"),
    ],
)  # fmt: skip
def test_price_tags(pricing: object, tag: str) -> None:
    assert parse_product({**SHOES, "pricing": pricing}, {}, {}, None).price_tag == tag


def test_price_bounds_are_among_the_next_four_tens() -> None:
    draw = random.Random(0)
    assert {price_bound(20.0, draw) for _ in range(200)} == {40.0, 50.0, 60.0}
    assert price_bound(985.0, draw) == NO_LIMIT
    assert price_bound(975.0, draw) == 990.0


def test_a_product_has_the_same_price_in_every_catalogue(
    tmp_path: Path, real: Catalogue, webshop_data: Path
) -> None:
    rows = json.loads((webshop_data / "items_shuffle_1000.json").read_text())
    about = json.loads((webshop_data / "items_ins_v2_1000.json").read_text())
    few = open_files(str(write_catalogue(tmp_path, rows[500:700], about)))
    for row in range(len(few)):
        own = few.product(row)
        other = real.product(real.row(own.asin) or 0)
        assert (own.price, own.price_upper) == (other.price, other.price_upper)


def test_title_nouns_come_from_a_file_or_are_called_approximate(
    tmp_path: Path, real: Catalogue
) -> None:
    assert real.nouns == "title_nouns_sm38.json"
    data = write_catalogue(tmp_path, [SHOES], {})
    catalogue = open_files(str(data))
    assert catalogue.nouns == "approximate"
    assert catalogue.product(0).nouns == ["walking", "shoes", "women"]
    (tmp_path / "title_nouns.json").write_text(json.dumps({SHOES["asin"]: ["shoes"]}))
    open_files.cache_clear()
    catalogue = open_files(str(data))
    assert (catalogue.nouns, catalogue.product(0).nouns) == ("title_nouns.json", ["shoes"])


def test_approximate_nouns_leave_out_function_words() -> None:
    assert approximate_nouns("Set of 2 Lamps for the Desk, 60W") == ["set", "lamps", "desk", "w"]


@pytest.mark.parametrize("content", ["{}", "", "[1, 2", '[{"asin": }]', "nonsense"])
def test_files_that_are_no_arrays_are_refused(tmp_path: Path, content: str) -> None:
    path = write_catalogue(tmp_path, [], {})
    path.write_text(content)
    with pytest.raises(InputError, match=r"items_shuffle\.json"):
        open_files(str(path))


def test_a_catalogue_without_a_usable_product_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no usable product"):
        open_files(str(write_catalogue(tmp_path, [None], {})))


def test_the_attributes_file_is_needed(tmp_path: Path) -> None:
    (tmp_path / "items_shuffle.json").write_text("[]")
    with pytest.raises(InputError, match=r"items_ins_v2\.json"):
        open_files(str(tmp_path))


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_arrays_are_read_piece_by_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr("layergym.envs.webshop.loading._CHUNK", chunk)
    items = [1, 23, {"a": [1, "]"]}, "x,[", None, [], -4.5, {"\u00e9": "\U0001f600"}]
    path = tmp_path / "array.json"
    for text in (json.dumps(items), json.dumps(items, indent=3, ensure_ascii=False)):
        path.write_text(text, encoding="utf-8")
        assert list(read_array(path)) == items


def test_of_two_builders_the_first_to_finish_counts(cache: Path) -> None:
    def second(folder: Path) -> None:
        (folder / "who").write_text("second")

    def first(folder: Path) -> None:
        (folder / "who").write_text("first")
        cached("raced", second)  # meanwhile another process asks for it, and finishes

    folder = cached("raced", first)
    assert (folder / "who").read_text() == "second"
    assert cached("raced", first) == folder
    assert not list(folder.parent.glob("building-*"))


def test_a_failed_build_leaves_nothing_behind(cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("")
        raise InputError("no")

    with pytest.raises(InputError):
        cached("failed", fail)
    assert [path.name for path in (cache / "webshop").iterdir() if "failed" in path.name] == []
    assert not list((cache / "webshop").glob("building-*"))
