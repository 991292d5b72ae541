"""Addresses of servers."""

import pytest

from layergym.base.addresses import check_server
from layergym.base.errors import InputError


@pytest.mark.parametrize("url", ["http://localhost:8000", "https://h/v1", "http://[::1]:8000"])
def test_an_address_of_a_server_is_one(url: str) -> None:
    check_server(url)


@pytest.mark.parametrize("url", ["", "nowhere", "ftp://h", "http://", "http://[", "http://h:99999"])
def test_what_is_none_is_refused(url: str) -> None:
    with pytest.raises(InputError, match="is not an address"):
        check_server(url)


@pytest.mark.parametrize("url", ["http://me:secret@h", "http://:secret@h", "http://secret@h"])
def test_a_key_in_an_address_is_not_repeated(url: str) -> None:
    with pytest.raises(InputError, match="VLLM_API_KEY") as error:
        check_server(url)
    assert "secret" not in str(error.value)
