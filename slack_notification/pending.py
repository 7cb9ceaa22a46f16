"""From the Notif Queue and the journal to the records that a run has to deliver."""

from concurrent.futures import ThreadPoolExecutor
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from onevizion import NotifQueueStatus

from .errors import LOG, Failure
from .journal import Begun, Journal
from .onevizion_api import OneVizion
from .records import Record

LEFT_ALONE = (NotifQueueStatus.BUILDING.name, NotifQueueStatus.SUCCESS.name, NotifQueueStatus.FAIL.name)
SAVERS = 16  # statuses are saved side by side


class Pending(NamedTuple):
    """A record that a run has to deliver, and what the journal says of it (None: it is not begun)."""

    record: Record
    begun: Optional[Begun]


def ranges(ids: Sequence[int]) -> str:
    """Return ids as a text for people, three or more in a row as a range: "4711-4730, 4735"."""
    texts: List[str] = []
    run: List[int] = []
    for number in sorted(ids) + [-1]:
        if run and number != run[-1] + 1:
            texts += ["%d-%d" % (run[0], run[-1])] if len(run) > 2 else map(str, run)
            run = []
        run.append(number)
    return ", ".join(texts)


def save_all(onevizion: OneVizion, ids: Sequence[int], status: NotifQueueStatus) -> Dict[int, Failure]:
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


def save_posted(onevizion: OneVizion, journal: Journal) -> Dict[int, Failure]:
    """Save SUCCESS for the records whose parts an earlier run has all posted; return what went wrong, by record."""
    journal.drop_old()
    posted = [row.record for row in journal.begun().values() if row.posted >= row.parts]
    failed = save_all(onevizion, posted, NotifQueueStatus.SUCCESS)
    saved = [record_id for record_id in posted if record_id not in failed]
    if saved:
        text = "%d record(s) posted by an earlier run: SUCCESS saved now"
        LOG.info(text, len(saved), extra={"details": [ranges(saved)]})
    return failed


def read_pending(onevizion: OneVizion, service_id: int, journal: Journal) -> Tuple[List[Pending], int]:
    """Return the records that a run has to deliver, in the queue's order; and how many are left that it cannot end.

    First, what an earlier run has posted gets its SUCCESS. Its row is kept until the queue does not show it any more.

    Whether the queue shows a record in SENDING is unknown: one that an earlier run has begun and that is not there is
    made pending again, and the queue is read once more.

    :raises Failure: OneVizion refuses or is out of reach, or what it sent is no list of records
    """
    unsaved = save_posted(onevizion, journal)
    records = onevizion.notif_queue(service_id)
    begun = journal.begun()
    shown = {record.id for record in records if record is not None}
    hidden = [row.record for row in begun.values() if row.posted < row.parts and row.record not in shown]
    failed = save_all(onevizion, hidden, NotifQueueStatus.FAIL_WILL_RETRY)
    for record_id, failure in failed.items():
        if failure.code == "404":  # the queue was just read, so it is this record that OneVizion does not have
            journal.end(record_id)
    if failed:
        text = "%d record(s) started by an earlier run are missing from the queue and cannot be made pending again: %s"
        LOG.warning(text, len(failed), list(failed.values())[0], extra={"details": [ranges(list(failed))]})
    if hidden:
        records = onevizion.notif_queue(service_id)
    nameless = records.count(None)
    if nameless:
        LOG.error("%d record(s) without notifQueueId cannot be delivered: report this to OneVizion's support", nameless)
    pending = choose(records, set(), begun)
    warn_of_cut_off(pending, set(hidden))
    return pending, nameless + len(failed) + end_posted(records, begun, unsaved, journal)


def end_posted(
    records: Sequence[Optional[Record]], begun: Dict[int, Begun], unsaved: Dict[int, Failure], journal: Journal
) -> int:
    """End the rows of what is posted and no longer pending in the queue; return how many are left without SUCCESS."""
    waiting = {record.id for record in records if record is not None and record.status not in LEFT_ALONE}
    # OneVizion answers 404 for a record that it does not have: the address is right, as the queue was just read.
    gone = [number for number, failure in unsaved.items() if failure.code == "404" and number not in waiting]
    left = {number: failure for number, failure in unsaved.items() if number not in gone}
    for row in begun.values():
        if row.posted >= row.parts and row.record not in waiting and row.record not in left:
            journal.end(row.record)
    if gone:
        text = "%d record(s) posted by an earlier run are no longer in OneVizion: their SUCCESS cannot be saved"
        LOG.warning(text, len(gone), extra={"details": [ranges(gone)]})
    if left:
        text = "%d record(s) posted by an earlier run: SUCCESS not saved, the next run tries again: %s"
        LOG.error(text, len(left), list(left.values())[0], extra={"details": [ranges(list(left))]})
    return len(left)


def choose(records: Sequence[Optional[Record]], known: Set[int], begun: Dict[int, Begun]) -> List[Pending]:
    """Return those of the queue's records that have to be delivered; their ids are added to `known`.

    BUILDING, SUCCESS and FAIL are left alone, and so is what was posted and waits for its SUCCESS to be saved. SENDING
    is what a run leaves behind that was killed.
    """
    pending = []
    for record in records:
        if record is None or record.status in LEFT_ALONE or record.id in known:
            continue
        known.add(record.id)
        row = begun.get(record.id)
        if row is None or row.posted < row.parts:
            pending.append(Pending(record, row))
    return pending


def warn_of_cut_off(pending: Sequence[Pending], hidden: Set[int]) -> None:
    """Warn of the records that may arrive twice: an earlier run was cut off with a request for them on its way."""
    sending = NotifQueueStatus.SENDING.name
    cut_off = [each.record.id for each in pending if each.record.status == sending or each.record.id in hidden]
    if cut_off:
        text = "%d record(s) were being sent when an earlier run was cut off, and may arrive twice"
        LOG.warning(text, len(cut_off), extra={"details": [ranges(cut_off)]})
