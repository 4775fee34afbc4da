"""What a job tells as it goes, and the checkpoints of its adapter."""

import json
import sqlite3
from typing import Any, Literal

from burnish.serve.jobs.store import Page, Store, insert, new_id, now

Level = Literal["info", "warn", "error"]


def tell(
    connection: sqlite3.Connection,
    job_id: str,
    message: str,
    *,
    level: Level = "info",
    data: dict[str, Any] | None = None,
    once: bool = False,
) -> None:
    """Add an event within a transaction; one with `data` is a metric.

    `once`: not where the job has told the same before, as one that goes on after a stop does.
    """
    if once:
        query = "SELECT 1 FROM event WHERE job_id = ? AND message = ?"
        if connection.execute(query, (job_id, message)).fetchone():
            return
    insert(
        connection,
        "event",
        id=new_id("ftevent-"),
        created_at=now(),
        job_id=job_id,
        level=level,
        type="message" if data is None else "metrics",
        message=message,
        data=None if data is None else json.dumps(data, allow_nan=False),
    )


def page_of_events(store: Store, job_id: str, *, after: str | None, limit: int) -> Page:
    """The newest first."""
    return store.page("event", "job_id = ?", (job_id,), after=after, limit=limit)


def page_of_checkpoints(store: Store, job_id: str, *, after: str | None, limit: int) -> Page:
    """The newest first."""
    return store.page("checkpoint", "job_id = ?", (job_id,), after=after, limit=limit)


def event_to_dict(row: sqlite3.Row) -> dict[str, Any]:
    """An event, as clients see it."""
    names = ("id", "created_at", "level", "message", "type")
    data = None if row["data"] is None else json.loads(row["data"])
    return {name: row[name] for name in names} | {"object": "fine_tuning.job.event", "data": data}


def checkpoint_to_dict(row: sqlite3.Row) -> dict[str, Any]:
    """A checkpoint, as clients see it."""
    return {
        "id": row["id"],
        "object": "fine_tuning.job.checkpoint",
        "created_at": row["created_at"],
        "fine_tuned_model_checkpoint": row["model"],
        "fine_tuning_job_id": row["job_id"],
        "metrics": json.loads(row["metrics"]),
        "step_number": row["step"],
    }
