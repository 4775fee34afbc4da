"""The format of a SQLite file, as an append-only list of steps; `PRAGMA user_version` counts the steps taken."""

import sqlite3
from collections.abc import Sequence


def migrate(connection: sqlite3.Connection, steps: Sequence[str]) -> None:
    """Take the steps (one statement each) that are missing.

    The connection must be in autocommit mode (`isolation_level=None`).
    """
    for step in range(format_version(connection), len(steps)):
        with connection:  # commits, or rolls back on an error
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(steps[step])
            connection.execute(f"PRAGMA user_version = {step + 1}")  # takes part in the transaction


def format_version(connection: sqlite3.Connection) -> int:
    """How many steps the database has taken."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
