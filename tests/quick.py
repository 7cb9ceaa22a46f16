"""For tests of runs in processes of their own: the program's directory without pauses, and what its journal holds."""

import os
import re
import shutil
import sqlite3
import tempfile
from typing import Any, Dict, List

from slack_notification.journal import JOURNAL_FILE, Begun
from tests.world import World

PAUSES = {
    "delivery.py": {"CHANNEL_INTERVAL_SECONDS": 0.0, "LEAD_SECONDS": 0.0},
    "onevizion_api.py": {"RETRY_PAUSES_SECONDS": (0.01, 0.01, 0.01)},
}
COLUMNS = "record, channel, ts, posted, parts, digest, since"


def quick_directory(world: World) -> str:
    """Write the world's directory with a program that keeps no pauses, and return it."""
    directory = world.directory()
    for name, constants in PAUSES.items():
        path = os.path.join(directory, "slack_notification", name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        for constant, value in constants.items():
            text, found = re.subn(r"(?m)^%s = [^#\n]*" % constant, "%s = %r " % (constant, value), text)
            assert found == 1, constant
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    return directory


def journal_files(directory: str) -> List[str]:
    """Return the paths of the journal and of what sqlite keeps beside it."""
    names = [name for name in os.listdir(directory) if name.startswith(JOURNAL_FILE) and ".bad" not in name]
    return [os.path.join(directory, name) for name in names]


def copy_journal(directory: str, target: str) -> None:
    """Copy a journal to a directory that has none, though the run that writes it may end just now."""
    while True:
        try:
            for path in journal_files(directory):
                shutil.copy(path, target)
            return
        except FileNotFoundError:
            for path in journal_files(target):
                os.remove(path)


def read_rows(directory: str) -> Dict[int, Begun]:
    """Return what a journal holds, from copies: the run that writes it lets nobody else open it."""
    with tempfile.TemporaryDirectory() as copies:
        copy_journal(directory, copies)
        path = os.path.join(copies, JOURNAL_FILE)
        if not os.path.exists(path):
            return {}
        db = sqlite3.connect(path)
        try:
            rows: List[Any] = db.execute("SELECT %s FROM begun" % COLUMNS).fetchall()
        finally:
            db.close()
    return {row[0]: Begun(*row) for row in rows}
