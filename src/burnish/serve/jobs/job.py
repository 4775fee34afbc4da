"""A fine-tuning job: its states, who may move it from one to another, and its row in the database.

    validating_files -> queued -> running -> succeeded | failed
    queued, running -> paused -> queued;  every state that is not the last -> cancelled

A job that is worked on has a token. Whatever the process that works on it writes counts only while the job still has
the same token: pausing and cancelling take it away, so the answer is there at once, and the process follows.
"""

import json
import secrets
import sqlite3
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from burnish.serve.errors import ApiError, not_found
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.store import Store, now

ORGANIZATION = "burnish"


class Status(StrEnum):
    """Where a job stands."""

    VALIDATING = "validating_files"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED)
MAX_CRASHES = 3


class Lost(Exception):  # noqa: N818  (an event, not an error)
    """The job was paused or cancelled, or somebody else works on it now."""


def get_job(store: Store, job_id: str) -> sqlite3.Row:
    """The job's row.

    Raises:
        ApiError: 404 where there is none.
    """
    row = store.one("SELECT * FROM job WHERE id = ?", (job_id,))
    if row is None:
        raise not_found(f"Could not find fine tune: {job_id}", param="fine_tune_id", code="fine_tune_not_found")
    return row


def cancel(store: Store, job_id: str) -> None:
    """Stop a job for good; one that is cancelled stays so."""
    _move(store, job_id, set(Status) - set(FINAL), Status.CANCELLED, "The job was cancelled", finished_at=now())


def pause(store: Store, job_id: str) -> None:
    """Let a job rest; one that trains stops behind its present step."""
    _move(store, job_id, {Status.QUEUED, Status.RUNNING}, Status.PAUSED, "The job was paused")


def resume(store: Store, job_id: str) -> None:
    """Put a paused job in line again."""
    _move(store, job_id, {Status.PAUSED}, Status.QUEUED, "The job was resumed and waits for its turn")


def claim(store: Store, status: Status) -> tuple[str, str] | None:
    """Take the oldest job that waits in `status`, unless one is worked on there; returns its id and the token."""
    assert status in (Status.VALIDATING, Status.QUEUED)
    token = secrets.token_hex(16)
    working = Status.RUNNING if status is Status.QUEUED else status
    with store.transaction() as connection:
        query = "SELECT 1 FROM job WHERE status = ? AND token IS NOT NULL"
        if connection.execute(query, (working,)).fetchone():
            return None
        query = "SELECT id FROM job WHERE status = ? ORDER BY seq LIMIT 1"
        row = connection.execute(query, (status,)).fetchone()
        if row is None:
            return None
        connection.execute("UPDATE job SET token = ?, status = ? WHERE id = ?", (token, working, row["id"]))
        if working is Status.RUNNING:
            tell(connection, row["id"], "Fine-tuning job started", once=True)
    return str(row["id"]), token


def holds(store: Store, job_id: str, token: str) -> bool:
    """Whether the job is still this worker's."""
    row = store.one("SELECT token FROM job WHERE id = ?", (job_id,))
    return row is not None and row["token"] == token


def change(connection: sqlite3.Connection, job_id: str, token: str, **values: Any) -> None:
    """Write columns of a job within a transaction.

    Raises:
        Lost: the job is not this worker's any more; nothing is written.
    """
    names = "".join(f", {name} = :{name}" for name in values)
    statement = f"UPDATE job SET token = token{names} WHERE id = :job AND token = :held"
    if not connection.execute(statement, {**values, "job": job_id, "held": token}).rowcount:
        raise Lost(job_id)


def settle(connection: sqlite3.Connection, job_id: str, token: str, status: Status, **values: Any) -> None:
    """The same, and let the job go in `status`."""
    if status in FINAL:
        values["finished_at"] = now()
    change(connection, job_id, token, status=status, **values)
    connection.execute("UPDATE job SET token = NULL WHERE id = ?", (job_id,))


