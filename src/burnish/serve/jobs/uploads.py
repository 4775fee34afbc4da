"""The routes of uploads: large files, sent in parts."""

import hashlib
import shutil
import sqlite3
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import Field, StrictFloat, StrictInt, StrictStr

from burnish.errors import StorageError
from burnish.files import storage_errors
from burnish.serve.errors import ApiError, not_found
from burnish.serve.fields import Shape, check_names
from burnish.serve.jobs.asked import json_body, no_body, parse
from burnish.serve.jobs.multipart import cannot_keep, draft_in, receive_form
from burnish.serve.jobs.shelf import get_file, life_of, purpose_of, shelve
from burnish.serve.jobs.store import Store, insert, new_id, now
from burnish.serve.settings import MIB, ServeSettings

LIFE_S = 3600
PARTS_PER_FILE = 16
"""An upload may be so many times as large as a file that is sent at once: OpenAI's ratio."""
MAX_PART_BYTES = 64 * MIB


class ExpiresAfter(Shape):
    """How long the file is kept; `shelf.life_of` has the limits."""

    anchor: StrictStr | None = None
    seconds: StrictInt | StrictFloat | StrictStr | None = None


class CreateUpload(Shape):
    """The body of `POST /uploads`."""

    bytes: Annotated[StrictInt, Field(ge=0)]
    filename: StrictStr
    mime_type: StrictStr
    purpose: StrictStr
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Shape):
    """The body of `POST /uploads/{id}/complete`."""

    part_ids: list[StrictStr]
    md5: StrictStr | None = None


def build_router(store: Store, settings: ServeSettings) -> APIRouter:
    """`/uploads`, without the prefix `/v1`."""
    router = APIRouter()
    body_of = Depends(json_body(settings.max_body_bytes))
    nothing = Depends(no_body(settings.max_body_bytes))
    max_bytes = PARTS_PER_FILE * settings.max_file_bytes

    @router.post("/uploads")
    def create(body: Annotated[dict[str, Any], body_of]) -> dict[str, Any]:
        """Begin to send a large file in parts."""
        return to_dict(store, _create(store, parse(CreateUpload, body), max_bytes))

    @router.post("/uploads/{upload_id}/parts")
    async def add_part(upload_id: str, request: Request) -> dict[str, Any]:
        """One part of it."""
        try:
            return await _add_part(request, store, upload_id)
        except StorageError as error:
            await run_in_threadpool(_pending, store, upload_id)  # one that was cancelled meanwhile has no folder
            raise cannot_keep(error) from error

    @router.post("/uploads/{upload_id}/complete")
    def complete(upload_id: str, body: Annotated[dict[str, Any], body_of]) -> dict[str, Any]:
        """Put the parts together, in the order that is given."""
        asked = parse(CompleteUpload, body)
        try:
            _complete(store, upload_id, asked.part_ids, asked.md5)
        except StorageError as error:
            _pending(store, upload_id)  # one that was completed or cancelled meanwhile has no folder
            raise cannot_keep(error) from error
        return to_dict(store, upload_id)

    @router.post("/uploads/{upload_id}/cancel", dependencies=[nothing])
    def cancel(upload_id: str) -> dict[str, Any]:
        """Let the parts go."""
        with store.transaction() as connection:
            if _get(store, upload_id)["status"] != "cancelled":
                _pending(store, upload_id)
                connection.execute("UPDATE upload SET status = 'cancelled' WHERE id = ?", (upload_id,))
        shutil.rmtree(_folder(store, upload_id), ignore_errors=True)
        return to_dict(store, upload_id)

    return router


def to_dict(store: Store, upload_id: str) -> dict[str, Any]:
    """An upload, as clients see it."""
    row = _get(store, upload_id)
    names = ("id", "bytes", "created_at", "expires_at", "filename", "purpose")
    file = get_file(store, row["file_id"]).to_dict() if row["file_id"] else None
    return {name: row[name] for name in names} | {"object": "upload", "status": _status(row), "file": file}


