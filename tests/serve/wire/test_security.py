"""Who is let in, with how much, and how often."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from burnish.errors import BurnishError
from burnish.serve.app import create_app
from burnish.serve.errors import ApiError
from burnish.serve.origins import is_loopback
from burnish.serve.security import RateLimit, check_exposure
from tests.serve.wire.plain_backend import PlainBackend, settings

KEY = "sk-kéy"


def build(backend: PlainBackend, folder: Path, **changes: Any) -> TestClient:
    return TestClient(create_app(settings(folder, **changes), backend), base_url="http://127.0.0.1")


def error_of(reply: Any) -> tuple[int, str | None, str]:
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return reply.status_code, error["code"], error["message"]


class TestKey:
    @pytest.mark.parametrize("header", ["", "Bearer wrong", f"Basic {KEY}", "Bearer ", "Bearer"])
    def test_without_the_key_nobody_comes_in(self, backend: PlainBackend, tmp_path: Path, header: str) -> None:
        client = build(backend, tmp_path, api_key=KEY)
        for path in ("/v1/models", "/metrics", "/nowhere"):
            reply = client.get(path, headers={"authorization": header.encode()} if header else {})
            status, code, message = error_of(reply)
            assert (status, code) == (401, "invalid_api_key") and "missing or wrong" in message
            assert reply.headers["www-authenticate"] == "Bearer"

    def test_with_it_everybody_does(self, backend: PlainBackend, tmp_path: Path) -> None:
        client = build(backend, tmp_path, api_key=KEY, host="0.0.0.0")
        headers = {"authorization": f"bearer {KEY}".encode(), "host": "example.org"}
        assert client.get("/v1/models", headers=headers).status_code == 200

    def test_whether_it_lives_may_be_asked_without(self, backend: PlainBackend, tmp_path: Path) -> None:
        with build(backend, tmp_path, api_key=KEY) as client:
            assert [client.get(path).status_code for path in ("/healthz", "/readyz", "/docs")] == [200] * 3

    @pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org"])
    def test_other_machines_are_not_served_without_a_key(self, tmp_path: Path, host: str) -> None:
        with pytest.raises(BurnishError, match=r"no API key is set\. Set one, or listen on 127\.0\.0\.1"):
            check_exposure(settings(tmp_path, host=host))

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.0.1", "::1", "[::1]"])
    def test_names_of_this_machine(self, host: str) -> None:
        assert is_loopback(host)

    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example:8000", "127.0.0.1.evil.example", ""])
    def test_a_page_cannot_come_in_by_a_name_of_its_own(self, client: TestClient, host: str) -> None:
        status, code, message = error_of(client.get("/v1/models", headers={"host": host}))
        assert (status, code) == (403, "host_not_allowed") and "serve with an API key" in message

    @pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "[::1]:8000", "[::1]"])
    def test_but_this_machine_can(self, client: TestClient, host: str) -> None:
        assert client.get("/v1/models", headers={"host": host}).status_code == 200

    def test_no_page_of_another_origin_reads_a_reply(self, client: TestClient) -> None:
        reply = client.get("/v1/models", headers={"origin": "https://evil.example"})
        assert not [name for name in reply.headers if name.startswith("access-control")]


class TestSize:
    def parts(self, size: int) -> Iterator[bytes]:
        for _ in range(size):
            yield b" " * 100

    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_a_body_over_the_limit_is_refused(self, backend: PlainBackend, tmp_path: Path, is_chunked: bool) -> None:
        client = build(backend, tmp_path, max_body_bytes=1000)
        content: Any = self.parts(11) if is_chunked else b" " * 1100
        headers = {"content-type": "application/json"}
        status, _, message = error_of(client.post("/v1/completions", content=content, headers=headers))
        assert status == 413 and "larger than the limit of 1000 bytes" in message

    def test_at_the_limit_it_is_read(self, backend: PlainBackend, tmp_path: Path) -> None:
        client = build(backend, tmp_path, max_body_bytes=1000)
        body = b'{"model": "tiny", "prompt": "a", "max_tokens": 1}'.ljust(1000)
        headers = {"content-type": "application/json"}
        assert client.post("/v1/completions", content=body, headers=headers).status_code == 200

    def test_files_have_a_limit_of_their_own(self, backend: PlainBackend, tmp_path: Path) -> None:
        client = build(backend, tmp_path, max_body_bytes=1000, max_file_bytes=5000)
        assert client.post("/v1/files", files={"file": b"a" * 4000}).status_code == 404  # no such route here
        assert client.post("/v1/files", files={"file": b"a" * 7000}).status_code == 413


class TestRate:
    def test_a_bucket_fills_over_the_minute(self) -> None:
        now = [0.0]
        limit = RateLimit(60, lambda: now[0])
        for _ in range(60):
            limit.take("a")
        with pytest.raises(ApiError) as fault:
            limit.take("a")
        assert (fault.value.status, fault.value.retry_after_s) == (429, 1.0)
        limit.take("b")
        now[0] = 2.5
        limit.take("a")
        limit.take("a")
        with pytest.raises(ApiError) as fault:
            limit.take("a")
        assert fault.value.retry_after_s == pytest.approx(0.5)

    def test_clients_are_told_when_to_come_back(self, backend: PlainBackend, tmp_path: Path) -> None:
        client = build(backend, tmp_path, requests_per_minute=2)
        assert [client.get("/v1/models").status_code for _ in range(2)] == [200, 200]
        reply = client.get("/v1/models")
        assert error_of(reply)[:2] == (429, "rate_limit_exceeded")
        assert 1 <= int(reply.headers["retry-after"]) <= 30
        assert client.get("/healthz").status_code == 200

    def test_guessing_keys_is_slow_and_costs_the_key_nothing(self, backend: PlainBackend, tmp_path: Path) -> None:
        client = build(backend, tmp_path, requests_per_minute=2, api_key=KEY)
        guesses = [client.get("/v1/models", headers={"authorization": f"Bearer {i}"}).status_code for i in range(3)]
        assert guesses == [401, 401, 429]
        headers = {"authorization": f"Bearer {KEY}".encode()}
        assert client.get("/v1/models", headers=headers).status_code == 200
