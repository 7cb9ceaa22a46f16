#!/usr/bin/env python3
"""Slack-notification: delivers the notifications that OneVizion queues for its users to their Slack channels.

OneVizion's scheduler starts this program every few minutes, or an admin starts it by hand. One run reads the settings,
pulls the pending records of one Notification Service, finds each recipient's channel, posts to Slack, saves each
record's status and tells the integration log what happened. The file reads from top to bottom as the run goes.

Exit status:
    0    everything pending was delivered, or nothing was pending, or another run is at work in this directory
    1    the run finished and at least one record was not delivered (or its status could not be saved)
    2    the run could not do its work: settings, OneVizion refuses or is out of reach, Slack refuses or is out of reach
    128+ the number of the signal that interrupted the run

Words:
    record           one notification in OneVizion's Notif Queue, named by its notifQueueId
    recipient        the OneVizion user that a record is for
    trackor          a record of OneVizion's data; each user has one, and one of its fields holds the user's channel
    channel          where Slack shows the message: a public or private channel, or a person's direct messages
    part             one post of a message; a long message has several, the later ones as replies to the first
    attempt          one try to deliver a record that failed, as OneVizion counts them
    round            one pass over the records that still want an attempt
    integration log  the log of this run in OneVizion, where an admin looks first
"""

import argparse
import contextlib
import difflib
import email.message
import heapq
import http.client
import itertools
import json
import logging
import math
import os
import queue
import re
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
import warnings
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from typing import (
    Any,
    BinaryIO,
    Callable,
    Dict,
    Iterable,
    Iterator,
    List,
    Match,
    NamedTuple,
    NoReturn,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)
from urllib.parse import quote, urlsplit

VERSION = "1.0.0"
HERE = os.path.dirname(os.path.abspath(__file__))
# OneVizion writes this file into the working directory before each scheduled run, and only then.
IHUB_PARAMETERS_FILE = "ihub_parameters.json"

EXIT_DELIVERED = 0
EXIT_NOT_ALL_DELIVERED = 1
EXIT_CANNOT_WORK = 2
EXIT_SIGNAL_BASE = 128

if __name__ == "__main__":
    # A Ctrl-C while the packages load should end the program, not print where the import was.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

REQUIREMENTS_FILE = os.path.join(HERE, "requirements.txt")
# Set for the second start, so that a package that stays missing cannot make the program install for ever.
INSTALLED_MARK = "SLACK_NOTIFICATION_PACKAGES_INSTALLED"


def install_packages(missing: ImportError) -> NoReturn:
    """Deal with a package that cannot be imported; never returns.

    By hand, says which package is missing and how to install it. Under the scheduler, where no admin has a shell,
    installs requirements.txt with this interpreter and starts the program again, once.

    :raises SystemExit: status 2 where the package is still missing
    """
    text = "The Python package %s is missing. " % (missing.name or missing)
    if not os.path.exists(IHUB_PARAMETERS_FILE):
        advice = "Install what the module needs: %s -m pip install -r requirements.txt" % sys.executable
        print(text + advice, file=sys.stderr)
        raise SystemExit(EXIT_CANNOT_WORK)
    if INSTALLED_MARK not in os.environ:
        print(text + "Installing requirements.txt", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-r", REQUIREMENTS_FILE]
        # OneVizion makes a log record of every line on stdout, so pip must not write there.
        if subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) == 0:
            os.environ[INSTALLED_MARK] = "1"
            os.execv(sys.executable, [sys.executable] + sys.argv)
    text += "Installing requirements.txt did not help: ask OneVizion's support to install it for the module"
    print(text, file=sys.stderr)
    print(text, flush=True)
    raise SystemExit(EXIT_CANNOT_WORK)


try:
    import filelock
    import jsonschema
    import requests
    import requests.adapters
    import slack
    import slack.errors
    from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
    from bs4.element import NavigableString, PageElement, PreformattedString, Tag
    from markdownify import MarkdownConverter
    from onevizion import HTTPBearerAuth, LogLevel, NotifQueueStatus
except ImportError as missing_package:
    install_packages(missing_package)

# Hints to programmers, of text that looks like a file name or like XML. No mail is either.
warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)

LOG = logging.getLogger("slack-notification")
# What happens to each single record. The console shows it; the integration log, where every entry is a call that costs
# OneVizion something, takes it at level Debug only.
PROGRESS = logging.getLogger("slack-notification.progress")


# ---- How things go wrong, and how a run is interrupted ---------------------------------------------------------------


class RunError(Exception):
    """The run cannot do its work. `str()` tells an admin what to repair; `details` are further lines."""

    def __init__(self, text: str, details: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.details = list(details)


class Failure(Exception):
    """Something that was asked of a service, or is needed of a record, did not work.

    `str()` is the text for people: what happened and what to do, without the record's number.
    `may_pass`: another attempt may work. `ends_run`: every other record would fail the same way. `code`: Slack's error
    code, where Slack answered with one.
    """

    def __init__(self, text: str, may_pass: bool = False, ends_run: bool = False, code: str = "") -> None:
        super().__init__(text)
        self.may_pass = may_pass
        self.ends_run = ends_run
        self.code = code


class RateLimited(Exception):
    """Slack wants to be asked later: in `seconds`, or None where it did not say. That is no failed attempt."""

    def __init__(self, seconds: Optional[float]) -> None:
        super().__init__("Slack asked to wait")
        self.seconds = seconds


class Interruption:
    """SIGTERM and SIGINT, as a flag that ends every wait of the run."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.signal_number = 0

    def listen(self) -> None:
        """Let SIGTERM and SIGINT set the flag from now on (main thread only)."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)

        def watch() -> None:
            while True:
                self.interrupt(reader.recv(1)[0])

        # The interpreter writes the signal's number to the socket and a thread of its own sets the flag: a handler that
        # took the flag's lock could wait for ever for the very code that it interrupted.
        signal.set_wakeup_fd(writer.detach())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)
        threading.Thread(target=watch, name="signals", daemon=True).start()

    def interrupt(self, signal_number: int) -> None:
        """Set the flag; the first signal gives the exit status."""
        self.signal_number = self.signal_number or signal_number
        self._event.set()

    def requested(self) -> bool:
        """Tell whether the run shall end."""
        return self._event.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until the run is interrupted."""
        self._event.wait(seconds)


QUOTED_CHARACTERS = 80  # enough to recognise a channel or a name, little enough for a line of log


def quoted(value: Any) -> str:
    """Return a value that came from outside as a piece of one line of log: printable, short, in quotes."""
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return "'%s'" % (text if len(text) <= QUOTED_CHARACTERS else text[: QUOTED_CHARACTERS - 1] + "…")


def network_reason(error: BaseException) -> str:
    """Return why a connection failed, in the words of the operating system (`Connection refused`, `timed out`, ...).

    HTTP libraries wrap the reason in layers whose texts repeat the whole URL; the innermost one is what helps.
    """
    seen: List[BaseException] = []
    inner: Optional[BaseException] = error
    while inner is not None and inner not in seen:
        seen.append(inner)
        wrapped = [getattr(inner, "reason", None)] + list(inner.args[:2]) + [inner.__cause__, inner.__context__]
        inner = next((cause for cause in wrapped if isinstance(cause, BaseException) and cause not in seen), None)
    for cause in reversed(seen):
        if isinstance(cause, socket.timeout):
            return "timed out"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    return "timed out" if any("Timeout" in type(cause).__name__ for cause in seen) else type(seen[-1]).__name__


def retry_after_seconds(header: Optional[str]) -> Optional[float]:
    """Return the seconds that a Retry-After header asks for; None where it is missing, unreadable or not above 0."""
    try:
        seconds = float(header or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None


def whole_number(value: Any) -> Optional[int]:
    """Return a number that JSON gave as a number or as digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.match(r"[0-9]{1,18}\Z", value) else None


# ---- Settings --------------------------------------------------------------------------------------------------------

SETTINGS_FILE = "settings.json"
SCHEMA_FILE = os.path.join(HERE, "settings_schema.json")
NEAREST_KEY_SIMILARITY = 0.6  # difflib's measure: below it the nearest known key is no likely meaning


class Settings(NamedTuple):
    """The admin's settings, valid and complete. URLs have a scheme and no trailing slash; delays are in seconds."""

    ov_url: str
    ov_access_key: str
    ov_secret_key: str
    service_id: int
    channel_field: str
    slack_bot_token: str
    max_attempts: int
    next_attempt_delay: float
    slack_url: str
    upload_attachments: bool

    def __repr__(self) -> str:
        return "Settings(ov_url=%r, service_id=%r)" % (self.ov_url, self.service_id)

    def secrets(self) -> List[str]:
        """Return the texts that must never be shown."""
        return [self.ov_access_key, self.ov_secret_key, self.slack_bot_token]


def read_json_object(path: str) -> Dict[str, Any]:
    """Return the JSON object in a file (UTF-8, with or without a byte-order mark).

    :raises RunError: the file is missing, unreadable, not UTF-8, not JSON (with line and column), or not an object
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    name = os.path.basename(path)
    place = "the directory of module.py" if os.path.isabs(path) else "the current directory"
    try:
        with open(path, encoding="utf-8-sig") as file:
            values = json.load(file, parse_constant=refuse)
    except OSError as error:
        raise RunError("%s cannot be read (%s): see that it is in %s" % (name, error.strerror, place)) from error
    except UnicodeDecodeError as error:
        raise RunError("%s is not UTF-8 text: save it with the encoding UTF-8" % name) from error
    except json.JSONDecodeError as error:
        what = "%s (line %d, column %d)" % (error.msg, error.lineno, error.colno)
        raise RunError("%s is not valid JSON: %s: mend it there or just before" % (name, what)) from error
    except (ValueError, RecursionError) as error:
        raise RunError("%s is not valid JSON: take the example of the README and fill it in" % name) from error
    if not isinstance(values, dict):
        raise RunError("%s is not a JSON object: it must begin with { and end with }" % name)
    return values


def settings_problems(values: Dict[str, Any], schema: Dict[str, Any]) -> Dict[str, str]:
    """Return what is wrong with the settings: the key and a line for the admin, which never shows the key's value.

    :param schema: settings_schema.json; the `description` of a property says what is expected of it
    """
    wrong = {error.path[0] for error in jsonschema.Draft7Validator(schema).iter_errors(values) if error.path}
    problems = {}
    for key, rule in schema["properties"].items():
        if key in schema["required"] and key not in values:
            problems[key] = "%s is missing: expected %s" % (key, rule["description"])
        elif key in wrong and isinstance(values[key], str) and values[key] and not values[key].strip("*"):
            problems[key] = "%s still is the placeholder of the example: expected %s" % (key, rule["description"])
        elif key in wrong:
            problems[key] = "%s is not valid: expected %s" % (key, rule["description"])
    return problems


def unknown_keys(values: Dict[str, Any], schema: Dict[str, Any]) -> List[str]:
    """Return a warning for each key that no setting has, with the known key that is most like it."""
    warnings = []
    for key in values:
        if key not in schema["properties"]:
            nearest = difflib.get_close_matches(key, schema["properties"], n=1, cutoff=NEAREST_KEY_SIMILARITY)
            advice = "did you mean %s?" % nearest[0] if nearest else "it is not used"
            warnings.append("%s has the unknown key %s: %s" % (SETTINGS_FILE, quoted(key), advice))
    return warnings


def base_url(text: str) -> str:
    """Return an address from the settings with its scheme and without a trailing slash."""
    text = text.strip().rstrip("/")
    return text if "://" in text else "https://" + text


def make_settings(values: Dict[str, Any], schema: Dict[str, Any]) -> Settings:
    """Return the Settings for values that have no problems; what is not given comes from the schema's defaults."""
    defaults = {key: rule["default"] for key, rule in schema["properties"].items() if "default" in rule}
    given = {**defaults, **values}
    return Settings(
        ov_url=base_url(given["ovUrl"]),
        ov_access_key=given["ovAccessKey"].strip(),
        ov_secret_key=given["ovSecretKey"].strip(),
        service_id=int(given["serviceId"]),
        channel_field=given["channelField"].strip(),
        slack_bot_token=given["slackBotToken"].strip(),
        max_attempts=int(given["maxAttempts"]),
        next_attempt_delay=float(given["nextAttemptDelay"]),
        slack_url=base_url(given["slackUrl"]),
        upload_attachments=given["uploadAttachments"],
    )


def load_settings() -> Settings:
    """Read and validate settings.json in the working directory; warn of unknown keys.

    :raises RunError: with all problems at once
    """
    values = read_json_object(SETTINGS_FILE)
    schema = read_json_object(SCHEMA_FILE)
    for warning in unknown_keys(values, schema):
        LOG.warning(warning)
    problems = settings_problems(values, schema)
    if problems:
        raise RunError("%s cannot be used: mend what is listed" % SETTINGS_FILE, list(problems.values()))
    return make_settings(values, schema)


# ---- The integration log and the console -----------------------------------------------------------------------------

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


# ---- OneVizion -------------------------------------------------------------------------------------------------------

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 30
LOG_TIMEOUT_SECONDS = 5  # a log entry is not worth a longer wait
# Between the tries of a call that may be repeated. Together they outlast the restart of a proxy, not a maintenance.
RETRY_PAUSES_SECONDS = (0.5, 1.0, 2.0)
RETRY_AFTER_LIMIT_SECONDS = 10  # what a single call waits when OneVizion itself names a time
RETRIED_STATUSES = (429, 502, 503, 504)
# So many calls in a row that OneVizion did not answer, or answered with a passing error, mean that it is out of reach.
FAILED_CALLS_LIMIT = 10
LARGEST_ID = 2**63 - 1  # a larger number is no id, and one in a list of ids could get the whole list refused
USERS_PER_CALL = 100  # the ids stand in the query string, whose length servers limit
ATTEMPT_CHARACTERS = 250  # an attempt's text travels in a query string too
# How many calls are made side by side, each on a connection that stays open. Chosen with `python -m tests.bench`: see
# the table in README.md.
WORKERS = 32
UPLOADS_AT_ONCE = 4  # files are larger than messages, and must not take the workers away from them
CONNECTIONS = WORKERS + UPLOADS_AT_ONCE + 1  # one for the integration log
FILE_LIMIT_BYTES = 100 * 1000 * 1000  # a larger attachment stays a link
FILE_CHUNK_BYTES = 64 * 1024
FILE_NAME_CHARACTERS = 200
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of characters


