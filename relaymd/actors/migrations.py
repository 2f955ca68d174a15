"""The ledger's tables, as the steps that lead to them. Steps are added, never changed."""

from collections.abc import Sequence

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        """CREATE TABLE jobs (
            id TEXT PRIMARY KEY,
            state TEXT NOT NULL,
            submitted_at REAL NOT NULL,
            body BLOB NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX jobs_by_age ON jobs (submitted_at, id)",
        "CREATE INDEX jobs_by_state ON jobs (state, submitted_at, id)",
        """CREATE TABLE events (
            seq INTEGER PRIMARY KEY,
            subject TEXT NOT NULL,
            kind TEXT NOT NULL,
            job TEXT,
            worker TEXT,
            epoch INTEGER,
            at REAL NOT NULL,
            body BLOB NOT NULL
        )""",
        "CREATE INDEX events_by_job ON events (job, kind, epoch) WHERE job IS NOT NULL",
        "CREATE INDEX events_by_worker ON events (worker) WHERE worker IS NOT NULL",
        "CREATE TABLE workers (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",
        """CREATE TABLE allocations (
            id TEXT PRIMARY KEY,
            ended INTEGER NOT NULL,
            body BLOB NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX allocations_by_end ON allocations (ended)",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
    ),
    ("CREATE TABLE nodes (id TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",),
    ("CREATE TABLE switches (cluster TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID",),
)
"""Statement by statement, one tuple a version; `PRAGMA user_version` counts the versions."""
