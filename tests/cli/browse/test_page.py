"""The page: served to this machine alone, or as one file; nothing in it is anybody's markup."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.agents.trajectories import NAME
from layergym.cli.browse import page
from layergym.cli.browse.library import Library
from layergym.cli.browse.server import POLICY, PageServer

HOSTILE = "</script><script>document.title='pwned'</script><img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[PageServer]:
    with PageServer(Library([runs])) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def asked(
    server: PageServer, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
) -> tuple[http.client.HTTPResponse, str]:
    link = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    link.putrequest(method, path, skip_host=True)
    for name, value in {"Host": "localhost:1", **(headers or {})}.items():
        link.putheader(name, value)
    link.endheaders()
    answer = link.getresponse()
    text = answer.read().decode()
    link.close()
    return answer, text


@pytest.mark.parametrize("path", ["/", "/page.css", "/page.js", "/api/runs", "/api/run/0"])
def test_every_answer_forbids_what_the_page_does_not_need(server: PageServer, path: str) -> None:
    answer, text = asked(server, path)
    assert answer.status == 200 and text
    assert answer.headers["Content-Security-Policy"] == POLICY
    assert "unsafe" not in POLICY and POLICY.startswith("default-src 'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "", "127.0.0.1.evil.example"])
def test_a_name_that_was_bound_to_this_address_is_refused(server: PageServer, host: str) -> None:
    answer, text = asked(server, "/api/runs", {"Host": host})
    assert answer.status == 403 and "alfworld" not in text.lower()


@pytest.mark.parametrize("host", ["127.0.0.1:8600", "localhost", "[::1]:9", "LOCALHOST:1"])
def test_this_machine_may_be_called_by_its_names(server: PageServer, host: str) -> None:
    assert asked(server, "/api/runs", {"Host": host})[0].status == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_pages_of_other_sites_are_refused(server: PageServer, site: str) -> None:
    assert asked(server, "/api/runs", {"Sec-Fetch-Site": site})[0].status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/etc/passwd",
        "//etc/passwd",
        "/assets/dom.js",
        "/api/../page.js",
        "/api/run/%2e%2e%2f",
        "/api/run/0%00",
        "/" + "a" * 60000,
    ],
)
def test_what_is_not_offered_is_not_there(server: PageServer, path: str) -> None:
    assert asked(server, path)[0].status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "X"])
def test_nothing_can_be_changed(server: PageServer, method: str) -> None:
    answer, _ = asked(server, "/api/runs", method=method)
    assert answer.status == 501
    assert answer.headers["Content-Security-Policy"] == POLICY


def test_the_script_makes_no_markup_of_texts_and_asks_no_other_site() -> None:
    ways = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|Function\(|DOMParser"
    assert not re.findall(ways, page.script())
    assert set(re.findall(r"https?://[^\"'\s)]+", page.script() + page.style())) == {
        "http://www.w3.org/2000/svg"
    }


@pytest.fixture
def hostile(runs: Path, tmp_path: Path) -> Path:
    """A run whose model wrote markup, in every text that it can write."""
    run = shutil.copytree(runs / "run", tmp_path / "hostile" / "run")
    rows = [json.loads(line) for line in (run / NAME).read_text().splitlines()]
    for row in rows:
        row["task"] = row["kind"] = row["agent"] = row["error"] = HOSTILE
        for turn in row["turns"]:
            turn |= dict.fromkeys(("observation", "reply", "action", "prompt"), HOSTILE)
            turn["pieces"] = [HOSTILE] * len(turn["pieces"])
    (run / NAME).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_one_file_holds_all_and_asks_nobody(
    hostile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    assert main(["view", str(hostile), "--out", str(file)]) == 0
    assert str(file) in capsys.readouterr().out
    text = file.read_text()
    assert text.count("<script") == text.count("</script") == 2
    assert "<img" not in text and HOSTILE not in text
    assert not re.search(r"(src|href)=[\"']?(https?:|//|/)", text)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert data is not None
    held = json.loads(data[1])
    shown = held["api/episodes/0"]["episodes"]
    assert [line["task"] for line in shown] == [HOSTILE] * 4
    assert held[f"api/episode/0/{shown[0]['id']}"]["episodes"][0]["turns"][0]["reply"] == HOSTILE
    assert held[f"api/episode/0/{shown[1]['id']}"] == {"same": shown[0]["id"], "chosen": 1}
    assert main(["view", str(hostile), "--out", str(file)]) == 2, "it is there already"


CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), "")
LOOK = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000"]


@pytest.mark.real
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
def test_a_browser_shows_texts_as_texts(hostile: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    assert main(["view", str(hostile), "--out", str(file)]) == 0
    with PageServer(Library([hostile])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for start in (f"file://{file}", server.address):
            for place, expected in {
                "#/": "ALFWorld",
                "#/0": "success",
                "#/0/episodes": "&lt;/script&gt;",
                "#/0/episodes/0.1": "advantage",
            }.items():
                look = [CHROMIUM, *LOOK, f"--user-data-dir={tmp_path}", "--dump-dom", start + place]
                seen = subprocess.run(look, capture_output=True, text=True, timeout=120).stdout
                body = seen.partition('<div id="view">')[2].partition("</main>")[0]
                assert expected in body, start + place
                assert "<img" not in body and "<script" not in body and "pwned</title>" not in seen
        server.shutdown()
