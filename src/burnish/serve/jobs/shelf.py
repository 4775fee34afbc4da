"""The files that clients have sent and jobs have written: bytes under our own names, facts in the database."""

import os
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from burnish.files import sha256_of_file, storage_errors
from burnish.serve.errors import ApiError, not_found
from burnish.serve.jobs.asked import whole_number
from burnish.serve.jobs.store import Page, Store, insert, new_id, now

RESULTS = "fine-tune-results"
TRAINING = "fine-tune"
PURPOSES = ("assistants", "batch", TRAINING, "vision", "user_data", "evals")
"""That a client may give."""
MIN_LIFE_S, MAX_LIFE_S = 3600, 2_592_000
_IS_OURS = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class StoredFile:
    """A file, as clients see it."""

    id: str
    created_at: int
    filename: str
    """As the client calls it; only to be told, never a path."""
    purpose: str
    bytes: int
    sha256: str
    expires_at: int | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",  # the contents are looked at by the job that uses them
            "status_details": None,
        }


def path_of(store: Store, file_id: str) -> Path:
    """Where the bytes of a file lie."""
    assert _IS_OURS.fullmatch(file_id), "ids are ours"
    return store.folder / "files" / file_id


def add_file(
    store: Store, draft: Path, *, filename: str, purpose: str, sha256: str, life_s: int | None = None
) -> StoredFile:
    """Take the file at `draft` in."""
    with store.transaction() as connection:
        file_id = shelve(connection, store, draft, filename=filename, purpose=purpose, sha256=sha256, life_s=life_s)
    return get_file(store, file_id)


def shelve(
    connection: sqlite3.Connection,
    store: Store,
    draft: Path,
    *,
    filename: str,
    purpose: str,
    sha256: str | None = None,
    life_s: int | None = None,
) -> str:
    """The same within a transaction; returns the file's id."""
    file_id, made = new_id("file-"), now()
    size, sha256 = draft.stat().st_size, sha256 or sha256_of_file(draft)
    path = path_of(store, file_id)
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(draft, path)  # before the row: a row always has its bytes
    insert(
        connection,
        "file",
        id=file_id,
        created_at=made,
        filename=filename,
        purpose=purpose,
        bytes=size,
        sha256=sha256,
        expires_at=made + life_s if life_s else None,
    )
    return file_id


def get_file(store: Store, file_id: str, *, param: str = "id") -> StoredFile:
    """The file.

    Raises:
        ApiError: 404 where there is none.
    """
    row = store.one("SELECT * FROM file WHERE id = ? AND deleted = 0", (file_id,))
    if row is None or (row["expires_at"] is not None and row["expires_at"] <= now()):
        raise not_found(f"No such File object: {file_id}", param=param)
    return build(row)


def page_of_files(
    store: Store, *, purpose: str | None, after: str | None, limit: int, newest_first: bool = True
) -> Page:
    """Files that have not expired; of one purpose, or of all."""
    where, values = "(expires_at IS NULL OR expires_at > ?)", [now()]
    if purpose is not None:
        where, values = f"{where} AND purpose = ?", [*values, purpose]  # type: ignore[list-item]
    return store.page("file", where, values, after=after, limit=limit, newest_first=newest_first)


def delete_file(store: Store, file_id: str) -> None:
    """Remove a file for good.

    Raises:
        ApiError: 404 where there is none, 400 where a job still needs it.
    """
    get_file(store, file_id)
    with store.transaction() as connection:
        if job := _user_of(connection, file_id):
            raise ApiError(f"File {file_id} is used by job {job}, which is not finished. Cancel it first.", param="id")
        connection.execute("UPDATE file SET deleted = 1 WHERE id = ?", (file_id,))
    path_of(store, file_id).unlink(missing_ok=True)


def remove_expired(store: Store) -> None:
    """Delete the bytes of files whose time is over, unless a job still needs them."""
    query = "SELECT id FROM file WHERE deleted = 0 AND expires_at <= ?"
    for row in store.all(query, (now(),)):
        with store.transaction() as connection:
            if _user_of(connection, row["id"]):
                continue
            connection.execute("UPDATE file SET deleted = 1 WHERE id = ?", (row["id"],))
        path_of(store, row["id"]).unlink(missing_ok=True)


def build(row: sqlite3.Row) -> StoredFile:
    """A row of the table `file`."""
    names = ("id", "created_at", "filename", "purpose", "bytes", "sha256", "expires_at")
    return StoredFile(**{name: row[name] for name in names})


def purpose_of(text: str | None) -> str:
    """A purpose that a client may give.

    Raises:
        ApiError: it is another one.
    """
    if text not in PURPOSES:
        raise ApiError(f"'purpose' must be one of {', '.join(PURPOSES)}.", param="purpose")
    return str(text)


def life_of(anchor: str | None, seconds: Any) -> int | None:
    """How long a file is kept, in seconds; None for ever.

    Raises:
        ApiError: the time is no whole number within the limits, or counts from something else.
    """
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise ApiError("'expires_after[anchor]' must be created_at.", param="expires_after[anchor]")
    life_s = whole_number(str(seconds))
    if life_s is None or not MIN_LIFE_S <= life_s <= MAX_LIFE_S:
        raise ApiError(
            f"'expires_after[seconds]' must be a whole number from {MIN_LIFE_S} to {MAX_LIFE_S}.",
            param="expires_after[seconds]",
        )
    return life_s


def _user_of(connection: sqlite3.Connection, file_id: str) -> str | None:
    query = (
        "SELECT id FROM job WHERE (training_file = :id OR validation_file = :id) "
        "AND status NOT IN ('succeeded', 'failed', 'cancelled')"
    )
    row = connection.execute(query, {"id": file_id}).fetchone()
    return str(row["id"]) if row else None
