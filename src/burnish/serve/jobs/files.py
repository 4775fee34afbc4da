"""The routes of files."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, Response, StreamingResponse

from burnish.errors import StorageError
from burnish.serve.errors import ApiError
from burnish.serve.fields import check_names
from burnish.serve.jobs.asked import MAX_LIMIT, page_limit
from burnish.serve.jobs.multipart import cannot_keep, draft_in, receive_form
from burnish.serve.jobs.shelf import (
    RESULTS,
    StoredFile,
    add_file,
    build,
    delete_file,
    get_file,
    life_of,
    page_of_files,
    path_of,
    purpose_of,
    remove_expired,
)
from burnish.serve.jobs.store import Store
from burnish.serve.settings import ServeSettings

CLIENT_ACCEPTS = ("application/binary", "application/json")
"""What OpenAI's clients say that they accept when they ask for contents; browsers and curl say otherwise."""
CONTENT_TYPES: dict[str, Any] = {"application/octet-stream": {}, "text/csv": {}}
FORM_FIELDS = ("purpose", "file", "expires_after[anchor]", "expires_after[seconds]")
BASE64_CHUNK = 3 * 2**16


def build_router(store: Store, settings: ServeSettings) -> APIRouter:
    """`/files`, without the prefix `/v1`."""
    router = APIRouter()

    @router.post("/files")
    async def create(request: Request) -> dict[str, Any]:
        """Send a file; it is written to disk as it comes."""
        await run_in_threadpool(remove_expired, store)
        try:
            return (await _receive(request, store, settings.max_file_bytes)).to_dict()
        except StorageError as error:
            raise cannot_keep(error) from error

    @router.get("/files")
    def list_files(request: Request) -> dict[str, Any]:
        """The files, the newest first unless `order=asc`."""
        query = request.query_params
        if (order := query.get("order", "desc")) not in ("asc", "desc"):
            raise ApiError("'order' must be asc or desc.", param="order")
        page = page_of_files(
            store,
            purpose=query.get("purpose"),
            after=query.get("after"),
            limit=page_limit(query, MAX_LIMIT),
            newest_first=order == "desc",
        )
        return page.to_dict(lambda row: build(row).to_dict())

    @router.get("/files/{file_id}")
    def retrieve(file_id: str) -> dict[str, Any]:
        """One of them."""
        return get_file(store, file_id).to_dict()

    @router.get("/files/{file_id}/content", responses={200: {"content": CONTENT_TYPES}})
    def content(file_id: str, request: Request) -> Response:
        """Its bytes."""
        file = get_file(store, file_id)
        is_encoded = settings.encodes_results and request.headers.get("accept") in CLIENT_ACCEPTS
        if file.purpose == RESULTS and is_encoded:
            return StreamingResponse(_encoded(path_of(store, file.id)), media_type="application/octet-stream")
        kind = "text/csv" if file.purpose == RESULTS else "application/octet-stream"
        return FileResponse(path_of(store, file.id), media_type=kind, filename=file.filename)

    @router.delete("/files/{file_id}")
    def delete(file_id: str) -> dict[str, Any]:
        """Remove it; not while a job needs it."""
        delete_file(store, file_id)
        return {"id": file_id, "object": "file", "deleted": True}

    return router


async def _receive(request: Request, store: Store, max_bytes: int) -> StoredFile:
    with draft_in(store.folder / "files") as draft:
        form = await receive_form(request, "file", draft, max_bytes)
        check_names(form.texts, FORM_FIELDS)
        return await run_in_threadpool(
            add_file,
            store,
            draft,
            filename=form.filename,
            purpose=purpose_of(form.texts.get("purpose")),
            sha256=form.sha256,
            life_s=life_of(form.texts.get("expires_after[anchor]"), form.texts.get("expires_after[seconds]")),
        )


def _encoded(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as stream:
        while chunk := stream.read(BASE64_CHUNK):
            yield base64.b64encode(chunk)