class Record(NamedTuple):
    """What a run needs of one record of the Notif Queue.

    Not the class of the `onevizion` package: that one wants all thirteen keys of a mail, and a record without its `bcc`
    would be lost. `status` is a name of NotifQueueStatus or whatever else stood there; `html` is as OneVizion's record
    has it (a boolean, or a text). `problem` says why the record cannot be read, and is empty otherwise.
    """

    id: int
    user_id: Optional[int]
    subject: Optional[str]
    message: Optional[str]
    html: Union[bool, str, None]
    blob_ids: Tuple[int, ...]
    status: str
    problem: str


def read_record(raw: Any) -> Optional[Record]:
    """Return the record that a JSON value of the Notif Queue stands for, or None where it has no usable id.

    A missing key counts as null. Texts that are no texts, and ids that are no numbers, become the record's `problem`.
    """
    record_id = whole_number(raw.get("notifQueueId")) if isinstance(raw, dict) else None
    if record_id is None or not 0 <= record_id <= LARGEST_ID:
        return None
    problems = [key for key in ("subj", "msg") if not isinstance(raw.get(key), (str, type(None)))]
    user_id = whole_number(raw.get("userId"))
    if (user_id is None and raw.get("userId") is not None) or not 0 <= (user_id or 0) <= LARGEST_ID:
        problems.append("userId")
    blobs = raw.get("blobDataIds")
    blob_ids = [whole_number(blob) for blob in blobs] if isinstance(blobs, list) else []
    if None in blob_ids or not isinstance(blobs, (list, type(None))):
        problems.append("blobDataIds")
    html = raw.get("html")
    problem = "its %s cannot be read" % " and ".join(problems) if problems else ""
    return Record(
        id=record_id,
        user_id=None if "userId" in problems else user_id,
        subject=None if "subj" in problems else raw.get("subj"),
        message=None if "msg" in problems else raw.get("msg"),
        html=html if isinstance(html, str) else bool(html),
        blob_ids=tuple(blob for blob in blob_ids if blob is not None),
        status=status_name(raw.get("status")),
        problem=problem,
    )


def status_name(status: Any) -> str:
    """Return a record's status as a name of NotifQueueStatus, given as name or number; what is neither, as a text."""
    number = whole_number(status)
    numbers = {known.value: known.name for known in NotifQueueStatus}
    return numbers.get(number, str(status)) if number is not None else str(status).strip().upper()


PAGE_INSTEAD = (
    "OneVizion did not answer with data when asked to %s (a login or maintenance page?): open ovUrl in a browser"
)


class UnknownField(Failure):
    """The field that holds the channel cannot be read: one trackor's trouble, or the run's where no trackor has it."""


class File(NamedTuple):
    """An attachment on its way: its own name, and its size in bytes."""

    name: str
    size_bytes: int


class OneVizion:
    """OneVizion's REST API, as far as the run needs it. Every request passes `_call`; every method raises Failure."""

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        self.url = settings.ov_url
        self._interruption = interruption
        self._failed_in_a_row = 0
        self._session = requests.Session()
        self._session.auth = HTTPBearerAuth(settings.ov_access_key, settings.ov_secret_key)
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def notif_queue(self, service_id: int) -> List[Any]:
        """Return the records of a Notification Service that are not final, as the JSON values that OneVizion sent."""
        doing = "read the Notif Queue of service %d" % service_id
        response = self._call(
            "GET", "/api/internal/notif/queue", doing, "ADMIN_NOTIF_QUEUE R", params={"service_id": str(service_id)}
        )
        return list(self._json(response, list, doing))

    def save_status(self, record_id: int, status: NotifQueueStatus) -> None:
        """Save a record's status. Saving the same one twice does no harm, so a lost answer is asked for again."""
        path = "/api/internal/notif/queue/%d/update_status" % record_id
        doing = "save the status %s" % status.name
        self._call("PATCH", path, doing, "ADMIN_NOTIF_QUEUE E", params={"status": status.name})

    def add_attempt(self, record_id: int, text: str) -> None:
        """Record one failed attempt. Not repeated: a second one would be counted by OneVizion."""
        path = "/api/internal/notif/queue/%d/attempts" % record_id
        params = {"error_code": clipped(text, ATTEMPT_CHARACTERS)}
        self._call("POST", path, "record the attempt", "ADMIN_NOTIF_QUEUE E", repeat=False, params=params)

    def add_log_entry(self, process_id: int, entry: LogEntry) -> None:
        """Add one entry to the integration log of the run with this processId."""
        body = {"message": entry.message, "description": entry.description, "log_level_name": entry.level}
        self._call(
            "POST",
            "/api/v3/modules/runs/%d/logs" % process_id,
            "write the integration log",
            "ADMIN_MODULE_LOG RA (older platforms: ADMIN_INTEGRATION_LOG RA)",
            repeat=False,
            timeout=(LOG_TIMEOUT_SECONDS, LOG_TIMEOUT_SECONDS),
            json=body,
        )

    def trackors_of_users(self, user_ids: Sequence[int]) -> Dict[int, Optional[int]]:
        """Return the trackorId (or None) of each user that OneVizion knows; at most USERS_PER_CALL ids."""
        doing = "read the users"
        params = {"user_ids": ",".join(str(user_id) for user_id in user_ids)}
        response = self._call("GET", "/api/internal/users", doing, "ADMIN_USERS R", params=params)
        trackors = {}
        for user in self._json(response, list, doing):
            user_id = whole_number(user.get("userId")) if isinstance(user, dict) else None
            if user_id is not None:
                trackors[user_id] = whole_number(user.get("trackorId"))
        return trackors

    def field_of_trackor(self, trackor_id: int, field: str) -> str:
        """Return the value of a trackor's field, "" where it has none.

        :raises UnknownField: OneVizion knows no such field, or does not let this account read it (its documents: 404
            means an unknown field or an unknown trackor, and the body says which)
        """
        doing = "read the field %s of trackor %d" % (field, trackor_id)
        path = "/api/v3/trackors/%d" % trackor_id
        response = self._call("GET", path, doing, "", accept=(403, 404), params={"fields": field})
        if response.status_code == 404:
            text = text_of(response)
            if re.search(r"\b%s\b" % re.escape(field), text, re.IGNORECASE):
                raise UnknownField("OneVizion knows no field %s: correct channelField in the settings" % field)
            if re.search(r"\b%d\b" % trackor_id, text):
                raise Failure("trackor %d does not exist: link the user to a trackor that does" % trackor_id)
            raise onevizion_refusal(404, doing, "")
        if response.status_code == 403:
            raise UnknownField(
                "OneVizion does not let this account read %s: give it R on the user trackor type and on the tab that "
                "holds the field" % field
            )
        values = self._json(response, dict, doing)
        by_name = {key.upper(): value for key, value in values.items()}
        if field.upper() not in by_name:
            raise Failure(PAGE_INSTEAD % doing, may_pass=True)
        value = by_name[field.upper()]
        return "" if value is None else str(value)

    def fetch_file(self, blob_id: int, target: BinaryIO) -> File:
        """Write an attachment's content to an open file, and return its name and size.

        OneVizion may redirect to an object storage on another host; `requests` does not take the credentials there.
        """
        doing = "read the file"
        response = self._call(
            "GET",
            "/api/v3/files/%d" % blob_id,
            doing,
            "R on the trackor type and the tab that hold the file",
            repeat=False,
            stream=True,
            allow_redirects=True,
            # Unpacked on the way, a file would not have the length that was announced.
            headers={"Accept-Encoding": "identity"},
        )
        with response:
            name = attachment_name(response.headers.get("Content-Disposition"))
            if not name:
                raise Failure("OneVizion answered with a page instead of the file")
            announced = whole_number(response.headers.get("Content-Length"))
            size = 0
            try:
                for chunk in response.iter_content(FILE_CHUNK_BYTES):
                    size += len(chunk)
                    if size > FILE_LIMIT_BYTES or (announced or 0) > FILE_LIMIT_BYTES:
                        raise Failure("the file is larger than %d MB" % (FILE_LIMIT_BYTES // 1000000))
                    if self._interruption.requested():
                        raise Failure("the run was interrupted")
                    target.write(chunk)
            except (requests.RequestException, OSError) as error:
                raise Failure("the file could not be read to its end (%s)" % network_reason(error)) from error
        if announced is not None and size != announced:
            raise Failure("the file could not be read to its end (%d of %d bytes)" % (size, announced))
        return File(name, size)

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        privilege: str,
        repeat: bool = True,
        accept: Sequence[int] = (),
        timeout: Tuple[float, float] = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
        allow_redirects: bool = False,
        **options: Any,
    ) -> requests.Response:
        """Return a response with a 2xx status that is no page for people, or with one of the statuses in `accept`.

        :param doing: what the call is for, as "OneVizion could not ..." goes on
        :param privilege: what the account needs for it
        :param repeat: try again after answers and cuts that may pass: only for calls that may be done twice
        :param allow_redirects: an answer of the API is never elsewhere, so a redirect leads to a login page
        """
        for pause in itertools.chain(RETRY_PAUSES_SECONDS if repeat else (), [None]):
            wanted, passing = None, True
            try:
                response = self._session.request(
                    method, self.url + path, timeout=timeout, allow_redirects=allow_redirects, **options
                )
            except (requests.RequestException, OSError, ValueError) as error:
                # ValueError: an address that only fails when it is used, such as a host name with an empty label
                reason = network_reason(error)
                failure = Failure(
                    "OneVizion could not be reached to %s (%s): check ovUrl and the network" % (doing, reason), True
                )
                failure.__cause__ = error
            else:
                done = 200 <= response.status_code < 300
                page = done and not options.get("stream") and is_page(response)
                if (done and not page) or response.status_code in accept:
                    self._failed_in_a_row = 0 if repeat else self._failed_in_a_row
                    return response
                response.close()
                failure = onevizion_refusal(response.status_code, doing, privilege)
                if page:
                    failure = Failure(PAGE_INSTEAD % doing, may_pass=True)
                wanted = retry_after_seconds(response.headers.get("Retry-After"))
                passing = response.status_code in RETRIED_STATUSES
            # A read is not worth the time of a run that shall end; a status is.
            if pause is None or not passing or (method == "GET" and self._interruption.requested()):
                break
            pause = max(pause, min(wanted or 0, RETRY_AFTER_LIMIT_SECONDS))
            PROGRESS.info("waiting %g s before asking again: %s", pause, failure)
            self._interruption.wait(pause)
        if repeat and failure.may_pass:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= FAILED_CALLS_LIMIT:
                text = "%d calls in a row failed, the last: %s" % (self._failed_in_a_row, failure)
                raise Failure(text, may_pass=True, ends_run=True) from failure
        raise failure

    def _json(self, response: requests.Response, kind: type, doing: str) -> Any:
        try:
            value = response.json()
        except (ValueError, RecursionError) as error:
            raise Failure(PAGE_INSTEAD % doing, may_pass=True) from error
        if not isinstance(value, kind):
            raise Failure(PAGE_INSTEAD % doing, may_pass=True)
        return value


def is_page(response: requests.Response) -> bool:
    """Tell whether a body is a page for people. A login or maintenance page comes with status 200, and did nothing."""
    kind = str(response.headers.get("Content-Type", ""))
    return kind.startswith("text/html") or response.content[:100].lstrip().startswith(b"<")


def text_of(response: requests.Response) -> str:
    """Return a body as text, whatever encoding it claims to have."""
    return str(response.content, "utf-8", "replace")


def onevizion_refusal(status: int, doing: str, privilege: str) -> Failure:
    """Return what an HTTP status that is no success means. The body is not shown: it may be anything."""
    if status == 401:
        return Failure("OneVizion refused to %s (401): check ovAccessKey and ovSecretKey" % doing, ends_run=True)
    if status == 403:
        return Failure("OneVizion refused to %s (403): give the account %s" % (doing, privilege), ends_run=True)
    if 300 <= status < 400:
        return Failure("OneVizion sent elsewhere when asked to %s (%d): check ovUrl" % (doing, status), may_pass=True)
    if status in (404, 405):
        return Failure("OneVizion could not %s (%d): check ovUrl" % (doing, status), may_pass=True)
    may_pass = status >= 500 or status in (408, 429)
    return Failure("OneVizion could not %s (%d): if this lasts, ask its support" % (doing, status), may_pass)


def attachment_name(content_disposition: Optional[str]) -> str:
    """Return the file name in a Content-Disposition header, fit to be shown; "" where there is none."""
    header = email.message.Message()
    header["Content-Disposition"] = (content_disposition or "").replace("\n", " ").replace("\r", " ")
    try:
        name = header.get_filename() or ""
    except (ValueError, LookupError):  # an encoding that does not exist
        name = "attachment"
    return clipped(UNSHOWABLE.sub("", re.split(r"[/\\]", name)[-1]).strip(), FILE_NAME_CHARACTERS)


# ---- Recipients ------------------------------------------------------------------------------------------------------

CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{8,}\Z")
PERSON_ID = re.compile(r"[UW][A-Z0-9]{8,}\Z")
# How Slack writes a channel or a person when their link is copied, or when a mention is pasted.
COPIED_LINK = re.compile(
    r"<?https?://[a-z0-9.-]*\bslack(?:-gov)?\.com/(?:archives|team|client/[A-Z0-9]+)/([A-Z0-9]+)(?:[/?#][^\s>]*)?>?\Z",
    re.I,
)
PASTED_MENTION = re.compile(r"<[#@]([A-Z0-9]+)(?:\|[^>]*)?>\Z")
NO_CHANNEL_NAME = re.compile(r"[\s@<>/:,;\"'&|\\]")


def channel_from_field(text: str) -> str:
    """Return what Slack is to be asked for, given what an admin typed: an ID, or a name with `#`.

    Slack's documents: a name may be given with or without `#`, an ID only without; e-mail addresses are not accepted.

    :raises Failure: permanent, when it cannot be a channel
    """
    typed = text.strip()
    copied = COPIED_LINK.match(typed) or PASTED_MENTION.match(typed)
    name = copied.group(1) if copied else typed.lstrip("#").strip()
    if CHANNEL_ID.match(name) or PERSON_ID.match(name):
        return name
    if not name:
        raise Failure("the channel is empty: type a channel into the user's field")
    if copied or NO_CHANNEL_NAME.search(name) or not name.isprintable() or len(name) > QUOTED_CHARACTERS:
        raise Failure(
            "%s is no Slack channel: type a channel's name, its ID or link, or a member ID into the user's field"
            % quoted(typed)
        )
    return "#" + name.lower()


class Recipients:
    """Finds the channel of each user. Every user and every trackor is read once; what did not answer, again later."""

    def __init__(self, onevizion: OneVizion, field: str, pool: ThreadPoolExecutor) -> None:
        self._onevizion = onevizion
        self._field = field
        self._pool = pool
        self._trackors: Dict[int, Union[Optional[int], Failure]] = {}
        self._values: Dict[int, Union[str, Failure]] = {}

    def read(self, user_ids: Iterable[int]) -> None:
        """Read the users' trackors and channels, side by side.

        :raises Failure: that ends the run: OneVizion refuses the account, or no trackor has the field
        """
        wanted = set(user_ids)
        unread = sorted(user_id for user_id in wanted if is_unread(self._trackors, user_id))
        chunks = [unread[start : start + USERS_PER_CALL] for start in range(0, len(unread), USERS_PER_CALL)]
        for answer in self._pool.map(self._read_users, chunks):
            self._trackors.update(answer)
        trackors = {trackor for trackor in map(self._trackors.get, wanted) if isinstance(trackor, int)}
        unread = sorted(trackor_id for trackor_id in trackors if is_unread(self._values, trackor_id))
        self._values.update(zip(unread, self._pool.map(self._read_field, unread)))
        refusals = [value for value in self._values.values() if isinstance(value, UnknownField)]
        if refusals and not any(isinstance(value, str) for value in self._values.values()):
            raise Failure(str(refusals[0]), ends_run=True) from refusals[0]

    def channel(self, record: Record) -> str:
        """Return the channel for a record whose user was read.

        :raises Failure: the record or its user has none, or could not be read
        """
        if record.problem:
            raise Failure("%s: report this to OneVizion's support" % record.problem)
        user_id = record.user_id
        if user_id is None:
            raise Failure("no user is given (userId is empty): choose a OneVizion user as recipient")
        trackor = self._trackors[user_id]
        if isinstance(trackor, Failure):
            raise trackor
        if trackor is None:
            raise Failure("user %d has no trackor: link the user to a trackor of the user trackor type" % user_id)
        value = self._values[trackor]
        if isinstance(value, Failure):
            raise value
        if not value.strip():
            raise Failure("user %d has no channel: type one into %s of trackor %d" % (user_id, self._field, trackor))
        return channel_from_field(value)

    def _read_users(self, user_ids: List[int]) -> Dict[int, Union[Optional[int], Failure]]:
        answers: Dict[int, Union[Optional[int], Failure]] = {}
        try:
            known = self._onevizion.trackors_of_users(user_ids)
        except Failure as failure:
            if failure.ends_run:
                raise
            if failure.may_pass or len(user_ids) == 1:
                return dict.fromkeys(user_ids, failure)
            half = len(user_ids) // 2  # so that the one id that OneVizion refuses costs no other
            return {**self._read_users(user_ids[:half]), **self._read_users(user_ids[half:])}
        for user_id in user_ids:
            answers[user_id] = known.get(user_id, Failure("user %d is unknown to OneVizion: choose another" % user_id))
        return answers

    def _read_field(self, trackor_id: int) -> Union[str, Failure]:
        try:
            return self._onevizion.field_of_trackor(trackor_id, self._field)
        except Failure as failure:
            if failure.ends_run:
                raise
            return failure


def is_unread(answers: Dict[int, Any], key: int) -> bool:
    """Tell whether something has to be read: for the first time, or again after a failure that may have passed."""
    answer = answers.get(key, answers)
    return answer is answers or (isinstance(answer, Failure) and answer.may_pass)


# ---- The message: what the recipient reads --------------------------------------------------------------------------
# A record's subject, body and attachments become posts in Slack's mrkdwn. Everything here is a pure function of its
# arguments. A *part* is one post, a *fence* is the ``` at either end of a code block.

# Slack's documentation of chat.postMessage: Slack itself cuts a text above 4,040 characters, wherever that falls.
MESSAGE_LIMIT_CHARACTERS = 4000
# A link is never cut, so one that would fill half a post is shown as plain text, which can be.
LINK_LIMIT_CHARACTERS = 2000
# A longer label is no label but the text that an <a> without its end tag has swallowed.
LABEL_LIMIT_CHARACTERS = 300
# A wider column would push everything to the right of it out of sight; a longer cell just sticks out.
COLUMN_LIMIT_CHARACTERS = 40
# No table that a person reads has cells that span more, whatever its attributes say.
SPAN_LIMIT_CELLS = 100
# Each "<" without its ">" may cost the standard library's parser a walk to the end of the mail, and each element
# without its end costs ours a walk through all that follow: seconds for thousands.
UNCLOSED_TAGS_LIMIT = 1000

FENCE = "```"
FENCE_OPENING = FENCE + "\n"
FENCE_CLOSING = "\n" + FENCE
RULE = "-" * 20
BULLETS = "•◦▪"
# While a mail is converted, this is a blank that has to stay (in code, before a nested item). It cannot be mistaken:
# the mail's own no-break spaces are made ordinary blanks first.
KEPT_BLANK = "\u00a0"
INDENT = KEPT_BLANK * 4
# Shows as nothing and parts what Slack would otherwise read as one.
ZERO_WIDTH_SPACE = "\u200b"

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SURROGATES = re.compile(r"[\ud800-\udfff]")
LINKABLE_URL = re.compile(r"\s*(?:https?://|mailto:)\S", re.IGNORECASE)
NOT_A_LINK = re.compile(r"<(?!https?://|mailto:)", re.IGNORECASE)
WEB_URL = re.compile(r"\s*https?://\S", re.IGNORECASE)
UNSAFE_IN_URL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff|<>\"`]")
CODE_BLOCK = re.compile(r"(```\n.*?\n```)", re.DOTALL)

HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
BOLD = {"b", "strong"}.union(HEADINGS)
BLOCKS = HEADINGS + ["html", "body", "p", "div", "section", "article", "header", "footer", "main", "aside", "nav"]
BLOCKS += ["address", "center", "form", "fieldset", "figure", "figcaption", "blockquote", "pre", "hr"]
BLOCKS += ["ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"]
NOT_IN_A_CELL = HEADINGS + ["table", "ul", "ol", "pre", "blockquote"]
INVISIBLE = {"title", "style", "script", "template"}
HIDDEN_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
PIXEL_STYLE = re.compile(r"(?:^|;)\s*(?:width|height)\s*:\s*[01](?:px)?\s*(?:[;!]|$)", re.IGNORECASE)
PIXEL_SIZE = re.compile(r"\s*[01](?:px)?\s*$", re.IGNORECASE)
# The HTML standard lets authors leave these end tags out: the next start tag of the kind ends the element. Each tag
# with those that it ends, and with the elements at which the search for an open one stops.
IMPLIED_ENDS = {
    "p": (["p"], BLOCKS),
    "li": (["li"], ["li", "ul", "ol"]),
    "dt": (["dt", "dd"], ["dt", "dd", "dl"]),
    "dd": (["dt", "dd"], ["dt", "dd", "dl"]),
    "tr": (["tr"], ["tr", "table"]),
    "td": (["td", "th"], ["td", "th", "tr", "table"]),
    "th": (["td", "th"], ["td", "th", "tr", "table"]),
}


def clean(text: str) -> str:
    """Return the text with the characters that Slack can show, every line end as a newline.

    Control characters except newline and tab are dropped; an unpaired surrogate, which no request can carry, becomes
    U+FFFD. Raises nothing.
    """
    text = re.sub("\r\n|[\r\u2028\u2029]", "\n", text)
    if SURROGATES.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return CONTROL_CHARACTERS.sub("", text)


