"""The fuzzer itself: it can be repeated, asks for little, and sees what is wrong with a reply."""

import json
import sys
from collections.abc import Iterator

import pytest
from scripts.fuzz.mutations import MAX_TOKENS, Wire
from scripts.fuzz.requests import BODIES
from scripts.fuzz.wire import NOT_HTTP, fault_of
from scripts.fuzz_serve import crashes_in, request_of

ROUTES = [*(tuple(name.split(" ", 1)) for name in BODIES), ("GET", "/v1/models/{model}"), ("GET", "/v1/files")]
GOOD = {"error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": "x"}}


@pytest.fixture(autouse=True)
def deep_stack() -> Iterator[None]:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    yield
    sys.setrecursionlimit(limit)


def made(seed: int) -> list[tuple[str, Wire]]:
    return [request_of(seed, index, ROUTES) for index in range(1500)]  # type: ignore[arg-type]


def test_a_request_depends_on_seed_and_index_alone_and_reaches_every_route() -> None:
    assert made(3) == made(3) != made(4)
    assert {route for route, _ in made(3)} == {" ".join(route) for route in ROUTES}


def test_no_request_asks_for_long_work() -> None:
    limits = set()
    for route, wire in made(5):
        if route.endswith("completions"):
            try:
                body = json.loads(wire.body)
            except (ValueError, RecursionError):
                continue
            if isinstance(body, dict) and "model" in body:
                limits.add(json.dumps(body.get("max_tokens")))
    numbers = [json.loads(limit) for limit in limits]
    whole = [number for number in numbers if type(number) is int and 0 <= number < 2**31]
    assert 4 in whole and max(whole) <= MAX_TOKENS and None not in numbers
    assert len(numbers) > 5, "limits of wrong kinds are sent as well"


def test_what_is_wrong_with_a_reply_is_seen() -> None:
    def fault(status: int, body: object, kind: str = "application/json") -> str | None:
        return fault_of(status, kind, body if isinstance(body, bytes) else json.dumps(body).encode())

    assert fault(200, {}) is None and fault(404, GOOD) is None and fault(400, NOT_HTTP, "text/plain") is None
    assert "status 503" in str(fault(503, GOOD))
    assert "no JSON" in str(fault(404, b"Not Found"))
    for body in ({"detail": "x"}, {"error": "x"}, {**GOOD, "more": 1}, {"error": {**GOOD["error"], "param": 3}}):
        assert "OpenAI's shape" in str(fault(400, body)), body
    broken = b'data: {"error":{"message":"x","type":"server_error","param":null,"code":null}}\n\n'
    assert "in a stream" in str(fault(200, broken, "text/event-stream; charset=utf-8"))


def test_a_crash_in_the_log_is_told_with_its_place() -> None:
    log = (
        '{"time": "a"}\nreq_1: x\nTraceback (most recent call last):\n  File "/a/burnish/serve/b.py", line 3, in f\n'
        '    x\nKeyError: 1\n{"time": "b"}\n'
    )
    assert dict(crashes_in(2 * log)) == {'File "/a/burnish/serve/b.py", line 3, in f: KeyError: 1': 2}
