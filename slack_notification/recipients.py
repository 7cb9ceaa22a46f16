"""From a record to its channel."""

import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List, Optional, Set, Union
from urllib.parse import unquote

from .errors import QUOTED_CHARACTERS, Failure, clipped, quoted
from .onevizion_api import USERS_PER_CALL, OneVizion, UserField
from .records import Record

CHANNEL_OR_PERSON_ID = re.compile(r"[CDGUW][A-Z0-9]{8,}\Z")
SLACK = r"<?(?:https?://)?(?:[a-z0-9-]+\.)*slack(?:-gov)?\.com/"
REST = r"(?:[/?&#|][^\s>]*)?>?\Z"
# The forms in which Slack hands out a channel or a person; the first group is an ID.
COPIED_IDS = [
    re.compile(SLACK + r"(?:team|canvas|(?:client|huddle)/[A-Z0-9]+)/([A-Z0-9]+)" + REST, re.I),
    re.compile(r"<?slack://(?:channel|user)\?(?:[^\s>]*&)?id=([A-Z0-9]+)" + REST, re.I),
    re.compile(r"<[#@]([A-Z0-9]+)(?:\|[^>]*)?>\Z"),
    re.compile(r"@([UW][A-Z0-9]{8,})\Z"),
]
# In these links the first group is an ID or a name.
COPIED_NAMES = [
    re.compile(SLACK + r"(?:archives|messages)/([^\s/?&#|<>]+)" + REST, re.I),
    re.compile(SLACK + r"app_redirect\?(?:[^\s>]*&)?channel=([^\s/?&#|<>]+)" + REST, re.I),
]
NO_CHANNEL_NAME = re.compile(r"[\s@<>/:,;\"'&|\\]")
LOOKS_LIKE_A_NAME = re.compile(r"[A-Z]{4}")  # so may an ID, which then is asked for as a name in vain
READERS = 16  # users and trackors are read side by side
NAME_CHARACTERS = 30


def channel_from_field(text: str) -> str:
    """Return what Slack is to be asked for, given what an admin entered: an ID, or a name with `#`.

    Slack's documents: a name may be given with or without `#`, an ID only without; e-mail addresses are not accepted.

    :raises Failure: permanent, when it cannot be a channel
    """
    # Category Cf: zero-width and bidirectional characters, soft hyphens. They come along when text is copied.
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    typed = visible.replace("＃", "#").strip()
    copied_id = next(filter(None, (form.match(typed) for form in COPIED_IDS)), None)
    copied_name = next(filter(None, (form.match(typed) for form in COPIED_NAMES)), None)
    copied = copied_id or copied_name
    name = (unquote(copied.group(1)) if copied else typed).lstrip("#").strip()
    if CHANNEL_OR_PERSON_ID.match(name):
        return name
    if not name:
        raise Failure("enter a channel in the user's field: it is empty")
    if copied_id or NO_CHANNEL_NAME.search(name) or not name.isprintable() or len(name) > QUOTED_CHARACTERS:
        advice = "enter a channel's name, ID or link, or a member ID in the user's field: %s is no Slack channel"
        raise Failure(advice % quoted(typed))
    return "#" + name.lower()


def name_instead(channel: str) -> str:
    """Return the name to try where Slack knows no channel with this ID: `#warehouse` for WAREHOUSE; "" for real IDs."""
    looks_like_both = CHANNEL_OR_PERSON_ID.match(channel) and LOOKS_LIKE_A_NAME.search(channel)
    return "#" + channel.lower() if looks_like_both else ""


