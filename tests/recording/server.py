"""A small endpoint on a thread: real HTTP, with the replies that a test scripts."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, Mapping[str, str], Any]
"""Status, headers, and the body: a value to be sent as JSON, or text as it is."""


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float

    @property
    def question(self) -> str:
        return str(self.body["messages"][-1]["content"])


@dataclass
class Endpoint:
    """What a running server has seen."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    most_at_once: int = 0


@contextmanager
def serving(answer: Callable[[Asked, int], Reply]) -> Iterator[Endpoint]:
    """Serve `answer(request, its number)` until the block ends."""
    seen, lock, num_now = Endpoint(), threading.Lock(), 0

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            nonlocal num_now
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked = Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body, time.monotonic())
            with lock:
                number = len(seen.asked)
                seen.asked.append(asked)
                num_now += 1
                seen.most_at_once = max(seen.most_at_once, num_now)
            status, headers, value = answer(asked, number)
            with lock:
                num_now -= 1
            data = (value if isinstance(value, str) else json.dumps(value)).encode()
            self.send_response(status)
            for name, text in {"content-type": "application/json", **headers}.items():
                self.send_header(name, text)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    seen.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def completion(text: str, *, finish_reason: str = "stop", **message: Any) -> Reply:
    """A chat completion that says `text`."""
    choice = {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
    usage = {"prompt_tokens": 11, "completion_tokens": len(text), "total_tokens": 11 + len(text)}
    return 200, {}, {"id": "chatcmpl-1", "object": "chat.completion", "choices": [choice], "usage": usage}


def error(status: int, message: str, *, code: str | None = None, param: str | None = None, **headers: str) -> Reply:
    """A refusal with OpenAI's error object."""
    body = {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, body
