"""The lock of the working directory: two runs at once would send every record twice."""

import contextlib
import datetime
import sys
from typing import BinaryIO, Iterator, NamedTuple, Optional

from .errors import EXIT_DELIVERED, EXIT_NOT_ALL_DELIVERED, LOG

LOCK_FILE = ".slack-notification.lock"
START_FORMAT = "%Y-%m-%dT%H:%M:%S%z"
# Windows lets nobody read bytes that are locked, so the locked one is far behind the start time.
LOCKED_BYTE = 1 << 20
LONG_RUN = datetime.timedelta(hours=1)  # a run that lasts longer than this is worth a look


class Held(NamedTuple):
    """Whether this run is alone; else since when the other runs (UTC, None: unknown). `problem`: there is no lock."""

    alone: bool
    since: Optional[datetime.datetime] = None
    problem: str = ""


@contextlib.contextmanager
def only_run(path: str = LOCK_FILE) -> Iterator[Held]:
    """Hold the lock of a directory, if no other run does. The system drops the lock of a dead run."""
    text = "the lock file %s cannot be used (%s): let the module write to its directory, or two runs at once post twice"
    with contextlib.ExitStack() as stack:
        try:
            # Mode "a" empties nothing: the start time in the file is the other run's. No child process inherits it.
            file = stack.enter_context(open(path, "a+b", buffering=0))
            held = _take(file)
            if held.alone:
                file.truncate(0)
                file.write(datetime.datetime.now(datetime.timezone.utc).strftime(START_FORMAT).encode())
                stack.callback(file.truncate, 0)
        except OSError as error:
            held = Held(True, None, text % (path, error.strerror or type(error).__name__))
        yield held


def _take(file: BinaryIO) -> Held:
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Held(True)
    except (BlockingIOError, PermissionError):
        file.seek(0)
        with contextlib.suppress(ValueError):  # the other run has not said it yet
            return Held(False, datetime.datetime.strptime(file.read().decode("ascii", "replace"), START_FORMAT))
        return Held(False)


def leave_to_other_run(held: Held, delivers: bool) -> int:
    """Say that another run is at work; one that lasts for long is worth a warning and exit status 1.

    Not `delivers`: the other run does not do what this one was started for.
    """
    since = " since %s UTC" % held.since.strftime("%Y-%m-%d %H:%M:%S") if held.since else ""
    text = "another run is in progress in this directory%s: nothing was done"
    if not delivers:
        LOG.error(text + "; start this command again when it has ended", since)
    elif held.since is None or datetime.datetime.now(datetime.timezone.utc) - held.since < LONG_RUN:
        LOG.info(text, since)
        return EXIT_DELIVERED
    else:
        LOG.warning(text + "; if it does not end, interrupt it under Administer Processes", since)
    return EXIT_NOT_ALL_DELIVERED
