"""The index itself: open it, record runs, list them, count the openings of a test split."""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Self

from burnish.database import format_version, migrate
from burnish.errors import RunError, StorageError
from burnish.files import lock, storage_errors
from burnish.registry.migrations import MIGRATIONS
from burnish.registry.records import RunRecord, RunStatus, read_record
from burnish.run_dir import RunDir, list_run_dirs

Opening = tuple[str, str, str, str]  # opened_at, run_id, test_hash, adapter_hash

_BUSY_TIMEOUT_S = 30.0
_COLUMNS = tuple(field.name for field in fields(RunRecord))
_UPSERT = f"INSERT OR REPLACE INTO run ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_NOT_WRITABLE = {
    sqlite3.SQLITE_CANTOPEN: "It cannot be opened or made there.",
    sqlite3.SQLITE_READONLY: "You may not write there.",
    sqlite3.SQLITE_PERM: "You may not write there.",
    sqlite3.SQLITE_FULL: "The disk is full; free some space.",
    sqlite3.SQLITE_IOERR: "The disk refused; mend it.",
}


class DamagedRegistryError(RunError):
    """The file is no database, or not a sound one; `rebuild_registry` mends that."""


def open_registry(path: Path) -> "Registry":
    """The registry in the file `path`, made if it is not there; for use in a `with` block, by one thread.

    Raises:
        DamagedRegistryError: the file is damaged.
        RunError: the file was written by a newer burnish.
        StorageError: the file cannot be written.
    """
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _sqlite_errors(path):
        # isolation_level=None: transactions begin and end where the code says so.
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    try:
        with _sqlite_errors(path):
            _bring_up_to_date(path, connection)
    except BaseException:
        connection.close()
        raise
    return Registry(path, connection)


class Registry:
    """An open registry. Several processes may use one file at once: a writer waits for another to finish."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self._path = path
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go; the registry cannot be used afterwards."""
        self._connection.close()

    def record(self, run: RunDir) -> RunRecord:
        """Read the run's folder and put what it says in the index, in place of what was there."""
        record = read_record(run)
        with self._transaction() as connection:
            connection.execute(_UPSERT, _to_row(record))
        return record

    def list_runs(self) -> list[RunRecord]:
        """All runs of the index, oldest first (a run id begins with its time)."""
        with _sqlite_errors(self._path):
            rows = self._connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM run ORDER BY run_id").fetchall()
        return [_from_row(row) for row in rows]

    def rebuild(self, parent: Path) -> int:
        """Make the index of runs again from the folders under `parent`; return their number. Openings stay.

        For a file that may be damaged, use `rebuild_registry`.
        """
        # The folders are read inside the transaction: a run that another process records meanwhile waits, and
        # is not overwritten by what its folder said before.
        with self._transaction() as connection:
            records = [read_record(run) for run in list_run_dirs(parent)]
            connection.execute("DELETE FROM run")
            connection.executemany(_UPSERT, map(_to_row, records))
        return len(records)

    def count_test_opening(self, run_id: str, test_hash: str, adapter_hash: str) -> int:
        """Note that a run opens this test split; return how often it was opened, this time included."""
        with self._transaction() as connection:
            connection.execute(
                "INSERT INTO test_opening (run_id, test_hash, adapter_hash) VALUES (?, ?, ?)",
                (run_id, test_hash, adapter_hash),
            )
            query = "SELECT count(*) FROM test_opening WHERE test_hash = ?"
            return int(connection.execute(query, (test_hash,)).fetchone()[0])

    def count_adapters(self, test_hash: str, *, without_run: str = "") -> int:
        """How many different adapters have seen this test split: to see it again tells nothing new."""
        with _sqlite_errors(self._path):
            query = "SELECT count(DISTINCT adapter_hash) FROM test_opening WHERE test_hash = ? AND run_id != ?"
            return int(self._connection.execute(query, (test_hash, without_run)).fetchone()[0])

    def list_openings(self) -> list[Opening]:
        """Every opening of a test split, first to last."""
        with _sqlite_errors(self._path):
            query = "SELECT opened_at, run_id, test_hash, adapter_hash FROM test_opening ORDER BY id"
            return self._connection.execute(query).fetchall()

    def restore_openings(self, openings: Iterable[Opening]) -> None:
        """Append openings that were read from another registry."""
        statement = "INSERT INTO test_opening (opened_at, run_id, test_hash, adapter_hash) VALUES (?, ?, ?, ?)"
        with self._transaction() as connection:
            connection.executemany(statement, openings)

    def check(self) -> None:
        """Read the whole file.

        Raises:
            DamagedRegistryError: a part of it is damaged or missing.
        """
        with _sqlite_errors(self._path):
            problems = self._connection.execute("PRAGMA quick_check").fetchall()
            if problems != [("ok",)]:
                raise sqlite3.DatabaseError(problems[0][0])
        self.list_runs()
        self.list_openings()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _sqlite_errors(self._path), self._connection:  # commits, or rolls back on an error
            # IMMEDIATE takes the write lock at once: what is read inside stays true until the commit.
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection


def _bring_up_to_date(path: Path, connection: sqlite3.Connection) -> None:
    found, known = format_version(connection), len(MIGRATIONS)
    if found > known:
        formats = f"format {found}; this one knows {known}"
        raise RunError(f"{path}: written by a newer burnish ({formats}). Update burnish.")
    if found < known:
        # SQLite does not wait when two connections turn WAL on at once, so one process goes first.
        with lock(path.with_name(f".{path.name}.lock")):
            connection.execute("PRAGMA journal_mode = WAL")
            migrate(connection, MIGRATIONS)


@contextmanager
def _sqlite_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite says about the file into an error with a remedy."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):
        raise  # our fault, not the file's
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without the detail bits
        if code in _BUSY:
            waited = f"another process has been writing for {_BUSY_TIMEOUT_S:.0f} s"
            raise StorageError(f"{path}: {waited}. Try again when it has finished.") from error
        if code in _NOT_WRITABLE:
            raise StorageError(f"{path}: {error}. {_NOT_WRITABLE[code]}") from error
        remedy = "Run `burnish runs --rebuild`; the run folders are not touched."
        raise DamagedRegistryError(f"{path}: the index of runs is damaged ({error}). {remedy}") from error


def _to_row(record: RunRecord) -> tuple[str | float | None, ...]:
    return tuple(str(value) if isinstance(value, Path) else value for value in vars(record).values())


def _from_row(row: tuple[object, ...]) -> RunRecord:
    values = dict(zip(_COLUMNS, row, strict=True))
    values |= {"path": Path(str(values["path"])), "status": RunStatus(str(values["status"]))}
    return RunRecord(**values)  # type: ignore[arg-type]
