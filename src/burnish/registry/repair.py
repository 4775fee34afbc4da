"""Make the index again, also where the file itself is damaged."""

import os
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from burnish.files import lock, storage_errors
from burnish.registry.index import DamagedRegistryError, Opening, open_registry


@dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What is in the registry now; `moved_to` is where a damaged file went, None if it was sound."""

    num_runs: int
    num_openings: int
    moved_to: Path | None


def rebuild_registry(path: Path, parent: Path) -> Rebuilt:
    """Make the registry in `path` again from the run folders under `parent`.

    A sound file keeps its openings of test splits. A damaged one is moved aside, never deleted, and as many
    openings as can still be read are carried over.

    Raises:
        RunError: the file was written by a newer burnish.
        StorageError: the file cannot be written.
    """
    openings: list[Opening] = []
    moved_to = None
    with lock(path.with_name(f".{path.name}.rebuild.lock")):  # else two rebuilds might move each other's file
        if _is_damaged(path):
            openings = _read_openings(path)
            moved_to = _move_aside(path)
        with open_registry(path) as registry:
            registry.restore_openings(openings)
            num_runs = registry.rebuild(parent)
            return Rebuilt(num_runs=num_runs, num_openings=len(registry.list_openings()), moved_to=moved_to)


def _is_damaged(path: Path) -> bool:
    try:
        with open_registry(path) as registry:
            registry.check()
    except DamagedRegistryError:
        return True
    return False


def _read_openings(path: Path) -> list[Opening]:
    """The openings that a damaged file still gives, up to the first that cannot be read."""
    openings: list[Opening] = []
    query = "SELECT opened_at, run_id, test_hash, adapter_hash FROM test_opening NOT INDEXED ORDER BY rowid"
    with closing(sqlite3.connect(path)) as connection, suppress(sqlite3.Error):
        for opening in connection.execute(query):
            if all(isinstance(value, str) for value in opening):
                openings.append(opening)
    return openings


def _move_aside(path: Path) -> Path:
    """Rename the file and the write-ahead log that belongs to it; the log must not meet the new file."""
    moved_to = path.with_name(f"{path.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
    with storage_errors(path):
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(f"{path}{suffix}", f"{moved_to}{suffix}")
    return moved_to
