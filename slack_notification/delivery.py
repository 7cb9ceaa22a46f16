"""The way of a record: who gets what when, and what becomes of each record. One thread decides, the event loop's."""

import asyncio
import functools
import time
from typing import Awaitable, Callable, Dict, List, Sequence, Set, Tuple

from onevizion import NotifQueueStatus

from .calls import CALL_LIMIT_SECONDS
from .channels import DELIVERED, Channel, Delivery, WorkspacePace
from .errors import LOG, PROGRESS, RATE_LIMITED, Failure
from .journal import Journal, digest
from .message import Part, compose
from .onevizion_api import OneVizion
from .outcomes import Outcomes, progress
from .pending import Pending, choose, warn_of_cut_off
from .recipients import Recipients
from .settings import Settings
from .slack_api import Posted, Slack
from .slack_errors import OUTAGE_ERRORS, is_of_channel
from .workers import Workers

# Slack's documents: one message a second per channel, "short bursts pass", no guarantee. Counted from start of post to
# start of post, and a little more, since the second may be faster on its way to Slack than the first.
CHANNEL_INTERVAL_SECONDS = 1.02
LEAD_SECONDS = 0.2  # SENDING is saved so long before the channel's turn, which is what it takes, and not earlier
TURN_SECONDS = 0.01  # until a record looks again whether one before it in the queue has gone first
WAIT_LIMIT_SECONDS = 600.0  # what a run waits in a row for a channel that Slack has closed
WAIT_WITHOUT_HEADER_SECONDS = 1.0  # doubled with each refusal in a row
WAIT_DOUBLINGS = 6  # at most: a minute
# How soon what arrives meanwhile is seen; and how many looks there are, an hour's, so that a run comes to its end.
LOOK_AGAIN_SECONDS = 15.0
LOOKS_LIMIT = 240
# So much that failed without a success between means that Slack is out of order: three posts in two or more channels,
# or ten records in one. A single record or channel may fail for reasons of its own.
OUTAGE_POSTS = 3
OUTAGE_RECORDS = 10
COMPOSE_LIMIT_SECONDS = 60  # a mail that takes longer is a bug, which must not hold the run
STALL_SECONDS = 900.0  # a run in which no call comes to an end for so long is stuck: longer than any wait above


class Postponed(Exception):
    """This run does not get to a record any more; the next one does."""


