"""What a run needs of a record of the Notif Queue."""

from typing import Any, NamedTuple, Optional, Tuple, Union

from onevizion import NotifQueueStatus

from .errors import whole_number

LARGEST_ID = 2**63 - 1  # a larger number is no id, and one in a list of ids could get the whole list refused


class Record(NamedTuple):
    """What a run needs of one record of the Notif Queue.

    Not the class of the `onevizion` package: that one wants all thirteen keys of a mail, and a record without its `bcc`
    would be lost. `status` is a name of NotifQueueStatus or whatever else stood there; `html` is as OneVizion's record
    has it (a boolean, or a text). `problem` says why the record cannot be read, and is empty otherwise.
    """

    id: int
    user_id: Optional[int]
    subject: Optional[str]
    message: Optional[str]
    html: Union[bool, str, None]
    blob_ids: Tuple[int, ...]
    status: str
    problem: str


def read_record(raw: Any) -> Optional[Record]:
    """Return the record that a JSON value of the Notif Queue stands for, or None where it has no usable id.

    A missing key counts as null. Texts that are no texts, and ids that are no numbers, become the record's `problem`.
    """
    record_id = whole_number(raw.get("notifQueueId")) if isinstance(raw, dict) else None
    if record_id is None or not 0 <= record_id <= LARGEST_ID:
        return None
    problems = [key for key in ("subj", "msg") if not isinstance(raw.get(key), (str, type(None)))]
    user_id = whole_number(raw.get("userId"))
    if (user_id is None and raw.get("userId") is not None) or not 0 <= (user_id or 0) <= LARGEST_ID:
        problems.append("userId")
    blobs = raw.get("blobDataIds")
    blob_ids = [whole_number(blob) for blob in blobs] if isinstance(blobs, list) else []
    if None in blob_ids or not isinstance(blobs, (list, type(None))):
        problems.append("blobDataIds")
    html = raw.get("html")
    problem = "%s cannot be read" % " and ".join(problems) if problems else ""
    return Record(
        id=record_id,
        user_id=None if "userId" in problems else user_id,
        subject=None if "subj" in problems else raw.get("subj"),
        message=None if "msg" in problems else raw.get("msg"),
        html=html if isinstance(html, str) else bool(html),
        blob_ids=tuple(blob for blob in blob_ids if blob is not None),
        status=status_name(raw.get("status")),
        problem=problem,
    )


def status_name(status: Any) -> str:
    """Return a record's status as a name of NotifQueueStatus, given as name or number; what is neither, as a text."""
    number = whole_number(status)
    numbers = {known.value: known.name for known in NotifQueueStatus}
    return numbers.get(number, str(status)) if number is not None else str(status).strip().upper()
