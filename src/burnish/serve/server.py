"""`burnish serve`: the parts put together, and the port."""

import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool

from burnish.model.fetch import Say
from burnish.serve.app import create_app
from burnish.serve.host import Host
from burnish.serve.jobs import conformance_seed, files, jobs, uploads
from burnish.serve.jobs.graders import routes as graders
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.jobs.worker.supervisor import Supervisor
from burnish.serve.operations import log_requests
from burnish.serve.settings import ServeSettings

GRACE_S = 30
"""For answers that are under way when the server is told to stop."""


def serve(settings: ServeSettings, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are finished, and a job goes on with the next start.

    Raises:
        BurnishError: other machines would be served without a key.
        StorageError: the runs folder cannot be written.
    """
    import uvicorn

    with open_store(settings.folder) as store:
        app = build_app(settings, store)
        log_requests(sys.stderr)
        say(f"Serving http://{settings.host}:{settings.port}/v1; /docs tells all routes. Ctrl-C stops.")
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACE_S,
        )


def build_app(settings: ServeSettings, store: Store) -> FastAPI:
    """The whole server; models and jobs are at work from its start to its end."""
    host = Host(settings, store)
    supervisor = Supervisor(store, settings)

    @asynccontextmanager
    async def at_work() -> AsyncIterator[None]:
        if settings.trains and not conformance_seed.is_wanted():
            supervisor.start()
        try:
            yield
        finally:
            await run_in_threadpool(host.close)
            await run_in_threadpool(supervisor.stop)

    app = create_app(
        settings,
        host,
        extra_routers=_job_routers(settings, store, host),
        jobs_by_status=lambda: _jobs_by_status(store),
        lifespans=[at_work],
    )
    if conformance_seed.is_wanted():
        app.include_router(conformance_seed.build_router(store, settings))
    return app


def _job_routers(settings: ServeSettings, store: Store, host: Host) -> Sequence[APIRouter]:
    return (
        files.build_router(store, settings),
        uploads.build_router(store, settings),
        jobs.build_router(store, settings, host.find),
        graders.build_router(settings),
    )


def _jobs_by_status(store: Store) -> dict[str, int]:
    return {row["status"]: row["num"] for row in store.all("SELECT status, count(*) AS num FROM job GROUP BY status")}