def escape(text: str) -> str:
    """Return the text as data, which mentions nobody and links nowhere.

    Slack's documentation of formatting message text says: escape exactly these three characters, & first.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """Return the mrkdwn of a link: `<url|label>`, both parts made safe, at most LINK_LIMIT_CHARACTERS long.

    `url` and `label` are plain text, not escaped; an empty label shows the URL. Only http, https and mailto become a
    link, anything else gives the escaped label. A link that would be too long becomes the escaped text `label (url)`.
    Slack's documentation of formatting message text says which characters may not stand in the two parts.
    """
    label = _without_fences(_one_line(label))
    if not LINKABLE_URL.match(url):
        return escape(label)
    url = UNSAFE_IN_URL.sub(lambda unsafe: quote(unsafe.group(), safe="", errors="replace"), url.strip())
    linked = f"<{escape(url)}|{escape(label if label else url)}>"
    if len(linked) > LINK_LIMIT_CHARACTERS:
        return escape(f"{label} ({url})" if label else url)
    return linked


def attachment_link(ov_url: str, blob_id: int) -> str:
    """Return the link under which a person who is logged in to OneVizion opens an attachment.

    `ov_url` is the installation's address without a trailing slash, `blob_id` one of a record's `blobDataIds`.
    """
    return link(f"{ov_url}/efiles/EFileGetBlobFromDb.do?id={blob_id}", f"attachment {blob_id}")


def body_mrkdwn(msg: Optional[str], html: Union[bool, str, None]) -> str:
    """Return the body of a record as mrkdwn, escaped; '' where there is none.

    `msg` and `html` are the record's keys: `html` says that `msg` is HTML, or is a text, the HTML form of `msg`. Plain
    text is never treated as HTML, whatever it looks like.
    """
    if isinstance(html, str) and html.strip():
        return html_to_mrkdwn(clean(html))
    if msg is None:
        return ""
    return html_to_mrkdwn(clean(msg)) if html is True else escape(clean(msg))


def html_to_mrkdwn(html: str) -> str:
    """Return an HTML mail as mrkdwn, escaped and clean; one that cannot be converted as its text. Raises nothing."""
    try:
        converter = MrkdwnConverter(wrap=True, escape_asterisks=False, escape_underscores=False)
        mrkdwn = _tidy(converter.convert_soup(_parse(html)))
        if NOT_A_LINK.search(mrkdwn):
            # No method below lets one through; one that a later markdownify adds may.
            raise ValueError("a < is neither escaped nor a link")
        return mrkdwn
    except Exception as error:
        # A broad except: a mail is foreign input, parser and converter are foreign code, and whatever one does to
        # the others (a RecursionError after some hundred nested tags, say), the recipient is owed the text.
        PROGRESS.debug("HTML shown as its text: %s", type(error).__name__)
        return escape(_tidy(_text_of_broken_html(html)))


def message_parts(
    subject: Optional[str],
    body: str,
    attachment_links: Sequence[str],
    ov_url: str,
    limit: int = MESSAGE_LIMIT_CHARACTERS,
) -> List[str]:
    """Return the finished posts of a message, in order, each of at most `limit` characters; there is at least one.

    `subject` is plain text, `body` and `attachment_links` are mrkdwn, `ov_url` is the address of OneVizion and closes
    the last post. A code block that a cut falls in is closed in the one post and opened again in the next. A post that
    would show nothing is left out: Slack's documentation of chat.postMessage has the error no_text for it. Raises
    ValueError like `cut`.
    """
    title = "" if subject is None else _without_fences(escape(_one_line(subject)))
    sections = [
        f"*{title}*" if title else "",
        re.sub(r"\A\s*\n", "", body.rstrip()),
        "\n".join(attachment_links),
        link(ov_url, urlsplit(ov_url).hostname or ov_url),
    ]
    text = "\n".join(section for section in sections if section)
    fences = _count_fences(text, limit)
    last_pair_ends = fences - fences % 2
    passed = 0
    parts = []
    for chunk in cut(text, limit):
        reopened = passed % 2 == 1 and passed < last_pair_ends
        passed += _count_fences(chunk, limit)
        still_open = passed % 2 == 1 and passed < last_pair_ends
        if not chunk.replace(FENCE, "").strip():
            continue
        # Behind a line end a second one would show as an empty line of the code.
        closing = FENCE if chunk.endswith("\n") else FENCE_CLOSING
        parts.append((FENCE_OPENING if reopened else "") + chunk + (closing if still_open else ""))
    return parts


def cut(text: str, limit: int = MESSAGE_LIMIT_CHARACTERS) -> List[str]:
    """Return the text in chunks which, joined, are the text again, and of which each fits into a part.

    `text` is mrkdwn, escaped. A chunk has at most `limit` characters less those of the fences that `message_parts` may
    add to it. It ends behind a line end where it has one, else behind a blank, else anywhere, but never inside an
    entity, a link or a fence. Raises ValueError where `limit` leaves no room for an entity.
    """
    room = _room(limit)
    chunks = []
    start = line_end = earlier_line_end = blank = 0
    in_code = False
    for token in _tokens(text, limit):
        # A cut right behind the fence that opens a block, or right before the one that closes it, would make an empty
        # block, so the line ends and blanks there are passed over.
        if token.group() == FENCE and in_code and line_end == token.start():
            line_end = earlier_line_end
        while token.end() - start > room:
            position = next(place for place in (line_end, blank, token.start()) if place > start)
            chunks.append(text[start:position])
            start = position
        if token.group() == FENCE:
            in_code = not in_code
        elif in_code and text.endswith(FENCE, 0, token.start()):
            continue
        elif token.group() == "\n":
            earlier_line_end, line_end = line_end, token.end()
        elif token.group() == " ":
            blank = token.end()
    if text:
        chunks.append(text[start:])
    return chunks


def _room(limit: int) -> int:
    room = limit - len(FENCE_OPENING) - len(FENCE_CLOSING)
    if room < len("&amp;"):
        raise ValueError(f"a limit of {limit} characters leaves no room for text")
    return room


def _tokens(text: str, limit: int) -> Iterator[Match[str]]:
    """Yield what a cut may not fall into: links that fit into a chunk, entities, fences; and every other character."""
    link_characters = _room(limit) - len("<>")
    return re.finditer(rf"<[^<>\n]{{1,{link_characters}}}>|&(?:amp|lt|gt);|```|.", text, re.DOTALL)


def _count_fences(text: str, limit: int) -> int:
    return sum(token.group() == FENCE for token in _tokens(text, limit)) if FENCE in text else 0


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def _without_fences(text: str) -> str:
    """Return the text without three backticks in a row: it looks the same, but opens and closes no code block."""
    return re.sub("`(?=``)", "`" + ZERO_WIDTH_SPACE, text)


def _tidy(text: str) -> str:
    """Return a converted mail without runs of blanks, blanks at line ends, and more than one empty line in a row."""
    lines = [re.sub(" +", " ", line).strip(" ") for line in text.split("\n")]
    text = re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return "\n".join(line.replace(KEPT_BLANK, " ").rstrip() for line in text.split("\n"))


# HTML to mrkdwn: first the tree of what a reader of the mail sees, then a walk through it.


def _parse(html: str) -> BeautifulSoup:
    """Return the tree of what a reader of the mail sees, its text clean. Raises whatever the parser raises."""
    if html.count("<") - html.count(">") > UNCLOSED_TAGS_LIMIT:
        raise ValueError("too many tags without end")
    soup = BeautifulSoup(html, "html.parser")
    for element in soup.find_all(True):
        if element.can_be_empty_element and element.contents:
            # Beautiful Soup before 4.13 takes <br/> behind a <br> for the start of an element.
            element.insert_after(*list(element.contents))
        # Not all of <head>: where its end tag is missing, the parser puts the body into it.
        if element.name in INVISIBLE or HIDDEN_STYLE.search(_attribute(element, "style")) or _is_pixel(element):
            element.extract()
    implied = 0
    for element in soup.find_all(list(IMPLIED_ENDS)):
        ended, searched = IMPLIED_ENDS[element.name]
        before = element.find_parent(searched)
        if before is not None and before.name in ended:
            implied += 1
            if implied > UNCLOSED_TAGS_LIMIT:
                raise ValueError("too many elements without end")
            before.insert_after(element, *list(element.next_siblings))
    _label_items(soup)
    for string in soup.find_all(string=True):
        if isinstance(string, PreformattedString):
            # Comments, declarations and processing instructions, Outlook's conditional ones among them.
            string.extract()
            continue
        text = clean(string).replace(KEPT_BLANK, " ")
        beside_block = _is_block(string.previous_sibling) or _is_block(string.next_sibling)
        if beside_block and not text.strip() and string.find_parent("pre") is None:
            string.extract()
        elif text != string:
            string.replace_with(text)
    return soup


def _label_items(soup: BeautifulSoup) -> None:
    """Give every list item its bullet or number as its only attribute, `value`."""
    for item in soup.find_all("li"):
        item.attrs = {"value": BULLETS[0]}
    for items in soup.find_all(["ul", "ol"]):
        bullet = BULLETS[len(items.find_parents(["ul", "ol"])) % len(BULLETS)]
        for number, item in enumerate(items.find_all("li", recursive=False), _number(items, "start", 1)):
            item["value"] = bullet if items.name == "ul" else f"{number}."


def _text_of_broken_html(html: str) -> str:
    """Return the text of HTML, clean but not escaped, by looking at nothing but its tags."""
    text = re.sub(r"(?is)<!--.*?(?:-->|\Z)|<(title|style|script|template)\b.*?(?:</\1\s*>|\Z)", "", html)
    text = re.sub(rf"(?i)</?(?:br|{'|'.join(BLOCKS)})\b[^<>]*>", "\n", text)
    text = re.sub(r"<[!?/a-zA-Z][^<>]*>", "", text)
    # A number as long as this names no character, and the standard library stumbles over the longest.
    text = re.sub(r"&#\w{9,};?", "\ufffd", text)
    return clean(unescape(text))


def _attribute(element: Tag, name: str) -> str:
    value = element.get(name)
    return value if isinstance(value, str) else ""


def _parent_name(element: Tag) -> str:
    return element.parent.name if element.parent is not None else ""


def _number(element: Tag, name: str, default: int) -> int:
    number = re.match(r"\s*([0-9]{1,9})\s*$", _attribute(element, name))
    return int(number.group(1)) if number else default


def _is_block(node: Optional[PageElement]) -> bool:
    return isinstance(node, Tag) and node.name in BLOCKS


def _is_pixel(element: Tag) -> bool:
    """Say whether an element is an image too thin to be seen: for tracking or for spacing."""
    sizes = [_attribute(element, "width"), _attribute(element, "height")]
    style = _attribute(element, "style")
    return element.name == "img" and (any(map(PIXEL_SIZE.match, sizes)) or bool(PIXEL_STYLE.search(style)))


def _plain(element: Tag) -> str:
    """Return the text of an element on one line, images as their alternative text. Not escaped."""
    pieces = []
    for node in element.descendants:
        if _is_block(node) or _is_block(node.previous_sibling):
            pieces.append(" ")
        if isinstance(node, NavigableString):
            pieces.append(node)
        elif isinstance(node, Tag):
            pieces.append({"img": _attribute(node, "alt"), "br": " "}.get(node.name, ""))
    return _one_line("".join(pieces))


def _image(element: Tag) -> str:
    """Return an image as a link where its address works outside of the mail (not cid:, data:), else as its text."""
    alt = _one_line(_attribute(element, "alt"))
    src = _attribute(element, "src")
    return link(src, alt if alt else "image") if WEB_URL.match(src) else escape(alt)


def _is_link(element: Tag) -> bool:
    # Without text or image there was nothing to click at: a tracking pixel that is gone, perhaps.
    clickable = element.name == "a" and LINKABLE_URL.match(_attribute(element, "href"))
    return bool(clickable and (_plain(element) or element.find("img")))


def _links(element: Tag) -> List[str]:
    """Return the links and images inside an element, each once: a code block cannot hold them."""
    links: List[str] = []
    for inner in element.find_all(["a", "img"]):
        if _is_link(inner):
            links.append(link(_attribute(inner, "href"), _plain(inner)))
        elif WEB_URL.match(_attribute(inner, "src")) and inner.find_parent("a") is None:
            links.append(_image(inner))
    return sorted(set(links), key=links.index)


def _outside_code(change: Callable[[str], str], text: str) -> str:
    """Return the text with everything but its code blocks changed."""
    pieces = CODE_BLOCK.split(text)
    return "".join(piece if number % 2 else change(piece) for number, piece in enumerate(pieces))


def _prefixed(text: str, prefix: str) -> str:
    """Return the text with the prefix before each line that is neither blank nor code."""
    return _outside_code(lambda piece: re.sub(r"(?m)^(?=.*\S)", prefix, piece), text)


def _marked(text: str, marker: str) -> str:
    """Return the text with each line between two markers, which touch its first and last character."""
    # Slack's markup ends where the line ends, and does not begin before a blank. "> " begins a quote.
    line = rf"(?m)^([ {KEPT_BLANK}]*(?:> )?)([^ {KEPT_BLANK}\n>](?:.*[^ {KEPT_BLANK}\n])?)"
    return _outside_code(lambda piece: re.sub(line, rf"\1{marker}\2{marker}", piece), text)


def _code_block(text: str) -> str:
    """Return escaped text as a code block, which no fence in the text can end."""
    lines = _without_fences(text).split("\n")
    kept = "\n".join(line.replace(" ", KEPT_BLANK) if line else KEPT_BLANK for line in lines)
    return FENCE_OPENING + kept + FENCE_CLOSING


def _is_data_table(table: Tag) -> bool:
    """Say whether all text of a table stands in the cells of its rows, and can stand on one line there."""
    if _attribute(table, "role").strip().lower() in ("presentation", "none") or table.find(NOT_IN_A_CELL):
        return False
    for text in table.find_all(string=re.compile(r"\S")):
        if text.find_parent(["td", "th", "caption", "table"]) is table:
            return False
    return all(_parent_name(cell) == "tr" for cell in table.find_all(["td", "th"]))


def _table_rows(table: Tag) -> Tuple[List[List[str]], int]:
    """Return the rows of a data table that have text, and how many of them, from the first on, are its header.

    A cell stands in the column where a browser shows it; the rows may differ in length.
    """
    rows: List[List[str]] = []
    header_rows = 0
    covered: Set[Tuple[int, int]] = set()
    for line, tr in enumerate(table.find_all("tr")):
        cells = tr.find_all(["td", "th"], recursive=False)
        row: List[str] = []
        for cell in cells:
            while (line, len(row)) in covered:
                row.append("")
            width, height = (min(max(_number(cell, name, 1), 1), SPAN_LIMIT_CELLS) for name in ("colspan", "rowspan"))
            covered.update((line + down, len(row) + right) for down in range(1, height) for right in range(width))
            row.extend([_plain(cell)] + [""] * (width - 1))
        if any(row):
            is_header = _parent_name(tr) == "thead" or all(cell.name == "th" for cell in cells)
            header_rows += is_header and header_rows == len(rows)
            rows.append(row)
    return rows, header_rows


def _aligned(table: Tag) -> str:
    """Return a data table as lines with aligned columns, dashes under the header, not escaped; '' for a layout."""
    ragged, header_rows = _table_rows(table)
    length = max(map(len, ragged), default=0)
    columns = [column for column in zip(*(row + [""] * (length - len(row)) for row in ragged)) if any(column)]
    rows = list(zip(*columns))
    # A title that stands alone in its row, across the table, must not widen the first column.
    full_rows = [row for row in rows if sum(map(bool, row)) > 1]
    # One row of pictures or buttons is a layout, too: in a code block its links would be torn from their places.
    if not full_rows or (len(rows) == 1 and table.find(["a", "img"])):
        return ""
    widths = [min(max(map(len, column)), COLUMN_LIMIT_CHARACTERS) for column in zip(*full_rows)]
    if 0 < header_rows < len(rows):
        rows.insert(header_rows, tuple("-" * width for width in widths))
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


class MrkdwnConverter(MarkdownConverter):
    """markdownify's walk through the tree, with Slack's mrkdwn in place of Markdown.

    The names and arguments of the methods are markdownify's: `el` is an element, `text` its content, converted and
    escaped, `parent_tags` are the names of the elements around it, "_noformat" among them inside code. An attribute
    gets into the result through `link` or `escape` only.
    """

    def process_text(self, el: NavigableString, parent_tags: Optional[Set[str]] = None) -> str:
        # markdownify's hook for this, its method escape(), is not called for text inside code.
        return escape(super().process_text(el, parent_tags=parent_tags))  # type: ignore[misc] # not in its stub

    def _inline(self, el: Tag, text: str, parent_tags: Set[str], marker: str, same: Set[str]) -> str:
        if "_noformat" in parent_tags or parent_tags & same or not text.strip():
            return text
        # Slack takes a marker that touches a letter on its outside for an ordinary character.
        before, after = el.previous_sibling, el.next_sibling
        touches_before = isinstance(before, NavigableString) and before[-1:].isalnum() and not text[0].isspace()
        touches_after = isinstance(after, NavigableString) and after[:1].isalnum() and not text[-1].isspace()
        return ZERO_WIDTH_SPACE * touches_before + _marked(text, marker) + ZERO_WIDTH_SPACE * touches_after

    def convert_b(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self._inline(el, text, parent_tags, "*", BOLD)

    def convert_em(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self._inline(el, text, parent_tags, "_", {"em", "i"})

    def convert_del(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self._inline(el, text, parent_tags, "~", {"del", "s", "strike"})

    convert_strong = convert_b
    convert_i = convert_em
    convert_s = convert_strike = convert_del

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: Set[str]) -> str:
        plain = "_noformat" in parent_tags or parent_tags & BOLD
        return self.convert_p(el, text if plain else _marked(text, "*"), parent_tags)

    def convert_code(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # A backtick would end the code, and a link (only a link has a bare <) would not be one inside of it.
        return text if "_noformat" in parent_tags or "`" in text or "<" in text else _marked(text, "`")

    convert_kbd = convert_samp = convert_code

    def convert_pre(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        if "_noformat" in parent_tags or not text.strip():
            return text
        return "\n".join(["", _code_block(text.strip("\n").rstrip())] + _links(el) + [""])

    def convert_a(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        if "pre" in parent_tags or not _is_link(el):
            return text
        url, label = _attribute(el, "href"), _plain(el)
        if el.find("a", href=True) or len(label) > LABEL_LIMIT_CHARACTERS:
            return f"{text} {link(url, '')}"
        before = text[: len(text) - len(text.lstrip(" \n"))]
        after = text[len(text.rstrip(" \n")) :]
        return before + link(url, label) + after

    def convert_img(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return escape(_one_line(_attribute(el, "alt"))) if "pre" in parent_tags else _image(el)

    def convert_video(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # markdownify's own would show attributes as they are.
        return text

    def convert_br(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # markdownify merges line ends that meet; the blank keeps two breaks two.
        return "\n" if "pre" in parent_tags else " \n"

    def convert_hr(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return f"\n{RULE}\n"

    def convert_div(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        content = text.strip("\n" if "pre" in parent_tags else " \n")
        # <div><br></div> is how an empty line is written.
        return f"\n{content}\n" if content or el.find("br") else "\n"

    convert_section = convert_article = convert_header = convert_footer = convert_main = convert_aside = convert_div
    convert_nav = convert_address = convert_center = convert_form = convert_fieldset = convert_figure = convert_div
    convert_figcaption = convert_caption = convert_tr = convert_td = convert_th = convert_dt = convert_div

    def convert_p(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return f"\n{self.convert_div(el, text, parent_tags)}\n"

    convert_dl = convert_p

    def convert_dd(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self.convert_div(el, _prefixed(text.strip(" \n"), INDENT), parent_tags)

    def convert_blockquote(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # Slack has one level of quotes, and none in an indented line.
        plain = parent_tags & {"pre", "blockquote", "ul", "ol", "li", "dd"}
        return self.convert_p(el, text if plain else _prefixed(text.strip(" \n"), "> "), parent_tags)

    def convert_list(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # Word puts a nested list beside the item that it belongs to, not into it.
        items = _prefixed(text.strip("\n"), INDENT if _parent_name(el) in ("ul", "ol") else "")
        return f"\n{items}\n" if {"ul", "ol"} & parent_tags else f"\n\n{items}\n\n"

    convert_ul = convert_ol = convert_list

    def convert_li(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        lines = _prefixed(text.strip(" \n"), INDENT)
        if lines.startswith(INDENT):
            return f"\n{el['value']} {lines[len(INDENT) :]}\n"
        return f"\n{el['value']}\n{lines}\n" if lines else "\n"

    def convert_table(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        rows = _aligned(el) if "pre" not in parent_tags and _is_data_table(el) else ""
        if not rows:
            return self.convert_div(el, text, parent_tags)
        captions = [escape(_plain(caption)) for caption in el.find_all("caption")]
        return "\n".join([""] + captions + [_code_block(escape(rows))] + _links(el) + [""])


# ---- Slack -----------------------------------------------------------------------------------------------------------

SLACK_TIMEOUT_SECONDS = 30  # per socket operation
SLACK_PAUSES_SECONDS = (1.0, 2.0, 4.0)  # between tries of a call that may be repeated
SLACK_WAIT_LIMIT_SECONDS = 30  # what such a call waits when Slack names a longer time

# What an admin does about each error that Slack answers with. The lists follow Slack's documents of chat.postMessage,
# auth.test and the upload methods; they are not complete there either, so an error that is not listed may pass.
NEW_TOKEN = "copy the Bot User OAuth Token of the app into slackBotToken"
ASK_SLACK_ADMIN = "ask the administrator of your Slack workspace to allow the app"
NEW_VERSION = "Slack has changed: install the newest version of this module"
ERRORS_THAT_END_THE_RUN = {
    "invalid_auth": NEW_TOKEN,
    "not_authed": NEW_TOKEN,
    "account_inactive": "the app or its workspace was removed: install the app again, and copy its new token",
    "token_revoked": "install the app again and copy its new token into slackBotToken",
    "token_expired": "turn token rotation off in the app, and copy its new token into slackBotToken",
    "missing_scope": "add the scope under OAuth & Permissions of the app, and install it again",
    "not_allowed_token_type": NEW_TOKEN,
    "org_login_required": ASK_SLACK_ADMIN,
    "two_factor_setup_required": ASK_SLACK_ADMIN,
    "enterprise_is_restricted": ASK_SLACK_ADMIN,
    "team_access_not_granted": ASK_SLACK_ADMIN,
    "accesslimited": ASK_SLACK_ADMIN,
    "app_access_restricted": ASK_SLACK_ADMIN,
    "is_bot": NEW_TOKEN,
    "access_denied": ASK_SLACK_ADMIN,
    "method_deprecated": NEW_VERSION,
    "deprecated_endpoint": NEW_VERSION,
    "unknown_method": NEW_VERSION,
}
CHECK_MESSAGE = "Slack does not take this message: deliver it another way, and report it to the module's developers"
PERMANENT_ERRORS = {
    "channel_not_found": "no such channel, or a private one that the app was not invited to: correct the user's field "
    "(private: by ID), or invite the app",
    "is_archived": "the channel is archived: unarchive it, or type another one into the user's field",
    "not_in_channel": "invite the app to the channel, or use a public one",
    "restricted_action": "the channel's settings do not let the app post: change them, or use another channel",
    "messages_tab_disabled": "switch on the Messages Tab in the App Home of the app",
    "team_not_found": "the workspace does not exist: check the channel in the user's field",
    "user_not_found": "no such person in Slack: correct the member ID in the user's field",
    "no_permission": ASK_SLACK_ADMIN,
    "ekm_access_denied": "the workspace's encryption keys are withdrawn: ask the administrator of your Slack workspace",
    "cannot_reply_to_message": CHECK_MESSAGE,
    "no_text": CHECK_MESSAGE,
    "msg_too_long": CHECK_MESSAGE,
    "too_many_attachments": CHECK_MESSAGE,
    "msg_blocks_too_long": CHECK_MESSAGE,
    "invalid_blocks": CHECK_MESSAGE,
    "invalid_arguments": CHECK_MESSAGE,
}
RATE_LIMIT_ERRORS = ("ratelimited", "rate_limited")
# Errors after which nothing was posted. After any other that may pass, the message may be there all the same.
NOT_POSTED_ERRORS = ("service_unavailable", "request_timeout", "message_limit_exceeded", "team_added_to_org")
PERHAPS_POSTED = "it may have arrived all the same"
TRY_AGAIN = "this may pass; if it lasts, check slackUrl and the network"


class Identity(NamedTuple):
    """Who the token belongs to. `scopes` is None where Slack does not say."""

    bot: str
    workspace: str
    scopes: Optional[Set[str]]


class Posted(NamedTuple):
    """Where a post arrived: the channel's real ID, and the `ts` that replies refer to ("" where Slack did not say)."""

    channel_id: str
    ts: str


