"""The database's format, as an append-only list of steps; `PRAGMA user_version` counts the steps taken.

To change the format, add a step at the end. A step that was released is never edited.
"""

import sqlite3

# One statement each, applied in one transaction each.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE run (
        run_id TEXT PRIMARY KEY,
        path TEXT NOT NULL,
        status TEXT NOT NULL,
        note TEXT,
        task TEXT,
        base_model TEXT,
        data_train TEXT,
        started_at TEXT,
        metric_name TEXT,
        specialist_score REAL,
        best_baseline_score REAL,
        outcome TEXT
    )
    """,
    """
    CREATE TABLE test_opening (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        opened_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ', 'now')),
        run_id TEXT NOT NULL,
        test_hash TEXT NOT NULL,
        adapter_hash TEXT NOT NULL
    )
    """,
    "CREATE INDEX test_opening_by_hash ON test_opening (test_hash)",
    """
    CREATE TRIGGER test_opening_keeps_rows BEFORE DELETE ON test_opening
    BEGIN SELECT RAISE(ABORT, 'test_opening is append-only'); END
    """,
    """
    CREATE TRIGGER test_opening_keeps_values BEFORE UPDATE ON test_opening
    BEGIN SELECT RAISE(ABORT, 'test_opening is append-only'); END
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Take the steps that are missing; the connection must be in autocommit mode (`isolation_level=None`)."""
    for step in range(format_version(connection), len(MIGRATIONS)):
        with connection:  # commits, or rolls back on an error
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(MIGRATIONS[step])
            connection.execute(f"PRAGMA user_version = {step + 1}")  # takes part in the transaction


def format_version(connection: sqlite3.Connection) -> int:
    """How many steps the database has taken."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
