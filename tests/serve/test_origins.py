"""Requests with the headers that browsers give them: no page of another origin may change anything."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from burnish.errors import BurnishError
from burnish.serve.jobs.store import Store
from burnish.serve.security import check_exposure
from burnish.serve.settings import ServeSettings
from tests.serve.whole_server import whole_server

JSON = {"content-type": "application/json"}
UPLOAD = {"bytes": 1, "filename": "a.jsonl", "mime_type": "text/jsonl", "purpose": "fine-tune"}
FOREIGN: dict[str, dict[str, str]] = {
    "another site": {"sec-fetch-site": "cross-site", "origin": "http://evil.example"},
    "another site, form without origin": {"sec-fetch-site": "cross-site"},
    "localhost on another port": {"sec-fetch-site": "same-site", "origin": "http://localhost:9999"},
    "an old browser": {"origin": "http://evil.example"},
    "an old browser, same name, another port": {"origin": "http://127.0.0.1:9999"},
    "an old browser, same port, another name of this machine": {"origin": "http://localhost:8000"},
    "TLS in front of another server": {"origin": "https://127.0.0.1:8000"},
    "a frame in a sandbox": {"sec-fetch-site": "cross-site", "origin": "null"},
    "a file, in an old browser": {"origin": "null"},
    "an extension": {"origin": "chrome-extension://abcdef"},
    "a name that begins as ours": {"origin": "http://127.0.0.1:8000.evil.example"},
    "user and host": {"origin": "http://127.0.0.1:8000@evil.example"},
    "an empty origin": {"origin": ""},
    "a site that no browser knows yet": {"sec-fetch-site": "same-party"},
    "contradicting headers": {"sec-fetch-site": "same-origin", "origin": "http://evil.example"},
}
OWN: dict[str, dict[str, str]] = {
    "a program": {},
    "a page of this server": {"sec-fetch-site": "same-origin", "origin": "http://127.0.0.1:8000"},
    "an old browser on a page of this server": {"origin": "http://127.0.0.1:8000"},
    "typed by the user": {"sec-fetch-site": "none"},
    "node's fetch": {"sec-fetch-mode": "cors"},
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TestClient, Store]]:
    with whole_server(tmp_path_factory.mktemp("origins")) as (app, store):
        yield TestClient(app, base_url="http://127.0.0.1:8000"), store


@pytest.fixture
def client(server: tuple[TestClient, Store]) -> TestClient:
    return server[0]


def refused(reply: Any, status: int, code: str, said: str) -> None:
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code), reply.text
    assert said in error["message"]


def everything(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    tables = [row["name"] for row in store.all("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {table: [tuple(row) for row in store.all(f"SELECT * FROM {table}")] for table in tables}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_a_foreign_page_changes_nothing_on_any_route(server: tuple[TestClient, Store], headers: dict[str, str]) -> None:
    client, store = server
    paths = client.get("/openapi.json", headers=headers).json()["paths"]
    routes = [(method.upper(), path) for path, methods in paths.items() for method in methods if method != "get"]
    assert len(routes) > 15
    odd = [(method, "/v1/files") for method in ("PUT", "PATCH", "TRACE", "PROPFIND", "post", "x-new")]
    for method, path in [*routes, *odd, ("POST", "/"), ("POST", "/healthz"), ("DELETE", "/nowhere")]:
        reply = client.request(method, path, headers={**JSON, **headers}, json=UPLOAD)
        refused(reply, 403, "origin_not_allowed", "from a program, or from a page at an address of this server")
    file = client.post("/v1/files", headers=headers, data={"purpose": "fine-tune"}, files={"file": b"{}"})
    refused(file, 403, "origin_not_allowed", "web page of")
    assert not store.all("SELECT * FROM upload") and not store.all("SELECT * FROM file")


@pytest.mark.parametrize("headers", OWN.values(), ids=OWN)
def test_programs_and_pages_of_this_server_may(client: TestClient, headers: dict[str, str]) -> None:
    asked = {"model": "tiny", "prompt": "a", "max_tokens": 1}
    assert client.post("/v1/completions", json=asked, headers=headers).status_code == 200
    form = {"data": {"purpose": "user_data"}, "files": {"file": b"{}"}}
    file = client.post("/v1/files", headers=headers, **form)  # type: ignore[arg-type]
    assert file.status_code == 200
    assert client.delete(f"/v1/files/{file.json()['id']}", headers=headers).status_code == 200


def test_a_foreign_page_may_ask_for_what_changes_nothing(client: TestClient) -> None:
    headers = FOREIGN["another site"]
    reply = client.get("/v1/models", headers=headers)
    assert reply.status_code == 200
    assert reply.headers["cross-origin-resource-policy"] == "same-origin"
    asked = {"access-control-request-method": "DELETE", "access-control-request-private-network": "true", **headers}
    preflight = client.options("/v1/files", headers=asked)
    for found in (reply, preflight):
        assert not [name for name in found.headers if name.startswith("access-control")]


def test_no_get_changes_anything(server: tuple[TestClient, Store], monkeypatch: pytest.MonkeyPatch) -> None:
    client, store = server
    form = {"purpose": "fine-tune", "expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    made = client.post("/v1/files", data=form, files={"file": b"{}"}).json()
    monkeypatch.setattr("burnish.serve.jobs.shelf.now", lambda: made["expires_at"])
    before = everything(store)
    for path, methods in client.get("/openapi.json").json()["paths"].items():
        if "get" in methods:
            client.get(path.replace("{file_id}", made["id"]).replace("{model}", "tiny"))
    assert client.get("/v1/files").json()["data"] == []
    assert (store.folder / "files" / made["id"]).is_file()
    assert everything(store) == before
    client.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": b"{}"})
    assert not (store.folder / "files" / made["id"]).exists(), "the next upload removes what has expired"
    with store.transaction() as connection:
        connection.execute("DELETE FROM file")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("text/plain;charset=UTF-8", "is 'text/plain;charset=UTF-8'"),
        ("application/x-www-form-urlencoded", "curl: -H 'Content-Type: application/json'"),
        ("multipart/form-data; boundary=x", "this route reads application/json"),
        ("text/plain;application/json", "this route reads application/json"),
        ("application/json, text/plain", "this route reads application/json"),
        ("application/jsonp", "this route reads application/json"),
        ("", "is missing"),
    ],
)
def test_routes_of_json_want_json(client: TestClient, kind: str, said: str) -> None:
    body = json.dumps(UPLOAD).encode()
    for path in ("/v1/uploads", "/v1/chat/completions", "/v1/fine_tuning/jobs", "/v1/embeddings"):
        reply = client.post(path, content=body, headers={"content-type": kind} if kind else {})
        refused(reply, 415, "unsupported_media_type", said)


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "Application/JSON;a=b"])
def test_json_may_have_parameters(client: TestClient, kind: str) -> None:
    reply = client.post("/v1/uploads", content=json.dumps(UPLOAD).encode(), headers={"content-type": kind})
    assert reply.status_code == 200
    cancelled = client.post(f"/v1/uploads/{reply.json()['id']}/cancel")
    assert cancelled.json()["status"] == "cancelled", "a route that reads no body wants no content type"
    completed = client.post("/v1/completions", content=b'{"model": "tiny", "prompt": "a", "max_tokens": 1}', headers={
        "content-type": kind
    })  # fmt: skip
    assert completed.status_code == 200


def test_routes_of_files_want_a_form(client: TestClient) -> None:
    for path in ("/v1/files", "/v1/uploads/upload_1/parts"):
        for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
            reply = client.post(path, content=b"{}", headers={"content-type": kind})
            refused(reply, 415, "unsupported_media_type", "curl: -F purpose=fine-tune")


@pytest.mark.parametrize("upgrade", ["websocket", "WebSocket, h2c", "raw"])
def test_upgrades_are_refused(client: TestClient, upgrade: str) -> None:
    headers = {"connection": "upgrade", "upgrade": upgrade, "sec-websocket-key": "x", "sec-websocket-version": "13"}
    for path in ("/v1/fine_tuning/jobs", "/", "/nowhere"):
        refused(client.get(path, headers=headers), 403, "upgrade_not_allowed", "speaks plain HTTP only")
    with pytest.raises(Exception) as fault, client.websocket_connect("/v1/chat/completions"):
        pass
    assert getattr(fault.value, "code", None) == 1008


def test_an_offer_of_h2c_is_passed_over(client: TestClient) -> None:
    assert client.get("/healthz", headers={"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c"}).is_success


def test_a_rebound_name_is_refused_though_it_is_its_own_origin(client: TestClient) -> None:
    headers = {"host": "evil.example:8000", "origin": "http://evil.example:8000", "sec-fetch-site": "same-origin"}
    refused(client.post("/v1/uploads", json=UPLOAD, headers=headers), 403, "host_not_allowed", "--allow-host")


def test_pages_and_replies_have_the_headers_that_keep_others_out(client: TestClient) -> None:
    for path in ("/", "/docs", "/v1/models", "/nowhere"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy


class TestAllowedHosts:
    @pytest.fixture
    def proxied(self, tmp_path: Path) -> Iterator[TestClient]:
        with whole_server(tmp_path, allowed_hosts=("models.example.org", "localhost:5173")) as (app, _):
            yield TestClient(app, base_url="http://127.0.0.1:8000")

    def test_a_name_behind_a_proxy(self, proxied: TestClient) -> None:
        for host in ("models.example.org", "Models.Example.org:443", "127.0.0.1"):
            headers = {"host": host, "origin": "https://models.example.org", "sec-fetch-site": "same-origin"}
            assert proxied.post("/v1/uploads", json=UPLOAD, headers=headers).status_code == 200, host
        refused(proxied.get("/v1/models", headers={"host": "other.example.org"}), 403, "host_not_allowed", "other")

    def test_a_page_that_a_proxy_serves_beside_it(self, proxied: TestClient) -> None:
        headers = {"origin": "http://localhost:5173", "sec-fetch-site": "same-origin"}
        assert proxied.post("/v1/uploads", json=UPLOAD, headers=headers).status_code == 200
        for changed in ({"sec-fetch-site": "same-site"}, {"origin": "http://localhost:5174"}):
            reply = proxied.post("/v1/uploads", json=UPLOAD, headers={**headers, **changed})
            refused(reply, 403, "origin_not_allowed", "web page of")

    @pytest.mark.parametrize("name", ["https://models.example.org", "*", "a/b", "", "a:b"])
    def test_what_is_no_name_is_refused(self, tmp_path: Path, name: str) -> None:
        with pytest.raises(BurnishError, match="Give the name alone, such as"):
            check_exposure(ServeSettings(runs=tmp_path, allowed_hosts=(name,)))
