"""Good requests made wrong: in a value, in the text of the body, in the headers, on the connection."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any
from urllib.parse import quote_from_bytes

from scripts.fuzz.requests import Part, Request

MAX_TOKENS = 8
"""No request may ask for long work: a reply would then be late for a good reason."""
BOUNDARY = "fuzz-boundary"


class Sending(Enum):
    """How the bytes go out, and whether a reply is owed."""

    WHOLE = "whole"
    IN_PIECES = "in pieces"
    HALF = "half of it, and no more"
    LEFT = "whole, and gone at once"


@dataclass(frozen=True)
class Wire:
    """A request as bytes."""

    head: bytes
    body: bytes
    sending: Sending
    method: str
    is_owed_a_reply: bool
    """Not where the client leaves, or promises more than it sends."""
    may_be_cut_off: bool = False
    """Whether the server may hang up before it has read all: a reply can then be lost on its way."""


def mutate(request: Request, chance: random.Random) -> Wire:
    """The request with one to three faults, or, once in a while, as it was."""
    for _ in range(chance.choice([0, 1, 1, 1, 2, 3])):
        request = _mutate_value(request, chance)
    content, kind = _content(request, chance)
    if content and chance.random() < 0.15:
        content = chance.choice(TEXT_FAULTS)(content, chance)
    method = request.method if chance.random() < 0.97 else chance.choice(METHODS)
    headers = {"Host": "127.0.0.1", "Connection": "close"}
    if content or method in ("POST", "PUT", "PATCH"):
        headers |= {"Content-Type": kind, "Content-Length": str(len(content))}
    if chance.random() < 0.2:
        headers |= dict([chance.choice(HEADERS)])
    if headers.get("Transfer-Encoding") == "chunked":
        content = _chunked(content, chance)
        headers.pop("Content-Length", None)
    sending, length = _sending(chance), headers.get("Content-Length", "0")
    is_owed = sending in (Sending.WHOLE, Sending.IN_PIECES) and not (length.isdigit() and int(length) > len(content))
    head = _head(method, _target(request), headers)
    is_long = len(head) + len(content) > 2**16 or (length.isdigit() and int(length) < len(content))
    return Wire(head, content, sending, method, is_owed, is_long)


METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND")
HEADERS: list[tuple[str, str]] = [
    *[("Content-Type", kind) for kind in ("", "text/plain", "application/xml", "multipart/form-data", "a/b/c; ;=")],
    ("Content-Type", "application/json; charset=utf-16"),
    ("Content-Type", "multipart/form-data; boundary="),
    ("Content-Type", "multipart/form-data; boundary=" + "b" * 300),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Accept", "application/binary"),
    ("Accept", "text/html;q=x"),
    ("Accept-Encoding", "gzip, br"),
    ("Content-Encoding", "gzip"),
    ("Authorization", "Bearer"),
    ("Authorization", "Bearer \xff\xfe"),
    ("Authorization", "Basic !!!"),
    ("Host", "example.com"),
    ("Host", ""),
    ("Host", "[::1"),
    ("Host", "127.0.0.1:99999999"),
    ("X-Request-Id", "a" * 20_000),
    ("X-Big", "b" * 100_000),
    ("User-Agent", "\x80\xff"),
    ("Range", "bytes=5-2"),
    ("Range", "bytes=0-0,2-3,-1"),
    ("If-Range", '"x"'),
    ("Expect", "100-continue"),
    ("Transfer-Encoding", "chunked"),
    ("Content-Length", "0"),
    ("Content-Length", "5"),
    ("Content-Length", "-1"),
    ("Content-Length", "99999999999"),
    ("Content-Length", "1_0"),
    ("Origin", "https://example.com"),
    ("X-Stainless-Retry-Count", "many"),
    ("Idempotency-Key", "../../x"),
    ("Cookie", "a=b; " * 50),
]


def _mutate_value(request: Request, chance: random.Random) -> Request:
    options: list[Callable[[], Request]] = []
    if request.body is not None:
        options += 6 * [lambda: replace(request, body=_bounded(_mutate_tree(request.body, chance)))]
    if request.form:
        options += 4 * [lambda: replace(request, form=_mutate_form(request.form, chance))]
    if request.ids:
        options += 2 * [lambda: replace(request, ids=dict.fromkeys(request.ids, chance.choice(TEXTS)))]
    options += [lambda: replace(request, query={**request.query, chance.choice(QUERY): chance.choice(TEXTS)})]
    return chance.choice(options)()


QUERY = ("limit", "after", "order", "purpose", "metadata[a]", "metadata", "stream", "metadata[", "x[]", "")
TEXTS: list[str] = [
    "", " ", "0", "-1", "1.5", "1e9", "9" * 30, "9" * 5000, "٣", "²", "true", "null", "NaN", "asc", "a" * 3000,
    "../../../../fuzz-canary", "..%2f..%2ffuzz-canary", "/etc/passwd", "..\\..\\fuzz-canary", "file-abc123/../file_id",
    "\x00", "a\x00b", "a\nb", "\r\nX-Bad: 1", "\udcff", "\ud800", "😀", "e\u0301", "\u202e", "%00", "%ff", "%", "{}",
    "' OR 1=1 --", '"; DROP TABLE file;', "{{sample.output_text}}", "{% for i in range(10) %}x{% endfor %}",
    "${jndi:x}", "con", ".", "..", "~", "file-abc123", "upload_abc123", "tiny", "tiny/", "gpt-4o-mini",
]  # fmt: skip
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2, 3, 129, 257, -0.0, 0.5, 1e308, -1e308, 5e-324, 2**31, 2**53 + 1, 2**63,
    -(2**63) - 1, 10**400, float("nan"), float("inf"), float("-inf"), [], {}, [[]], [None], [""], [[], {}], {"": ""},
    {"type": None}, {"a": {"b": {"c": [1]}}}, ["a"] * 3000, [1] * 3000, "x" * 100_000, "ab " * 16_000, "(a+)+$", "((((",
    "[", "\\", {"$ref": "#"}, {"$ref": "#/nowhere"}, {"$ref": "http://127.0.0.1:1/x"}, {"type": "robot"},
    {"pattern": "(?=a)"}, {"anyOf": []}, {"enum": []}, {"type": "object", "additionalProperties": {"$ref": "#"}},
    {"minItems": 10**9},
    {"type": "string", "minLength": 5, "maxLength": 2}, {"type": "integer", "minimum": 5, "maximum": 2},
    {"type": "string", "pattern": "^(a{1,900}){1,900}$"}, {"type": "integer", "multipleOf": 0},
    "a ** a ** a", "9 ** 9 ** 9", "1 / 0", "__import__('os')", "c" + " + c" * 2000, "(" * 500 + "c" + ")" * 500,
    "-" * 3000 + "1", "<|im_end|>", "<|im_start|>assistant\n",
]  # fmt: skip


def _mutate_tree(body: Any, chance: random.Random) -> Any:
    """The body with one node replaced, removed, doubled, added or buried."""
    path = chance.choice(list(_paths(body)))
    return _at(body, path, lambda node: _mutate_node(node, chance))


def _mutate_node(node: Any, chance: random.Random) -> Any:
    kind = chance.randrange(10)
    if kind < 5:
        return chance.choice(TEXTS if chance.random() < 0.4 else ODD)
    if kind < 7 and isinstance(node, dict) and node:
        gone = chance.choice(list(node))
        return {key: value for key, value in node.items() if key != gone}
    if kind == 7 and isinstance(node, dict):
        return {**node, chance.choice(["unknown", *TEXTS]): chance.choice(ODD)}
    if kind == 8 and isinstance(node, list):
        return node * chance.choice([0, 2, 200])
    if kind == 9:
        for _ in range(chance.choice([1, 50, 400])):
            node = [node] if chance.random() < 0.5 else {"a": node}
        return node
    return json.dumps(node, default=str) if chance.random() < 0.5 else [node]


def _paths(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if len(path) > 12:
        return
    items = node.items() if isinstance(node, dict) else enumerate(node[:20]) if isinstance(node, list) else ()
    for key, value in items:
        yield from _paths(value, (*path, key))


def _at(node: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(node)
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = _at(copy[path[0]], path[1:], change)
    return copy


def _bounded(body: Any) -> Any:
    """With few tokens wanted; limits that are no number, or out of bounds, stay as they are."""
    if not isinstance(body, dict) or not {"messages", "prompt", "max_tokens"} & body.keys():
        return body
    names = ("max_tokens", "max_completion_tokens")
    limits = {name: body.get(name) for name in names if name in body}
    clamped = {
        name: MAX_TOKENS
        for name, limit in limits.items()
        if limit is None or (isinstance(limit, int | float) and MAX_TOKENS < limit < 2**53)
    }
    return {"max_tokens": 4, **body, **clamped}


def _mutate_form(form: tuple[Part, ...], chance: random.Random) -> tuple[Part, ...]:
    at = chance.randrange(len(form))
    part = form[at]
    text = chance.choice(TEXTS).encode(errors="surrogatepass")
    changed = chance.choice(
        [
            (),
            (part, part),
            (replace(part, value=text),),
            (replace(part, name=chance.choice(TEXTS)),),
            (replace(part, filename=chance.choice(TEXTS)),),
            (replace(part, filename=None),),
            (replace(part, value=chance.randbytes(chance.choice([0, 1, 70_000, 1_100_000]))),),
            (part, Part(chance.choice(TEXTS), text)),
        ]
    )
    return (*form[:at], *changed, *form[at + 1 :])


def _content(request: Request, chance: random.Random) -> tuple[bytes, str]:
    if request.form:
        return b"".join(map(_part, request.form)) + f"--{BOUNDARY}--\r\n".encode(), (
            f"multipart/form-data; boundary={BOUNDARY}"
        )
    if request.body is None:
        return b"", "application/json"
    # Half of a surrogate pair can be sent escaped only; as raw bytes it is no UTF-8, which is a fault of its own.
    text = json.dumps(request.body, ensure_ascii=chance.random() < 0.7)
    return text.encode(errors="surrogatepass"), "application/json"


def _part(part: Part) -> bytes:
    filename = "" if part.filename is None else f'; filename="{part.filename}"'
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{part.name}"{filename}\r\n\r\n'
    return head.encode(errors="surrogatepass") + part.value + b"\r\n"


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _flip(content: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(content))
    return content[:at] + chance.randbytes(3) + content[at + 1 :]


TEXT_FAULTS: list[Callable[[bytes, random.Random], bytes]] = [
    _cut,
    _flip,
    lambda content, chance: content + b"}",
    lambda content, chance: b"\xef\xbb\xbf" + content,
    lambda content, chance: content.decode(errors="replace").encode("utf-16"),
    lambda content, chance: content.replace(b'"', b"'"),
    lambda content, chance: content.replace(b":", b":NaN,", 1),
    lambda content, chance: b"[" * 100_000,
    lambda content, chance: b'{"a":' * 100_000,
    lambda content, chance: b'{"messages":' + b"[" * 900 + b"]" * 900 + b"}",
    lambda content, chance: b"9" * 5000,
    lambda content, chance: content[:-1] + b', "model": "tiny", "model": 5}',
    lambda content, chance: b"\x00" * 100,
    lambda content, chance: b'"text"',
    lambda content, chance: b"null",
    lambda content, chance: b" " * 50_000 + content,
    lambda content, chance: b"",
    lambda content, chance: content.replace(b"\r\n", b"\n"),
    lambda content, chance: content.replace(BOUNDARY.encode(), b"--", 1),
]


def _chunked(content: bytes, chance: random.Random) -> bytes:
    middle = len(content) // 2
    pieces = [piece for piece in (content[:middle], content[middle:]) if piece]
    whole = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return whole + (b"0\r\n\r\n" if chance.random() < 0.8 else b"zz\r\n")


def _target(request: Request) -> bytes:
    path = request.route
    for name, value in request.ids.items():
        quoted = quote_from_bytes(value.encode(errors="surrogatepass"), safe=":/.%")
        path = path.replace("{" + name + ":path}", quoted).replace("{" + name + "}", quoted)
    pairs = [
        "=".join(quote_from_bytes(text.encode(errors="surrogatepass"), safe="[]%") for text in pair)
        for pair in request.query.items()
    ]
    return (path + ("?" + "&".join(pairs) if pairs else "")).encode()


def _head(method: str, target: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"{name}: {value}".encode("latin-1") for name, value in headers.items()]
    return b"\r\n".join([method.encode() + b" " + target + b" HTTP/1.1", *lines]) + b"\r\n\r\n"


def _sending(chance: random.Random) -> Sending:
    kinds, weights = [Sending.WHOLE, Sending.IN_PIECES, Sending.HALF, Sending.LEFT], [90, 4, 3, 3]
    return chance.choices(kinds, weights)[0]
