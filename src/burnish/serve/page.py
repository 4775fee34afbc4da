"""The page of all routes: one file that needs nothing but itself."""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader
from starlette.responses import HTMLResponse


def build_router() -> APIRouter:
    """`GET /docs`, made of the application's own OpenAPI document, and `GET /`, which is the same."""
    router = APIRouter(include_in_schema=False)
    environment = Environment(loader=PackageLoader("burnish.serve", "templates"), autoescape=True)

    @router.get("/")
    @router.get("/docs")
    def show_routes(request: Request) -> HTMLResponse:
        """What can be asked of this server."""
        template = environment.get_template("routes.html.jinja")
        routes = routes_of(request.app.openapi())
        html = template.render(routes=routes, base_url=f"{request.base_url}v1")
        return HTMLResponse(html, headers={"content-security-policy": content_policy(html)})

    return router


def content_policy(html: str) -> str:
    """What a browser may do for the page: use the page's own style, and reach nothing but this server."""
    styles = (hashlib.sha256(style.encode()).digest() for style in re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    hashes = "".join(f" 'sha256-{base64.b64encode(digest).decode()}'" for digest in styles)
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self'{hashes}; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def routes_of(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """(method, path, what it does) of every route, by the first part of its path."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path, methods in document["paths"].items():
        room = path.removeprefix("/v1/").strip("/").split("/")[0] if path.startswith("/v1/") else "operations"
        for method, route in methods.items():
            found.setdefault(room, []).append((method.upper(), path, route.get("description", "")))
    return found
