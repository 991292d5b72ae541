"""A run's delta, packaged and sent to a hub."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from transformers import AutoModelForCausalLM

from layergym.agents.names import open_model
from layergym.base.errors import InputError, refused
from layergym.evals import publish
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec
from tests.full_disk import largest_file
from tests.http_server import HttpServer

GAMES = {"max_receptacles": 6, "num_objects": 6, "max_turns": 3, "size": 12}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    spec = RunSpec(
        env="alfworld-v0", env_args=GAMES, layers="3", steps=1, tasks_per_step=2, group_size=2
    )
    train(spec, folder)
    return folder


class Hub(BaseHTTPRequestHandler):
    """The few calls of the hub's HTTP interface that an upload of small files makes."""

    files: dict[str, bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/api/repos/create":
            self.answer({"url": f"{self.server.address}/me/delta", "id": "me/delta"})  # type: ignore[attr-defined]
        elif self.path.endswith("/validate-yaml"):
            self.answer({"errors": [], "warnings": []})
        elif self.path.endswith("/preupload/main"):
            asked = json.loads(body)["files"]
            rows = [{"path": f["path"], "uploadMode": "regular"} for f in asked]
            self.answer({"files": [row | {"shouldIgnore": False} for row in rows]})
        elif self.path.endswith("/commit/main"):
            for line in body.decode().splitlines():
                row = json.loads(line)
                if row["key"] == "file":
                    value = row["value"]
                    self.files[value["path"]] = base64.b64decode(value["content"])
            self.answer(
                {"commitUrl": f"{self.server.address}/me/delta/commit/1", "commitOid": "1"}  # type: ignore[attr-defined]
            )
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        self.answer({"id": "me/delta", "sha": "0", "siblings": []})

    def answer(self, value: object) -> None:
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    files: dict[str, bytes] = {}
    handler = type("Handler", (Hub,), {"files": files})
    server = HttpServer(("127.0.0.1", 0), handler)
    server.address = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = server.address  # type: ignore[attr-defined]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(publish, "HfApi", lambda: HfApi(endpoint=address, token="hf_x"))
    yield files
    server.shutdown()
    server.server_close()


def test_a_package_says_what_was_trained(run: Path, tmp_path: Path) -> None:
    publish.package(run, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "layers 3 of tiny" in card and LayerDelta.load(run / "delta.safetensors").base in card
    assert str(run) not in card
    model, _ = open_model("tiny")
    LayerDelta.load(tmp_path / "delta.safetensors").apply(model)


def test_a_merged_package_is_an_ordinary_checkpoint(run: Path, tmp_path: Path) -> None:
    publish.package(run, tmp_path, whole=True)
    merged = AutoModelForCausalLM.from_pretrained(tmp_path)
    model, _ = open_model("tiny")
    LayerDelta.load(run / "delta.safetensors").apply(model)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, merged.get_parameter(name)), name


def test_a_package_is_whole_or_absent(run: Path, tmp_path: Path) -> None:
    with largest_file(500_000), pytest.raises(Exception) as error:  # The delta fits.
        publish.package(run, tmp_path / "out", whole=True)
    assert refused(error.value), "the command line says it in a sentence"
    assert list(tmp_path.iterdir()) == []
    publish.package(run, tmp_path / "out", whole=True)
    assert {"delta.safetensors", "model.safetensors"} <= {
        p.name for p in (tmp_path / "out").iterdir()
    }


def test_a_package_is_not_written_over(run: Path, tmp_path: Path) -> None:
    (tmp_path / "thing").write_text("in use\n")
    with pytest.raises(InputError, match="another folder"):
        publish.package(run, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_damaged_run_is_not_packaged(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "run")
    delta = copy / "delta.safetensors"
    data = bytearray(delta.read_bytes())
    data[-4] ^= 1
    delta.write_bytes(data)
    with pytest.raises(InputError, match="is not as it was written"):
        publish.package(copy, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_upload_arrives_whole(run: Path, tmp_path: Path, hub: dict[str, bytes]) -> None:
    publish.package(run, tmp_path)
    assert publish.push(tmp_path, "me/delta").endswith("/me/delta")
    assert hub == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_an_unfinished_run_cannot_be_packaged(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finish the run first"):
        publish.package(tmp_path, tmp_path / "out")
