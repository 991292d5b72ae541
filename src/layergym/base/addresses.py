"""Addresses of servers."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from layergym.base.errors import InputError

VLLM_KEY = "VLLM_API_KEY"
"""The environment variable with the key of a vLLM server, as vLLM itself names it."""


def split(url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        InputError: it cannot be read.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # Read here, where a port above 65535 is refused.
        return parts
    except ValueError as error:
        raise InputError(
            f'"{url}" is not an address: {error}; write it as in http://127.0.0.1:8000'
        ) from error


def check_server(url: str) -> None:
    """Refuse what is no address of a vLLM server, or holds a password, which is not repeated.

    Raises:
        InputError: one of these.
    """
    parts = split(url)
    if parts.username is not None or parts.password is not None:
        raise InputError(f"a key does not belong into an address; put it into ${VLLM_KEY}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f'"{url}" is not an address of a server; write http://HOST:PORT')
