"""Connections to servers whose answers, headers and all, come within the time of an attempt."""

from __future__ import annotations

import io
import time
from http.client import HTTPResponse
from socket import socket
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection


class _InTime(io.RawIOBase):
    """A socket's file whose reads together take no longer than the socket's timeout at its start.

    A timeout alone is one of silence: a byte now and then would hold a reader for ever.
    """

    def __init__(self, sock: socket) -> None:
        self._sock, self._file = sock, sock.makefile("rb", buffering=0)
        limit_s = sock.gettimeout()
        self._end = None if limit_s is None else time.monotonic() + limit_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            left_s = self._end - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("timed out before the answer was whole")
            self._sock.settimeout(left_s)
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        self.fp.close()
        self.fp = io.BufferedReader(_InTime(sock))


class _Http(HTTPConnection):
    response_class = _Answer


class _Https(HTTPSConnection):
    response_class = _Answer


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class TimelyAdapter(HTTPAdapter):
    """Connections whose answers come in time, directly or through a proxy."""

    def init_poolmanager(self, *args: Any, **more: Any) -> None:
        """Make the pool of direct connections."""
        super().init_poolmanager(*args, **more)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def proxy_manager_for(self, *args: Any, **more: Any) -> Any:
        """Make, or get, the pool of connections through a proxy."""
        manager = super().proxy_manager_for(*args, **more)
        manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
        return manager
