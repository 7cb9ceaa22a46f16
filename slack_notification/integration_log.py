"""Python's logging, shown on the console and told to OneVizion's integration log; neither can stop a delivery."""

import contextlib
import functools
import logging
import logging.handlers
import math
import os
import queue
import sys
import threading
import time
from typing import Callable, Iterable, List, NamedTuple, Optional

from onevizion import LogLevel

from .errors import LOG, PROGRESS, Failure, RunError, clipped, whole_number
from .packages import IHUB_PARAMETERS_FILE
from .settings import read_json_object

# Size limits of the integration log are undocumented; these are known to be taken.
LOG_MESSAGE_CHARACTERS = 200
LOG_DESCRIPTION_CHARACTERS = 4000
LOG_FAILURES_IN_A_ROW = 3  # after so many the log is given up, so that a broken log cannot hold up the run's end
LOG_DRAIN_SECONDS = 10.0  # how long the end of the run goes on posting entries; an interrupted run takes less
LOG_DRAIN_INTERRUPTED_SECONDS = 1.0
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
    """Return what ihub_parameters.json in the working directory says, which OneVizion writes for a scheduled run.

    A level that OneVizion would not write counts as Info. Where the file cannot be used, what should have gone to the
    integration log is printed to stdout; so are the warnings and errors of what an admin tries as the module's command.
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


class SafeFormatter(logging.Formatter):
    """Formats a log record, its `details` as lines below it, without any secret in it, traceback included."""

    def __init__(self, template: str, secrets: List[str], indent: str = "", colours: bool = False) -> None:
        super().__init__(template, datefmt="%H:%M:%S")
        self._secrets = secrets
        self._indent = indent
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a log record."""
        text = "\n".join([super().format(record)] + [self._indent + line for line in getattr(record, "details", ())])
        if self._colours and record.levelno >= logging.WARNING:
            text = "\033[%dm%s\033[0m" % (31 if record.levelno >= logging.ERROR else 33, text)
        return redacted(text, self._secrets)


class Console(logging.StreamHandler):  # type: ignore[type-arg] # has none before Python 3.11
    """Lines on stderr. On a terminal, how far the run is stays one line that updates itself below the others."""

    def __init__(self, secrets: List[str]) -> None:
        stream = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 (a scheduler may have closed it)
        super().__init__(stream)
        self._terminal = stream.isatty()
        self._progress = ""
        colours = self._terminal and "NO_COLOR" not in os.environ
        self.setFormatter(SafeFormatter("%(asctime)s %(message)s", secrets, " " * len("00:00:00 "), colours))
        self.setLevel(logging.INFO)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a log record; one with a function `progress` replaces the line that stands for the run."""
        progress = getattr(record, "progress", None)
        if not self._terminal:
            super().emit(record)
            return
        with contextlib.suppress(OSError, ValueError):  # a terminal that went away is no failure
            if progress is None:
                self.stream.write("\r\033[K" + self.format(record) + "\n")
            else:
                self._progress = progress()
            self.stream.write("\r\033[K" + self._progress)
            self.stream.flush()

    def close(self) -> None:
        """Leave the terminal on a line of its own."""
        if self._progress:
            self._progress = ""
            with contextlib.suppress(OSError, ValueError):
                self.stream.write("\r\033[K")
                self.stream.flush()
        super().close()


class IntegrationLog(logging.handlers.QueueHandler):
    """Posts each log record as an entry of the integration log, in a thread of its own: no delivery waits for it."""

    def __init__(self, level: LogLevel, secrets: List[str]) -> None:
        self._entries: queue.Queue[Optional[LogEntry]] = queue.Queue()
        super().__init__(self._entries)
        self.setFormatter(SafeFormatter("%(message)s", secrets))
        self.setLevel(level.name)  # OneVizion's levels have the names of Python's
        self.addFilter(lambda record: record.name != PROGRESS.name or level is LogLevel.DEBUG)
        self.trouble = ""  # why an entry could not be posted
        self._untold: List[LogEntry] = []
        self._give_up_at = math.inf  # of time.monotonic
        self._thread: Optional[threading.Thread] = None

    def prepare(self, record: logging.LogRecord) -> LogEntry:
        """Return what the queue holds of a log record (see QueueHandler)."""
        return entry_of(record, self.format(record))

    def start(self, post: Callable[[LogEntry], None]) -> None:
        """Begin to post, what was logged until now first."""
        self._thread = threading.Thread(target=self._post_all, args=[post], name="log", daemon=True)
        self._thread.start()

    def finish(self, seconds: float) -> List[LogEntry]:
        """Post the entries that wait, for so long at most; return those that could not be posted."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + seconds)
        if self._thread is not None:
            self._entries.put(None)
            self._thread.join()
            self._thread = None
        self._entries.put(None)
        untold = self._untold + list(iter(self._entries.get, None))
        self._untold = []
        return untold

    def _post_all(self, post: Callable[[LogEntry], None]) -> None:
        failures_in_a_row = 0
        for entry in iter(self._entries.get, None):
            if failures_in_a_row == LOG_FAILURES_IN_A_ROW or time.monotonic() > self._give_up_at:
                self.trouble = self.trouble or "OneVizion took too long to write it"
                self._untold.append(entry)
                continue
            try:
                post(entry)
                failures_in_a_row = 0
            except Exception as error:  # a log that fails in whatever way must not end the thread, and with it the log
                self._untold.append(entry)
                failures_in_a_row += 1
                self.trouble = str(error) if isinstance(error, Failure) else type(error).__name__


