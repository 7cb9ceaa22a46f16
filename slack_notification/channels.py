"""Where records go: one record on its way, the channels with what waits for them, and the pace of the workspace."""

from collections import deque
from typing import Deque, List, Optional, Tuple

from onevizion import NotifQueueStatus

from .errors import Failure
from .journal import digest
from .message import Part
from .pending import Pending
from .slack_api import Posted

PENDING, DELIVERED, FAILED = "pending", "delivered", "failed"


class Channel:
    """Where records go: what Slack was asked for, its ID as soon as Slack has said it, and the records that wait."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.id = ""
        self.waiting: Deque[Delivery] = deque()
        self.ready_at = 0.0  # of the loop's time; nothing is posted before
        self.under_way: List[int] = []  # positions of its records: several only where two spellings became one
        self.refusals_in_a_row = 0
        self.waited_seconds = 0.0  # for rate limits, since the last post that was accepted
        self.closed = False  # for longer than this run waits
        self.failure: Optional[Failure] = None  # why nothing can be posted there

    def take_waiting(self) -> "List[Delivery]":
        """Return what waits, and let nothing wait any more."""
        waiting, self.waiting = list(self.waiting), deque()
        return waiting

    def take_over(self, other: "Channel") -> None:
        """Make what waits in another spelling of this channel wait here, in the queue's order."""
        self.waiting = deque(sorted(self.take_waiting() + other.take_waiting(), key=lambda each: each.position))
        self.ready_at = max(self.ready_at, other.ready_at)
        self.under_way += other.under_way


class Delivery:
    """One record on its way through the run."""

    def __init__(self, pending: Pending, position: int) -> None:
        self.record = pending.record
        self.begun = pending.begun
        self.position = position  # in the queue's order
        self.recipient = ""
        self.channel = Channel("")  # nowhere, until the recipient's is known
        self.parts: List[Part] = []
        self.rest = ""  # what goes on in a file behind the last part
        self.posted = 0  # parts
        self.thread: Optional[Posted] = None
        self.attempts = 0
        self.state = PENDING  # then DELIVERED or FAILED

    def __str__(self) -> str:
        return "record %d" % self.record.id + (" for %s" % self.recipient if self.recipient else "")

    def is_next(self) -> bool:
        """Tell whether no record before it is under way in its channel."""
        return self.position == min(self.channel.under_way)

    def journal_row(self) -> Tuple[int, str, str, int, int, str]:
        """Return what Journal.note_posted takes of a record of which a part is posted."""
        assert self.thread is not None
        done = self.parts[: self.posted]
        return self.record.id, self.thread.channel_id, self.thread.ts, len(done), len(self.parts), digest(done)

    def put_back_status(self) -> NotifQueueStatus:
        """Return the status that the record had, or the one of a record that was tried."""
        fresh = self.record.status == NotifQueueStatus.NOT_SENT.name and not self.attempts and not self.posted
        return NotifQueueStatus.NOT_SENT if fresh else NotifQueueStatus.FAIL_WILL_RETRY


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
        self._accepted: Deque[float] = deque(maxlen=1000)
        self._next_post_at = 0.0
        self._last_refusal: Tuple[Optional[Channel], float] = (None, 0.0)  # and until when the channel is closed

    def reserve(self, now: float) -> float:
        """Return when the next post may begin, and take that time."""
        at = max(now, self._next_post_at)
        self._next_post_at = at + self._interval
        return at

    def accepted(self, now: float) -> None:
        """Take note that Slack took a post."""
        self._accepted.append(now)
        self._interval *= self.RECOVERY

    def refused(self, now: float, channel: Channel, seconds: float) -> None:
        """Take note that Slack refused a post for so many seconds."""
        other, closed_until = self._last_refusal
        self._last_refusal = (channel, now + seconds)
        if other is not channel and now < closed_until:
            while self._accepted and self._accepted[0] < now - self.WINDOW_SECONDS:
                self._accepted.popleft()
            self._interval = min(self.WINDOW_SECONDS / max(1, len(self._accepted)), self.SLOWEST_INTERVAL_SECONDS)
