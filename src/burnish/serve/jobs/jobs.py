"""The routes of fine-tuning jobs."""

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response, StreamingResponse

from burnish.serve.jobs import job as job_states
from burnish.serve.jobs.asked import bracketed, json_body, no_body, page_limit
from burnish.serve.jobs.creation import Resolver, create_job
from burnish.serve.jobs.events import checkpoint_to_dict, event_to_dict, page_of_checkpoints, page_of_events
from burnish.serve.jobs.job import FINAL, get_job, to_dict
from burnish.serve.jobs.store import Store
from burnish.serve.settings import ServeSettings

POLL_S = 0.5
KEEP_ALIVE_S = 15.0


def build_router(store: Store, settings: ServeSettings, resolve: Resolver) -> APIRouter:
    """`/fine_tuning/jobs`, without the prefix `/v1`."""
    router = APIRouter(prefix="/fine_tuning/jobs")
    body_of = Depends(json_body(settings.max_body_bytes))
    nothing = Depends(no_body(settings.max_body_bytes))

    def told(job_id: str) -> dict[str, Any]:
        return to_dict(get_job(store, job_id), says_paused=settings.says_paused)

    @router.post("")
    def create(request: Request, body: Annotated[dict[str, Any], body_of]) -> dict[str, Any]:
        """Train a model on a file; the reply comes at once."""
        return told(create_job(store, resolve, body, request.headers)["id"])

    @router.get("")
    def list_jobs(request: Request) -> dict[str, Any]:
        """The jobs, the newest first."""
        where, values = _metadata_filter(request)
        query = request.query_params
        page = store.page("job", where, values, after=query.get("after"), limit=page_limit(query, 20))
        return page.to_dict(lambda row: to_dict(row, says_paused=settings.says_paused))

    @router.get("/{job_id}")
    def retrieve(job_id: str) -> dict[str, Any]:
        """One of them."""
        return told(job_id)

    @router.post("/{job_id}/cancel", dependencies=[nothing])
    def cancel(job_id: str) -> dict[str, Any]:
        """End it for good."""
        job_states.cancel(store, job_id)
        return told(job_id)

    @router.post("/{job_id}/pause", dependencies=[nothing])
    def pause(job_id: str) -> dict[str, Any]:
        """Stop it behind the present step, with a checkpoint."""
        job_states.pause(store, job_id)
        return told(job_id)

    @router.post("/{job_id}/resume", dependencies=[nothing])
    def resume(job_id: str) -> dict[str, Any]:
        """Go on with a paused one."""
        job_states.resume(store, job_id)
        return told(job_id)

    @router.get("/{job_id}/events", responses={200: {"content": {"text/event-stream": {}}}})
    def events(job_id: str, request: Request) -> Response:
        """What was told of it, the newest first; as it comes with `stream=true`."""
        get_job(store, job_id)
        query = request.query_params
        if query.get("stream") == "true":
            kind = "text/event-stream; charset=utf-8"
            lines = _follow(store, job_id, query.get("after"))
            return StreamingResponse(lines, media_type=kind, headers={"Cache-Control": "no-cache"})
        page = page_of_events(store, job_id, after=query.get("after"), limit=page_limit(query, 20))
        return JSONResponse(page.to_dict(event_to_dict))

    @router.get("/{job_id}/checkpoints")
    def checkpoints(job_id: str, request: Request) -> dict[str, Any]:
        """Its last epochs, each a model by name."""
        get_job(store, job_id)
        query = request.query_params
        page = page_of_checkpoints(store, job_id, after=query.get("after"), limit=page_limit(query, 10))
        return page.to_dict(checkpoint_to_dict)

    return router


def _metadata_filter(request: Request) -> tuple[str, list[str]]:
    """`metadata[key]=value` for jobs that have all of them, `metadata=null` for jobs without any."""
    if request.query_params.get("metadata") == "null":
        return "metadata IS NULL", []
    wanted = bracketed(request.query_params, "metadata")
    has = "EXISTS (SELECT 1 FROM json_each(metadata) AS pair WHERE pair.key = ? AND pair.value = ?)"
    return " AND ".join(["1", *[has] * len(wanted)]), [text for pair in wanted.items() for text in pair]


async def _follow(store: Store, job_id: str, after: str | None) -> AsyncIterator[str]:
    """The events from the first, or from the one behind `after`, as they come, to the end of the job."""
    last, quiet_s = await run_in_threadpool(_place_of, store, after), 0.0
    while last is not None:
        is_over, rows = await run_in_threadpool(_news, store, job_id, last)
        for row in rows:
            yield f"data: {json.dumps(row[1])}\n\n"
            last, quiet_s = row[0], 0.0
        if is_over:
            break
        await anyio.sleep(POLL_S)
        quiet_s += POLL_S
        if quiet_s >= KEEP_ALIVE_S:
            yield ": still at it\n\n"
            quiet_s = 0.0
    yield "data: [DONE]\n\n"


def _place_of(store: Store, after: str | None) -> int | None:
    """Behind which row to begin; None where no event has this id."""
    if after is None:
        return 0
    row = store.one("SELECT seq FROM event WHERE id = ?", (after,))
    return int(row["seq"]) if row else None


def _news(store: Store, job_id: str, last: int) -> tuple[bool, list[tuple[int, dict[str, Any]]]]:
    """Whether the job is over, asked first so that its last event is not missed, and what came since."""
    is_over = get_job(store, job_id)["status"] in FINAL
    rows = store.all("SELECT * FROM event WHERE job_id = ? AND seq > ? ORDER BY seq", (job_id, last))
    return is_over, [(row["seq"], event_to_dict(row)) for row in rows]
