"""The database's format, as an append-only list of steps.

To change the format, add a step at the end. A step that was released is never edited. Every table has a `seq` that only
grows: it orders what was made in the same second. What is deleted stays as a row, so that a page behind it can be told.
"""

# One statement each, applied in one transaction each.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE file (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        filename TEXT NOT NULL,
        purpose TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        expires_at INTEGER
    )
    """,
    """
    CREATE TABLE upload (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        expires_at INTEGER NOT NULL,
        status TEXT NOT NULL,
        filename TEXT NOT NULL,
        purpose TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        file_expires_s INTEGER,
        file_id TEXT
    )
    """,
    """
    CREATE TABLE part (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        upload_id TEXT NOT NULL,
        created_at INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        UNIQUE (upload_id, id)
    )
    """,
    """
    CREATE TABLE job (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        status TEXT NOT NULL,
        model TEXT NOT NULL,
        base TEXT NOT NULL,
        base_id TEXT NOT NULL,
        training_file TEXT NOT NULL,
        validation_file TEXT,
        suffix TEXT,
        seed INTEGER NOT NULL,
        hyperparameters TEXT NOT NULL,
        integrations TEXT,
        metadata TEXT,
        body_sha256 TEXT NOT NULL,
        error TEXT,
        result_file TEXT,
        fine_tuned_model TEXT,
        finished_at INTEGER,
        trained_tokens INTEGER,
        token TEXT,
        num_crashes INTEGER NOT NULL DEFAULT 0,
        progress INTEGER NOT NULL DEFAULT 0,
        last_step INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX job_by_status ON job (status)",
    """
    CREATE TABLE event (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        job_id TEXT NOT NULL,
        level TEXT NOT NULL,
        type TEXT NOT NULL,
        message TEXT NOT NULL,
        data TEXT
    )
    """,
    "CREATE INDEX event_by_job ON event (job_id)",
    """
    CREATE TABLE checkpoint (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        job_id TEXT NOT NULL,
        step INTEGER NOT NULL,
        model TEXT NOT NULL,
        metrics TEXT NOT NULL,
        UNIQUE (job_id, step)
    )
    """,
    """
    CREATE TABLE model (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        created_at INTEGER NOT NULL,
        deleted INTEGER NOT NULL DEFAULT 0,
        base TEXT NOT NULL,
        base_id TEXT NOT NULL,
        adapter TEXT NOT NULL,
        run TEXT,
        job_id TEXT
    )
    """,
    "CREATE TABLE alias (name TEXT PRIMARY KEY, target TEXT NOT NULL)",
)
