"""What one run tells the next: which records are begun and not ended, and how much of each was posted.

A database of one table, kept by sqlite3. No text of a message, no name and no secret ever stands in it.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from .errors import LOG, quoted
from .message import Part

JOURNAL_FILE = ".slack-notification.journal"
FORMAT = 1  # the number that sqlite keeps as user_version
KEPT_SECONDS = 30 * 24 * 3600
# Write-ahead logging survives kill -9 with every commit, and a power failure without being spoilt (the last commits may
# be missing then), at a small part of what a commit costs in other modes. With the exclusive lock it needs no shared
# memory, which network file systems do not have; the run holds the directory's lock anyway.
OPENING = ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA journal_mode = WAL", "PRAGMA synchronous = NORMAL")
TABLE = "CREATE TABLE IF NOT EXISTS begun (record INTEGER PRIMARY KEY, channel, ts, posted, parts, digest, since)"
TWICE = "messages that an earlier run had started may be posted twice"


class Begun(NamedTuple):
    """A record whose way is begun and not ended.

    `channel` is Slack's ID and `ts` that of the first post, both "" before it. `posted` of `parts` parts were answered;
    `digest` is that of the posted ones. `since` is in seconds of the epoch.
    """

    record: int
    channel: str = ""
    ts: str = ""
    posted: int = 0
    parts: int = 1
    digest: str = ""
    since: int = 0


TYPES = (int, str, str, int, int, str, int)  # sqlite takes a value of any type, whatever the table says


def digest(parts: Sequence[Part]) -> str:
    """Return a text by which to tell whether parts are the same as in another run."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def open_database(path: str) -> sqlite3.Connection:
    """Open a journal, or make it. Raises what sqlite3, the system and decoding raise for one that cannot be used."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    os.chmod(path, 0o600)  # the file beside it takes its mode from this one
    db = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    try:
        for statement in OPENING:
            db.execute(statement).fetchall()
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise sqlite3.DatabaseError("another version of the module made it")
        db.execute(TABLE)
        db.execute("PRAGMA user_version = %d" % FORMAT)
        read_rows(db)
    except BaseException:
        db.close()
        raise
    return db


def read_rows(db: sqlite3.Connection) -> Dict[int, Begun]:
    """Return what stands in a journal, by record; raises ValueError for what no run has written."""
    rows = [Begun(*row) for row in db.execute("SELECT %s FROM begun ORDER BY record" % ", ".join(Begun._fields))]
    for row in rows:
        if tuple(map(type, row)) != TYPES or min(row.record, row.posted) < 0 or row.parts < max(row.posted, 1):
            raise ValueError("it holds values that no run has written")
    return {row.record: row for row in rows}


def read_copy(path: str = JOURNAL_FILE) -> Tuple[Dict[int, Begun], str]:
    """Return what a journal holds, without changing, locking or making it; and why it cannot be read, else ""."""
    try:
        with tempfile.TemporaryDirectory() as directory:
            copy = os.path.join(directory, "copy")
            for ending in ("-wal", ""):  # in this order: a run moves what is in the first to the second at its end
                if os.path.exists(path + ending):
                    shutil.copyfile(path + ending, copy + ending)
            with contextlib.closing(open_database(copy)) as db:
                return read_rows(db), ""
    except Exception as error:
        reason = getattr(error, "strerror", None) or quoted(error)
        return {}, "the journal %s cannot be read (%s)" % (path, reason)


class Journal:
    """The journal of the module's directory. It raises nothing: one that cannot be used is put aside with a warning."""

    def __init__(self, path: str = JOURNAL_FILE) -> None:
        self._path = path
        self._db: Optional[sqlite3.Connection] = None
        try:
            self._db = open_database(path)
        except Exception as error:  # sqlite3.Error, OSError, and what decoding raises
            if self._put_aside(error):
                with contextlib.suppress(Exception):
                    self._db = open_database(path)

    def drop_old(self) -> None:
        """Forget what was begun more than KEPT_SECONDS ago, with a warning."""
        oldest = int(time.time()) - KEPT_SECONDS
        dropped = [row.record for row in self.begun().values() if row.since < oldest]
        if dropped:
            text = "%d record(s) were started more than 30 days ago and never finished: the journal drops them"
            LOG.warning(text, len(dropped), extra={"details": [", ".join(map(str, dropped))]})
            self._write("DELETE FROM begun WHERE since < ?", oldest)

    def begun(self) -> Dict[int, Begun]:
        """Return what stands in the journal, by record."""
        return self._do(read_rows) or {}

    def lost(self) -> bool:
        """Tell whether the next run will know nothing of this one."""
        return self._db is None

    def begin(self, record: int, parts: int) -> None:
        """Note that a record's way begins, before anything else is told of it."""
        self._write("INSERT OR REPLACE INTO begun VALUES (?, '', '', 0, ?, '', ?)", record, parts, int(time.time()))

    def note_posted(self, record: int, channel: str, ts: str, posted: int, parts: int, posted_digest: str) -> None:
        """Note that Slack has answered one more part (see Begun)."""
        values = (channel, ts, posted, parts, posted_digest, record)
        self._write("UPDATE begun SET channel = ?, ts = ?, posted = ?, parts = ?, digest = ? WHERE record = ?", *values)

    def end(self, record: int) -> None:
        """Note that a record has its final status, or is to be sent anew."""
        self._write("DELETE FROM begun WHERE record = ?", record)

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _write(self, statement: str, *values: Any) -> None:
        self._do(lambda db: db.execute(statement, values).fetchall())

    def _do(self, use: Callable[[sqlite3.Connection], Any]) -> Any:
        """Return what is made of the database; put the journal aside and return None where that fails."""
        if self._db is None:
            return None
        try:
            return use(self._db)
        except Exception as error:
            self.close()
            self._put_aside(error)
            return None

    def _put_aside(self, error: Exception) -> bool:
        """Rename the journal, so that no run relies on it, with a warning; return whether that worked."""
        text, renamed = "the journal %s is in use by another run, and this one goes on without it (%s)", False
        if "locked" not in str(error):
            text = "the journal %s cannot be used (%s): let the module write to its directory; until then " + TWICE
            with contextlib.suppress(OSError):
                os.remove(self._path + "-wal")
            with contextlib.suppress(OSError):
                os.replace(self._path, self._path + ".bad")
                text, renamed = "the journal %s cannot be used (%s) and was put aside: " + TWICE, True
        LOG.warning(text, self._path, getattr(error, "strerror", None) or quoted(error))
        return renamed
