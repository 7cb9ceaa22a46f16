"""What a run needs of a record of the Notif Queue."""

from typing import Any, Dict, NamedTuple, Optional, Tuple, Union

from onevizion import NotifQueueStatus

from .errors import whole_number

LARGEST_ID = 2**63 - 1  # a larger number is no id, and one in a list of ids could get the whole list refused


class Record(NamedTuple):
    """What a run needs of one record of the Notif Queue.

    Not the class of the `onevizion` package: that one wants all thirteen keys of a mail, and a record without its `bcc`
    would be lost. `status` is a name of NotifQueueStatus or whatever else stood there; `html` is as OneVizion's record
    has it (a boolean, or a text). `problem` names the values that cannot be read ("" for none).
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
    record_id = usable_id(raw.get("notifQueueId")) if isinstance(raw, dict) else None
    if record_id is None:
        return None
    subject, message, html, blobs = (raw.get(key) for key in ("subj", "msg", "html", "blobDataIds"))
    user_id = usable_id(raw.get("userId"))
    blob_ids: Tuple[Any, ...] = tuple(whole_number(blob) for blob in blobs) if isinstance(blobs, list) else ()
    readable = {"subj": isinstance(subject, str), "msg": isinstance(message, str), "userId": user_id is not None}
    readable["blobDataIds"] = isinstance(blobs, list) and None not in blob_ids
    unreadable = [key for key in readable if raw.get(key) is not None and not readable[key]]
    problem = "%s cannot be read" % " and ".join(unreadable) if unreadable else ""
    html = html if isinstance(html, str) else bool(html)
    return Record(record_id, user_id, subject, message, html, blob_ids, status_name(raw.get("status")), problem)


def usable_id(value: Any) -> Optional[int]:
    """Return an id, given as a number or as digits; None for anything else."""
    number = whole_number(value)
    return number if number is not None and 0 <= number <= LARGEST_ID else None


def status_name(status: Any) -> str:
    """Return a record's status as a name of NotifQueueStatus, given as name or number; what is neither, as a text."""
    names: Dict[Any, str] = {known.value: known.name for known in NotifQueueStatus}
    return names.get(whole_number(status), str(status).strip().upper())
