"""A real browser on a page of somebody else: what it can make the server do. Skipped where there is no Chromium."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlencode

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from burnish.serve.jobs.store import Store
from tests.serve.whole_server import whole_server
from tests.serve.wire.plain_backend import live

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--enable-logging=stderr",
]
RULES = "--host-resolver-rules=MAP evil.example 127.0.0.1"
ATTACK = """<!doctype html><title>attack</title><body><script>
const query = new URLSearchParams(location.search), server = query.get("server"), log = [];
async function send(name, path, options) {
  try { const reply = await fetch(server + path, options); log.push(name + "=" + reply.type + " " + reply.status); }
  catch (error) { log.push(name + "=" + error.name); }
}
const form = () => { const made = new FormData(); made.append("purpose", "fine-tune");
  made.append("file", new Blob(['{"a": 1}']), "evil.jsonl"); return made; };
const upload = JSON.stringify({bytes: 1, filename: "evil.jsonl", mime_type: "a", purpose: "fine-tune"});
const chat = JSON.stringify({model: "tiny", messages: [{role: "user", content: "work"}]});
const job = JSON.stringify({model: "tiny", training_file: "file-1"});
const socket = () => new Promise(resolve => { const made = new WebSocket(server.replace("http", "ws") + "/v1/files");
  made.onopen = () => resolve("open"); made.onerror = () => resolve("refused"); });
(async () => {
  await send("read", "/v1/models", {mode: "no-cors"});
  await send("file", "/v1/files", {method: "POST", mode: "no-cors", body: form()});
  await send("text", "/v1/uploads", {method: "POST", mode: "no-cors", body: upload});
  await send("blob", "/v1/uploads", {method: "POST", mode: "no-cors", body: new Blob([upload])});
  await send("chat", "/v1/chat/completions", {method: "POST", mode: "no-cors", body: chat});
  await send("job", "/v1/fine_tuning/jobs", {method: "POST", mode: "no-cors", body: job});
  await send("json", "/v1/uploads", {method: "POST", headers: {"content-type": "application/json"}, body: upload});
  for (const method of ["DELETE", "PUT", "PATCH", "X-ODD"])
    await send(method, "/v1/files/" + query.get("file"), {method, body: method === "DELETE" ? undefined : "{}"});
  log.push("beacon=" + navigator.sendBeacon(server + "/v1/uploads", upload));
  log.push("socket=" + await socket());
  await new Promise(resolve => { const frame = document.querySelector("iframe"), sent = document.forms[0];
    frame.onload = resolve; setTimeout(resolve, 3000); sent.action = server + "/v1/uploads"; sent.submit(); });
  await fetch("/done?" + encodeURIComponent(log.join(", ")), {mode: "no-cors"});
})();
</script><iframe name="reply"></iframe>
<form method="post" enctype="text/plain" target="reply"><input name='{"bytes": 1, "filename": "a' value='"}'></form>"""
FRAME = """<!doctype html><body><iframe sandbox="allow-scripts allow-forms" ></iframe>
<script>document.querySelector("iframe").src = "/attack" + location.search;</script>"""


class Watched:
    """The server, and what it answered to whom."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.seen: list[tuple[str, str, int]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.seen.append((scope["method"], scope["path"], message["status"]))
            await send(message)

        await self._app(scope, receive, noting)


class Site(ThreadingHTTPServer):
    """A site of somebody else, whose page tells when it is done and what it saw."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.told = ""
        self.is_done = threading.Event()


class Pages(BaseHTTPRequestHandler):
    """The pages of `Site`."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path == "/done":
            assert isinstance(self.server, Site)
            self.server.told = unquote(query)
            self.server.is_done.set()
        self.send_response(200)
        self.send_header("content-type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write({"/attack": ATTACK, "/frame": FRAME}.get(path, "").encode())

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def somebody_else() -> Iterator[Site]:
    with Site() as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        yield site
        site.shutdown()


def attack(site: Site, page: str, target: str, profile: Path) -> str:
    """What the page could tell of its requests, once it has made all of them."""
    site.is_done.clear()
    url = f"{page}?{urlencode({'server': target, 'file': 'file-1'})}"
    browser = subprocess.Popen(
        [str(CHROMIUM), *FLAGS, RULES, f"--user-data-dir={profile}", "--remote-debugging-port=0", url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        assert site.is_done.wait(90), "the page never came to its end"
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
    return site.told


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Watched, Store, str, Site]]:
    """A live server, its store, its address, and the site of somebody else."""
    folder = tmp_path_factory.mktemp("browser")
    with whole_server(folder) as (app, store):
        watched = Watched(app)
        with live(watched) as url, somebody_else() as site:
            yield watched, store, url.removesuffix("/v1"), site


@pytest.mark.parametrize(
    ("page", "target"),
    [
        ("http://evil.example:{port}/attack", "http://127.0.0.1:{server}"),
        ("http://localhost:{port}/attack", "http://localhost:{server}"),
        ("http://127.0.0.1:{port}/attack", "http://127.0.0.1:{server}"),
        ("http://evil.example:{port}/attack", "http://evil.example:{server}"),
        ("http://127.0.0.1:{port}/frame", "http://127.0.0.1:{server}"),
    ],
    ids=["another site", "localhost on another port", "the same address on another port", "rebound", "sandbox"],
)
def test_a_page_of_somebody_else_changes_nothing(
    served: tuple[Watched, Store, str, Site], tmp_path: Path, page: str, target: str
) -> None:
    watched, store, url, site = served
    watched.seen.clear()
    ports = {"port": site.server_address[1], "server": url.rpartition(":")[2]}
    told = attack(site, page.format(**ports), target.format(**ports), tmp_path / "profile")
    assert told.count("=TypeError") == 11 and "socket=refused" in told, told  # not even its status can be seen
    changing = [each for each in watched.seen if each[0] not in ("GET", "HEAD", "OPTIONS")]
    assert len(changing) >= 7, watched.seen  # a file, text, a blob, chat, a job, a beacon, a form
    assert {status for _, _, status in changing} == {403}, changing
    assert any(method == "GET" and path == "/v1/models" for method, path, _ in watched.seen)
    assert not [each for each in watched.seen if each[0] == "OPTIONS" and each[2] < 400], "no preflight is granted"
    for table in ("file", "upload", "job"):
        assert not store.all(f"SELECT * FROM {table}")


def test_our_own_page_keeps_its_style_under_its_policy(
    served: tuple[Watched, Store, str, Site], tmp_path: Path
) -> None:
    command = [str(CHROMIUM), *FLAGS, "--dump-dom", f"--user-data-dir={tmp_path / 'profile'}", f"{served[2]}/docs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert "/v1/chat/completions" in done.stdout
    assert "Content Security Policy" not in done.stderr and "CONSOLE" not in done.stderr, done.stderr
