"""The integration log and the console."""

import contextlib
import logging
import os
import queue
import sys
import threading
from typing import Callable, Iterable, List, NamedTuple, Optional

from onevizion import LogLevel

from .errors import LOG, PROGRESS, Failure, RunError, whole_number
from .settings import read_json_object

# OneVizion writes this file into the working directory before each scheduled run, and only then.
IHUB_PARAMETERS_FILE = "ihub_parameters.json"

# Size limits of the integration log are undocumented; these are known to be taken.
LOG_MESSAGE_CHARACTERS = 200
LOG_DESCRIPTION_CHARACTERS = 4000
LOG_FAILURES_IN_A_ROW = 3  # after so many the log is given up, so that a broken log cannot hold up the run's end
LOG_DRAIN_SECONDS = 15  # how long the end of the run waits for entries that are still on their way
# Shorter secrets would blot out ordinary words, and protect nothing.
REDACTED_FROM_CHARACTERS = 4

LOG_LEVELS = {
    LogLevel.ERROR: logging.ERROR,
    LogLevel.WARNING: logging.WARNING,
    LogLevel.INFO: logging.INFO,
    LogLevel.DEBUG: logging.DEBUG,
}


class LogEntry(NamedTuple):
    """One entry of the integration log; `level` is a name that OneVizion knows."""

    level: str
    message: str
    description: str


def clipped(text: str, characters: int) -> str:
    """Return a text that is at most so long, with an ellipsis where something is missing."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


class SafeFormatter(logging.Formatter):
    """Formats a log record without any secret in it, whatever the text or the traceback holds."""

    def __init__(self, template: str, indent: str = "", colours: bool = False) -> None:
        super().__init__(template, datefmt="%H:%M:%S")
        self.secrets: List[str] = []
        self._indent = indent
        self._colours = colours

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a log record, its `details` as lines below it."""
        text = "\n".join([super().format(record)] + [self._indent + line for line in getattr(record, "details", ())])
        if self._colours and record.levelno >= logging.WARNING:
            text = "\033[%dm%s\033[0m" % (31 if record.levelno >= logging.ERROR else 33, text)
        return redacted(text, self.secrets)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return the text with each secret, also one that was cut off by an ellipsis, replaced by three asterisks."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= REDACTED_FROM_CHARACTERS:
            text = text.replace(secret, "***")
            for length in range(len(secret) - 1, REDACTED_FROM_CHARACTERS - 1, -1):
                text = text.replace(secret[:length] + "…", "***…")
    return text


def say(text: str) -> None:
    """Print a line to stdout, whatever characters it can show; a stdout that nobody reads any more is no failure."""
    if sys.stdout is None:
        return
    encoding = sys.stdout.encoding or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
    except OSError:
        # What print could not write stays in the buffer, and the interpreter would fail on it once more at its end.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115


