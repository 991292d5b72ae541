"""A stand-in of the Hugging Face hub: the calls that uploads and downloads of small files make."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote

from tests.http_server import HttpServer


@dataclass
class StandIn:
    """What the hub holds, by repository ("me/delta", "datasets/me/profile")."""

    held: dict[str, dict[str, bytes]] = field(default_factory=dict)
    address: str = ""

    def commit(self, repository: str) -> str:
        """The name of what a repository holds now."""
        files = self.held[repository]
        text = "".join(f"{name}{hashlib.sha1(files[name]).hexdigest()}" for name in sorted(files))
        return hashlib.sha1(text.encode()).hexdigest()


class HubServer(HttpServer):
    """Serves a stand-in on this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub = StandIn(address=f"http://127.0.0.1:{self.server_port}")


class _Handler(BaseHTTPRequestHandler):
    server: HubServer

    def do_POST(self) -> None:
        hub, body = self.server.hub, self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = "/".join(filter(None, [asked.get("organization"), asked["name"]]))
            name = name if "/" in name else f"me/{name}"
            place = f"datasets/{name}" if asked.get("type") == "dataset" else name
            hub.held.setdefault(place, {})
            self._answer({"url": f"{hub.address}/{place}", "id": name})
        elif self.path.endswith("/validate-yaml"):
            self._answer({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            rows = [{"path": f["path"], "uploadMode": "regular"} for f in json.loads(body)["files"]]
            self._answer({"files": [row | {"shouldIgnore": False} for row in rows]})
        elif match := re.fullmatch(r"/api/(.+)/commit/main", self.path):
            place = match[1].removeprefix("models/")
            for line in body.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    content = base64.b64decode(row["value"]["content"])
                    hub.held[place][row["value"]["path"]] = content
            self._answer({"commitUrl": f"{hub.address}/{place}/commit/1", "commitOid": "1"})
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        hub, path = self.server.hub, unquote(self.path.partition("?")[0])
        info = re.fullmatch(r"/api/(?:models/)?(.+?)(/revision/[^/]+)?", path)
        tree = re.fullmatch(r"/api/(?:models/)?(.+?)/tree/[^/]+", path)
        file = re.fullmatch(r"/(.+?)/resolve/[^/]+/(.+)", path)
        if tree and tree[1] in hub.held:
            rows = hub.held[tree[1]].items()
            self._answer([{"type": "file", "path": n, "size": len(d), "oid": "1"} for n, d in rows])
        elif info and info[1] in hub.held:
            names = [{"rfilename": name} for name in hub.held[info[1]]]
            self._answer({"id": info[1], "sha": hub.commit(info[1]), "siblings": names})
        elif file and file[2] in hub.held.get(file[1], {}):
            self._send(hub.held[file[1]][file[2]], hub.commit(file[1]))
        else:
            self._answer({"error": "not found"}, 404, {"X-Error-Code": "RepoNotFound"})

    do_HEAD = do_GET

    def _send(self, data: bytes, commit: str) -> None:
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha1(data).hexdigest()}"')
        self.send_header("X-Repo-Commit", commit)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def _answer(self, value: Any, code: int = 200, more: dict[str, str] | None = None) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        for name, text in {"Content-Type": "application/json", **(more or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass
