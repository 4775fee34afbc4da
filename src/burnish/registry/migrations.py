"""The database's format, as an append-only list of steps.

To change the format, add a step at the end. A step that was released is never edited.
"""

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
    "ALTER TABLE run ADD COLUMN recommendation TEXT",
    "ALTER TABLE run ADD COLUMN target REAL",
    "ALTER TABLE run ADD COLUMN target_reach TEXT",
)
