"""What every client of a model server needs: its address, its key, a session that tries again."""

from __future__ import annotations

import os
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from urllib3.util import Retry

from layergym.base.errors import InputError

CONNECT_S = 10.0


def split(url: str) -> SplitResult:
    """The parts of an address.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InputError(f'"{url}" is no address: {error}') from error


def session(patience: Retry, connections: int) -> requests.Session:
    """A session that keeps up to so many connections, and tries again as `patience` says."""
    made = requests.Session()
    adapter = HTTPAdapter(max_retries=patience, pool_maxsize=connections)
    for scheme in ("http://", "https://"):
        made.mount(scheme, adapter)
    return made


class Key(AuthBase):
    """A bearer key from an environment variable; it goes nowhere but into the request's header."""

    def __init__(self, variable: str) -> None:
        """Read the key, which may be missing."""
        self._key = os.environ.get(variable, "").strip()  # A line end would be refused, and shown.

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign a request."""
        # Given even without a key: requests would else look for a password in ~/.netrc.
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def hidden(self, text: str) -> str:
        """`text` without the key."""
        return text.replace(self._key, "***") if self._key else text
