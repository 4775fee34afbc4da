"""Whether it lives, how it does, and who asked what when."""

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from burnish.serve.app import create_app
from burnish.serve.engine.request import EngineStats
from burnish.serve.inference.sse import EventStream
from burnish.serve.metrics import Counter, Histogram
from burnish.serve.operations import ServerMetrics, log_requests, request_log
from tests.serve.wire.plain_backend import PlainBackend, settings

CHAT: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "a secret"}], "max_tokens": 2}


def build(backend: PlainBackend, folder: Path, **more: Any) -> TestClient:
    return TestClient(create_app(settings(folder), backend, **more), base_url="http://127.0.0.1")


def samples(page: str) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def test_it_is_ready_between_start_and_end(backend: PlainBackend, tmp_path: Path) -> None:
    seen: list[str] = []

    @asynccontextmanager
    async def workers() -> AsyncIterator[None]:
        seen.append("start")
        yield
        seen.append("end")

    client = build(backend, tmp_path, at_work=workers)
    assert (client.get("/healthz").status_code, client.get("/readyz").status_code) == (200, 503)
    with client:
        assert client.get("/readyz").json() == {"status": "ready"} and seen == ["start"]
    assert client.get("/readyz").status_code == 503 and seen == ["start", "end"]


def test_the_metrics_count(backend: PlainBackend, tmp_path: Path) -> None:
    client = build(backend, tmp_path, jobs_by_status=lambda: {"running": 2, "failed": 1})
    before = samples(client.get("/metrics").text)
    for stream in (False, True):
        assert client.post("/v1/chat/completions", json={**CHAT, "stream": stream}).status_code == 200
    for path in ("/v1/models/gone", "/v1/models/gone_too", "/nowhere"):
        client.get(path)
    reply = client.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = samples(reply.text)
    assert found['burnish_requests_total{method="POST",route="/chat/completions",status="200"}'] == 2
    assert found['burnish_requests_total{method="GET",route="/models/{model:path}",status="404"}'] == 2
    assert found['burnish_requests_total{method="GET",route="unmatched",status="404"}'] == 1
    assert found['burnish_request_seconds_count{route="/chat/completions"}'] == 2
    assert found['burnish_request_seconds_bucket{route="/chat/completions",le="+Inf"}'] == 2
    assert found["burnish_first_token_seconds_count"] == 2 and found["burnish_first_token_seconds_sum"] > 0
    generated = 'burnish_generated_tokens_total{base="tiny"}'
    deadline = time.monotonic() + 10  # the engine counts a step behind the answer that it completes
    while found[generated] - before[generated] < 4 and time.monotonic() < deadline:
        found = samples(client.get("/metrics").text)
    assert found[generated] - before[generated] == 4
    assert found['burnish_engine_waiting{base="tiny"}'] == 0
    assert (found['burnish_jobs{status="running"}'], found['burnish_jobs{status="failed"}']) == (2, 1)


def test_what_an_engine_does_not_tell_is_not_shown_as_a_number() -> None:
    told = EngineStats(num_running=1, num_waiting=0, prompt_tokens=5, cached_tokens=0, new_tokens=2)
    found = samples(ServerMetrics(lambda: {"a": told, "b": replace(told, num_steps=7)}).page())
    assert [key for key in found if key.startswith("burnish_engine_steps_total")] == [
        'burnish_engine_steps_total{base="b"}'
    ]
    assert found['burnish_engine_running{base="a"}'] == 1


def test_words_of_clients_are_not_metrics_for_good(client: TestClient) -> None:
    client.request("BREW", "/v1/models")
    page = client.get("/metrics").text
    assert "BREW" not in page and 'method="other"' in page


def test_the_log_has_a_line_for_each_request_without_its_body(backend: PlainBackend, tmp_path: Path) -> None:
    stream = io.StringIO()
    before = request_log.handlers, request_log.propagate
    log_requests(stream)
    try:
        reply = build(backend, tmp_path).post("/v1/chat/completions?key=hidden", json=CHAT)
    finally:
        request_log.handlers, request_log.propagate = before
    line = json.loads(stream.getvalue())
    assert line["request_id"] == reply.headers["x-request-id"]
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/chat/completions", 200)
    assert line["elapsed_ms"] > 0 and line["client"] == "testclient"
    assert "secret" not in stream.getvalue() and "hidden" not in stream.getvalue()


def test_replies_have_an_id_and_their_time(client: TestClient) -> None:
    first, second = (client.get("/v1/models").headers for _ in range(2))
    assert first["x-request-id"] != second["x-request-id"] and int(first["openai-processing-ms"]) >= 0


def test_the_page_has_the_project_s_name(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert schema["info"]["title"] == "burnish" and "/v1/chat/completions" in schema["paths"]


def test_a_silent_stream_is_kept_alive() -> None:
    async def slow() -> AsyncIterator[dict[str, int]]:
        yield {"a": 1}
        await asyncio.sleep(0.1)
        yield {"b": 2}

    sent, ended = list[bytes](), list[bool]()

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    async def receive() -> Any:
        await asyncio.Event().wait()

    response = EventStream(slow(), on_end=lambda: ended.append(True), heartbeat_s=0.03)
    asyncio.run(response({"type": "http"}, receive, send))
    lines = b"".join(sent).split(b"\n\n")
    assert (
        lines[0] == b'data: {"a":1}'
        and lines[1] == b": ping"
        and lines[-3:] == [b'data: {"b":2}', b"data: [DONE]", b""]
    )
    assert set(lines[1:-3]) == {b": ping"} and ended == [True]


def test_metrics_are_spelled_as_prometheus_reads_them() -> None:
    counter, histogram = Counter("c_total", "Help."), Histogram("h", "Help.", (0.5, 2.0))
    counter.add(12_345_678, path='a"\\\n')
    for value in (0.5, 1, 3):
        histogram.observe(value)
    assert counter.lines()[-1] == 'c_total{path="a\\"\\\\\\n"} 12345678'
    assert histogram.lines()[2:] == [
        'h_bucket{le="0.5"} 1',
        'h_bucket{le="2.0"} 2',
        'h_bucket{le="+Inf"} 3',
        "h_sum 4.5",
        "h_count 3",
    ]
