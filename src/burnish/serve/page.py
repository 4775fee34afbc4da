"""The page of all routes: one file that needs nothing but itself."""

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
        return HTMLResponse(template.render(routes=routes, base_url=f"{request.base_url}v1"))

    return router


def routes_of(document: Mapping[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """(method, path, what it does) of every route, by the first part of its path."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for path, methods in document["paths"].items():
        room = path.removeprefix("/v1/").strip("/").split("/")[0] if path.startswith("/v1/") else "operations"
        for method, route in methods.items():
            found.setdefault(room, []).append((method.upper(), path, route.get("description", "")))
    return found
