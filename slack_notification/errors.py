"""What can go wrong, as values: one exception for a call or a record, one for the run; and how to show foreign text."""

import logging
import math
import re
from typing import Any, Optional

EXIT_DELIVERED = 0
EXIT_NOT_ALL_DELIVERED = 1
EXIT_CANNOT_WORK = 2
EXIT_SIGNAL_BASE = 128

LOG = logging.getLogger("slack-notification")
# What happens to each single record. The console shows it; the integration log, where every entry is a call that costs
# OneVizion something, takes it at level Debug only.
PROGRESS = logging.getLogger("slack-notification.progress")

RATE_LIMITED = "ratelimited"
LONGEST_WAIT_SECONDS = 7 * 24 * 3600.0  # what a service wants beyond that is a mistake, and no date for people
QUOTED_CHARACTERS = 80  # enough to recognise a channel or a name, little enough for a line of log


class RunError(Exception):
    """The run cannot do its work. `str()` tells an admin what to repair, in one line or more."""


class Failure(Exception):
    """Something that was asked of a service, or is needed of a record, did not work.

    `str()` is the text for people, without the record's number: what to do, then what happened.
    `retryable`: another attempt may work. `ends_run`: every other record would fail the same way. `code`: Slack's error
    code, or the HTTP status, where there was one; RATE_LIMITED: Slack did nothing, and that is no failed attempt.
    `wait_seconds`: the service wants to be asked again after so long; 0 where it did not say.
    """

    def __init__(
        self, text: str, retryable: bool = False, ends_run: bool = False, code: str = "", wait_seconds: float = 0.0
    ) -> None:
        super().__init__(text)
        self.retryable, self.ends_run = retryable, ends_run
        self.code, self.wait_seconds = code, wait_seconds


def quoted(value: Any) -> str:
    """Return a value that came from outside as a piece of one line of log: printable, short, in quotes."""
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return "'%s'" % clipped(text, QUOTED_CHARACTERS)


def clipped(text: str, characters: int) -> str:
    """Return a text that is at most so long, with an ellipsis where something is missing."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def whole_number(value: Any) -> Optional[int]:
    """Return a number that JSON gave as a number or as digits; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return int(value) if isinstance(value, str) and re.match(r"[0-9]{1,18}\Z", value) else None


def retry_after_seconds(header: Optional[str]) -> float:
    """Return the seconds that a Retry-After header asks for, within reason; 0 where it asks for none."""
    try:
        seconds = float(header or 0)
    except ValueError:
        return 0.0
    return min(seconds, LONGEST_WAIT_SECONDS) if 0 < seconds < math.inf else 0.0
