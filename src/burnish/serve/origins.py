"""Where a request comes from: whether a page of another origin made a browser send it.

A browser sends requests for any page to any address, and hides only the reply. So whatever changes something must show
that no foreign page asked for it. Programs send neither `Sec-Fetch-Site` nor `Origin`; browsers send at least one.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from burnish.errors import BurnishError
from burnish.serve.errors import ApiError

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
"""They change nothing, on any route."""
OWN_SITES = ("same-origin", "none")
FORM_PATH = re.compile(r"/v1/(files|uploads/[^/]+/parts)")
"""Routes that read a multipart form; every other one reads JSON."""
HOST_NAME = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:\d{1,5})?", re.IGNORECASE)
DEFAULT_PORTS = {"http": 80, "https": 443}


def is_loopback(host: str) -> bool:
    """Whether only this machine goes by that name or address."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check_allowed_hosts(names: tuple[str, ...]) -> None:
    """Refuse what can't be the name of a server.

    Raises:
        BurnishError: a name is none.
    """
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise BurnishError(
                f"--allow-host {name!r}: this is not the name of a host. Give the name alone, such as "
                "models.example.org or localhost:5173."
            )


def check_host(headers: Headers, allowed: tuple[str, ...]) -> None:
    """Accept names of this machine and those that the operator allows: a page can point its own name at 127.0.0.1.

    Raises:
        ApiError: the request names another host (403).
    """
    host = _host_of(headers)
    name = _without_port(host)
    if not (is_loopback(name) or any(entry.lower() in (host, name) for entry in allowed)):
        raise ApiError(
            f"Host {host!r} is not a name of this machine. Use 127.0.0.1 or localhost, serve with an API key, or allow "
            "the name with --allow-host.",
            status=403,
            code="host_not_allowed",
        )


def check_origin(method: str, scheme: str, headers: Headers, allowed: tuple[str, ...]) -> None:
    """Refuse whatever may change something and comes from a page of another origin.

    Raises:
        ApiError: it does, or it asks for another protocol (403).
    """
    _check_upgrade(headers)
    if method in SAFE_METHODS:
        return
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    is_foreign_site = site is not None and site.strip().lower() not in OWN_SITES
    is_foreign_origin = origin is not None and not _is_own(origin, scheme, _host_of(headers), allowed)
    if is_foreign_site or is_foreign_origin:
        told = "another site" if origin is None else f"origin {origin!r}"
        raise ApiError(
            f"This request comes from a web page of {told}, which may change nothing here. Send it from a program, or "
            "from a page at an address of this server (--allow-host adds one).",
            status=403,
            code="origin_not_allowed",
        )


def check_content_type(method: str, path: str, headers: Headers) -> None:
    """Refuse a body that says it is something else than its route reads: browsers send text and forms unasked.

    Raises:
        ApiError: it does (415).
    """
    if method in SAFE_METHODS or not _has_body(headers):
        return
    given = ", ".join(headers.getlist("content-type"))
    wanted = "multipart/form-data" if FORM_PATH.fullmatch(path) else "application/json"
    if given.partition(";")[0].strip().lower() != wanted:
        told = f"is {given!r}" if given else "is missing"
        raise ApiError(
            f"The content type of the body {told}, and this route reads {wanted}. Send the header "
            + (
                "Content-Type: application/json (curl: -H 'Content-Type: application/json')."
                if wanted == "application/json"
                else "with its boundary, as form libraries do (curl: -F purpose=fine-tune -F file=@rows.jsonl)."
            ),
            status=415,
            code="unsupported_media_type",
        )


def is_form(headers: Headers) -> bool:
    """Whether the body says that it is a multipart form."""
    return headers.get("content-type", "").strip().lower().startswith("multipart/form-data")


def _check_upgrade(headers: Headers) -> None:
    """No web socket is served, and a browser sends them across origins; h2c may be offered by any client of HTTP."""
    offered = {item.strip().lower() for item in ",".join(headers.getlist("upgrade")).split(",")} - {"", "h2c"}
    if offered:
        raise ApiError(
            f"This server speaks plain HTTP only, not {sorted(offered)[0]!r}. Leave out the header Upgrade; streams "
            "come as server-sent events.",
            status=403,
            code="upgrade_not_allowed",
        )


def _is_own(origin: str, scheme: str, host: str, allowed: tuple[str, ...]) -> bool:
    """`host` as the request names it. A proxy may end TLS in front of a name that is not this machine's own."""
    found = _parts(origin)
    if found is None:
        return False
    own = [(scheme, host)] + ([] if is_loopback(_without_port(host)) else [("https", host)])
    own += [(kind, name) for name in allowed for kind in DEFAULT_PORTS]
    return any(found == _parts(f"{kind}://{name}") for kind, name in own)


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None of `null` and anything that is not an origin on the web."""
    try:
        split = urlsplit(origin.strip().lower())
        port = split.port
    except ValueError:
        return None
    is_plain = origin.strip().lower() == f"{split.scheme}://{split.netloc}" and "@" not in split.netloc
    if split.scheme not in DEFAULT_PORTS or not split.hostname or not is_plain:
        return None
    return split.scheme, split.hostname, port or DEFAULT_PORTS[split.scheme]


def _host_of(headers: Headers) -> str:
    return headers.get("host", "").lower()


def _without_port(host: str) -> str:
    return host if host.endswith("]") else host.rsplit(":", 1)[0]


def _has_body(headers: Headers) -> bool:
    return "transfer-encoding" in headers or headers.get("content-length", "0").strip() not in ("", "0")