def slack_failure(code: str, channel: str, needed: str = "") -> Failure:
    """Return what an error code of Slack means, and what to do about it.

    :param channel: where a message was to be posted, as a piece of a sentence: " for #ops"; "" for any other call
    :param needed: the scope that missing_scope asks for
    """
    listed = re.sub(r"^(restricted_action|invalid_blocks).*", r"\1", code)
    if listed in ERRORS_THAT_END_THE_RUN:
        scope = " (%s)" % needed if needed else ""
        text = "Slack answered %s%s%s: %s" % (code, scope, channel, ERRORS_THAT_END_THE_RUN[listed])
        return Failure(text, ends_run=True, code=code)
    if listed in PERMANENT_ERRORS:
        return Failure("Slack answered %s%s: %s" % (code, channel, PERMANENT_ERRORS[listed]), code=code)
    perhaps_posted = bool(channel) and listed not in NOT_POSTED_ERRORS
    return passing_failure("Slack answered %s%s" % (code, channel), perhaps_posted, code)


def passing_failure(text: str, perhaps_posted: bool, code: str = "") -> Failure:
    """Return a Failure that another attempt may mend, saying so where the message may have arrived already."""
    return Failure("%s: %s" % (text, PERHAPS_POSTED if perhaps_posted else TRY_AGAIN), may_pass=True, code=code)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Answers a redirect as the error that it is. urllib would take the token along to whatever host it names."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow no redirect (see HTTPRedirectHandler)."""