class DeliveryRun:
    """The records of one run: a coroutine for each channel, and calls in threads that only return values."""

    def __init__(
        self,
        settings: Settings,
        onevizion: OneVizion,
        slack_api: Slack,
        journal: Journal,
        workers: Workers,
        share: Callable[[Delivery], None],
        finish_files: Callable[[], Awaitable[None]],
    ) -> None:
        """:param share: begins to share the files of a delivered record; :param finish_files: waits for them"""
        self.deliveries: List[Delivery] = []
        self.workers = workers
        self.outcomes = Outcomes(settings, onevizion, journal, workers)
        self._settings = settings
        self._onevizion = onevizion
        self._slack = slack_api
        self._journal = journal
        self._share = share
        self._finish_files = finish_files
        self._recipients = Recipients(onevizion, settings.channel_field)
        self._channels: Dict[str, Channel] = {}  # by what was asked for, and by ID
        self._served: Set[Channel] = set()  # those that a coroutine delivers to
        self._idle: asyncio.Future[None] = self.workers.loop.create_future()  # done when none is served any more
        self._pace = WorkspacePace()
        self._delivered = 0
        self._failed_in_a_row: List[Delivery] = []  # posts that failed since Slack last took one
        # The same with their times, until Slack takes a post that was begun later: one begun earlier proves nothing.
        self._failed_lately: List[Tuple[float, Delivery]] = []
        self._outage: List[Delivery] = []  # what had failed lately when so many failures in a row ended the run

    def run(self, pending: Sequence[Pending]) -> None:
        """Deliver these, and what arrives in the queue meanwhile, in as many attempts as the settings allow."""
        self.workers.run(self._run(self._add(pending)))

    async def _run(self, deliveries: List[Delivery]) -> None:
        await self._take(deliveries)
        look_at, looks = self.workers.loop.time() + LOOK_AGAIN_SECONDS, 0
        while not self.workers.ends() and (self._served or self.outcomes.later):
            due = min([look_at] + [due for due, _ in self.outcomes.later])
            busy = [self._idle] if self._served else []
            await self.workers.wait(due - self.workers.loop.time(), *busy)
            now = self.workers.loop.time()
            again = [delivery for due, delivery in self.outcomes.later if due <= now]
            self.outcomes.later = [(due, delivery) for due, delivery in self.outcomes.later if due > now]
            if now >= look_at:
                if looks < LOOKS_LIMIT and not self.workers.ends():
                    again += await self._arrived()
                    looks += 1
                look_at = self.workers.loop.time() + LOOK_AGAIN_SECONDS
            await self._take(again)
            if time.monotonic() - self.workers.answered_at > STALL_SECONDS:
                text = "no call to OneVizion or Slack has ended for %d minutes"
                self.workers.end(Failure(text % (STALL_SECONDS / 60)))
        if self._served:
            await asyncio.wait([self._idle], timeout=2 * CALL_LIMIT_SECONDS)
        await self._finish_files()
        await self.outcomes.save_at_last(self._outage)

    def _add(self, pending: Sequence[Pending]) -> List[Delivery]:
        deliveries = [Delivery(each, len(self.deliveries) + number) for number, each in enumerate(pending)]
        self.deliveries += deliveries
        return deliveries

    async def _arrived(self) -> List[Delivery]:
        """Return what is new in the queue."""
        try:
            records = await self.workers.in_worker(self._onevizion.notif_queue, self._settings.service_id)
        except Failure as failure:
            PROGRESS.warning("records that came in during this run go out with the next one: %s", failure)
            return []
        known = {delivery.record.id for delivery in self.deliveries}
        pending = choose(records, known, self._journal.begun())
        warn_of_cut_off(pending, set())
        return self._add(pending)

    async def _take(self, deliveries: List[Delivery]) -> None:
        """Find the channels of these records, and put each record behind those of its channel."""
        if not deliveries:
            return
        try:
            await self.workers.call(self._recipients.read, [delivery.record for delivery in deliveries])
        except Failure as failure:
            self.workers.end(failure)
        if self.workers.ends():
            return
        refused: Dict[Tuple[str, str], Tuple[List[Delivery], Failure]] = {}
        for delivery in deliveries:
            delivery.recipient = self._recipients.name(delivery.record)
            try:
                if not delivery.channel.asked:  # another attempt is made where the first one was
                    delivery.channel = self._channel(self._recipients.channel(delivery.record))
                channel = delivery.channel
                if channel.failure is not None:
                    raise channel.failure
            except Failure as failure:
                refused.setdefault((delivery.recipient, str(failure)), ([], failure))[0].append(delivery)
            else:
                channel.waiting.append(delivery)
                self._serve(channel)
        await self.workers.each(lambda group: self.outcomes.fail(*group), list(refused.values()))

    def _channel(self, asked: str) -> Channel:
        """Return the one channel that was asked for so, or has this ID."""
        return self._channels.setdefault(asked, Channel(asked))

    def _serve(self, channel: Channel) -> None:
        """Have a channel's records delivered one after the other, in the queue's order."""

        async def serve() -> None:
            try:
                while channel.waiting and not channel.closed and not self.workers.ends():
                    delivery = channel.waiting.popleft()
                    channel.under_way.append(delivery.position)
                    await self._deliver(delivery)
                    delivery.channel.under_way.remove(delivery.position)
                    # The channel of an earlier run's thread is perhaps this one by another name.
                    soon = self.workers.loop.time() + CHANNEL_INTERVAL_SECONDS
                    channel.ready_at = max(channel.ready_at, min(soon, delivery.channel.ready_at))
            finally:
                self._served.remove(channel)
                if not self._served:
                    self._idle.set_result(None)

        if channel not in self._served:
            self._served.add(channel)
            if self._idle.done():
                self._idle = self.workers.loop.create_future()
            asyncio.ensure_future(serve())

    # The way of a record

    async def _deliver(self, delivery: Delivery) -> None:
        """Compose a record's message, save SENDING, post each part that is not posted yet, and save SUCCESS."""
        try:
            await self._compose(delivery)
            await self._turn(delivery, LEAD_SECONDS)
            if not await self._begin(delivery):
                return
            for part in delivery.parts[delivery.posted :]:
                await self._post(delivery, part)
            delivery.state = DELIVERED
            await self.outcomes.save(delivery, NotifQueueStatus.SUCCESS)
            self._tell_delivered(delivery)
        except Postponed:
            await self.outcomes.put_back(delivery)
        except Failure as failure:
            if failure.ends_run:
                self.workers.end(failure)
            of_channel = is_of_channel(failure.code)
            if of_channel:
                delivery.channel.failure = failure
            await self.outcomes.fail([delivery] + (delivery.channel.take_waiting() if of_channel else []), failure)
        except Exception as error:  # a bug of ours: it costs this record, and the others go on
            LOG.exception("%s: a fault in this module: report it to its developers", delivery)
            if delivery.state != DELIVERED:
                fault = "a fault in this module (%s): report it to its developers" % type(error).__name__
                await self.outcomes.fail([delivery], Failure(fault))

    async def _compose(self, delivery: Delivery) -> None:
        """Make a record's posts, once; find out how many of them an earlier run has posted."""
        if delivery.parts:
            return
        record, url = delivery.record, self._onevizion.url
        asked = [self.workers.call(self._onevizion.file_name, blob_id) for blob_id in record.blob_ids]
        names = await asyncio.gather(*asked)
        make = functools.partial(compose, record, url, names, self._settings.upload_attachments)
        message = await self.workers.call(self.workers.interruption.within, COMPOSE_LIMIT_SECONDS, make)
        delivery.parts, delivery.rest = message.parts, message.rest
        begun = delivery.begun
        if begun is not None and begun.posted:
            if begun.digest == digest(delivery.parts[: begun.posted]):
                delivery.posted, delivery.thread = begun.posted, Posted(begun.channel, begun.ts)
                # Its recipient may have another channel now: what is learnt from here on is true of the thread's.
                delivery.channel.under_way.remove(delivery.position)
                delivery.channel = self._channel(begun.channel)
                delivery.channel.under_way.append(delivery.position)
            else:
                text = "%s: its message has changed since %d part(s) were posted, and is posted again from the start"
                LOG.warning(text, delivery, begun.posted)

    async def _turn(self, delivery: Delivery, early_seconds: float = 0.0) -> None:
        """Wait until a post may begin in the record's channel, or a little earlier.

        :raises Postponed: not in this run
        """
        now = self.workers.loop.time
        paced_at = 0.0  # when the workspace's pace lets it begin, which is asked for last
        while not self.workers.ends() and not delivery.channel.closed:
            seconds = max(delivery.channel.ready_at, paced_at) - early_seconds - now()
            if seconds > 0 or not delivery.is_next():
                await self.workers.wait(max(seconds, TURN_SECONDS))
            elif early_seconds or paced_at:
                return
            else:
                paced_at = self._pace.reserve(now())
        raise Postponed

    async def _begin(self, delivery: Delivery) -> bool:
        """Save SENDING; where that fails, the record is not posted, as nothing would show that it was."""
        if not delivery.posted:
            self._journal.begin(delivery.record.id, len(delivery.parts))
        try:
            await self.workers.call(self._onevizion.save_status, delivery.record.id, NotifQueueStatus.SENDING)
        except Failure as failure:
            if failure.retryable:
                # The answer may have been lost on its way, and the status saved: the end of the run puts it back.
                self.outcomes.unsaved[delivery] = delivery.put_back_status()
            delivery.attempts += 1
            if failure.ends_run:
                self.workers.end(failure)
                return False
            if self.outcomes.gets_another_attempt(delivery):
                self.outcomes.try_later(delivery)
            self.outcomes.tell([delivery], Failure("not posted, since SENDING could not be saved: %s" % failure))
            return False
        self.outcomes.unsaved[delivery] = delivery.put_back_status()
        return True

    async def _post(self, delivery: Delivery, part: Part) -> None:
        """Post one part when its turn comes, as often as Slack wants it later."""
        thread_ts = delivery.thread.ts if delivery.thread else ""
        while True:
            await self._turn(delivery)
            async with self.workers.places:
                channel, now = delivery.channel, self.workers.loop.time()  # as they are after the wait for a place
                if self.workers.ends() or channel.closed or channel.ready_at > now or not delivery.is_next():
                    continue
                channel.ready_at = now + CHANNEL_INTERVAL_SECONDS
                target = delivery.thread.channel_id if delivery.thread else channel.id or channel.asked
                text = "%s: part %d of %d for %s\n%s"
                PROGRESS.debug(text, delivery, delivery.posted + 1, len(delivery.parts), channel.asked, part.text)
                began_at = self.workers.answered_at = time.monotonic()
                try:
                    posted = await self.workers.in_worker(self._slack.post, target, part, thread_ts)
                except Failure as failure:
                    if failure.code != RATE_LIMITED:
                        self._post_failed(delivery, failure)
                        raise
                    self._refused(delivery.channel, failure.wait_seconds)  # another one, where two became one
                else:
                    self._failed_in_a_row.clear()
                    self._failed_lately = [failed for failed in self._failed_lately if failed[0] > began_at]
                    self._posted(delivery, posted)
                    return

    def _posted(self, delivery: Delivery, posted: Posted) -> None:
        """Note that Slack has taken a part; two spellings of one channel become one queue."""
        delivery.thread = delivery.thread or posted
        delivery.posted += 1
        self._journal.note_posted(*delivery.journal_row())
        self._pace.accepted(self.workers.loop.time())
        channel = delivery.channel
        channel.refusals_in_a_row, channel.waited_seconds = 0, 0.0
        channel.id = channel.id or posted.channel_id
        same = self._channels.setdefault(channel.id, channel)
        if same is not channel:
            channel.take_over(same)
            self._channels = {asked: channel if each is same else each for asked, each in self._channels.items()}
            for each in self.deliveries:
                each.channel = channel if each.channel is same else each.channel

    def _refused(self, channel: Channel, seconds: float) -> None:
        """Let a channel wait for Slack's rate limit, or leave its records to the next run where that takes too long."""
        if not seconds:
            seconds = WAIT_WITHOUT_HEADER_SECONDS * 2 ** min(channel.refusals_in_a_row, WAIT_DOUBLINGS)
        channel.refusals_in_a_row += 1
        channel.waited_seconds += max(seconds, CHANNEL_INTERVAL_SECONDS)
        channel.ready_at = max(channel.ready_at, self.workers.loop.time() + seconds)
        self._pace.refused(self.workers.loop.time(), channel, seconds)
        if channel.waited_seconds <= WAIT_LIMIT_SECONDS:
            PROGRESS.info("%s: waiting %g s, Slack's rate limit", channel.asked, seconds)
            return
        channel.closed = True
        until = time.localtime(time.time() + seconds)
        today = until[:3] == time.localtime()[:3]
        text = "%s: Slack accepts no messages here until %s: its records stay in the queue, and the next run sends them"
        LOG.warning(text, channel.asked, time.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S", until))

    def _post_failed(self, delivery: Delivery, failure: Failure) -> None:
        """Count posts that failed in a row; end the run where so many did that Slack must be out of order."""
        if failure.retryable and failure.code in OUTAGE_ERRORS:
            self._failed_in_a_row.append(delivery)
            self._failed_lately.append((time.monotonic(), delivery))
            channels, records = {each.channel for each in self._failed_in_a_row}, set(self._failed_in_a_row)
            posts = len(self._failed_in_a_row)
            if (posts >= OUTAGE_POSTS and len(channels) > 1) or len(records) >= OUTAGE_RECORDS:
                self._outage = self._outage or [failed for _, failed in self._failed_lately]
                text = "Slack is out of order (%d posts in a row failed): %s"
                self.workers.end(Failure(text % (posts, failure)))

    def _tell_delivered(self, delivery: Delivery) -> None:
        """Say that a record was delivered, and begin to share its files."""
        self._delivered += 1
        text, extra = "[%d/%d] %s delivered to %s", {"progress": functools.partial(progress, self.deliveries)}
        PROGRESS.info(text, self._delivered, len(self.deliveries), delivery, delivery.channel.asked, extra=extra)
        self._share(delivery)
