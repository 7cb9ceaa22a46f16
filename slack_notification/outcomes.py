"""What becomes of a record: attempts, statuses, and what is told of them."""

import asyncio
from collections import Counter
from typing import Dict, List, Sequence, Tuple

from onevizion import NotifQueueStatus

from .channels import DELIVERED, FAILED, PENDING, Delivery
from .errors import LOG, PROGRESS, Failure, clipped
from .integration_log import redacted
from .journal import Journal
from .onevizion_api import OneVizion
from .pending import ranges
from .settings import Settings
from .workers import Workers

FAILURE_ENTRIES = 100  # every entry of the integration log is a call that loads OneVizion's web server
SHOWN_CHARACTERS = 30  # of a channel: what to do has to fit into the first 200 characters, which the log's table shows


class Outcomes:
    """Saves and tells what became of the records.

    `unsaved`: the statuses that the end of the run has to save, if nothing does before. `later`: when another attempt
    is due, by the loop's time.
    """

    def __init__(self, settings: Settings, onevizion: OneVizion, journal: Journal, workers: Workers) -> None:
        self.unsaved: Dict[Delivery, NotifQueueStatus] = {}
        self.later: List[Tuple[float, Delivery]] = []
        self._settings = settings
        self._onevizion = onevizion
        self._journal = journal
        self._workers = workers
        self._failures_told = 0

    async def fail(self, deliveries: List[Delivery], failure: Failure) -> None:
        """Record a failed attempt of each of these records, and the status that follows; tell it once."""
        done = await self._workers.each(lambda delivery: self._record_attempt(delivery, failure), deliveries)
        if not failure.ends_run:
            self.tell(done, failure)

    async def _record_attempt(self, delivery: Delivery, failure: Failure) -> None:
        delivery.attempts += 1
        text = redacted("%s%s" % (self._beginning([delivery]), failure), self._settings.secrets())
        try:
            await self._workers.call(self._onevizion.add_attempt, delivery.record.id, text)
        except Failure as unrecorded:
            PROGRESS.warning("%s: %s", delivery, unrecorded)
        # Looked at only now: this failure, or others at the same time, may have ended the run.
        one_more = self._workers.ends() or self.gets_another_attempt(delivery)
        again = failure.ends_run or (failure.retryable and one_more)
        delivery.state = PENDING if again else FAILED
        await self.save(delivery, NotifQueueStatus.FAIL_WILL_RETRY if again else NotifQueueStatus.FAIL)
        if again:  # only now, so that no two attempts of a record overlap
            self.try_later(delivery)

    def gets_another_attempt(self, delivery: Delivery) -> bool:
        return delivery.attempts < self._settings.max_attempts

    def try_later(self, delivery: Delivery) -> None:
        self.later.append((self._workers.loop.time() + self._settings.next_attempt_delay, delivery))

    async def save(self, delivery: Delivery, status: NotifQueueStatus) -> None:
        """Save a status after the attempt; what OneVizion does not take now is tried again at the end of the run."""
        try:
            await self._save(delivery, status)
        except Failure as failure:
            PROGRESS.warning("%s: %s; this is tried again at the end of the run", delivery, failure)

    async def _save(self, delivery: Delivery, status: NotifQueueStatus) -> None:
        self.unsaved[delivery] = status
        await self._workers.call(self._onevizion.save_status, delivery.record.id, status)
        del self.unsaved[delivery]
        if status in (NotifQueueStatus.SUCCESS, NotifQueueStatus.FAIL):
            self._journal.end(delivery.record.id)

    async def put_back(self, delivery: Delivery) -> None:
        """Leave a record that this run does not get to any more to the next one."""
        if delivery in self.unsaved:
            await self.save(delivery, delivery.put_back_status())
        if delivery.posted:
            text = "%s: %d of %d parts are posted; the next run goes on with the next part"
            if not self._journal.holds(delivery.record.id):
                text = "%s: %d of %d parts are posted; the journal is lost: the next run starts again from the first"
            LOG.warning(text, delivery, delivery.posted, len(delivery.parts))

    async def save_at_last(self, outage: Sequence[Delivery]) -> None:
        """Save the statuses that OneVizion did not take, and make pending again what failed for Slack's outage only."""
        for delivery in outage:
            if delivery.state == FAILED:
                delivery.state = PENDING
                self.unsaved[delivery] = NotifQueueStatus.FAIL_WILL_RETRY
                if delivery.posted:  # its row has gone with the FAIL
                    self._journal.begin(delivery.record.id, len(delivery.parts))
                    self._journal.note_posted(*delivery.journal_row())
                LOG.warning("%s: not final after all: it failed with many others, and is pending again", delivery)
        await asyncio.gather(*[self._save_once_more(*item) for item in list(self.unsaved.items())])

    async def _save_once_more(self, delivery: Delivery, status: NotifQueueStatus) -> None:
        try:
            await self._save(delivery, status)
        except Failure as failure:
            text = "%s: status %s not saved, the next run tries again: %s"
            if delivery.state == DELIVERED:
                text = "%s: delivered, but %s not saved; the next run saves it, and posts nothing again: %s"
                if not self._journal.holds(delivery.record.id):
                    text = "%s: delivered, but %s not saved; the journal is lost: the next run may post it again: %s"
            LOG.error(text, delivery, status.name, failure)

    def _beginning(self, deliveries: List[Delivery]) -> str:
        """Return how a text about records that were not delivered begins: which, for whom, where to."""
        first, names = deliveries[0], recipients_of(deliveries)
        more = " and %d more user%s" % (len(names) - 1, "s" if len(names) > 2 else "") if len(names) > 1 else ""
        which = "record %d" % first.record.id if len(deliveries) == 1 else "%d records" % len(deliveries)
        part = " (part %d of %d)" % (first.posted + 1, len(first.parts)) if first.posted else ""
        whom = " for %s%s" % (names[0], more) if names else ""
        where = " to %s" % clipped(first.channel.asked, SHOWN_CHARACTERS) if first.channel.asked else ""
        return "%s%s not delivered%s%s: " % (which, whom, where, part)

    def tell(self, deliveries: List[Delivery], failure: Failure) -> None:
        """Say why records were not sent: on the console at every attempt, in the integration log after the last."""
        first, text = deliveries[0], self._beginning(deliveries) + str(failure)
        if first.state == PENDING and (self._workers.ends() or self.gets_another_attempt(first)):
            PROGRESS.warning("%s; another attempt follows", text)
            return
        ids, names = ranges([delivery.record.id for delivery in deliveries]), recipients_of(deliveries)
        details = []
        if first.state == FAILED:
            line = "This is final after %d attempt(s). To send again once it is corrected: --resend %s"
            details.append(line % (first.attempts, ids.replace(",", "")))
        if len(deliveries) > 1:
            details.append("records: %s" % ids)
        if len(names) > 1:
            details.append("users: %s" % ", ".join(names))
        if len(first.channel.asked) > SHOWN_CHARACTERS:
            details.append("channel: %s" % first.channel.asked)
        self._failures_told += 1
        log = LOG if self._failures_told <= FAILURE_ENTRIES else PROGRESS
        log.error("%s", text, extra={"details": details})
        if self._failures_told == FAILURE_ENTRIES + 1:
            LOG.warning("more than %d causes of failure: see the summary for the other records", FAILURE_ENTRIES)


