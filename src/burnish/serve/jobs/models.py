"""Models that were trained here, by name, and other names for models."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from burnish.serve.jobs.store import Store, insert, now

MAX_ALIASES = 8
"""That one name may lead through; more go in a circle."""


@dataclass(frozen=True)
class TrainedModel:
    """A fine-tuned model, or the checkpoint of one."""

    id: str
    created_at: int
    base: str
    """As a recipe names it."""
    base_id: str
    """As clients name it."""
    adapter: Path
    run: Path | None
    """The run folder; None for a checkpoint."""
    job_id: str | None


def list_models(store: Store) -> list[TrainedModel]:
    """All that are not deleted, the newest first."""
    query = "SELECT * FROM model WHERE deleted = 0 ORDER BY created_at DESC, seq DESC"
    return [_model(row) for row in store.all(query)]


def find_model(store: Store, name: str) -> TrainedModel | None:
    row = store.one("SELECT * FROM model WHERE id = ? AND deleted = 0", (name,))
    return _model(row) if row else None


def delete_model(store: Store, name: str) -> bool:
    """Take the name away; the run folder and its adapter stay. False where there is no such model."""
    with store.transaction() as connection:
        return connection.execute("UPDATE model SET deleted = 1 WHERE id = ? AND deleted = 0", (name,)).rowcount > 0


def add_model(
    connection: sqlite3.Connection,
    name: str,
    *,
    base: str,
    base_id: str,
    adapter: Path,
    run: Path | None = None,
    job_id: str | None = None,
) -> None:
    """Give an adapter a name; within a transaction."""
    insert(
        connection,
        "model",
        id=name,
        created_at=now(),
        base=base,
        base_id=base_id,
        adapter=str(adapter),
        run=str(run) if run else None,
        job_id=job_id,
    )


def set_alias(store: Store, name: str, target: str | None) -> None:
    """Let `name` mean the model `target`; None takes the name away."""
    with store.transaction() as connection:
        connection.execute("DELETE FROM alias WHERE name = ?", (name,))
        if target is not None:
            insert(connection, "alias", name=name, target=target)


def aliases(store: Store) -> dict[str, str]:
    """All other names, with what they mean."""
    return {row["name"]: row["target"] for row in store.all("SELECT * FROM alias ORDER BY name")}


def follow_aliases(store: Store, name: str) -> str:
    """What a name means in the end: itself where it is no alias."""
    known = aliases(store)
    for _ in range(MAX_ALIASES):
        if name not in known:
            break
        name = known[name]
    return name


def _model(row: sqlite3.Row) -> TrainedModel:
    run = Path(row["run"]) if row["run"] else None
    adapter = Path(row["adapter"])
    return TrainedModel(row["id"], row["created_at"], row["base"], row["base_id"], adapter, run, row["job_id"])