class IntegrationLog(logging.Handler):
    """Python's logging, told to OneVizion. A thread of its own posts the entries, so that no delivery waits for them.

    What could not be told, for whatever reason, is printed to stdout at the end: OneVizion can make log records of
    these lines (`read_from_stdout` in .integration).
    """

    def __init__(self, level: LogLevel) -> None:
        super().__init__(LOG_LEVELS[level])
        self.setFormatter(SafeFormatter("%(message)s"))
        self._entries: queue.Queue[Optional[LogEntry]] = queue.Queue()
        self._untold: List[LogEntry] = []
        self._thread: Optional[threading.Thread] = None
        self._trouble = ""  # why an entry could not be posted
        self._complained = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Let progress through at level Debug only."""
        return bool(super().filter(record)) and (record.name != PROGRESS.name or self.level <= logging.DEBUG)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue one entry: the first line as its message, the whole text as description where that is longer."""
        text = self.format(record)
        message = text.split("\n", 1)[0]
        whole = text if len(message) > LOG_MESSAGE_CHARACTERS else text[len(message) + 1 :]
        level = (
            LogLevel.DEBUG
            if record.name == PROGRESS.name
            else next(known for known, number in LOG_LEVELS.items() if number <= record.levelno)
        )
        entry = LogEntry(
            level.logLevelName, clipped(message, LOG_MESSAGE_CHARACTERS), clipped(whole, LOG_DESCRIPTION_CHARACTERS)
        )
        self._entries.put(entry)

    def connect(self, post: Callable[[LogEntry], None]) -> None:
        """Begin to post entries, with a function that raises Failure where one could not be posted."""
        self._thread = threading.Thread(target=self._post_entries, args=(post,), name="integration log", daemon=True)
        self._thread.start()

    def _post_entries(self, post: Callable[[LogEntry], None]) -> None:
        failures_in_a_row = 0
        for entry in iter(self._entries.get, None):
            if failures_in_a_row == LOG_FAILURES_IN_A_ROW:
                self._untold.append(entry)
                continue
            self._untold.append(entry)  # so that an entry whose answer does not come in time is not forgotten
            try:
                post(entry)
                failures_in_a_row = 0
                self._untold.remove(entry)
            except Exception as error:  # a log that fails in whatever way must not end this thread, and with it the log
                failures_in_a_row += 1
                self._trouble = str(error) if isinstance(error, Failure) else type(error).__name__
                if failures_in_a_row == LOG_FAILURES_IN_A_ROW:
                    self._complain()

    def _complain(self) -> None:
        """Tell the console, once, that the log is incomplete."""
        if not self._complained:
            self._complained = True
            PROGRESS.warning("the integration log is incomplete: %s", self._trouble)

    def finish(self) -> None:
        """Wait for the entries on their way, then print to stdout what OneVizion was not told, and why."""
        if self._thread is not None:
            self._entries.put(None)
            self._thread.join(LOG_DRAIN_SECONDS)
            if self._thread.is_alive():
                self._trouble = "OneVizion took too long to write it"
        untold = list(self._untold)
        with contextlib.suppress(queue.Empty):
            while True:
                untold += filter(None, [self._entries.get_nowait()])
        untold = [entry for entry in untold if entry.level != LogLevel.DEBUG.logLevelName]
        if untold and self._trouble:
            self._complain()
            say("Warning: the integration log is incomplete: %s" % self._trouble)
        for entry in untold:
            for line in (entry.message + "\n" + entry.description).strip().split("\n"):
                say("%s: %s" % (entry.level, line.strip()))


class Platform(NamedTuple):
    """What OneVizion gives a scheduled run. Without a level, somebody runs the program by hand."""

    level: Optional[LogLevel] = None
    process_id: Optional[int] = None
    problem: str = ""


class Logs:
    """The console and, in a run that OneVizion's scheduler started, the integration log."""

    def __init__(self, platform: Platform) -> None:
        stream = sys.stderr or open(os.devnull, "w")  # noqa: SIM115 (a scheduler may have closed it)
        colours = stream.isatty() and "NO_COLOR" not in os.environ
        console = logging.StreamHandler(stream)
        console.setFormatter(SafeFormatter("%(asctime)s %(message)s", " " * len("00:00:00 "), colours))
        console.setLevel(logging.INFO)
        self._handlers: List[logging.Handler] = [console]
        self._platform = platform
        self._secrets: List[str] = []
        self._integration_log = None if platform.level is None else IntegrationLog(platform.level)
        if self._integration_log is not None:
            self._handlers.append(self._integration_log)

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
        if self._integration_log is not None:
            self._integration_log.finish()
        for handler in self._handlers:
            LOG.removeHandler(handler)
            handler.close()
        LOG.propagate = True  # as it was

    def hide(self, secrets: List[str]) -> None:
        """Keep these texts out of everything that is logged or said from now on."""
        self._secrets += secrets
        for handler in self._handlers:
            if isinstance(handler.formatter, SafeFormatter):
                handler.formatter.secrets = self._secrets

    def say(self, text: str) -> None:
        """Print a line that was asked for to stdout, without any secret in it."""
        say(redacted(text, self._secrets))

    def connect(self, post: Callable[[int, LogEntry], None]) -> None:
        """Begin to tell the integration log, where this run has one, with a function that raises Failure."""
        process_id = self._platform.process_id
        if self._integration_log is not None and process_id is not None:
            number = process_id
            self._integration_log.connect(lambda entry: post(number, entry))


def read_platform() -> Platform:
    """Return what ihub_parameters.json in the working directory says, which OneVizion writes for a scheduled run.

    A level that OneVizion would not write counts as Info. Where the file cannot be used, what should have gone to the
    integration log is printed to stdout.
    """
    if not os.path.exists(IHUB_PARAMETERS_FILE):
        return Platform()
    try:
        parameters = read_json_object(IHUB_PARAMETERS_FILE)
    except RunError as error:
        return Platform(LogLevel.INFO, None, "no integration log for this run: %s" % error)
    process_id = whole_number(parameters.get("processId"))
    problem = "" if process_id is not None else "no integration log for this run: ihub_parameters.json has no processId"
    names = {level.logLevelName.upper(): level for level in LogLevel}
    return Platform(names.get(str(parameters.get("logLevel")).upper(), LogLevel.INFO), process_id, problem)
