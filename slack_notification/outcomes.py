"""What becomes of a record: attempts, statuses, and what is told of them."""

import asyncio
from collections import Counter
from typing import List, Sequence

from onevizion import NotifQueueStatus

from .errors import LOG, PROGRESS, Failure, clipped
from .integration_log import redacted
from .pending import Delivery, ranges
from .workers import WORKERS, Tools

FAILURE_ENTRIES = 100  # every entry of the integration log is a call that loads OneVizion's web server
SHOWN_CHARACTERS = 30  # of a channel: what to do has to fit into the first 200 characters, which the log's table shows
FINAL = (NotifQueueStatus.SUCCESS, NotifQueueStatus.FAIL)


class Outcomes:
    """Saves and tells what became of the records."""

    def __init__(self, tools: Tools) -> None:
        self._settings, self._onevizion, _, self._journal, self._workers = tools
        self._failures_told = 0
        self._recording = asyncio.Semaphore(WORKERS)  # however many there are, posts wait for these only

    async def fail(self, deliveries: List[Delivery], failure: Failure) -> None:
        """Record a failed attempt of each of these records, and the status that follows; tell it once."""
        recorded = await asyncio.gather(*[self._record_attempt(each, failure) for each in deliveries])
        failed = [delivery for delivery, done in zip(deliveries, recorded) if done]
        if failed and not failure.ends_run:
            self.tell(failed, failure)

    async def _record_attempt(self, delivery: Delivery, failure: Failure) -> bool:
        async with self._recording:
            if self._workers.ends() and not delivery.unsaved:
                return False  # not begun, and not begun any more
            delivery.attempts += 1
            text = redacted("%s%s" % (beginning([delivery]), failure), self._settings.secrets())
            try:
                await self._workers.call(self._onevizion.add_attempt, delivery.record.id, text)
            except Failure as unrecorded:
                PROGRESS.warning("%s: %s", delivery, unrecorded)
            # Looked at only now: this failure, or others at the same time, may have ended the run.
            one_more = self._workers.ends() or delivery.attempts < self._settings.max_attempts
            again = failure.ends_run or (failure.retryable and one_more)
            delivery.status = NotifQueueStatus.FAIL_WILL_RETRY if again else NotifQueueStatus.FAIL
            await self.save(delivery)
            return True

    async def save(self, delivery: Delivery, at_last: bool = False) -> None:
        """Save a record's status; what OneVizion does not take now is tried again at the end of the run."""
        delivery.unsaved = True
        try:
            await self._workers.call(self._onevizion.save_status, delivery.record.id, delivery.status)
        except Failure as failure:
            if not at_last:
                PROGRESS.warning("%s: %s; this is tried again at the end of the run", delivery, failure)
                return
            text = "%s: status %s not saved, the next run tries again: %s"
            if delivery.status == NotifQueueStatus.SUCCESS:
                text = "%s: delivered, but %s not saved; the next run saves it, and posts nothing again: %s"
                if self._journal.lost():
                    text = "%s: delivered, but %s not saved; the journal is lost: the next run may post it again: %s"
            LOG.error(text, delivery, delivery.status.name, failure)
            return
        delivery.unsaved = False
        if delivery.status in FINAL:
            self._journal.end(delivery.record.id)

    async def put_back(self, delivery: Delivery) -> None:
        """Leave a record that this run does not get to any more to the next one."""
        if delivery.unsaved:
            await self.save(delivery)
        if delivery.begun.posted:
            text = "%s: %d of %d parts are posted; the next run goes on with the next part"
            if self._journal.lost():
                text = "%s: %d of %d parts are posted; the journal is lost: the next run starts again from the first"
            LOG.warning(text, delivery, delivery.begun.posted, len(delivery.parts))

    async def save_at_last(self, deliveries: Sequence[Delivery], outage: Sequence[Delivery]) -> None:
        """Make pending again what failed for Slack's outage only, and save the statuses that are not saved yet."""
        for delivery in outage:
            if delivery.status == NotifQueueStatus.FAIL:
                delivery.status, delivery.unsaved = NotifQueueStatus.FAIL_WILL_RETRY, True
                if delivery.begun.posted:  # its row has gone with the FAIL
                    self._journal.begin(delivery.record.id, len(delivery.parts))
                    self._journal.note_posted(*delivery.begun[:-1])
                LOG.warning("%s: not final after all: it failed with many others, and is pending again", delivery)
        await asyncio.gather(*[self.save(delivery, at_last=True) for delivery in deliveries if delivery.unsaved])

    def tell(self, deliveries: List[Delivery], failure: Failure) -> None:
        """Say why records were not sent: on the console at every attempt, in the integration log after the last."""
        first, text = deliveries[0], beginning(deliveries) + str(failure)
        final = first.status == NotifQueueStatus.FAIL
        if not final and (self._workers.ends() or first.attempts < self._settings.max_attempts):
            PROGRESS.warning("%s; another attempt follows", text)
            return
        ids, names = ranges([delivery.record.id for delivery in deliveries]), recipients_of(deliveries)
        resend = "This is final after %d attempt(s). To send again once it is corrected: --resend %s"
        lines = [
            (final, resend % (first.attempts, ids.replace(",", ""))),
            (len(deliveries) > 1, "records: %s" % ids),
            (len(names) > 1, "users: %s" % ", ".join(names)),
            (len(first.channel.asked) > SHOWN_CHARACTERS, "channel: %s" % first.channel.asked),
        ]
        details = [line for needed, line in lines if needed]
        self._failures_told += 1
        log = LOG if self._failures_told <= FAILURE_ENTRIES else PROGRESS
        log.error("%s", text, extra={"details": details})
        if self._failures_told == FAILURE_ENTRIES + 1:
            LOG.warning("more than %d causes of failure: see the summary for the other records", FAILURE_ENTRIES)


