"""A request sent as bytes, and what is wrong with its reply."""

import http.client
import json
import socket
import time
from dataclasses import dataclass

from scripts.fuzz.mutations import Sending, Wire

REPLY_S = 30
FOLLOW_S = 0.3
"""A stream of events has no end; so long it is read."""
NOT_HTTP = b"Invalid HTTP request received."
"""What uvicorn itself says to bytes that are no request: the one error that is not in OpenAI's shape."""
LEFT = "no reply was owed"


@dataclass(frozen=True)
class Outcome:
    """What came of a request: its status, or that none was owed; and the fault, if any."""

    status: str
    fault: str | None = None
    elapsed_s: float = 0.0


def send(wire: Wire, port: int) -> Outcome:
    """Send it on a connection of its own, and judge the reply."""
    start = time.monotonic()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=REPLY_S) as connection:
            is_sent = _write(wire, connection)
            if not wire.is_owed_a_reply:
                return Outcome(LEFT)
            return _judge(wire, connection, start, is_sent=is_sent)
    except TimeoutError:
        return Outcome("none", f"no whole reply within {REPLY_S} s", time.monotonic() - start)
    except (OSError, http.client.HTTPException) as error:
        if not wire.is_owed_a_reply:
            return Outcome(LEFT)
        return Outcome("none", f"no reply that can be read: {error!r}", time.monotonic() - start)


def _write(wire: Wire, connection: socket.socket) -> bool:
    """Whether all of it went out: the server may refuse, and hang up, before the end."""
    whole = wire.head + wire.body
    if wire.sending is Sending.HALF:
        whole = whole[: len(wire.head) + len(wire.body) // 2 if wire.body else len(whole) // 2]
    pieces = [whole]
    if wire.sending is Sending.IN_PIECES:
        third = max(1, len(whole) // 3)
        pieces = [whole[at : at + third] for at in range(0, len(whole), third)]
    try:
        for piece in pieces:
            connection.sendall(piece)
            if len(pieces) > 1:
                time.sleep(0.01)
    except (BrokenPipeError, ConnectionResetError):
        return False
    return True


def _judge(wire: Wire, connection: socket.socket, start: float, *, is_sent: bool) -> Outcome:
    reply = http.client.HTTPResponse(connection, method=wire.method)
    try:
        reply.begin()
        content = _read(reply, connection, start)
    except ConnectionResetError:
        # A server that hangs up with bytes unread resets the connection, and its reply may be lost on the way.
        if not is_sent or wire.may_be_cut_off:
            return Outcome(LEFT)
        raise
    fault = fault_of(reply.status, reply.getheader("content-type", ""), content, method=wire.method)
    return Outcome(str(reply.status), fault, time.monotonic() - start)


def _read(reply: http.client.HTTPResponse, connection: socket.socket, start: float) -> bytes:
    is_stream = reply.getheader("content-type", "").startswith("text/event-stream")
    content = b""
    if is_stream:
        connection.settimeout(FOLLOW_S)
    try:
        while piece := reply.read1(2**16):
            content += piece
            if time.monotonic() - start > REPLY_S:
                raise TimeoutError
    except TimeoutError:
        if not is_stream:
            raise
    return content


def fault_of(status: int, kind: str, content: bytes, *, method: str = "GET") -> str | None:
    """What is wrong with a reply; None where nothing is.

    An error must be `{"error": {"message", "type", "param", "code"}}`, in a reply and in a stream alike.
    """
    if status >= 500:
        return f"status {status}: {content[:300]!r}"
    if kind.startswith("text/event-stream") and b'"server_error"' in content:
        return f"a server error in a stream: {content[-300:]!r}"
    if status < 400 or method == "HEAD" or (status == 400 and content == NOT_HTTP):
        return None
    if status == 416:  # of a range in a file's contents, which OpenAI does not have
        return None
    try:
        body = json.loads(content)
    except ValueError:
        return f"status {status} with a body that is no JSON: {content[:300]!r}"
    if not is_error(body):
        return f"status {status} with a body that is no error in OpenAI's shape: {content[:300]!r}"
    return None


def is_error(body: object) -> bool:
    """Whether it is an error as OpenAI's clients read it."""
    error = body.get("error") if isinstance(body, dict) and body.keys() == {"error"} else None
    if not isinstance(error, dict) or error.keys() != {"message", "type", "param", "code"}:
        return False
    texts = isinstance(error["message"], str) and error["message"] and isinstance(error["type"], str)
    return bool(texts) and all(error[name] is None or isinstance(error[name], str) for name in ("param", "code"))