class Slack:
    """Slack's Web API. The only place that knows slackclient, which is in maintenance mode: its successor goes here.

    Every request passes `_call`, every upload `_send_bytes`; the methods raise Failure, and `post` also RateLimited.
    """

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        self._interruption = interruption
        # slackclient opens its requests with urllib's installed opener as long as it is given no SSL context. That is
        # the way to one context for the whole run (reading the certificate store takes longer than a post), and to a
        # token that does not follow redirects.
        https = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        urllib.request.install_opener(urllib.request.build_opener(NoRedirect, https))
        self._client = slack.WebClient(
            token=settings.slack_bot_token, base_url=settings.slack_url + "/api/", timeout=SLACK_TIMEOUT_SECONDS
        )
        # They print every failed request, and at level Debug every message and address, past our own log.
        for name in ("slack.web.base_client", "slack.web.slack_response"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def identity(self) -> Identity:
        """Return who the token belongs to; asks again where Slack does not answer (auth.test changes nothing).

        :raises Failure: Slack refuses the token (`ends_run`), or does not answer (`may_pass`)
        """
        for pause in itertools.chain(SLACK_PAUSES_SECONDS, [None]):
            try:
                data, headers = self._call("auth.test", {}, "")
            except Failure as failure:
                if pause is None or not failure.may_pass or self._interruption.requested():
                    raise
                PROGRESS.info("waiting %g s before asking again: %s", pause, failure)
                self._interruption.wait(pause)
            except RateLimited as limited:
                if pause is None:
                    raise Failure("Slack is busy (rate limit): the next run tries again", may_pass=True) from limited
                self._wait_for_rate_limit(limited, pause)
            else:
                scopes = headers.get("x-oauth-scopes")
                granted = None if scopes is None else {scope.strip() for scope in scopes.split(",")}
                return Identity(str(data.get("user")), str(data.get("team")), granted)
        raise AssertionError("not reached")

    def post(self, channel: str, text: str, thread_ts: str = "") -> Posted:
        """Post one message, or a reply in the thread of an earlier one, without previews of its links.

        :param channel: a name with `#`, or an ID
        :raises Failure: it was not posted, or nobody knows
        :raises RateLimited: it was not posted
        """
        arguments = {"channel": channel, "text": text, "unfurl_links": False, "unfurl_media": False}
        if thread_ts:
            arguments["thread_ts"] = thread_ts
        data, _ = self._call("chat.postMessage", arguments, " for %s" % channel)
        channel_id, ts = data.get("channel"), data.get("ts")
        return Posted(channel_id if isinstance(channel_id, str) else channel, ts if isinstance(ts, str) else "")

    def share_file(self, file: File, content: BinaryIO, posted: Posted) -> None:
        """Share a file in the thread of a message, in Slack's three steps. The app must be a member of the channel.

        :param content: open at its beginning
        """
        arguments = {"filename": file.name, "length": str(file.size_bytes)}
        upload = self._call_patiently("files.getUploadURLExternal", arguments)
        self._send_bytes(str(upload.get("upload_url")), content, file)
        files = json.dumps([{"id": str(upload.get("file_id")), "title": file.name}])
        arguments = {"files": files, "channel_id": posted.channel_id, "thread_ts": posted.ts}
        self._call_patiently("files.completeUploadExternal", arguments)

    def _send_bytes(self, url: str, content: BinaryIO, file: File) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.size_bytes)}
        try:
            response = requests.post(
                url, data=content, headers=headers, timeout=SLACK_TIMEOUT_SECONDS, allow_redirects=False
            )
        except (requests.RequestException, OSError, ValueError) as error:
            raise Failure("Slack did not take its bytes (%s)" % network_reason(error)) from error
        if response.status_code != 200:
            raise Failure("Slack did not take its bytes (HTTP %d)" % response.status_code)

    def _call_patiently(self, method: str, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Call a method, waiting out its rate limit. Nothing else is repeated, so nothing is shared twice."""
        for pause in SLACK_PAUSES_SECONDS:
            try:
                return self._call(method, arguments, "")[0]
            except RateLimited as limited:
                self._wait_for_rate_limit(limited, pause)
        raise Failure("Slack is busy (rate limit)")

    def _wait_for_rate_limit(self, limited: RateLimited, usual_seconds: float) -> None:
        seconds = min(limited.seconds or usual_seconds, SLACK_WAIT_LIMIT_SECONDS)
        PROGRESS.info("waiting %g s, Slack's rate limit", seconds)
        self._interruption.wait(seconds)

    def _call(self, method: str, arguments: Dict[str, Any], where: str) -> Tuple[Dict[str, Any], Dict[str, str]]:
        """Return the data and the headers (lower-case names) of a successful answer.

        :param where: where a message is to be posted: " for #ops"; "" for any other call
        """
        posting = bool(where)
        try:
            response = self._client.api_call(method, params=arguments)
        except slack.errors.SlackApiError as error:
            raise self._verdict(error.response, where) from error
        except urllib.error.URLError as error:
            begun = not isinstance(error.reason, (ConnectionRefusedError, socket.gaierror, ssl.SSLError))
            text = "Slack could not be reached%s (%s)" % (where, network_reason(error))
            raise passing_failure(text, posting and begun) from error
        except (OSError, http.client.HTTPException) as error:
            raise passing_failure("Slack did not answer%s (%s)" % (where, network_reason(error)), posting) from error
        except (AttributeError, LookupError, ValueError, RecursionError, slack.errors.SlackClientError) as error:
            # What slackclient raises for bodies that are no JSON object, or in an encoding that nobody knows.
            text = "Slack's answer%s cannot be read (%s)" % (where, type(error).__name__)
            raise passing_failure(text, posting) from error
        return response.data, {name.lower(): value for name, value in response.headers.items()}

    def _verdict(self, response: Any, where: str) -> Exception:
        """Return what an answer means that slackclient took for an error: its own class, or a dict, without JSON."""
        if isinstance(response, dict):
            status, headers, data = response.get("status"), response.get("headers"), None
        else:
            status, headers, data = response.status_code, response.headers, response.data
        data = data if isinstance(data, dict) else {}
        code, needed = data.get("error"), str(data.get("needed"))
        if status == 429 or code in RATE_LIMIT_ERRORS:
            names = {name.lower(): value for name, value in dict(headers or {}).items()}
            return RateLimited(retry_after_seconds(names.get("retry-after")))
        if isinstance(code, str) and re.match(r"[a-z0-9_]{1,60}\Z", code):
            return slack_failure(code, where, needed if re.match(r"[a-z]+:[a-z._,:]+\Z", needed) else "")
        if status == 200:
            return passing_failure("Slack's answer%s cannot be read" % where, bool(where))
        return passing_failure("Slack answered HTTP %s%s" % (status, where), bool(where))


# ---- Delivery --------------------------------------------------------------------------------------------------------

# Slack's documents: one message a second per channel, "short bursts pass", no guarantee. Counted from start of post to
# start of post, and a little more, since the second may be faster on its way to Slack than the first.
CHANNEL_INTERVAL_SECONDS = 1.02
WAIT_LIMIT_SECONDS = 600  # what rate limits may cost one record in all; beyond it, the attempt has failed
WAIT_WITHOUT_HEADER_SECONDS = 1.0  # doubled with each refusal in a row
WAIT_DOUBLINGS = 6  # at most: a minute
LEAD_LIMIT_SECONDS = 0.2  # how long a worker may hold a record in SENDING until its channel is ready
POLL_SECONDS = 0.1  # how soon a waiting run notices an interruption
FILES_WAIT_SECONDS = 120  # what the end of a run waits for files that are still on their way; their links are there
FILES_POLL_SECONDS = 0.02
# How often a busy run looks for new records, so that a channel with many records holds up nobody; and how many times,
# so that records that keep coming do not keep it from ending.
LOOK_AGAIN_SECONDS = 60
LOOKS_LIMIT = 60
FINISH_SECONDS = 5  # what an interrupted run spends on the remaining parts of messages that have begun
# So many failures are told to the integration log one by one: every entry is a call that loads OneVizion's web server.
FAILURE_ENTRIES = 100

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"
LEFT_ALONE = (NotifQueueStatus.BUILDING.name, NotifQueueStatus.SUCCESS.name, NotifQueueStatus.FAIL.name)


class Delivery:
    """One record on its way through the run."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.channel = ""
        self.parts: List[str] = []
        self.posted: List[Posted] = []
        self.attempts = 0
        self.waited_seconds = 0.0
        self.sending = False  # whether OneVizion shows it as SENDING because of this run
        self.state = PENDING  # then DELIVERED or FAILED

    def __str__(self) -> str:
        return "record %d" % self.record.id


def listing(deliveries: Iterable[Delivery]) -> str:
    """Return the ids of records as a text for people."""
    return ", ".join(str(delivery.record.id) for delivery in deliveries)


class ChannelQueue:
    """The records for one channel, in the queue's order."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.deliveries: deque[Delivery] = deque()
        self.ready_at = 0.0  # of time.monotonic; nothing is posted before
        self.refusals_in_a_row = 0
        self.closed_too_long = False  # for its first record, which may not wait for so long


class Visit(NamedTuple):
    """What a worker did at a channel. Times are of time.monotonic, and None where there was no post, or no refusal."""

    channel_queue: ChannelQueue
    delivery: Delivery
    post_started_at: Optional[float] = None
    wait_seconds: Optional[float] = None
    failure: Optional[Failure] = None


class WorkspacePace:
    """How fast the whole run posts, learnt from Slack's refusals: Slack's limit for a workspace is not a known number.

    Without refusals there is no limit. Refusals in several channels at once mean that the workspace is too busy: from
    then on the run posts as fast as Slack has just accepted, and a little faster with every message that is accepted.
    """

    WINDOW_SECONDS = 1.0
    SLOWEST_INTERVAL_SECONDS = 0.25  # "some hundreds a minute" is what every workspace takes
    RECOVERY = 0.95

    def __init__(self) -> None:
        self._interval = 0.0
        self._accepted: deque[float] = deque(maxlen=1000)
        self.next_post_at = 0.0

    def started(self, now: float) -> None:
        """Take note that a post begins."""
        self.next_post_at = max(now, self.next_post_at) + self._interval

    def accepted(self, now: float) -> None:
        """Take note that Slack took a post."""
        self._accepted.append(now)
        self._interval *= self.RECOVERY

    def refused(self, now: float) -> None:
        """Take note that Slack refused posts in several channels."""
        while self._accepted and self._accepted[0] < now - self.WINDOW_SECONDS:
            self._accepted.popleft()
        self._interval = min(self.WINDOW_SECONDS / max(1, len(self._accepted)), self.SLOWEST_INTERVAL_SECONDS)


def compose(record: Record, ov_url: str) -> List[str]:
    """Return the finished posts of a record's message."""
    links = [attachment_link(ov_url, blob_id) for blob_id in record.blob_ids]
    return message_parts(record.subject, body_mrkdwn(record.message, record.html), links, ov_url)


def pending_deliveries(records: Sequence[Any], known: Set[int]) -> List[Delivery]:
    """Return the records that a run has to deliver, in the queue's order.

    BUILDING, SUCCESS and FAIL are left alone. SENDING is what a run leaves behind that was killed.

    :param records: the JSON values of the Notif Queue
    :param known: ids that this run has already met; those returned are added
    """
    deliveries = []
    for raw in records:
        record = read_record(raw)
        if record is not None and record.status not in LEFT_ALONE and record.id not in known:
            known.add(record.id)
            deliveries.append(Delivery(record))
    left_behind = [delivery for delivery in deliveries if delivery.record.status == NotifQueueStatus.SENDING.name]
    if left_behind:
        text = "%d record(s) were being sent when an earlier run was cut off, and may arrive twice"
        LOG.warning(text, len(left_behind), extra={"details": [listing(left_behind)]})
    return deliveries


class Attachments:
    """Shares the files of delivered messages in their threads. Whatever goes wrong here, the message is delivered.

    The threads are daemons: a file that does not come to its end must not keep the program from ending.
    """

    def __init__(
        self,
        onevizion: OneVizion,
        slack_api: Slack,
        interruption: Interruption,
        wanted: bool,
        scopes: Optional[Set[str]],
    ) -> None:
        """:param wanted: whether the settings ask for files; :param scopes: of the app, None where they are unknown"""
        self._onevizion = onevizion
        self._slack = slack_api
        self._interruption = interruption
        self._wanted = wanted
        self._scope_is_missing = scopes is not None and "files:write" not in scopes
        self._todo: queue.Queue[Tuple[Delivery, int]] = queue.Queue()
        self._threads: List[threading.Thread] = []
        self._said: Set[Tuple[str, str]] = set()
        self._lock = threading.Lock()

    def share(self, delivery: Delivery) -> None:
        """Begin to share the files of a delivered record."""
        if not self._wanted or not delivery.record.blob_ids:
            return
        if self._scope_is_missing:
            self._switch_off()
            return
        for blob_id in delivery.record.blob_ids:
            self._todo.put((delivery, blob_id))
        while len(self._threads) < min(UPLOADS_AT_ONCE, self._todo.unfinished_tasks):
            thread = threading.Thread(target=self._work, name="files", daemon=True)
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        """Wait until everything that was begun has been shared or has failed, for a limited time."""
        give_up_at = time.monotonic() + FILES_WAIT_SECONDS
        while self._todo.unfinished_tasks and time.monotonic() < give_up_at:
            if self._interruption.requested():
                give_up_at = min(give_up_at, time.monotonic() + FINISH_SECONDS)
            time.sleep(FILES_POLL_SECONDS)
        if self._todo.unfinished_tasks:
            self._wanted = False
            LOG.warning("%d file(s) stay links: sharing them took too long", self._todo.unfinished_tasks)

    def _switch_off(self) -> None:
        """Share no more files in this run, since the app lacks the scope for it."""
        self._wanted = False
        if self._is_new("", "files:write"):
            LOG.warning("files stay links in this run: add the scope files:write to the app, and install it again")

    def _work(self) -> None:
        while True:
            delivery, blob_id = self._todo.get()
            if self._wanted:
                self._share(delivery, blob_id)
            self._todo.task_done()

    def _share(self, delivery: Delivery, blob_id: int) -> None:
        name, reason = "file %d" % blob_id, ""
        try:
            if self._interruption.requested():
                raise Failure("the run was interrupted")
            with tempfile.TemporaryFile() as content:
                file = self._onevizion.fetch_file(blob_id, content)
                name = "file %s" % quoted(file.name)
                if file.size_bytes == 0:
                    raise Failure("it is empty, and Slack takes no empty files")
                content.seek(0)
                self._slack.share_file(file, content, delivery.posted[0])
        except Failure as failure:
            if failure.code == "missing_scope":
                self._switch_off()
                return
            not_in_channel = failure.code == "not_in_channel"
            reason = "invite the app to the channel to get files there too" if not_in_channel else str(failure)
        except OSError as error:
            reason = "no room for it in the directory for temporary files (%s)" % error.strerror
        except Exception as error:  # a bug of ours must not end the thread without a word
            LOG.exception("%s: a fault in this module: report it to its developers", delivery)
            reason = "a fault in this module (%s)" % type(error).__name__
        if reason:
            log = LOG if self._is_new(delivery.posted[0].channel_id, reason) else PROGRESS
            log.warning("%s: %s stays a link: %s", delivery, name, reason)
        else:
            PROGRESS.info("%s: %s shared in %s", delivery, name, delivery.channel)

    def _is_new(self, channel: str, reason: str) -> bool:
        """Tell whether this is the first time that the run meets a reason in a channel."""
        with self._lock:
            new = (channel, reason) not in self._said
            self._said.add((channel, reason))
        return new


class DeliveryRun:
    """The rounds of one run: who gets what when, and what becomes of each record.

    One thread decides (the caller's); workers post and save, and leave what they did in `_visits`.
    """

    def __init__(
        self,
        settings: Settings,
        onevizion: OneVizion,
        slack_api: Slack,
        attachments: Attachments,
        interruption: Interruption,
        pool: ThreadPoolExecutor,
    ) -> None:
        """:param pool: of WORKERS threads"""
        self.error = ""  # why the run ends before its work is done
        self.deliveries: List[Delivery] = []
        self.unsaved: Dict[Delivery, NotifQueueStatus] = {}
        self._settings = settings
        self._onevizion = onevizion
        self._slack = slack_api
        self._attachments = attachments
        self._interruption = interruption
        self._pool = pool
        self._recipients = Recipients(onevizion, settings.channel_field, pool)
        self._channels: Dict[str, ChannelQueue] = {}
        self._channel_ids: Dict[str, str] = {}  # what Slack calls the channels that were asked for
        self._known: Set[int] = set()  # ids of all records that the run has met
        self._visited: Set[str] = set()  # the channels, as asked for, that a worker is at
        self._ready_at: Dict[str, float] = {}  # by channel, the time before which nothing is posted there
        self._last_refusal = ("", 0.0)  # the channel, and until when it is closed
        self._pace = WorkspacePace()
        self._visits: queue.Queue[Visit] = queue.Queue()
        self._delivered = 0
        self._lead_seconds = 0.0  # how long it lately took to save SENDING
        self._failures_told = itertools.count(1)

    def run(self, deliveries: List[Delivery]) -> None:
        """Deliver these, and what arrives in the queue meanwhile, in as many rounds as the settings allow."""
        self._known = {delivery.record.id for delivery in deliveries}
        self.deliveries = list(deliveries)
        for round_number in itertools.count(1):
            self._take_along(deliveries)
            self._visit_channels()
            for _ in self._pool.map(self._wind_down, self._unfinished_channels()):
                pass
            again = [delivery for delivery in self.deliveries if self._gets_another_attempt(delivery)]
            if not again or self._ended():
                break
            delay = self._settings.next_attempt_delay
            PROGRESS.info("waiting %g s before the next attempt for %d record(s)", delay, len(again))
            self._interruption.wait(delay)
            if self._ended():
                break
            # Records that keep arriving must not keep the run from ending.
            deliveries = again + (self._arrived() if round_number < self._settings.max_attempts else [])
        self._attachments.finish()
        for _ in self._pool.map(self._save_at_last, list(self.unsaved.items())):
            pass

    def _gets_another_attempt(self, delivery: Delivery) -> bool:
        return delivery.state == PENDING and delivery.attempts < self._settings.max_attempts

    def _ended(self) -> bool:
        return bool(self.error) or self._interruption.requested()

    def _end(self, failure: Failure) -> None:
        """Let the run end for a failure that every other record would meet too; the first one says why."""
        if not self.error:
            self.error = str(failure)
            LOG.error("the run ends here and leaves the rest in the queue: %s", failure)

    def _arrived(self) -> List[Delivery]:
        """Return what is new in the queue."""
        try:
            deliveries = pending_deliveries(self._onevizion.notif_queue(self._settings.service_id), self._known)
        except Failure as failure:
            PROGRESS.warning("what has arrived meanwhile is left to the next run: %s", failure)
            return []
        self.deliveries += deliveries
        return deliveries

    def _take_along(self, deliveries: List[Delivery]) -> None:
        """Find the channels of these records, and put each record behind those of its channel."""
        try:
            self._recipients.read(d.record.user_id for d in deliveries if d.record.user_id is not None)
        except Failure as failure:
            self._end(failure)
        if self._ended():
            return
        undeliverable = []
        for delivery in deliveries:
            try:
                delivery.channel = self._recipients.channel(delivery.record)
            except Failure as failure:
                undeliverable.append((delivery, failure))
            else:
                self._channels.setdefault(delivery.channel, ChannelQueue(delivery.channel)).deliveries.append(delivery)
        for _ in self._pool.map(self._fail_unless_ended, undeliverable):
            pass

    def _fail_unless_ended(self, undeliverable: Tuple[Delivery, Failure]) -> None:
        if not self._ended():
            self._fail(*undeliverable)

    def _unfinished_channels(self) -> List[ChannelQueue]:
        return [channel_queue for channel_queue in self._channels.values() if channel_queue.deliveries]

    # The deciding thread

    def _visit_channels(self) -> None:
        """Hand out the channels to the workers, each when it is ready, until nothing is left or the run has to end."""
        numbers = itertools.count()  # channels that are ready at the same time are visited in the queue's order
        waiting = [(self._due(each), next(numbers), each) for each in self._unfinished_channels()]
        heapq.heapify(waiting)
        look_at, looks = time.monotonic() + LOOK_AGAIN_SECONDS, 0
        while self._visited or (waiting and not self._ended()):
            if time.monotonic() >= look_at and looks < LOOKS_LIMIT and not self._ended():
                at_work = {each.channel for each in self._unfinished_channels()} | self._visited
                self._take_along(self._arrived())
                for each in self._unfinished_channels():
                    if each.channel not in at_work:
                        heapq.heappush(waiting, (self._due(each), next(numbers), each))
                look_at, looks = time.monotonic() + LOOK_AGAIN_SECONDS, looks + 1
            while (
                waiting and len(self._visited) < WORKERS and self._seconds_to_next(waiting) <= 0 and not self._ended()
            ):
                _, number, channel_queue = heapq.heappop(waiting)
                due = self._due(channel_queue)
                if due > time.monotonic():  # another spelling of this channel has turned out to be the same one
                    heapq.heappush(waiting, (due, number, channel_queue))
                    continue
                self._pace.started(time.monotonic())
                self._visited.add(channel_queue.channel)
                self._pool.submit(self._work, channel_queue)
            may_start = waiting and len(self._visited) < WORKERS
            seconds = min(max(self._seconds_to_next(waiting), 0), POLL_SECONDS) if may_start else POLL_SECONDS
            try:
                visit = self._visits.get(timeout=seconds)
            except queue.Empty:
                continue
            self._visited.remove(visit.channel_queue.channel)
            self._take_note(visit)
            if visit.channel_queue.deliveries:
                heapq.heappush(waiting, (self._due(visit.channel_queue), next(numbers), visit.channel_queue))

    def _seconds_to_next(self, waiting: List[Tuple[float, int, ChannelQueue]]) -> float:
        return max(waiting[0][0], self._pace.next_post_at) - time.monotonic()

    def _due(self, channel_queue: ChannelQueue) -> float:
        """Return when to visit a channel: so early before it is ready that SENDING can be saved until then.

        At once, where its first record must not wait so long: then it fails.
        """
        now, channel = time.monotonic(), self._real_channel(channel_queue.channel)
        if any(self._real_channel(other) == channel for other in self._visited):
            return now + POLL_SECONDS
        ready_at, delivery = self._ready_at.get(channel, 0.0), channel_queue.deliveries[0]
        # What a record waits that has begun is counted by _refused.
        allowed = math.inf if delivery.sending else WAIT_LIMIT_SECONDS - delivery.waited_seconds
        channel_queue.closed_too_long = ready_at - now > allowed
        channel_queue.ready_at = ready_at
        return 0.0 if channel_queue.closed_too_long else ready_at - self._lead_seconds

    def _real_channel(self, asked: str) -> str:
        """Return what Slack calls a channel, as far as its answers have told; two spellings may be one channel."""
        return self._channel_ids.get(asked, asked)

    def _take_note(self, visit: Visit) -> None:
        """Draw the consequences of a visit for the channel, for the workspace and for the run."""
        now = time.monotonic()
        asked, delivery = visit.channel_queue.channel, visit.delivery
        if delivery.posted:
            self._channel_ids[asked] = delivery.posted[-1].channel_id
        channel = self._real_channel(asked)
        if visit.post_started_at is not None:
            next_post_at = visit.post_started_at + CHANNEL_INTERVAL_SECONDS
            self._ready_at[channel] = max(self._ready_at.get(channel, 0.0), next_post_at)
        if visit.wait_seconds is not None:
            self._note_refusal(channel, now, visit.wait_seconds)
        elif visit.post_started_at is not None and visit.failure is None:
            self._pace.accepted(now)
        if delivery.state == DELIVERED:
            self._delivered += 1
            PROGRESS.info("[%d/%d] %s delivered to %s", self._delivered, len(self.deliveries), delivery, asked)
            self._attachments.share(delivery)
        if visit.failure is not None and visit.failure.ends_run:
            self._end(visit.failure)

    def _note_refusal(self, channel: str, now: float, wait_seconds: float) -> None:
        closed_until = now + wait_seconds
        self._ready_at[channel] = max(self._ready_at.get(channel, 0.0), closed_until)
        other, other_closed_until = self._last_refusal
        if other != channel and now < other_closed_until:
            self._pace.refused(now)
        self._last_refusal = (channel, closed_until)
        PROGRESS.info("%s: waiting %g s, Slack's rate limit", channel, wait_seconds)

    # The workers

    def _work(self, channel_queue: ChannelQueue) -> None:
        """Visit a channel and report it, whatever happens: the deciding thread counts on that."""
        delivery = channel_queue.deliveries[0]
        visit = Visit(channel_queue, delivery)
        try:
            visit = self._visit(channel_queue, delivery)
        except Exception as error:  # a bug of ours: it costs this record, and the others go on
            delivery.sending = False
            LOG.exception("%s: a fault in this module: report it to its developers", delivery)
            if delivery.state == DELIVERED:
                self.unsaved[delivery] = NotifQueueStatus.SUCCESS
            else:
                self._fail(delivery, Failure("a fault in this module (%s): report it" % type(error).__name__))
        finally:
            if not delivery.sending:
                channel_queue.deliveries.popleft()
            self._visits.put(visit)

    def _visit(self, channel_queue: ChannelQueue, delivery: Delivery) -> Visit:
        """Post the next part of a message; save the record's status before the first part and after the last."""
        visit = Visit(channel_queue, delivery)
        try:
            if channel_queue.closed_too_long:
                raise Failure("Slack's rate limit lasts longer than %d s: %s" % (WAIT_LIMIT_SECONDS, TRY_AGAIN), True)
            delivery.parts = delivery.parts or compose(delivery.record, self._onevizion.url)
            if not delivery.sending:
                failure = self._begin(delivery)
                if failure is not None:
                    return visit._replace(failure=failure)
            part = delivery.parts[len(delivery.posted)]
            numbers = (len(delivery.posted) + 1, len(delivery.parts))
            PROGRESS.debug("%s: part %d of %d for %s\n%s", delivery, *numbers, delivery.channel, part)
            time.sleep(max(0.0, channel_queue.ready_at - time.monotonic()))
            visit = visit._replace(post_started_at=time.monotonic())
            thread_ts = delivery.posted[0].ts if delivery.posted else ""
            delivery.posted.append(self._slack.post(delivery.channel, part, thread_ts))
        except RateLimited as limited:
            return self._refused(visit, limited)
        except Failure as failure:
            channel_queue.refusals_in_a_row = 0
            self._fail(delivery, failure)
            return visit._replace(failure=failure)
        channel_queue.refusals_in_a_row = 0
        if len(delivery.posted) == len(delivery.parts):
            delivery.state = DELIVERED
            self._save(delivery, NotifQueueStatus.SUCCESS)
            delivery.sending = False
        return visit

    def _begin(self, delivery: Delivery) -> Optional[Failure]:
        """Save SENDING, or return why that failed: then the record is not posted, as nothing would show that it was."""
        started_at = time.monotonic()
        try:
            self._onevizion.save_status(delivery.record.id, NotifQueueStatus.SENDING)
        except Failure as failure:
            if failure.may_pass:
                # The answer may have been lost on its way, and the status saved: the end of the run puts it back.
                fresh = delivery.record.status == NotifQueueStatus.NOT_SENT.name and not delivery.attempts
                self.unsaved[delivery] = NotifQueueStatus.NOT_SENT if fresh else NotifQueueStatus.FAIL_WILL_RETRY
            delivery.attempts += 1
            if not failure.ends_run:
                self._tell(delivery, "not posted, since %s" % failure)
            return failure
        self._lead_seconds = min(time.monotonic() - started_at, LEAD_LIMIT_SECONDS)
        self.unsaved.pop(delivery, None)
        delivery.sending = True
        return None

    def _refused(self, visit: Visit, limited: RateLimited) -> Visit:
        """Let the channel wait, or the attempt fail where the record would have to wait too long in all."""
        channel_queue, delivery = visit.channel_queue, visit.delivery
        growing = WAIT_WITHOUT_HEADER_SECONDS * 2 ** min(channel_queue.refusals_in_a_row, WAIT_DOUBLINGS)
        seconds = growing if limited.seconds is None else limited.seconds
        channel_queue.refusals_in_a_row += 1
        if delivery.waited_seconds + seconds > WAIT_LIMIT_SECONDS:
            text = "Slack's rate limit lasts longer than %d s: %s" % (WAIT_LIMIT_SECONDS, TRY_AGAIN)
            self._fail(delivery, Failure(text, may_pass=True))
        delivery.waited_seconds += max(seconds, CHANNEL_INTERVAL_SECONDS)
        return visit._replace(wait_seconds=seconds)

    def _fail(self, delivery: Delivery, failure: Failure) -> None:
        """Record a failed attempt, and save whether another one follows."""
        delivery.attempts += 1
        again = failure.ends_run or (failure.may_pass and self._gets_another_attempt(delivery))
        part = " (part %d of %d)" % (len(delivery.posted) + 1, len(delivery.parts)) if delivery.posted else ""
        text = redacted("%s: %s%s" % (delivery, failure, part), self._settings.secrets())
        try:
            self._onevizion.add_attempt(delivery.record.id, text)
        except Failure as unrecorded:
            PROGRESS.warning("%s: %s", delivery, unrecorded)
        if not again:
            delivery.state = FAILED
        self._save(delivery, NotifQueueStatus.FAIL_WILL_RETRY if again else NotifQueueStatus.FAIL)
        delivery.sending = False
        if not failure.ends_run:
            self._tell(delivery, "%s%s" % (failure, part))

    def _tell(self, delivery: Delivery, text: str) -> None:
        """Say why a record was not sent: on the console at every attempt, in the integration log after the last."""
        if self._gets_another_attempt(delivery):
            PROGRESS.warning("%s: %s; another attempt follows", delivery, text)
            return
        number = next(self._failures_told)
        (LOG if number <= FAILURE_ENTRIES else PROGRESS).error("%s: %s", delivery, text)
        if number == FAILURE_ENTRIES + 1:
            LOG.warning("more than %d records failed: see the summary for the others", FAILURE_ENTRIES)

    def _save(self, delivery: Delivery, status: NotifQueueStatus) -> None:
        """Save a status after the attempt; what OneVizion does not take now is tried again at the end of the run."""
        try:
            self._onevizion.save_status(delivery.record.id, status)
        except Failure as failure:
            self.unsaved[delivery] = status
            PROGRESS.warning("%s: %s; this is tried again at the end of the run", delivery, failure)
        else:
            self.unsaved.pop(delivery, None)

    def _save_at_last(self, unsaved: Tuple[Delivery, NotifQueueStatus]) -> None:
        delivery, status = unsaved
        try:
            self._onevizion.save_status(delivery.record.id, status)
        except Failure as failure:
            if delivery.state == DELIVERED:
                text = "%s: delivered, status not saved: set it to SUCCESS, or the next run sends it again (%s)"
                LOG.error(text, delivery, failure)
            else:
                LOG.error("%s: status %s not saved, the next run tries it again (%s)", delivery, status.name, failure)
        else:
            del self.unsaved[delivery]

    def _wind_down(self, channel_queue: ChannelQueue) -> None:
        """Leave no record of this channel in SENDING, now that the run has to end.

        A long message that has begun is finished, without the pause between its parts, as far as that goes quickly. A
        record that was waiting for the rate limit goes back to the queue.
        """
        delivery = channel_queue.deliveries[0]
        finish_by = time.monotonic() + FINISH_SECONDS
        if channel_queue.refusals_in_a_row:
            finish_by = 0.0
        channel_queue.ready_at = 0.0
        while delivery.sending and delivery.posted and not self.error and time.monotonic() < finish_by:
            visit = self._visit(channel_queue, delivery)
            if delivery.state == DELIVERED:
                self._attachments.share(delivery)
            if visit.wait_seconds is not None:
                break
        if delivery.sending:
            if delivery.posted:
                text = "%s: %d of %d parts were posted before the run had to end; the next run sends all of them"
                LOG.warning(text, delivery, len(delivery.posted), len(delivery.parts))
            self._save(delivery, NotifQueueStatus.FAIL_WILL_RETRY)
            delivery.sending = False


def read_queue(onevizion: OneVizion, service_id: int) -> List[Any]:
    """Return the records of the Notif Queue as JSON values.

    :raises RunError: OneVizion refuses or is out of reach, or what it sent is no list of records
    """
    try:
        records = onevizion.notif_queue(service_id)
    except Failure as failure:
        raise RunError(str(failure)) from failure
    if records and all(read_record(raw) is None for raw in records):
        raise RunError(PAGE_INSTEAD % ("read the Notif Queue of service %d" % service_id))
    return records


def ask_identity(slack_api: Slack) -> Identity:
    """Return who the token belongs to, before any record is touched: a dead token must leave the queue as it is.

    :raises RunError: Slack refuses the token, or does not answer, or the app may not post
    """
    try:
        identity = slack_api.identity()
    except Failure as failure:
        raise RunError(str(failure)) from failure
    if identity.scopes is not None and "chat:write" not in identity.scopes:
        raise RunError(str(slack_failure("missing_scope", "", "chat:write")))
    return identity


def deliver_queue(settings: Settings, onevizion: OneVizion, interruption: Interruption) -> int:
    """Deliver what is pending, and return the exit status.

    :raises RunError: before anything was done to the queue
    """
    started_at = time.monotonic()
    LOG.info("Slack-notification %s started", VERSION)
    records = read_queue(onevizion, settings.service_id)
    nameless = sum(1 for raw in records if read_record(raw) is None)
    if nameless:
        LOG.error("%d record(s) without notifQueueId cannot be delivered: report this to OneVizion's support", nameless)
    deliveries = pending_deliveries(records, set())
    error, unsaved = "", []
    try:
        if deliveries and not interruption.requested():
            LOG.info("%d record(s) pending for service %d", len(deliveries), settings.service_id)
            slack_api = Slack(settings, interruption)
            scopes = ask_identity(slack_api).scopes
            attachments = Attachments(onevizion, slack_api, interruption, settings.upload_attachments, scopes)
            with ThreadPoolExecutor(WORKERS, thread_name_prefix="worker") as pool:
                run = DeliveryRun(settings, onevizion, slack_api, attachments, interruption, pool)
                run.run(deliveries)
            deliveries, error, unsaved = run.deliveries, run.error, list(run.unsaved)
    finally:
        how = "interrupted: " if interruption.requested() else ""
        how = how or ("" if deliveries else "nothing is pending for service %d: " % settings.service_id)
        summarize(how, deliveries, unsaved, time.monotonic() - started_at)
    if interruption.requested():
        return EXIT_SIGNAL_BASE + interruption.signal_number
    if error:
        return EXIT_CANNOT_WORK
    everything = all(delivery.state == DELIVERED for delivery in deliveries) and not unsaved and not nameless
    return EXIT_DELIVERED if everything else EXIT_NOT_ALL_DELIVERED


def summarize(how: str, deliveries: Sequence[Delivery], unsaved: Sequence[Delivery], seconds: float) -> None:
    """Log the line at the end of a run, with the ids of what was not delivered as its details.

    :param how: how the line begins: "interrupted: ", or ""
    """
    by_state = {state: [d for d in deliveries if d.state == state] for state in (DELIVERED, FAILED, PENDING)}
    listed = (("failed", by_state[FAILED]), ("left pending", by_state[PENDING]), ("status not saved", list(unsaved)))
    LOG.info(
        "%sdelivered %d, failed %d, left pending %d in %.1f s",
        how,
        len(by_state[DELIVERED]),
        len(by_state[FAILED]),
        len(by_state[PENDING]),
        seconds,
        extra={"details": ["%s: %s" % (title, listing(some)) for title, some in listed if some]},
    )


LOCK_FILE = ".slack-notification.lock"


@contextlib.contextmanager
def only_run_here() -> Iterator[bool]:
    """Hold this directory's lock; yield False where another run holds it. The system drops the lock of a dead run."""
    lock = filelock.FileLock(LOCK_FILE)
    alone = True
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        alone = False
    except (OSError, NotImplementedError) as error:
        text = "the file %s cannot be made (%s): two runs at once would not notice each other, and send twice"
        LOG.warning(text, LOCK_FILE, getattr(error, "strerror", None) or type(error).__name__)
    try:
        yield alone
    finally:
        lock.release()


# ---- What an admin can try -------------------------------------------------------------------------------------------

CHECKED_RECORDS = 10
SCOPES = {
    "chat:write": "without it the app cannot post",
    "chat:write.public": "without it the app has to be invited to public channels too",
    "files:write": "without it attachments stay links",
}
ONEVIZION_KEYS = ("ovUrl", "ovAccessKey", "ovSecretKey", "serviceId")
SLACK_KEYS = ("slackBotToken", "slackUrl")
# Stand in for settings that are not valid, so that the others can be tried; what needs them is not.
FILLERS = {key: 0 if key == "serviceId" else "-" for key in ONEVIZION_KEYS + SLACK_KEYS + ("channelField",)}


class Checklist:
    """Prints a line for each link of the chain, and remembers whether one is broken."""

    def __init__(self, say_line: Callable[[str], None]) -> None:
        self._say = say_line
        self.broken = False

    def works(self, name: str, text: str) -> None:
        """Print that a link holds."""
        self._say("[ ok ] %s: %s" % (name, text))

    def warns(self, name: str, text: str) -> None:
        """Print something that breaks nothing, and is hardly meant."""
        self._say("[warn] %s: %s" % (name, text))

    def fails(self, name: str, text: str) -> None:
        """Print that a link is broken, and what to do."""
        self.broken = True
        self._say("[FAIL] %s: %s" % (name, text))

    def skips(self, name: str, text: str) -> None:
        """Print that a link could not be checked, and why."""
        self._say("[ -- ] %s: not checked, %s" % (name, text))


def check(interruption: Interruption, logs: Logs) -> int:
    """Go through the chain from the settings to Slack, print a line for each link, and return the exit status.

    Changes nothing and sends nothing.

    :param logs: keeps secrets out of what is printed
    """
    checklist = Checklist(logs.say)
    try:
        values, schema = read_json_object(SETTINGS_FILE), read_json_object(SCHEMA_FILE)
    except RunError as error:
        checklist.fails("settings", str(error))
        for name in ("OneVizion", "recipients", "Slack", "scopes"):
            checklist.skips(name, "the settings come first")
        return EXIT_CANNOT_WORK
    problems = settings_problems(values, schema)
    for problem in problems.values():
        checklist.fails("settings", problem)
    for warning in unknown_keys(values, schema):
        checklist.warns("settings", warning)
    if not problems:
        checklist.works("settings", "%s is valid" % SETTINGS_FILE)
    usable = {key: value for key, value in values.items() if key not in problems}
    settings = make_settings({**FILLERS, **usable}, schema)
    logs.hide([secret for secret in settings.secrets() if secret != FILLERS["slackBotToken"]])
    check_onevizion(checklist, settings, problems, interruption)
    check_slack(checklist, settings, problems, interruption)
    return EXIT_CANNOT_WORK if checklist.broken else EXIT_DELIVERED


def check_onevizion(
    checklist: Checklist, settings: Settings, problems: Dict[str, str], interruption: Interruption
) -> None:
    """Check the links on OneVizion's side. `problems` are the keys of the settings that cannot be used."""
    wrong = [key for key in ONEVIZION_KEYS if key in problems]
    if wrong:
        checklist.skips("OneVizion", "it needs %s" % ", ".join(wrong))
        checklist.skips("recipients", "they need OneVizion")
        return
    onevizion = OneVizion(settings, interruption)
    try:
        deliveries = pending_deliveries(read_queue(onevizion, settings.service_id), set())
    except RunError as error:
        checklist.fails("OneVizion", str(error))
        checklist.skips("recipients", "they need OneVizion")
        return
    text = "%s answers and takes the credentials; %d record(s) pending for service %d"
    checklist.works("OneVizion", text % (settings.ov_url, len(deliveries), settings.service_id))
    if "channelField" in problems:
        checklist.skips("recipients", "they need channelField")
    elif not deliveries:
        checklist.skips("recipients", "nothing is pending, and so no user is known")
    else:
        check_recipients(checklist, settings, onevizion, deliveries[:CHECKED_RECORDS])


def check_recipients(
    checklist: Checklist, settings: Settings, onevizion: OneVizion, deliveries: Sequence[Delivery]
) -> None:
    """Check that the users of these records and their channels can be read."""
    found, missing = [], []
    with ThreadPoolExecutor(WORKERS) as pool:
        recipients = Recipients(onevizion, settings.channel_field, pool)
        try:
            recipients.read(d.record.user_id for d in deliveries if d.record.user_id is not None)
        except Failure as failure:
            checklist.fails("recipients", str(failure))
            return
    for delivery in deliveries:
        try:
            found.append(recipients.channel(delivery.record))
        except Failure as failure:
            if failure.may_pass:
                checklist.fails("recipients", str(failure))
                return
            missing.append("%s: %s" % (delivery, failure))
    text = "%d of %d record(s) looked at have a channel in %s" % (len(found), len(deliveries), settings.channel_field)
    checklist.works("recipients", "; ".join([text] + missing))


def check_slack(checklist: Checklist, settings: Settings, problems: Dict[str, str], interruption: Interruption) -> None:
    """Check the links on Slack's side. `problems` are the keys of the settings that cannot be used."""
    wrong = [key for key in SLACK_KEYS if key in problems]
    if wrong:
        checklist.skips("Slack", "it needs %s" % ", ".join(wrong))
        checklist.skips("scopes", "they need Slack")
        return
    try:
        identity = Slack(settings, interruption).identity()
    except Failure as failure:
        checklist.fails("Slack", str(failure))
        checklist.skips("scopes", "they need Slack")
        return
    checklist.works("Slack", "the token is valid: %s in %s" % (quoted(identity.bot), quoted(identity.workspace)))
    needed = [scope for scope in SCOPES if scope != "files:write" or settings.upload_attachments]
    if identity.scopes is None:
        checklist.skips("scopes", "Slack does not say which the app has")
        return
    missing = [scope for scope in needed if scope not in identity.scopes]
    if missing:
        lacks = "; ".join("%s (%s)" % (scope, SCOPES[scope]) for scope in missing)
        where = "add it under OAuth & Permissions of the app, and install it again"
        checklist.fails("scopes", "missing %s: %s" % (lacks, where))
    else:
        checklist.works("scopes", ", ".join(needed))


DRY_RUN_END = (
    "%d of %d record(s) pending for service %d have a channel and a message; whether Slack takes them was not asked. "
    "Nothing was sent, and nothing was changed."
)


def dry_run(settings: Settings, onevizion: OneVizion, say_line: Callable[[str], None]) -> int:
    """Print what a run would send and to which channel; return the exit status. Changes nothing.

    :raises RunError: OneVizion refuses or is out of reach
    """
    deliveries = pending_deliveries(read_queue(onevizion, settings.service_id), set())
    with ThreadPoolExecutor(WORKERS) as pool:
        recipients = Recipients(onevizion, settings.channel_field, pool)
        try:
            recipients.read(d.record.user_id for d in deliveries if d.record.user_id is not None)
        except Failure as failure:
            raise RunError(str(failure)) from failure
    sendable = 0
    for delivery in deliveries:
        try:
            channel = recipients.channel(delivery.record)
        except Failure as failure:
            say_line("%s cannot be sent: %s" % (delivery, failure))
            continue
        sendable += 1
        parts = compose(delivery.record, settings.ov_url)
        for number, part in enumerate(parts, 1):
            say_line(
                "%s to %s%s:" % (delivery, channel, ", part %d of %d" % (number, len(parts)) if len(parts) > 1 else "")
            )
            say_line("    " + part.replace("\n", "\n    "))
    say_line(DRY_RUN_END % (sendable, len(deliveries), settings.service_id))
    return EXIT_DELIVERED if sendable == len(deliveries) else EXIT_NOT_ALL_DELIVERED


def send_test(typed: str, settings: Settings, slack_api: Slack, say_line: Callable[[str], None]) -> int:
    """Post a short message to a channel, typed as in the field; print where it arrived; return the exit status."""
    text = "Test message of Slack-notification %s: the app may write here.\n%s"
    try:
        channel = channel_from_field(typed)
        posted = slack_api.post(
            channel, text % (VERSION, link(settings.ov_url, urlsplit(settings.ov_url).hostname or settings.ov_url))
        )
    except (Failure, RateLimited) as failure:
        say_line("Not posted: %s" % failure)
        return EXIT_CANNOT_WORK if getattr(failure, "ends_run", False) else EXIT_NOT_ALL_DELIVERED
    say_line("Posted to %s: it arrived in the channel %s." % (channel, posted.channel_id))
    return EXIT_DELIVERED


# ---- The program -----------------------------------------------------------------------------------------------------


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options `check`, `dry_run` and `send_test` (None or a channel).

    :raises SystemExit: status 2 and the usage for anything unknown, 0 for --help and --version
    """
    parser = argparse.ArgumentParser(
        prog="module.py",
        description="Deliver the pending notifications of one OneVizion Notification Service to Slack.",
        epilog="Settings are read from settings.json in the current directory. "
        "Exit status: 0 everything was delivered, 1 something was not, 2 the run could not do its work.",
        allow_abbrev=False,
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="check everything from the settings to Slack; send nothing")
    modes.add_argument("--dry-run", action="store_true", help="print what would be sent; send and change nothing")
    modes.add_argument("--send-test", metavar="CHANNEL", help="post a test message to a channel; touch no queue")
    parser.add_argument("--version", action="version", version="Slack-notification %s" % VERSION)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str], interruption: Optional[Interruption] = None) -> int:
    """Run the program and return its exit status.

    :param arguments: the command line, without the program's name
    :param interruption: what ends the run early
    """
    options = parse_arguments(arguments)
    interruption = interruption or Interruption()
    delivering = not (options.check or options.dry_run or options.send_test is not None)
    if delivering:  # in the other modes nothing is at stake, and Ctrl-C ends the program at once
        interruption.listen()
    with Logs(read_platform() if delivering else Platform()) as logs:
        try:
            if options.check:
                return check(interruption, logs)
            settings = load_settings()
            logs.hide(settings.secrets())
            if options.send_test is not None:
                return send_test(options.send_test, settings, Slack(settings, interruption), logs.say)
            onevizion = OneVizion(settings, interruption)
            if options.dry_run:
                return dry_run(settings, onevizion, logs.say)
            logs.connect(onevizion.add_log_entry)
            with only_run_here() as alone:
                if alone:
                    return deliver_queue(settings, onevizion, interruption)
                LOG.info("another run is in progress in this directory: nothing was done")
                return EXIT_DELIVERED
        except RunError as error:
            LOG.error(str(error), extra={"details": error.details})
        except Exception:  # a bug of ours: its traceback belongs into the log, where no secret gets through
            LOG.exception("a fault in this module: report it to its developers")
        return EXIT_SIGNAL_BASE + interruption.signal_number if interruption.requested() else EXIT_CANNOT_WORK


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