def recipients_of(deliveries: Sequence[Delivery]) -> List[str]:
    """Return the names of these records' users, each once."""
    return sorted({each.recipient for each in deliveries if each.recipient})


def beginning(deliveries: Sequence[Delivery]) -> str:
    """Return how a text about records that were not delivered begins: which, for whom, where to."""
    first, names = deliveries[0], recipients_of(deliveries)
    more = " and %d more user%s" % (len(names) - 1, "s" if len(names) > 2 else "") if len(names) > 1 else ""
    which = "record %d" % first.record.id if len(deliveries) == 1 else "%d records" % len(deliveries)
    part = " (part %d of %d)" % (first.begun.posted + 1, first.begun.parts) if first.begun.posted else ""
    whom = " for %s%s" % (names[0], more) if names else ""
    where = " to %s" % clipped(first.channel.asked, SHOWN_CHARACTERS) if first.channel.asked else ""
    return "%s%s not delivered%s%s: " % (which, whom, where, part)


def summarize(how: str, deliveries: Sequence[Delivery], seconds: float) -> bool:
    """Log the line at the end of a run, a warning where anything was not delivered; return whether nothing was.

    :param how: how the line begins: "interrupted: ", or ""
    """
    delivered = [each for each in deliveries if each.status == NotifQueueStatus.SUCCESS]
    failed = [each.record.id for each in deliveries if each.status == NotifQueueStatus.FAIL]
    pending = [each.record.id for each in deliveries if each.status not in FINAL]
    unsaved = [each.record.id for each in deliveries if each.unsaved]
    channels = Counter(each.channel.asked for each in delivered)
    details = ["delivered to %s" % ", ".join("%s: %d" % item for item in sorted(channels.items()))] if channels else []
    for title, ids in (("failed", failed), ("left pending", pending), ("status not saved", unsaved)):
        details += ["%s: %s" % (title, ranges(ids))] if ids else []
    if failed:
        resend = ranges(failed).replace(",", "")
        details.append("to send again what failed, once it is corrected: python module.py --resend %s" % resend)
    everything = not (failed or pending or unsaved)
    text = "%sdelivered %d, failed %d, left pending %d in %.1f s"
    counts = (len(delivered), len(failed), len(pending))
    (LOG.info if everything else LOG.warning)(text, how, *counts, seconds, extra={"details": details})
    return everything


def progress(deliveries: Sequence[Delivery]) -> str:
    """Return how far a run is, for a terminal."""
    states = Counter(delivery.status for delivery in deliveries)
    delivered, failed = states[NotifQueueStatus.SUCCESS], states[NotifQueueStatus.FAIL]
    longest = max(len(delivery.channel.waiting) for delivery in deliveries)
    return "%d of %d, %d failed, about %d s left" % (delivered + failed, len(deliveries), failed, longest)
