"""The server as one application: its routes, and what lies around them."""

import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from burnish.serve import operations, page, security
from burnish.serve.errors import ErrorReply, install_error_handlers
from burnish.serve.inference import chat, completions, embeddings, models
from burnish.serve.inference.backend import Backend
from burnish.serve.operations import Operations, ServerMetrics
from burnish.serve.security import Security
from burnish.serve.settings import ServeSettings

PREFIX = "/v1"


def create_app(
    settings: ServeSettings,
    backend: Backend,
    *,
    extra_routers: Sequence[APIRouter] = (),
    jobs_by_status: Callable[[], Mapping[str, int]] = dict,
    at_work: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
) -> FastAPI:
    """What `burnish serve` runs. `extra_routers` come below /v1; `at_work` is entered at start, left at the end.

    Raises:
        BurnishError: the settings would serve other machines without a key.
    """
    security.check_exposure(settings)
    metrics = ServerMetrics(backend.stats, jobs_by_status)
    is_open = threading.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with at_work():
            is_open.set()
            try:
                yield
            finally:
                is_open.clear()

    app = FastAPI(
        title="burnish",
        summary="Specialists behind the OpenAI wire.",
        version=version("burnish"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses={"4XX": {"model": ErrorReply, "description": "What is wrong with the request."}},
    )
    install_error_handlers(app)
    app.include_router(operations.build_router(metrics, is_open.is_set))
    app.include_router(page.build_router())
    for router in (
        chat.build_router(backend, on_first_token=metrics.first_token.observe),
        completions.build_router(backend, on_first_token=metrics.first_token.observe),
        embeddings.build_router(backend),
        models.build_router(backend),
        *extra_routers,
    ):
        app.include_router(router, prefix=PREFIX)
    # The last one is the outermost: what is refused is counted and logged as well.
    app.add_middleware(Security, settings=settings)
    app.add_middleware(Operations, metrics=metrics)
    return app
