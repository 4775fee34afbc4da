"""`burnish serve`: the parts put together, and the port."""

import socket
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from fastapi.concurrency import run_in_threadpool

from burnish.errors import BurnishError
from burnish.model.fetch import Say
from burnish.serve.app import create_app
from burnish.serve.host import Host
from burnish.serve.jobs import conformance_seed, files, jobs, uploads
from burnish.serve.jobs.graders import routes as graders
from burnish.serve.jobs.shelf import remove_expired
from burnish.serve.jobs.store import Store, open_store
from burnish.serve.jobs.worker.supervisor import Supervisor
from burnish.serve.operations import log_requests
from burnish.serve.settings import EngineKind, ServeSettings
from burnish.serve.vllm_engine.client import check_installed

GRACE_S = 30
"""For answers that are under way when the server is told to stop."""


def serve(settings: ServeSettings, say: Say) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are finished, and a job goes on with the next start.

    Raises:
        BurnishError: other machines would be served without a key, the port is taken, or the engine is not installed.
        StorageError: the runs folder cannot be written.
    """
    import uvicorn

    if settings.engine is EngineKind.VLLM:
        check_installed()
    with open_store(settings.folder) as store, _listen(settings.host, settings.port) as listener:
        address = f"http://{settings.host}:{listener.getsockname()[1]}/v1"
        app = build_app(
            settings, store, on_ready=lambda: say(f"Serving {address}; /docs tells all routes. Ctrl-C stops.")
        )
        log_requests(sys.stderr)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=GRACE_S
        )
        try:
            uvicorn.Server(config).run([listener])
        except KeyboardInterrupt:  # uvicorn has ended all, and hands it on
            say("Stopped. A job that had begun goes on with the next start.")


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        return listener
    except OSError as error:
        raise BurnishError(f"{host}:{port}: cannot listen there ({error.strerror}). Give another --port.") from None


def build_app(settings: ServeSettings, store: Store, on_ready: Callable[[], None] = lambda: None) -> FastAPI:
    """The whole server; models and jobs are at work from its start, which `on_ready` is told, to its end."""
    host = Host(settings, store)
    supervisor = Supervisor(store, settings)

    @asynccontextmanager
    async def at_work() -> AsyncIterator[None]:
        await run_in_threadpool(remove_expired, store)
        if settings.trains and not conformance_seed.is_wanted():
            supervisor.start()
        on_ready()
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
        at_work=at_work,
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
