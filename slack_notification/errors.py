"""What can go wrong, as values; and how a run is interrupted."""

import logging
import math
import re
import signal
import socket
import threading
from typing import Any, List, Optional, Sequence

EXIT_DELIVERED = 0
EXIT_NOT_ALL_DELIVERED = 1
EXIT_CANNOT_WORK = 2
EXIT_SIGNAL_BASE = 128

LOG = logging.getLogger("slack-notification")
# What happens to each single record. The console shows it; the integration log, where every entry is a call that costs
# OneVizion something, takes it at level Debug only.
PROGRESS = logging.getLogger("slack-notification.progress")


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
