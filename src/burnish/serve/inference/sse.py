"""Server-sent events, and work that ends when its client leaves."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from burnish.serve.errors import as_api_error

T = TypeVar("T")
HEARTBEAT_S = 15.0
"""Proxies close what is silent for longer."""
PING, DONE = b": ping\n\n", b"data: [DONE]\n\n"
log = logging.getLogger("burnish.serve")


class ClientGone(Exception):  # noqa: N818  (an event, not an error)
    """Nobody waits for the reply any more."""


class EventStream(Response):
    """Each of `events` as JSON, as soon as it is there; `on_end` is called however it ends."""

    media_type = "text/event-stream"

    def __init__(
        self,
        events: AsyncIterator[Mapping[str, Any]],
        *,
        on_end: Callable[[], None],
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        super().__init__(headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._events, self._on_end, self._heartbeat_s = events, on_end, heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await unless_gone(receive, self._send_all(send))
        except ClientGone:
            log.info("the client left in the middle of a stream")
        finally:
            self._on_end()

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for line in _with_heartbeat(self._events, self._heartbeat_s):
                await send({"type": "http.response.body", "body": line, "more_body": True})
            last = DONE
        except Exception as error:  # the status is sent: the stream itself must tell
            known = as_api_error(error)
            if known.status >= 500:
                log.exception("a stream broke")
            last = as_event(known.to_dict())
        await send({"type": "http.response.body", "body": last, "more_body": False})


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """What `work` gives.

    Raises:
        ClientGone: the client left first; the work is cancelled.
    """
    working, listening = asyncio.ensure_future(work), asyncio.ensure_future(_wait_until_gone(receive))
    try:
        await asyncio.wait((working, listening), return_when=asyncio.FIRST_COMPLETED)
    finally:
        working.cancel()
        listening.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)
    if working.cancelled():
        raise ClientGone
    return working.result()


def as_event(value: Mapping[str, Any]) -> bytes:
    """One event. No `id:` line: clients would take later comments for empty events.

    In ASCII, because some clients split lines at every character that Unicode calls a line's end.
    """
    return b"data: " + json.dumps(value, allow_nan=False, separators=(",", ":")).encode() + b"\n\n"


async def _with_heartbeat(events: AsyncIterator[Mapping[str, Any]], heartbeat_s: float) -> AsyncIterator[bytes]:
    """Each event as it comes, and a comment whenever there was none for a while."""
    while True:
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait((coming,), timeout=heartbeat_s))[0]:
                yield PING
        finally:
            coming.cancel()
        if (event := coming.result()) is None:
            return
        yield as_event(event)


async def _wait_until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
