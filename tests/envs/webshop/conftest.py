"""Catalogues for the WebShop tests; their cache is the test session's own."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from layergym.envs.webshop.catalogue import Catalogue
from layergym.envs.webshop.generated import open_generated
from layergym.envs.webshop.loading import open_files

SHOES: dict[str, Any] = {
    "asin": "B000000001",
    "name": "Walking Shoes for Women",
    "full_description": "Soft shoes & more.",
    "small_description": ["Light sole", " \n ", "Made for rain"],
    "pricing": "$20.5 $30",
    "customization_options": {"Size": [{"value": "6/7 "}, {"value": "8"}], "Color": None},
    "category": "fashion",
    "query": "Walking Shoes ",
    "product_category": "Clothing \u203a Women \u203a Shoes",
    "images": [],
}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERGYM_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def generated(cache: Path) -> Catalogue:
    return open_generated()


@pytest.fixture(scope="session")
def webshop_data(cache: Path, shared_data: Path) -> Path:
    return shared_data / "webshop"


@pytest.fixture(scope="session")
def real(webshop_data: Path) -> Catalogue:
    return open_files(str(webshop_data))


def write_catalogue(folder: Path, rows: list[Any], about: dict[str, Any]) -> Path:
    """Rows as WebShop's files."""
    path = folder / "items_shuffle.json"
    path.write_text(json.dumps(rows))
    (folder / "items_ins_v2.json").write_text(json.dumps(about))
    return path
