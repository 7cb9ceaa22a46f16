"""From the Notif Queue and the journal to the records that a run has to deliver, and the channels they wait for."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from onevizion import NotifQueueStatus

from .errors import LOG, Failure
from .journal import Begun, Journal
from .message import Part
from .onevizion_api import OneVizion
from .records import Record

LEFT_ALONE = (NotifQueueStatus.BUILDING.name, NotifQueueStatus.SUCCESS.name, NotifQueueStatus.FAIL.name)
SAVERS = 16  # statuses are saved side by side


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
        is_new = record.status == NotifQueueStatus.NOT_SENT.name
        self.status = NotifQueueStatus.NOT_SENT if is_new else NotifQueueStatus.FAIL_WILL_RETRY
        self.unsaved = False

    def __str__(self) -> str:
        return "record %d" % self.record.id + (" for %s" % self.recipient if self.recipient else "")

    def is_next(self) -> bool:
        """Tell whether no record before it is under way in its channel."""
        return self.position == min(self.channel.under_way)


def ranges(ids: Iterable[int]) -> str:
    """Return ids as a text for people, three or more in a row as a range: "4711-4730, 4735"."""
    texts: List[str] = []
    run: List[int] = []
    for number in sorted(ids) + [-1]:
        if run and number != run[-1] + 1:
            texts += ["%d-%d" % (run[0], run[-1])] if len(run) > 2 else map(str, run)
            run = []
        run.append(number)
    return ", ".join(texts)


def save_all(onevizion: OneVizion, ids: Iterable[int], status: NotifQueueStatus) -> Dict[int, Failure]:
    """Save a status for these records; return what went wrong, by record."""
    failed: Dict[int, Failure] = {}

    def save(record_id: int) -> None:
        try:
            onevizion.save_status(record_id, status)
        except Failure as failure:
            failed[record_id] = failure

    with ThreadPoolExecutor(SAVERS) as pool:
        list(pool.map(save, ids))
    return failed


def read_pending(onevizion: OneVizion, service_id: int, journal: Journal) -> Tuple[List[Delivery], int]:
    """Return the records that a run has to deliver, in the queue's order; and how many are left that it cannot end.

    First, what an earlier run has posted gets its SUCCESS. Its row is kept until the queue does not show it any more.
    Whether the queue shows a record in SENDING is unknown: one that an earlier run has begun and that is not there is
    made pending again, and the queue is read once more.

    :raises Failure: OneVizion refuses or is out of reach, or what it sent is no list of records
    """
    journal.drop_old()
    begun = journal.begun()
    posted = {row.record for row in begun.values() if row.posted >= row.parts}
    failed = save_all(onevizion, posted, NotifQueueStatus.SUCCESS)
    saved = posted - set(failed)
    if saved:
        text = "%d record(s) posted by an earlier run: SUCCESS saved now"
        LOG.info(text, len(saved), extra={"details": [ranges(saved)]})
    records = onevizion.notif_queue(service_id)
    shown = {record.id for record in records if record is not None}
    hidden = set(begun) - posted - shown
    failed.update(save_all(onevizion, hidden, NotifQueueStatus.FAIL_WILL_RETRY))
    if hidden:
        records = onevizion.notif_queue(service_id)
    nameless = records.count(None)
    if nameless:
        LOG.error("%d record(s) without notifQueueId cannot be delivered: report this to OneVizion's support", nameless)
    pending = choose(records, set(), begun)
    warn_of_cut_off(pending, hidden)
    waiting = {record.id for record in records if record is not None and record.status not in LEFT_ALONE}
    return pending, nameless + end_posted(posted, waiting, failed, journal)


def end_posted(posted: Set[int], waiting: Set[int], failed: Dict[int, Failure], journal: Journal) -> int:
    """End the rows of what is posted and not `waiting` in the queue; return how many statuses could not be saved."""
    # OneVizion answers 404 for a record that it does not have: the address is right, as the queue was just read.
    gone = {number for number, failure in failed.items() if failure.code == "404"} - waiting
    hidden = [number for number in failed if number not in posted]
    left = [number for number in failed if number in posted and number not in gone]
    for number in posted.union(gone) - waiting - set(left):
        journal.end(number)
    if hidden:
        text = "%d record(s) started by an earlier run are missing from the queue and cannot be made pending again: %s"
        LOG.warning(text, len(hidden), failed[hidden[0]], extra={"details": [ranges(hidden)]})
    if gone & posted:
        text = "%d record(s) posted by an earlier run are no longer in OneVizion: their SUCCESS cannot be saved"
        LOG.warning(text, len(gone & posted), extra={"details": [ranges(gone & posted)]})
    if left:
        text = "%d record(s) posted by an earlier run: SUCCESS not saved, the next run tries again: %s"
        LOG.error(text, len(left), failed[left[0]], extra={"details": [ranges(left)]})
    return len(hidden) + len(left)


def choose(records: Sequence[Optional[Record]], known: Set[int], begun: Dict[int, Begun]) -> List[Delivery]:
    """Return those of the queue's records that have to be delivered; their ids are added to `known`.

    BUILDING, SUCCESS and FAIL are left alone, and so is what was posted and waits for its SUCCESS to be saved. SENDING
    is what a run leaves behind that was killed.
    """
    pending = []
    for record in records:
        if record is not None and record.status not in LEFT_ALONE and record.id not in known:
            known.add(record.id)
            row = begun.get(record.id, Begun(record.id))
            if row.posted < row.parts:
                pending.append(Delivery(record, row))
    return pending


def warn_of_cut_off(pending: Sequence[Delivery], hidden: Iterable[int] = ()) -> None:
    """Warn of the records that may arrive twice: an earlier run was cut off with a request for them on its way."""
    sending = NotifQueueStatus.SENDING.name
    cut_off = [each.record.id for each in pending if each.record.status == sending or each.record.id in hidden]
    if cut_off:
        text = "%d record(s) were being sent when an earlier run was cut off, and may arrive twice"
        LOG.warning(text, len(cut_off), extra={"details": [ranges(cut_off)]})
