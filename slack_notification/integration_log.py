"""Python's logging, shown on the console and sent to OneVizion's integration log; neither can stop a delivery."""

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
from typing import Any, Callable, Iterable, List, NamedTuple, Optional

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


class Background(logging.handlers.QueueHandler):
    """Hands what is logged to a thread of its own, so that nothing waits for whom it is for."""

    def __init__(self) -> None:
        self._entries: queue.Queue[Any] = queue.Queue()
        super().__init__(self._entries)
        self._thread: Optional[threading.Thread] = None

    def start(self, take_all: Callable[[Iterable[Any]], None]) -> None:
        """Begin to hand over, what was logged until now first."""
        entries = iter(self._entries.get, None)
        self._thread = threading.Thread(target=take_all, args=[entries], name="log", daemon=True)
        self._thread.start()

    def stop(self, seconds: Optional[float] = None) -> None:
        """Hand over the entries that wait, for so long at most."""
        if self._thread is not None:
            self._entries.put(None)
            self._thread.join(seconds)
            self._thread = None


class Console(Background):
    """Lines on stderr. On a terminal, how far the run is stays one line that updates itself below the others."""

    def __init__(self, secrets: List[str]) -> None:
        super().__init__()
        stream = sys.stderr  # None where a scheduler has closed it
        self._terminal = stream is not None and stream.isatty()
        self._progress = ""
        colours = self._terminal and not os.environ.get("NO_COLOR")
        self.setFormatter(SafeFormatter("%(asctime)s %(message)s", secrets, " " * len("00:00:00 "), colours))
        self.setLevel(logging.INFO)
        self.start(functools.partial(write_all, stream))

    def prepare(self, record: logging.LogRecord) -> str:
        """Return what to write for a log record; one with a function `progress` replaces the line of the run."""
        progress = getattr(record, "progress", None)
        if not self._terminal:
            return self.format(record) + "\n"
        if progress is None:
            return CLEAR_LINE + self.format(record) + "\n" + self._progress
        self._progress = CLEAR_LINE + progress()
        return self._progress

    def finish(self, seconds: float) -> None:
        """Write the lines that wait, for so long at most, and leave the terminal on a line of its own."""
        if self._progress:
            self._entries.put(CLEAR_LINE)
        self._progress = ""
        self.stop(seconds)


def write_all(stream: Any, texts: Iterable[str]) -> None:
    """Write texts to a stream as they come; one that nobody reads holds up nothing but this function.

    They go to a descriptor of their own: the interpreter's end would wait for the lock that a stream has.
    """
    try:
        descriptor = os.dup(stream.fileno())
    except (AttributeError, OSError, ValueError):  # there is no stream, or it is no file
        for text in texts:
            stream and stream.write(text)
        return
    with open(descriptor, "wb", buffering=0) as raw:
        for text in texts:
            rest = text.encode(stream.encoding, "backslashreplace")
            with contextlib.suppress(OSError):  # a terminal that went away is no failure
                while rest:
                    rest = rest[raw.write(rest) or len(rest) :]


class IntegrationLog(Background):
    """Posts each log record as an entry of the integration log."""

    def __init__(self, level: LogLevel, secrets: List[str]) -> None:
        super().__init__()
        self.setFormatter(SafeFormatter("%(message)s", secrets))
        self.setLevel(level.name)  # OneVizion's levels have the names of Python's
        self.addFilter(lambda record: record.name != PROGRESS.name or level is LogLevel.DEBUG)
        self.trouble = ""  # why an entry could not be posted
        self._untold: List[LogEntry] = []
        self._give_up_at = math.inf  # of time.monotonic

    def prepare(self, record: logging.LogRecord) -> LogEntry:
        """Return what the queue holds of a log record (see QueueHandler)."""
        return entry_of(record, self.format(record))

    def finish(self, seconds: float) -> List[LogEntry]:
        """Post the entries that wait, for so long at most; return those that could not be posted."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + seconds)
        self.stop()
        self._entries.put(None)
        untold = self._untold + list(iter(self._entries.get, None))
        self._untold = []
        return untold

    def post_all(self, post: Callable[[LogEntry], None], entries: Iterable[LogEntry]) -> None:
        """Post entries as they come, with a function that raises Failure."""
        failures_in_a_row = 0
        for entry in entries:
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
        self._console = Console(self._secrets)
        self._handlers: List[logging.Handler] = [self._console]
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
            self._log.start(functools.partial(self._log.post_all, functools.partial(post, self._platform.process_id)))

    def finish_soon(self) -> None:
        """Post the entries that wait, as an interrupted run has the time for."""
        self.finish(LOG_DRAIN_INTERRUPTED_SECONDS)

    def finish(self, seconds: float) -> None:
        """Post the entries that wait, for so long at most; print to stdout what OneVizion was not told, and why.

        OneVizion can make log entries of these lines (`read_from_stdout` in .integration).
        """
        untold = self._log.finish(seconds) if self._log is not None else []
        untold = [entry for entry in untold if entry.level != LogLevel.DEBUG.logLevelName]
        if untold and self._log is not None and self._log.trouble:
            PROGRESS.warning("the integration log is incomplete: %s", self._log.trouble)
            self.say("Warning: the integration log is incomplete: %s" % self._log.trouble)
        self._console.finish(min(seconds, CONSOLE_DRAIN_SECONDS))
        for entry in untold:
            for line in (entry.message + "\n" + entry.description).strip().split("\n"):
                self.say("%s: %s" % (entry.level, line.strip()))