class Recipients:
    """Finds the channel of each user. Every user and every trackor is read once; what did not answer, again later."""

    def __init__(self, onevizion: OneVizion, field: str) -> None:
        self._onevizion = onevizion
        self._field = field
        self._trackors: Dict[int, Union[Optional[int], Failure]] = {}
        self._fields: Dict[int, Union[UserField, Failure]] = {}

    def read(self, records: Iterable[Record]) -> None:
        """Read the trackors and channels of these records' users.

        :raises Failure: that ends the run: OneVizion refuses the account; or nothing could be read in this run and all
            failed alike, which is the fault of a setting or of the account
        """
        wanted = {record.user_id for record in records if record.user_id is not None}
        unread = sorted(user_id for user_id in wanted if is_unread(self._trackors, user_id))
        new_users = set(unread).difference(self._trackors)
        chunks = [unread[start : start + USERS_PER_CALL] for start in range(0, len(unread), USERS_PER_CALL)]
        with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as pool:
            for answer in pool.map(self._read_users, chunks):
                self._trackors.update(answer)
            end_where_all_failed_alike(self._trackors, new_users)
            trackors = {trackor for trackor in map(self._trackors.get, wanted) if isinstance(trackor, int)}
            unread = sorted(trackor_id for trackor_id in trackors if is_unread(self._fields, trackor_id))
            new_trackors = set(unread).difference(self._fields)
            self._fields.update(zip(unread, pool.map(self._read_field, unread)))
        end_where_all_failed_alike(self._fields, new_trackors, "channelField")

    def name(self, record: Record) -> str:
        """Return a record's recipient as people know the user: "jdoe (106)"; "" where the record has no user."""
        if record.user_id is None:
            return ""
        trackor = self._trackors.get(record.user_id)
        field = self._fields.get(trackor) if isinstance(trackor, int) else None
        key = "".join(filter(str.isprintable, field.key)) if isinstance(field, UserField) else ""
        return "%s (%d)" % (clipped(key, NAME_CHARACTERS), record.user_id) if key else "user %d" % record.user_id

    def channel(self, record: Record) -> str:
        """Return the channel for a record whose user was read, as Slack is to be asked for it.

        :raises Failure: the record or its user has none, or could not be read
        """
        if record.problem:
            raise Failure("%s: report this to OneVizion's support" % record.problem)
        if record.user_id is None:
            raise Failure("it is addressed to an e-mail address, not to a user: choose a OneVizion user as recipient")
        trackor = self._trackors[record.user_id]
        if isinstance(trackor, Failure):
            raise trackor
        if trackor is None:
            raise Failure("link the user to a trackor of the user trackor type: the user has none")
        field = self._fields[trackor]
        if isinstance(field, Failure):
            raise field
        if not field.value.strip():
            raise Failure("the user has no channel: enter one in %s" % self._field)
        return channel_from_field(field.value)

    def _read_users(self, user_ids: List[int]) -> Dict[int, Union[Optional[int], Failure]]:
        try:
            known = self._onevizion.trackors_of_users(user_ids)
        except Failure as failure:
            if failure.ends_run:
                raise
            if failure.retryable or len(user_ids) == 1:
                return dict.fromkeys(user_ids, failure)
            half = len(user_ids) // 2  # so that the one id that OneVizion refuses costs no other
            return {**self._read_users(user_ids[:half]), **self._read_users(user_ids[half:])}
        unknown = Failure("choose another user: OneVizion does not know this one (deleted?)")
        return {user_id: known.get(user_id, unknown) for user_id in user_ids}

    def _read_field(self, trackor_id: int) -> Union[UserField, Failure]:
        try:
            return self._onevizion.field_of_trackor(trackor_id, self._field)
        except Failure as failure:
            if failure.ends_run:
                raise
            return failure


def is_unread(answers: Dict[int, Any], key: int) -> bool:
    """Tell whether something has to be read: for the first time, or again after a failure that may have passed."""
    answer = answers.get(key)
    return key not in answers or (isinstance(answer, Failure) and answer.retryable)


def end_where_all_failed_alike(answers: Dict[int, Any], new: Set[int], setting: str = "") -> None:
    """Raise the Failure that ends the run where all answers are the same refusal: no record is at fault then.

    The same where several were asked for the first time, and all failed temporarily: that is an outage. One alone, and
    what had failed before, gets its attempts.

    :param new: what was asked for the first time
    :param setting: the one to look at first where OneVizion answers that something is wrong, and not what
    """
    outage = len(new) > 1 and all(isinstance(answers[key], Failure) and answers[key].retryable for key in new)
    codes = {answer.code if isinstance(answer, Failure) else "" for answer in answers.values()}
    code = min(codes, default="")
    refused = code == "field" or (code[:1] in ("3", "4") and code not in ("408", "429"))
    if outage or (len(codes) == 1 and refused):
        failure = next(answers[key] for key in (new or answers))
        if setting and failure.code in ("400", "404"):
            failure = Failure("check %s in the settings first; %s" % (setting, failure), code=failure.code)
        raise Failure(str(failure), ends_run=True, code=failure.code) from failure