def fail(store: Store, job_id: str, token: str, *, code: str, message: str, param: str | None = None) -> None:
    """End a job with an error.

    Raises:
        Lost: the job is not this worker's any more.
    """
    error = json.dumps({"code": code, "message": message, "param": param})
    with store.transaction() as connection:
        settle(connection, job_id, token, Status.FAILED, error=error)
        tell(connection, job_id, f"The job failed: {message}", level="error")


def put_back(store: Store, job_id: str, token: str, message: str) -> None:
    """Let a job that was worked on wait again, as the server ends or has begun anew."""
    with store.transaction() as connection:
        query = "SELECT status FROM job WHERE id = ? AND token = ?"
        row = connection.execute(query, (job_id, token)).fetchone()
        if row is None:
            return
        status = Status.QUEUED if row["status"] == Status.RUNNING else Status.VALIDATING
        settle(connection, job_id, token, status)
        tell(connection, job_id, message)


def note_crash(store: Store, job_id: str, token: str, *, progress: int, why: str) -> None:
    """Let the job wait again after its process has died; fail it when that comes thrice without any progress."""
    with store.transaction() as connection:
        row = connection.execute("SELECT * FROM job WHERE id = ? AND token = ?", (job_id, token)).fetchone()
        if row is None:
            return
        num_crashes = 1 if progress > row["progress"] else row["num_crashes"] + 1
        change(connection, job_id, token, num_crashes=num_crashes, progress=max(progress, row["progress"]))
    if num_crashes >= MAX_CRASHES:
        told = f"The training process ended {num_crashes} times without getting further. {why}"
        fail(store, job_id, token, code="server_error", message=told)
    else:
        put_back(store, job_id, token, f"The training process ended unexpectedly and is started again. {why}")


def to_dict(row: sqlite3.Row, *, says_paused: bool = True) -> dict[str, Any]:
    """A job, as clients see it: every field is there, and an object is never null where clients read its fields."""
    hyperparameters = json.loads(row["hyperparameters"])
    status = Status.QUEUED if row["status"] == Status.PAUSED and not says_paused else row["status"]
    return {
        "id": row["id"],
        "object": "fine_tuning.job",
        "created_at": row["created_at"],
        "model": row["model"],
        "organization_id": f"org-{ORGANIZATION}",
        "status": str(status),
        "training_file": row["training_file"],
        "validation_file": row["validation_file"],
        "result_files": [row["result_file"]] if row["result_file"] else [],
        "fine_tuned_model": row["fine_tuned_model"],
        "finished_at": row["finished_at"],
        "trained_tokens": row["trained_tokens"],
        "estimated_finish": None,
        "seed": row["seed"],
        "error": _loads(row["error"]),
        "hyperparameters": hyperparameters,
        "method": {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        "integrations": _loads(row["integrations"]),
        "metadata": _loads(row["metadata"]),
        "user_provided_suffix": row["suffix"],
    }


def model_name(row: Mapping[str, Any] | sqlite3.Row, unique: str) -> str:
    """The name of what a job has trained; without a suffix its place stays empty."""
    return f"ft:{row['base_id']}:{ORGANIZATION}:{row['suffix'] or ''}:{unique}"


def _move(store: Store, job_id: str, allowed: set[Status], to: Status, message: str, **values: Any) -> None:
    """What a client asks of a job; once more is the same as once, as clients repeat what they hear no answer to."""
    get_job(store, job_id)
    with store.transaction() as connection:
        status = Status(connection.execute("SELECT status FROM job WHERE id = ?", (job_id,)).fetchone()["status"])
        if status is to:
            return
        if status not in allowed:
            raise ApiError(f"Job {job_id} is {status.value} and cannot be {_DONE[to]}.", param="fine_tuning_job_id")
        names = "".join(f", {name} = ?" for name in values)
        statement = f"UPDATE job SET status = ?, token = NULL{names} WHERE id = ?"
        connection.execute(statement, (to, *values.values(), job_id))
        tell(connection, job_id, message)


_DONE = {Status.CANCELLED: "cancelled", Status.PAUSED: "paused", Status.QUEUED: "resumed"}


def _loads(text: str | None) -> Any:
    return None if text is None else json.loads(text)
