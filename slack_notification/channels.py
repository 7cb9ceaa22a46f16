"""Where records go: one record on its way, the channels with what waits for them, and the pace of the workspace."""

from collections import deque
from typing import Any, Deque, List, Optional, Tuple

from onevizion import NotifQueueStatus

from .errors import Failure
from .journal import Begun
from .message import Part
from .records import Record


class Channel:
    """Where records go: what Slack is asked for, and the records that wait."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.id = asked  # until Slack has said it
        self.waiting: List[Delivery] = []
        self.under_way: List[int] = []  # positions of its records: several only where two spellings became one
        self.served: Any = None  # the task that delivers them
        self.ready_at = 0.0  # of the loop's time; nothing is posted before, and nothing in this run at math.inf
        self.waited_seconds = 0.0  # for rate limits, since the last post that was accepted
        self.failure: Optional[Failure] = None  # why nothing can be posted there

    def take_over(self, other: "Channel") -> None:
        """Make what waits in another spelling of this channel wait here, in the queue's order."""
        self.waiting = sorted(self.waiting + other.waiting, key=lambda each: each.position)
        other.waiting = []
        self.under_way += other.under_way
        self.ready_at = max(self.ready_at, other.ready_at)


class Delivery:
    """One record on its way through the run."""

    def __init__(self, record: Record, begun: Begun) -> None:
        self.record = record
        self.begun = begun  # what is posted of it, and where
        self.recipient = ""
        self.channel = Channel("")  # nowhere, until the recipient's is known
        self.position = 0  # in the channel's queue
        self.parts: List[Part] = []
        self.rest = ""  # what goes on in a file behind the last part
        self.attempts = 0
        # What OneVizion has to show at the end of the run, and whether something else may stand there.
        fresh = record.status == NotifQueueStatus.NOT_SENT.name and not begun.posted
        self.status = NotifQueueStatus.NOT_SENT if fresh else NotifQueueStatus.FAIL_WILL_RETRY
        self.unsaved = False

    def __str__(self) -> str:
        return "record %d" % self.record.id + (" for %s" % self.recipient if self.recipient else "")

    def is_next(self) -> bool:
        """Tell whether no record before it is under way in its channel."""
        return self.position == min(self.channel.under_way)


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
            recent = sum(at >= now - self.WINDOW_SECONDS for at in self._accepted)
            self._interval = min(self.WINDOW_SECONDS / max(1, recent), self.SLOWEST_INTERVAL_SECONDS)
