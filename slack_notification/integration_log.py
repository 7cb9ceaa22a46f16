"""Python's logging, shown on the console and sent to OneVizion's integration log; neither can stop a delivery."""

import functools
import io
import logging
import logging.handlers
import math
import os
import queue
import sys
import threading
import time
from typing import Any, Callable, Iterable, List, NamedTuple, Optional

from onevizion import LogLevel

from .calls import Interruption
from .errors import LOG, PROGRESS, Failure, RunError, clipped, whole_number
from .packages import IHUB_PARAMETERS_FILE
from .settings import read_json_object

# Size limits of the integration log are undocumented; these are known to be taken.
MESSAGE_CHARACTERS = 200
DESCRIPTION_CHARACTERS = 4000
LOG_FAILURES_IN_A_ROW = 3  # after so many the log is given up, so that a broken log cannot hold up the run's end
LOG_DRAIN_SECONDS = 10.0  # how long the end of the run goes on posting entries; an interrupted run takes less
LOG_DRAIN_INTERRUPTED_SECONDS = 1.0
CONSOLE_DRAIN_SECONDS = 3.0  # how long the end of the run waits for the console; an interrupted run waits less
CLEAR_LINE = "\r\033[K"  # of a terminal
REDACTED_FROM_CHARACTERS = 4  # shorter secrets would blot out ordinary words, and protect nothing


class LogEntry(NamedTuple):
    """One entry of the integration log; `level` is a name that OneVizion knows."""

    level: str
    message: str
    description: str


class Platform(NamedTuple):
    """What OneVizion gives a scheduled run. Without a level, somebody runs the program by hand."""

    level: Optional[LogLevel] = None
    process_id: Optional[int] = None
    problem: str = ""


def read_platform(delivers: bool = True) -> Platform:
    """Return what ihub_parameters.json says, which OneVizion writes for a scheduled run.

    Where it cannot be used, what should have gone to the integration log is printed to stdout; so are the warnings and
    errors of what an admin tries as the module's command.
    """
    if not os.path.exists(IHUB_PARAMETERS_FILE):
        return Platform()
    if not delivers:
        return Platform(LogLevel.WARNING)
    try:
        parameters = read_json_object(IHUB_PARAMETERS_FILE)
    except RunError as error:
        return Platform(LogLevel.INFO, None, "no integration log for this run: %s" % error)
    process_id = whole_number(parameters.get("processId"))
    problem = "" if process_id is not None else "no integration log for this run: ihub_parameters.json has no processId"
    level = LogLevel.__members__.get(str(parameters.get("logLevel")).upper(), LogLevel.INFO)
    return Platform(level, process_id, problem)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return the text with each secret, also one that was cut off by an ellipsis, replaced by three asterisks."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= REDACTED_FROM_CHARACTERS:
            text = text.replace(secret, "***")
            for length in range(len(secret) - 1, REDACTED_FROM_CHARACTERS - 1, -1):
                text = text.replace(secret[:length] + "…", "***…")
    return text


def safe_text(record: logging.LogRecord, secrets: Iterable[str], template: str = "%(message)s") -> str:
    """Return a log record, its traceback and its `details` as lines, without any secret in them."""
    lines = [logging.Formatter(template, "%H:%M:%S").format(record), *getattr(record, "details", ())]
    return redacted("\n".join(lines), secrets)


class Console(logging.handlers.QueueListener):
    """Lines on stderr. On a terminal, how far the run is stays one line that updates itself below the others."""

    def __init__(self, secrets: List[str]) -> None:
        super().__init__(queue.Queue())
        self._secrets = secrets
        self._stream: Any = sys.stderr or io.StringIO()  # None where a scheduler has closed it
        self._terminal = self._stream.isatty()
        self._progress = ""

    def ask_progress(self, record: logging.LogRecord) -> bool:
        """Replace a record's function `progress` by what it returns now (a filter of the handler)."""
        if self._terminal and hasattr(record, "progress"):
            record.progress = record.progress()
        return True

    def handle(self, record: logging.LogRecord) -> None:
        """Write a log record; one with `progress` replaces the line of the run."""
        if self._terminal and hasattr(record, "progress"):
            self._progress = CLEAR_LINE + record.progress
            self._write(self._progress)
            return
        text = safe_text(record, self._secrets, "%(asctime)s %(message)s").replace("\n", "\n" + " " * len("00:00:00 "))
        if self._terminal and record.levelno >= logging.WARNING and not os.environ.get("NO_COLOR"):
            text = "\033[%dm%s\033[0m" % (31 if record.levelno >= logging.ERROR else 33, text)
        self._write(CLEAR_LINE + text + "\n" + self._progress if self._terminal else text + "\n")

    def stop(self) -> None:
        """Write what waits, and leave the terminal on a line of its own."""
        super().stop()
        if self._terminal:
            self._write(CLEAR_LINE)

    def _write(self, text: str) -> None:
        """Write past what Python keeps of stderr: the interpreter's end would wait for the lock that it has."""
        try:
            descriptor, rest = self._stream.fileno(), text.encode(self._stream.encoding, "backslashreplace")
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        except io.UnsupportedOperation:  # it is no file
            self._stream.write(text)
        except OSError:  # the terminal went away: that is no failure
            pass


