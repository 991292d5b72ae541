"""The page, served to this machine alone.

What a page of another site may try is refused: a name that was bound again to this address (the
`Host` header must be this machine's), requests of other sites (`Sec-Fetch-Site`), frames, and all
methods that could change something. Nothing here does.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from layergym.base.errors import InputError
from layergym.cli.browse.episodes import safe_json
from layergym.cli.browse.library import Library
from layergym.cli.browse.page import script, served_page, style

HOST = "127.0.0.1"
NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})
"""What a browser on this machine calls it; any port, so that one may be forwarded."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_FILES: dict[str, tuple[str, Callable[[], str]]] = {
    "/": ("text/html", served_page),
    "/page.css": ("text/css", style),
    "/page.js": ("text/javascript", script),
}


class PageServer(ThreadingHTTPServer):
    """Answers at `address` until it is shut down."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, library: Library, port: int = 0) -> None:
        """Listen on `port` of this machine; 0 for one that is free.

        Raises:
            InputError: the port is in use, or not for this account.
        """
        self.library = library
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); give another --port, or 0 for a "
                "free one"
            ) from None

    @property
    def address(self) -> str:
        """Where a browser finds the page."""
        return f"http://{HOST}:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    server_version = "layergym"
    sys_version = ""
    timeout = 30

    def do_GET(self) -> None:
        if not self._from_here():
            self._send(HTTPStatus.FORBIDDEN, "text/plain", "only for pages of this server\n")
            return
        asked = urlsplit(self.path)
        if asked.path in _FILES:
            kind, make = _FILES[asked.path]
            self._send(HTTPStatus.OK, kind, make())
        elif asked.path.startswith("/api/"):
            self._api(asked.path.removeprefix("/api/"), asked.query)
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain", "there is nothing here\n")

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what the base class cannot read, or has no method for."""
        self._send(HTTPStatus(code), "text/plain", "this cannot be answered\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: what is asked for is text of others."""

    def _api(self, address: str, query: str) -> None:
        measure = parse_qs(query).get("measure", [""])[0]
        status = HTTPStatus.OK
        try:
            answer = self.server.library.answer(address, measure)
        except KeyError:
            status, answer = HTTPStatus.NOT_FOUND, {"problem": "there is nothing here"}
        except InputError as error:
            answer = {"problem": str(error)}
        self._send(status, "application/json", safe_json(answer))

    def _from_here(self) -> bool:
        """Whether a page of this server, or a person's own address line, asks."""
        host = (self.headers.get("Host") or "").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        site = self.headers.get("Sec-Fetch-Site", "none")
        return name in NAMES and site in ("same-origin", "none")

    def _send(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode("utf-8", "replace")
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