def _create(store: Store, asked: CreateUpload, max_bytes: int) -> str:
    if asked.bytes > max_bytes:
        raise ApiError(f"An upload may have at most {max_bytes:,} bytes.", status=413, param="bytes")
    _remove_expired(store)
    upload_id, made = new_id("upload_"), now()
    expiry = asked.expires_after or ExpiresAfter()
    with store.transaction() as connection:
        insert(
            connection,
            "upload",
            id=upload_id,
            created_at=made,
            expires_at=made + LIFE_S,
            status="pending",
            filename=asked.filename,
            purpose=purpose_of(asked.purpose),
            bytes=asked.bytes,
            file_expires_s=life_of(expiry.anchor, expiry.seconds),
        )
    return upload_id


def _remove_expired(store: Store) -> None:
    """The bytes of uploads that were never completed; their rows stay and say "expired"."""
    for row in store.all("SELECT id FROM upload WHERE status = 'pending' AND expires_at <= ?", (now(),)):
        shutil.rmtree(_folder(store, row["id"]), ignore_errors=True)


async def _add_part(request: Request, store: Store, upload_id: str) -> dict[str, Any]:
    await run_in_threadpool(_pending, store, upload_id)
    folder = _folder(store, upload_id)
    with draft_in(folder) as draft:
        form = await receive_form(request, "data", draft, MAX_PART_BYTES)
        check_names(form.texts, ("data",))
        part_id, made = new_id("part_"), now()

        def keep() -> None:
            with store.transaction() as connection:
                _pending(store, upload_id)  # it may have been cancelled while the part came
                draft.replace(folder / part_id)
                insert(connection, "part", id=part_id, upload_id=upload_id, created_at=made, bytes=form.size_bytes)

        await run_in_threadpool(keep)
    return {"id": part_id, "object": "upload.part", "created_at": made, "upload_id": upload_id}


def _complete(store: Store, upload_id: str, part_ids: list[str], md5: str | None) -> None:
    """Join the parts, in the order that is given."""
    row = _pending(store, upload_id)
    known = {part["id"]: part["bytes"] for part in store.all("SELECT * FROM part WHERE upload_id = ?", (upload_id,))}
    if strange := [part for part in part_ids if part not in known]:
        raise ApiError(f"Part {strange[0]} is not one of upload {upload_id}.", param="part_ids")
    if len(set(part_ids)) < len(part_ids):
        raise ApiError("A part is named twice.", param="part_ids")
    if (total := sum(known[part] for part in part_ids)) != row["bytes"]:
        raise ApiError(f"The parts have {total:,} bytes together; the upload has {row['bytes']:,}.", param="part_ids")
    folder = _folder(store, upload_id)
    with draft_in(folder) as draft:
        sha256, found = _join([folder / part for part in part_ids], draft)
        if md5 is not None and md5.lower() != found:
            raise ApiError(f"The MD5 of the parts together is {found}, not {md5}.", param="md5")
        with store.transaction() as connection:
            _pending(store, upload_id)
            file_id = shelve(
                connection,
                store,
                draft,
                filename=row["filename"],
                purpose=row["purpose"],
                sha256=sha256,
                life_s=row["file_expires_s"],
            )
            finish = "UPDATE upload SET status = 'completed', file_id = ? WHERE id = ?"
            connection.execute(finish, (file_id, upload_id))
    shutil.rmtree(folder, ignore_errors=True)


def _join(parts: list[Path], path: Path) -> tuple[str, str]:
    """Write the parts one behind the other; returns SHA-256 and MD5 of the whole."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
    with storage_errors(path), open(path, "wb") as whole:
        for part in parts:
            with open(part, "rb") as stream:
                while chunk := stream.read(MIB):
                    whole.write(chunk)
                    sha256.update(chunk)
                    md5.update(chunk)
    return sha256.hexdigest(), md5.hexdigest()


def _get(store: Store, upload_id: str) -> sqlite3.Row:
    row = store.one("SELECT * FROM upload WHERE id = ?", (upload_id,))
    if row is None:
        raise not_found(f"No such Upload object: {upload_id}", param="upload_id")
    return row


def _pending(store: Store, upload_id: str) -> sqlite3.Row:
    row = _get(store, upload_id)
    if (status := _status(row)) != "pending":
        raise ApiError(f"Upload {upload_id} is {status}; only a pending one can be changed.", param="upload_id")
    return row


def _status(row: sqlite3.Row) -> str:
    return "expired" if row["status"] == "pending" and row["expires_at"] <= now() else str(row["status"])


def _folder(store: Store, upload_id: str) -> Path:
    return store.folder / "uploads" / upload_id
