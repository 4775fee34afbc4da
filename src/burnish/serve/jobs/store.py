"""The database of `burnish serve`: one SQLite file that the server's threads and the training processes share."""

import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from burnish.database import format_version, migrate
from burnish.errors import RunError
from burnish.files import lock, storage_errors
from burnish.serve.jobs.migrations import MIGRATIONS

BUSY_TIMEOUT_S = 30.0
Table = Literal["file", "job", "event", "checkpoint", "model"]
"""Those that are told in pages."""
Values = Sequence[Any]


@dataclass(frozen=True)
class Page:
    """Some rows of a list, and whether more come behind them."""

    rows: list[sqlite3.Row]
    has_more: bool

    def to_dict(self, build: Callable[[sqlite3.Row], dict[str, Any]]) -> dict[str, Any]:
        """The list as clients read it."""
        data = [build(row) for row in self.rows]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return {"object": "list", "data": data, "has_more": self.has_more, **ends}


def open_store(folder: Path) -> "Store":
    """The database in `folder`, made if it is not there.

    Raises:
        RunError: it was written by a newer burnish.
        StorageError: the folder cannot be written.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "serve.sqlite"
    # isolation_level=None: transactions begin and end where the code says so.
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    connection.row_factory = sqlite3.Row
    try:
        found = format_version(connection)
        if found > len(MIGRATIONS):
            raise RunError(f"{path}: written by a newer burnish. Update burnish, or serve another folder.")
        if found < len(MIGRATIONS):
            # SQLite does not wait when two connections turn WAL on at once, so one process goes first.
            with lock(folder / ".serve.sqlite.lock"):
                connection.execute("PRAGMA journal_mode = WAL")
                migrate(connection, MIGRATIONS)
    except BaseException:
        connection.close()
        raise
    return Store(folder, connection)


class Store:
    """An open database, for any number of threads: one at a time uses the connection."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection
        self._turn = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go."""
        with self._turn:
            self._connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All that the block writes, or nothing; what it reads stays true until its end."""
        with self._turn, self._connection:  # commits, or rolls back on an error
            self._connection.execute("BEGIN IMMEDIATE")
            yield self._connection

    def all(self, query: str, values: Values = ()) -> list[sqlite3.Row]:
        with self._turn:
            return self._connection.execute(query, values).fetchall()

    def one(self, query: str, values: Values = ()) -> sqlite3.Row | None:
        with self._turn:
            row: sqlite3.Row | None = self._connection.execute(query, values).fetchone()
            return row

    def page(
        self,
        table: Table,
        where: str = "1",
        values: Values = (),
        *,
        after: str | None = None,
        limit: int = 20,
        newest_first: bool = True,
    ) -> Page:
        """Up to `limit` rows behind the one with the id `after`, which may be deleted by now.

        Behind an unknown id there is nothing: a client that asks on and on would else begin again and again.
        """
        sign, order = ("<", "DESC") if newest_first else (">", "ASC")
        condition, given = f"deleted = 0 AND ({where})", list(values)
        with self._turn:
            if after is not None:
                cursor = self.one(f"SELECT created_at, seq FROM {table} WHERE id = ?", (after,))
                if cursor is None:
                    return Page([], False)
                condition += f" AND (created_at, seq) {sign} (?, ?)"
                given += [cursor["created_at"], cursor["seq"]]
            query = f"SELECT * FROM {table} WHERE {condition} ORDER BY created_at {order}, seq {order} LIMIT ?"
            rows = self.all(query, [*given, limit + 1]) if limit else []
        return Page(rows[:limit], len(rows) > limit)


def insert(connection: sqlite3.Connection, table: str, **values: Any) -> None:
    """Add a row."""
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))


def new_id(prefix: str) -> str:
    """A name that nothing else has, such as "file-..."."""
    alphabet = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
    return prefix + "".join(secrets.choice(alphabet) for _ in range(24))


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())