class IntegrationLog(logging.handlers.QueueListener):
    """Posts each log record as an entry of the integration log."""

    def __init__(self, secrets: List[str]) -> None:
        super().__init__(queue.Queue())
        self.post: Optional[Callable[[LogEntry], None]] = None  # raises Failure
        self.give_up_at = math.inf  # of time.monotonic
        self.untold: List[LogEntry] = []  # could not be posted, but for the level Debug
        self.trouble = "OneVizion took too long to write it"  # why
        self._secrets = secrets
        self._failures_in_a_row = 0

    def handle(self, record: logging.LogRecord) -> None:
        """Post a log record, or keep it for stdout."""
        entry = entry_of(record, safe_text(record, self._secrets))
        gives_up = self._failures_in_a_row == LOG_FAILURES_IN_A_ROW or time.monotonic() > self.give_up_at
        try:
            if self.post is not None and not gives_up:
                self.post(entry)
                self._failures_in_a_row = 0
                return
        except Exception as error:  # a log that fails in whatever way must not end the thread, and with it the log
            self._failures_in_a_row += 1
            self.trouble = str(error) if isinstance(error, Failure) else type(error).__name__
        if entry.level != LogLevel.DEBUG.logLevelName:
            self.untold.append(entry)


def entry_of(record: logging.LogRecord, text: str) -> LogEntry:
    """Return a log record and its text as an entry: the first line, and the whole text where that line is longer."""
    message = text.split("\n", 1)[0]
    rest = text if len(message) > MESSAGE_CHARACTERS else text[len(message) + 1 :]
    level = LogLevel.DEBUG if record.name == PROGRESS.name else LogLevel[record.levelname]
    return LogEntry(level.logLevelName, clipped(message, MESSAGE_CHARACTERS), clipped(rest, DESCRIPTION_CHARACTERS))


class Logs:
    """The console and, in a run that OneVizion's scheduler started, the integration log."""

    def __init__(self, platform: Platform, interruption: Interruption) -> None:
        self._platform = platform
        self._interruption = interruption
        self._secrets: List[str] = []
        self._console = Console(self._secrets)
        self._log = IntegrationLog(self._secrets)

    def __enter__(self) -> "Logs":
        logging.raiseExceptions = False  # its tracebacks would show secrets
        LOG.setLevel(logging.DEBUG)
        console = logging.handlers.QueueHandler(self._console.queue)
        console.setLevel(logging.INFO)
        console.addFilter(self._console.ask_progress)
        LOG.addHandler(console)
        self._console.start()
        level = self._platform.level
        if level is not None:
            log = logging.handlers.QueueHandler(self._log.queue)
            log.setLevel(level.name)  # OneVizion's levels have the names of Python's
            log.addFilter(lambda record: record.name != PROGRESS.name or level is LogLevel.DEBUG)
            LOG.addHandler(log)
        return self

    def __exit__(self, *exception: object) -> None:
        """Post what waits, for a limited time; say what OneVizion was not told, and why.

        OneVizion can make log entries of these lines (`read_from_stdout` in .integration).
        """
        seconds = LOG_DRAIN_INTERRUPTED_SECONDS if self._interruption.requested() else LOG_DRAIN_SECONDS
        self._log.give_up_at = time.monotonic() + seconds
        if self._log.post is None:
            self._log.start()
        self._log.stop()
        if self._log.untold and self._log.post is not None:
            PROGRESS.warning("the integration log is incomplete: %s", self._log.trouble)
            self.say("Warning: the integration log is incomplete: %s" % self._log.trouble)
        stop = threading.Thread(target=self._console.stop, daemon=True)  # a stderr that nobody reads blocks it
        stop.start()
        stop.join(min(seconds, CONSOLE_DRAIN_SECONDS))
        for entry in self._log.untold:
            for line in (entry.message + "\n" + entry.description).strip().split("\n"):
                self.say("%s: %s" % (entry.level, line.strip()))
        LOG.handlers.clear()

    def hide(self, secrets: List[str]) -> None:
        """Keep these texts out of everything that is logged or said from now on."""
        self._secrets += secrets

    def say(self, text: str) -> None:
        """Print a line to stdout, whatever characters it can show, without any secret in it."""
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        try:
            print(redacted(text, self._secrets).encode(encoding, "backslashreplace").decode(encoding), flush=True)
        except OSError:  # nobody reads it any more; at its end the interpreter would fail on what print has left
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    def connect(self, post: Callable[[int, LogEntry], None]) -> None:
        """Begin to tell the integration log, where this run has one, with a function that raises Failure."""
        if self._platform.process_id is not None:
            self._log.post = functools.partial(post, self._platform.process_id)
            self._log.start()
