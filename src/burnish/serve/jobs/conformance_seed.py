"""What the tests of OpenAI's own client expect to find on a server; for those tests only, never on a real one.

The client's suite names fixed ids, and deletes and cancels them, so they are put in place again before each test.
"""

import json
import os
import sqlite3
from collections.abc import Sequence

from fastapi import APIRouter

from burnish.files import sha256_of_file, write_text
from burnish.serve.jobs.events import tell
from burnish.serve.jobs.job import Status
from burnish.serve.jobs.models import add_model
from burnish.serve.jobs.shelf import TRAINING, path_of
from burnish.serve.jobs.store import Store, insert, now
from burnish.serve.jobs.uploads import LIFE_S
from burnish.serve.settings import ServeSettings

FILES = ("file-abc123", "file_id")
JOB = "ft-AF1WoRqd3aJAHsqc9NY7iL8F"
TUNED = "ft:gpt-4o-mini:acemeco:suffix:abc123"
UPLOAD, PART = "upload_abc123", "string"
ALIASES = ("gpt-4o-mini", "gpt-6-astra", "gpt-5.4", "gpt-3.5-turbo-instruct", "text-embedding-3-small")
NUM_ROWS = 12


def is_wanted() -> bool:
    """Whether the environment asks for the hooks of the tests."""
    return os.environ.get("BURNISH_TEST_HOOKS") == "1"


def build_router(store: Store, settings: ServeSettings) -> APIRouter:
    """`POST /_test/reseed`, beside `/v1`."""
    router = APIRouter()

    @router.post("/_test/reseed")
    def reseed_store() -> dict[str, bool]:
        reseed(store, settings.base)
        return {"reseeded": True}

    return router


def reseed(store: Store, base: str) -> None:
    """Put the objects in place, as if nothing had been done to them; other objects stay."""
    for file_id in FILES:
        _write_rows(store, file_id)
    (store.folder / "uploads" / UPLOAD).mkdir(parents=True, exist_ok=True)
    (store.folder / "uploads" / UPLOAD / PART).write_bytes(b"")
    with store.transaction() as connection:
        _forget(connection)
        for file_id in FILES:
            _add_file(connection, store, file_id)
        _add_job(connection, base)
        add_model(connection, TUNED, base=base, base_id="gpt-4o-mini", adapter=store.folder / "no-adapter")
        insert(
            connection,
            "upload",
            id=UPLOAD,
            created_at=now(),
            expires_at=now() + LIFE_S,
            status="pending",
            filename="empty.jsonl",
            purpose=TRAINING,
            bytes=0,
        )
        insert(connection, "part", id=PART, upload_id=UPLOAD, created_at=now(), bytes=0)
        for name in ALIASES:
            insert(connection, "alias", name=name, target=base)


def _write_rows(store: Store, file_id: str) -> None:
    turns = [[("user", f"What is {i} and {i}?"), ("assistant", f"It is {2 * i}.")] for i in range(NUM_ROWS)]
    rows = [{"messages": [{"role": role, "content": text} for role, text in each]} for each in turns]
    write_text(path_of(store, file_id), "".join(json.dumps(row) + "\n" for row in rows))


def _forget(connection: sqlite3.Connection) -> None:
    def delete(table: str, column: str, values: Sequence[str]) -> None:
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(value,) for value in values])

    delete("file", "id", FILES)
    delete("job", "id", [JOB])
    delete("event", "job_id", [JOB])
    delete("checkpoint", "job_id", [JOB])
    delete("model", "id", [TUNED])
    delete("upload", "id", [UPLOAD])
    delete("part", "upload_id", [UPLOAD])
    delete("alias", "name", ALIASES)


def _add_file(connection: sqlite3.Connection, store: Store, file_id: str) -> None:
    path = path_of(store, file_id)
    insert(
        connection,
        "file",
        id=file_id,
        created_at=now(),
        filename="rows.jsonl",
        purpose=TRAINING,
        bytes=path.stat().st_size,
        sha256=sha256_of_file(path),
    )


def _add_job(connection: sqlite3.Connection, base: str) -> None:
    insert(
        connection,
        "job",
        id=JOB,
        created_at=now(),
        status=Status.QUEUED,
        model="gpt-4o-mini",
        base=base,
        base_id="gpt-4o-mini",
        training_file="file-of-nobody",  # so that the seeded files can be deleted
        seed=0,
        hyperparameters=json.dumps({"batch_size": "auto", "learning_rate_multiplier": "auto", "n_epochs": "auto"}),
        body_sha256="",
    )
    tell(connection, JOB, f"Created fine-tuning job: {JOB}")
    insert(
        connection,
        "checkpoint",
        id="ftckpt_seed",
        created_at=now(),
        job_id=JOB,
        step=1,
        model=f"{TUNED}:ckpt-step-1",
        metrics=json.dumps({"step": 1}),
    )