def entry_of(record: logging.LogRecord, text: str) -> LogEntry:
    """Return a log record and its text as an entry: the first line, and the whole text where that line is longer."""
    message = text.split("\n", 1)[0]
    description = text if len(message) > LOG_MESSAGE_CHARACTERS else text[len(message) + 1 :]
    level = LogLevel.DEBUG if record.name == PROGRESS.name else LogLevel[record.levelname]
    return LogEntry(
        level.logLevelName, clipped(message, LOG_MESSAGE_CHARACTERS), clipped(description, LOG_DESCRIPTION_CHARACTERS)
    )


class Logs:
    """The console and, in a run that OneVizion's scheduler started, the integration log."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._secrets: List[str] = []
        self._handlers: List[logging.Handler] = [Console(self._secrets)]
        self._log: Optional[IntegrationLog] = None
        if platform.level is not None:
            self._log = IntegrationLog(platform.level, self._secrets)
            self._handlers.append(self._log)

    def __enter__(self) -> "Logs":
        logging.raiseExceptions = False  # a console that went away must not print tracebacks over the rest
        LOG.setLevel(logging.DEBUG)
        LOG.propagate = False
        for handler in self._handlers:
            LOG.addHandler(handler)
        if self._platform.problem:
            LOG.warning(self._platform.problem)
        return self

    def __exit__(self, *exception: object) -> None:
        self.finish(LOG_DRAIN_SECONDS)
        for handler in self._handlers:
            LOG.removeHandler(handler)
            handler.close()
        LOG.propagate = True  # as it was

    def hide(self, secrets: List[str]) -> None:
        """Keep these texts out of everything that is logged or said from now on."""
        self._secrets += secrets

    def say(self, text: str) -> None:
        """Print a line to stdout, whatever characters it can show, without any secret in it.

        A stdout that nobody reads any more is no failure.
        """
        if sys.stdout is None:
            return
        encoding = sys.stdout.encoding or "utf-8"
        shown = redacted(text, self._secrets).encode(encoding, "backslashreplace").decode(encoding)
        try:
            print(shown, flush=True)
        except OSError:
            # What print could not write stays in the buffer, and the interpreter would fail on it once more at its end.
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115

    def connect(self, post: Callable[[int, LogEntry], None]) -> None:
        """Begin to tell the integration log, where this run has one, with a function that raises Failure."""
        if self._log is not None and self._platform.process_id is not None:
            self._log.start(functools.partial(post, self._platform.process_id))

    def finish_soon(self) -> None:
        """Post the entries that wait, as an interrupted run has the time for."""
        self.finish(LOG_DRAIN_INTERRUPTED_SECONDS)

    def finish(self, seconds: float) -> None:
        """Post the entries that wait, for so long at most; print to stdout what OneVizion was not told, and why.

        OneVizion can make log entries of these lines (`read_from_stdout` in .integration).
        """
        if self._log is None:
            return
        untold = [entry for entry in self._log.finish(seconds) if entry.level != LogLevel.DEBUG.logLevelName]
        if untold and self._log.trouble:
            PROGRESS.warning("the integration log is incomplete: %s", self._log.trouble)
            self.say("Warning: the integration log is incomplete: %s" % self._log.trouble)
        for entry in untold:
            for line in (entry.message + "\n" + entry.description).strip().split("\n"):
                self.say("%s: %s" % (entry.level, line.strip()))
