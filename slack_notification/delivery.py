"""The way of a record: who gets what when, and what becomes of each record. One thread decides, the event loop's."""

import asyncio
import functools
import math
import time
from typing import Any, Awaitable, Callable, Coroutine, Dict, List, Sequence, Set, Tuple

from onevizion import NotifQueueStatus

from .calls import CALL_LIMIT_SECONDS
from .errors import LOG, PROGRESS, RATE_LIMITED, Failure
from .journal import Begun, digest
from .message import Part, compose
from .outcomes import FINAL, Outcomes, progress
from .pending import Channel, Delivery, choose, warn_of_cut_off
from .recipients import Recipients
from .slack_api import Posted
from .slack_errors import OUTAGE_ERRORS, is_of_channel
from .workers import WORKERS, Tools, WorkspacePace

# Slack's documents: one message a second per channel, "short bursts pass", no guarantee. Counted from start of post to
# start of post, and a little more, since the second may be faster on its way to Slack than the first.
CHANNEL_INTERVAL_SECONDS = 1.02
TURN_SECONDS = 0.01  # until a record looks again whether one before it in the queue has gone first
LEAD_SECONDS = 0.2  # SENDING is saved so long before the channel's turn, which is what it takes, and not earlier
WAIT_LIMIT_SECONDS = 600.0  # what a run waits in a row for a channel that Slack has closed
WAIT_WITHOUT_HEADER_SECONDS = 1.0  # doubled with each refusal in a row
LONGEST_WAIT_WITHOUT_HEADER_SECONDS = 60.0
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

    def __init__(self, tools: Tools, share: Callable[[Delivery], None], finish: Callable[[], Awaitable[None]]) -> None:
        """:param share: begins to share the files of a delivered record; :param finish: waits for them"""
        self.deliveries: List[Delivery] = []
        self._settings, self._onevizion, self._slack, self._journal, self.workers = tools
        self._outcomes = Outcomes(tools)
        self._share = share
        self._finish_files = finish
        self._recipients = Recipients(self._onevizion, self._settings.channel_field)
        self._reading = asyncio.Lock()  # of the recipients
        self._composing = asyncio.Semaphore(WORKERS // 2)  # or a long queue would all be composed before a post
        self._channels: Dict[str, Channel] = {}  # by what was asked for, and by ID
        self._tasks: Set[asyncio.Future[None]] = set()  # one for each channel that is served, and for each next attempt
        self._pace = WorkspacePace()
        self._last_position = 0
        self._delivered = 0
        # Posts that failed as all do when Slack is out of order: when, and those since Slack last took one.
        self._failed_at: Dict[Delivery, float] = {}
        self._failed_in_a_row: List[Delivery] = []
        self._worked_at = 0.0  # when the last post began that Slack took: no failure before then is part of an outage
        self._outage: List[Delivery] = []  # what failed for it

    def run(self, pending: Sequence[Delivery]) -> None:
        """Deliver these, and what arrives in the queue meanwhile, in as many attempts as the settings allow."""
        self.workers.run(self._run(pending))

    async def _run(self, pending: Sequence[Delivery]) -> None:
        now = self.workers.loop.time
        self.deliveries += pending
        await self._take(pending)
        look_at, looks = now() + LOOK_AGAIN_SECONDS, 0
        while self._tasks and not self.workers.ends():
            await asyncio.wait(self._tasks, timeout=look_at - now())
            if time.monotonic() - self.workers.answered_at > STALL_SECONDS:
                text = "no call to OneVizion or Slack has ended for %d minutes"
                self.workers.end(Failure(text % (STALL_SECONDS / 60)))
                self.workers.interruption.abandon()
            elif now() >= look_at:
                looks += 1
                if looks <= LOOKS_LIMIT and not self.workers.ends():
                    await self._take(await self._arrived())
                look_at = now() + LOOK_AGAIN_SECONDS
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2 * CALL_LIMIT_SECONDS)
        await self._finish_files()
        await self._outcomes.save_at_last(self.deliveries, self._outage)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> "asyncio.Future[None]":
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Future[None]") -> None:
        self._tasks.remove(task)
        if task.exception() is not None:  # the records that it had are left to the next run
            LOG.error("a fault in this module: report it to its developers", exc_info=task.exception())

    async def _arrived(self) -> List[Delivery]:
        """Return what is new in the queue. A look at the queue is no call for a record, and takes no place from one."""
        look = functools.partial(self._onevizion.notif_queue, self._settings.service_id)
        try:
            records = await self.workers.loop.run_in_executor(None, look)
        except Failure as failure:
            PROGRESS.warning("records that came in during this run go out with the next one: %s", failure)
            return []
        arrived = choose(records, {each.record.id for each in self.deliveries}, self._journal.begun())
        warn_of_cut_off(arrived)
        self.deliveries += arrived
        return arrived

    async def _take(self, deliveries: Sequence[Delivery], after_seconds: float = 0.0) -> None:
        """Find the channels of these records, and put each record behind those of its channel."""
        await self.workers.wait(after_seconds)
        new = [delivery.record for delivery in deliveries if not delivery.channel.asked]
        if new:
            try:
                async with self._reading:
                    await self.workers.call(self._recipients.read, new)
            except Failure as failure:
                self.workers.end(failure)
        if self.workers.ends():
            return
        refused: Dict[Tuple[str, str], Tuple[List[Delivery], Failure]] = {}
        for delivery in deliveries:
            self._last_position += 1
            delivery.position = self._last_position
            delivery.recipient = self._recipients.name(delivery.record)
            try:
                if not delivery.channel.asked:  # another attempt is made where the first one was
                    asked = self._recipients.channel(delivery.record)
                    delivery.channel = self._channels.setdefault(asked, Channel(asked))
                if delivery.channel.failure is not None:
                    raise delivery.channel.failure
            except Failure as failure:
                refused.setdefault((delivery.recipient, str(failure)), ([], failure))[0].append(delivery)
            else:
                channel = delivery.channel
                channel.waiting.append(delivery)
                if channel.served is None or channel.served.done():
                    channel.served = self._start(self._serve(channel))
        await asyncio.gather(*[self._fail(*group) for group in refused.values()])

    async def _serve(self, channel: Channel) -> None:
        """Deliver a channel's records one after the other, in the queue's order."""
        while channel.waiting and channel.ready_at < math.inf and not self.workers.ends():
            delivery = channel.waiting.pop(0)
            channel.under_way.append(delivery.position)
            await self._deliver(delivery)
            delivery.channel.under_way.remove(delivery.position)
            # The channel of an earlier run's thread is perhaps this one by another name.
            soon = self.workers.loop.time() + CHANNEL_INTERVAL_SECONDS
            channel.ready_at = max(channel.ready_at, min(soon, delivery.channel.ready_at))

    # The way of a record

    async def _deliver(self, delivery: Delivery) -> None:
        """Compose a record's message, save SENDING, post each part not posted yet, save SUCCESS, share the files."""
        try:
            async with self._composing:
                if self.workers.ends():
                    raise Postponed
                await self._compose(delivery)
            await self._turn(delivery, LEAD_SECONDS)
            if not await self._begin(delivery):
                return
            for part in delivery.parts[delivery.begun.posted :]:
                await self._post(delivery, part)
            delivery.status = NotifQueueStatus.SUCCESS
            await self._outcomes.save(delivery)
            self._delivered += 1
            text, extra = "[%d/%d] %s delivered to %s", {"progress": functools.partial(progress, self.deliveries)}
            PROGRESS.info(text, self._delivered, len(self.deliveries), delivery, delivery.channel.asked, extra=extra)
            self._share(delivery)
        except Postponed:
            await self._outcomes.put_back(delivery)
        except Failure as failure:
            await self._fail([delivery], failure)
        except Exception as error:  # a bug of ours: it costs this record, and the others go on
            LOG.exception("%s: a fault in this module: report it to its developers", delivery)
            if delivery.status != NotifQueueStatus.SUCCESS:
                fault = "a fault in this module (%s): report it to its developers" % type(error).__name__
                await self._fail([delivery], Failure(fault))

    async def _compose(self, delivery: Delivery) -> None:
        """Make a record's posts, once; where an earlier run has posted some of them, go on in their channel."""
        if delivery.parts:
            return
        record, begun = delivery.record, delivery.begun
        names = await asyncio.gather(*[self.workers.call(self._onevizion.file_name, blob) for blob in record.blob_ids])
        make = functools.partial(compose, record, self._onevizion.url, names, self._settings.upload_attachments)
        try:
            message = await self.workers.call(self.workers.interruption.within, COMPOSE_LIMIT_SECONDS, make)
        except TimeoutError as error:
            if self.workers.ends():  # given up for that, and not for its own time
                raise Postponed from error
            raise
        delivery.parts, delivery.rest = message.parts, message.rest
        if begun.posted and begun.digest == digest(delivery.parts[: begun.posted]):
            # Its recipient may have another channel now: what is learnt from here on is true of the thread's.
            delivery.channel.under_way.remove(delivery.position)
            delivery.channel = self._channels.setdefault(begun.channel, Channel(begun.channel))
            delivery.channel.under_way.append(delivery.position)
        elif begun.posted:
            text = "%s: its message has changed since %d part(s) were posted, and is posted again from the start"
            LOG.warning(text, delivery, begun.posted)
            delivery.begun = Begun(record.id)

    async def _turn(self, delivery: Delivery, early_seconds: float = 0.0) -> None:
        """Wait until a post may begin in the record's channel, or a little earlier.

        :raises Postponed: not in this run
        """
        now = self.workers.loop.time
        paced_at = 0.0  # when the workspace's pace lets it begin, which is asked for last
        while delivery.channel.ready_at < math.inf and not self.workers.ends():
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
        if not delivery.begun.posted:
            self._journal.begin(delivery.record.id, len(delivery.parts))
        try:
            await self.workers.call(self._onevizion.save_status, delivery.record.id, NotifQueueStatus.SENDING)
        except Failure as failure:
            # The answer may have been lost on its way, and the status saved: the end of the run puts it back.
            delivery.unsaved = delivery.unsaved or failure.retryable
            delivery.attempts += 1
            if failure.ends_run:
                self.workers.end(failure)
            else:
                self._outcomes.tell([delivery], Failure("not posted, since SENDING could not be saved: %s" % failure))
            self._try_again([delivery])
            return False
        delivery.unsaved = True
        return True

    async def _post(self, delivery: Delivery, part: Part) -> None:
        """Post one part when its turn comes, as often as Slack wants it later."""
        while True:
            await self._turn(delivery)
            async with self.workers.places:
                channel, now = delivery.channel, self.workers.loop.time()
                if self.workers.ends() or channel.ready_at > now or not delivery.is_next():
                    continue  # this has changed in the wait for a place
                channel.ready_at = now + CHANNEL_INTERVAL_SECONDS
                begun, text = delivery.begun, "%s: part %d of %d for %s\n%s"
                PROGRESS.debug(text, delivery, begun.posted + 1, len(delivery.parts), channel.asked, part.text)
                try:
                    posted = await self.workers.in_worker(self._slack.post, channel.id, part, begun.ts)
                    break
                except Failure as failure:
                    if failure.code != RATE_LIMITED:
                        self._look_for_outage(delivery, failure)
                        raise
                    self._refused(delivery.channel, failure.wait_seconds)  # another one, where two became one
        self._worked_at = max(self._worked_at, now)
        self._posted(delivery, posted)

    def _posted(self, delivery: Delivery, posted: Posted) -> None:
        """Note that Slack has taken a part; two spellings of one channel become one queue."""
        self._failed_in_a_row.clear()
        begun, parts, number = delivery.begun, delivery.parts, delivery.begun.posted + 1
        if number == 1:
            begun = begun._replace(channel=posted.channel_id, ts=posted.ts)
        delivery.begun = begun._replace(posted=number, parts=len(parts), digest=digest(parts[:number]))
        delivery.status = NotifQueueStatus.FAIL_WILL_RETRY  # until all are posted
        self._journal.note_posted(*delivery.begun[:-1])
        self._pace.accepted(self.workers.loop.time())
        channel = delivery.channel
        channel.id, channel.waited_seconds = posted.channel_id, 0.0
        same = self._channels.setdefault(channel.id, channel)
        if same is not channel:
            channel.waiting = sorted(channel.waiting + same.waiting, key=lambda each: each.position)
            same.waiting = []
            channel.under_way += same.under_way
            channel.ready_at = max(channel.ready_at, same.ready_at)
            self._channels = {asked: channel if each is same else each for asked, each in self._channels.items()}
            for each in self.deliveries:
                each.channel = channel if each.channel is same else each.channel

    def _refused(self, channel: Channel, seconds: float) -> None:
        """Let a channel wait for Slack's rate limit, or leave its records to the next run where that takes too long."""
        now = self.workers.loop.time()
        if not seconds:
            seconds = min(channel.waited_seconds + WAIT_WITHOUT_HEADER_SECONDS, LONGEST_WAIT_WITHOUT_HEADER_SECONDS)
        self._pace.refused(now, channel, seconds)
        channel.waited_seconds += max(seconds, CHANNEL_INTERVAL_SECONDS)
        if channel.waited_seconds <= WAIT_LIMIT_SECONDS:
            channel.ready_at = max(channel.ready_at, now + seconds)
            PROGRESS.info("%s: waiting %g s, Slack's rate limit", channel.asked, seconds)
            return
        channel.ready_at = math.inf
        until = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + seconds))
        text = "%s: Slack accepts no messages here until %s: its records stay in the queue, and the next run sends them"
        LOG.warning(text, channel.asked, until)

    def _look_for_outage(self, delivery: Delivery, failure: Failure) -> None:
        """Count posts that failed in a row; end the run where so many did that Slack must be out of order."""
        if failure.retryable and failure.code in OUTAGE_ERRORS:
            self._failed_at[delivery] = self.workers.loop.time()
            self._failed_in_a_row.append(delivery)
            posts, records = len(self._failed_in_a_row), set(self._failed_in_a_row)
            channels = {each.channel for each in records}
            if (posts >= OUTAGE_POSTS and len(channels) > 1) or len(records) >= OUTAGE_RECORDS:
                self._outage = [each for each, at in self._failed_at.items() if at > self._worked_at]
                text = "Slack is out of order (%d posts in a row failed): %s"
                self.workers.end(Failure(text % (posts, failure)))

    async def _fail(self, deliveries: List[Delivery], failure: Failure) -> None:
        """Fail these records, and those that wait for a channel that takes none; try again where that may help."""
        if failure.ends_run:
            self.workers.end(failure)
        if is_of_channel(failure.code):
            channel = deliveries[0].channel
            channel.failure = failure
            deliveries += channel.waiting
            channel.waiting = []
        await self._outcomes.fail(deliveries, failure)
        self._try_again(deliveries)

    def _try_again(self, deliveries: List[Delivery]) -> None:
        """Give those of these records that have another attempt left that attempt later."""
        most = self._settings.max_attempts
        again = [each for each in deliveries if each.status not in FINAL and each.attempts < most]
        if again and not self.workers.ends():
            self._start(self._take(again, self._settings.next_attempt_delay))
