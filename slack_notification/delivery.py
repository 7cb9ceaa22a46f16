"""The way of the records through a run."""

import contextlib
import heapq
import itertools
import math
import queue
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import filelock
from onevizion import NotifQueueStatus

from . import VERSION
from .errors import (
    EXIT_CANNOT_WORK,
    EXIT_DELIVERED,
    EXIT_NOT_ALL_DELIVERED,
    EXIT_SIGNAL_BASE,
    LOG,
    PROGRESS,
    Failure,
    Interruption,
    RateLimited,
    RunError,
    quoted,
)
from .integration_log import redacted
from .message import attachment_link, body_mrkdwn, message_parts
from .onevizion_api import PAGE_INSTEAD, UPLOADS_AT_ONCE, WORKERS, OneVizion, Record, read_record
from .recipients import Recipients
from .settings import Settings
from .slack_api import TRY_AGAIN, Identity, Posted, Slack, slack_failure

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