def recipients_of(deliveries: Sequence[Delivery]) -> List[str]:
    """Return the names of these records' users, each once."""
    return sorted({each.recipient for each in deliveries if each.recipient})


def summarize(how: str, deliveries: Sequence[Delivery], unsaved: Sequence[Delivery], seconds: float) -> bool:
    """Log the line at the end of a run, a warning where anything was not delivered; return whether nothing was.

    :param how: how the line begins: "interrupted: ", or ""
    """
    by_state = {state: [d.record.id for d in deliveries if d.state == state] for state in (DELIVERED, FAILED, PENDING)}
    channels = Counter(d.channel.asked for d in deliveries if d.state == DELIVERED)
    details = ["delivered to %s" % ", ".join("%s: %d" % item for item in sorted(channels.items()))] if channels else []
    ids = [by_state[FAILED], by_state[PENDING], [delivery.record.id for delivery in unsaved]]
    for title, some in zip(("failed", "left pending", "status not saved"), ids):
        details += ["%s: %s" % (title, ranges(some))] if some else []
    if by_state[FAILED]:
        failed = ranges(by_state[FAILED]).replace(",", "")
        details.append("to send again what failed, once it is corrected: python module.py --resend %s" % failed)
    everything = not any(ids)
    counts = tuple(len(by_state[state]) for state in (DELIVERED, FAILED, PENDING))
    text = "%sdelivered %d, failed %d, left pending %d in %.1f s"
    (LOG.info if everything else LOG.warning)(text, how, *counts + (seconds,), extra={"details": details})
    return everything


def progress(deliveries: Sequence[Delivery]) -> str:
    """Return how far a run is, for a terminal."""
    states = Counter(delivery.state for delivery in deliveries)
    longest = max(len(delivery.channel.waiting) for delivery in deliveries)
    text = "%d of %d, %d failed, about %d s left"
    return text % (len(deliveries) - states[PENDING], len(deliveries), states[FAILED], longest)
