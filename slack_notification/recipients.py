"""From a record to its channel."""

import functools
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, List, Set, Union
from urllib.parse import unquote

from .errors import QUOTED_CHARACTERS, Failure, clipped, quoted
from .onevizion_api import USERS_PER_CALL, OneVizion, UserField
from .records import Record

CHANNEL_OR_PERSON_ID = re.compile(r"[CDGUW][A-Z0-9]{8,}\Z")
ID = r"((?-i:[CDGUW][A-Z0-9]{8,}))"
NAME = r"([^\s/?&#|<>]+)"  # or an ID
SLACK = r"<?(?:https?://)?(?:[a-z0-9-]+\.)*slack(?:-gov)?\.com/"
REST = r"(?:[/?&#|][^\s>]*)?>?\Z"
# The forms in which Slack hands out a channel or a person.
COPIED = (
    SLACK + r"(?:team|canvas|(?:client|huddle)/[A-Z0-9]+)/" + ID + REST,
    SLACK + r"(?:archives|messages)/" + NAME + REST,
    SLACK + r"app_redirect\?(?:[^\s>]*&)?channel=" + NAME + REST,
    r"<?slack://(?:channel|user)\?(?:[^\s>]*&)?id=" + ID + REST,
    r"<?[@#]" + ID + r"(?:\|[^>]*)?>?\Z",
)
NO_CHANNEL_NAME = re.compile(r"[\s@<>/:,;\"'&|\\]")
LOOKS_LIKE_A_NAME = re.compile(r"[A-Z]{4}")  # so may an ID, which then is asked for as a name in vain
READERS = 16  # users and trackors are read side by side
NAME_CHARACTERS = 30
Ask = Callable[[List[int]], Dict[int, Any]]


def channel_from_field(text: str) -> str:
    """Return what Slack is to be asked for, given what an admin entered: an ID, or a name with `#`.

    Slack's documents: a name may be given with or without `#`, an ID only without; e-mail addresses are not accepted.
    Raises a permanent Failure where it cannot be a channel.
    """
    # Category Cf: zero-width and bidirectional characters, soft hyphens. They come along when text is copied.
    visible = "".join(character for character in text if unicodedata.category(character) != "Cf")
    typed = visible.replace("＃", "#").strip()
    copied = next(filter(None, (re.match(form, typed, re.IGNORECASE) for form in COPIED)), None)
    name = (unquote(copied.group(1)) if copied else typed).lstrip("#").strip()
    if CHANNEL_OR_PERSON_ID.match(name):
        return name
    if not name:
        raise Failure("enter a channel in the user's field: it is empty")
    if NO_CHANNEL_NAME.search(name) or not name.isprintable() or len(name) > QUOTED_CHARACTERS:
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
        self._trackors: Dict[int, Union[int, Failure]] = {}  # of users
        self._fields: Dict[int, Union[UserField, Failure]] = {}  # of trackors

    def read(self, records: Iterable[Record]) -> None:
        """Read the trackors and channels of these records' users; raises Failure that ends the run (see read_new)."""
        users = {record.user_id for record in records if record.user_id is not None}
        read_new(self._trackors, users, self._trackors_of, USERS_PER_CALL)
        trackors = {trackor for trackor in map(self._trackors.get, users) if isinstance(trackor, int)}
        read_new(self._fields, trackors, self._field_of, 1, "channelField")

    def name(self, record: Record) -> str:
        """Return a record's recipient as people know the user: "jdoe (106)"; "" where the record has no user."""
        if record.user_id is None:
            return ""
        field = self._read(record.user_id)
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
        field = self._read(record.user_id)
        if isinstance(field, Failure):
            raise field
        if not field.value.strip():
            raise Failure("the user has no channel: enter one in %s" % self._field)
        return channel_from_field(field.value)

    def _read(self, user_id: int) -> Union[UserField, Failure]:
        trackor = self._trackors[user_id]
        return trackor if isinstance(trackor, Failure) else self._fields[trackor]

    def _trackors_of(self, users: List[int]) -> Dict[int, Any]:
        known = self._onevizion.trackors_of_users(users)
        unknown = Failure("choose another user: OneVizion does not know this one (deleted?)")
        alone = Failure("link the user to a trackor of the user trackor type: the user has none")
        found = {user: alone if trackor is None else trackor for user, trackor in known.items()}
        return {user: found.get(user, unknown) for user in users}

    def _field_of(self, trackors: List[int]) -> Dict[int, Any]:
        return {trackor: self._onevizion.field_of_trackor(trackor, self._field) for trackor in trackors}


def read_new(answers: Dict[int, Any], keys: Set[int], ask: Ask, chunk_size: int, setting: str = "") -> None:
    """Ask for what has no answer yet, or one that may have passed; add the answers, and the Failure in place of one.

    :param ask: returns the answers for at most `chunk_size` keys
    :param setting: the one to look at first where OneVizion does not say what is wrong
    :raises Failure: that ends the run: all answers are the same refusal, so no record is at fault; or several that were
        asked for the first time all failed temporarily: an outage. One alone, and what had failed before, has attempts
    """
    new = keys.difference(answers)
    unread = sorted(key for key in keys if key in new or may_pass(answers[key]))
    chunks = [unread[start : start + chunk_size] for start in range(0, len(unread), chunk_size)]
    with ThreadPoolExecutor(READERS, thread_name_prefix="reader") as pool:
        for found in pool.map(functools.partial(answers_to, ask), chunks):
            answers.update(found)
    is_outage = len(new) > 1 and all(may_pass(answers[key]) for key in new)
    codes = {answer.code if isinstance(answer, Failure) else "" for answer in answers.values()}
    if is_outage or (len(codes) == 1 and re.match("field|3|4(?!08|29)", min(codes))):
        failure = answers[min(new or answers)]
        text = str(failure)
        if setting and failure.code in ("400", "404"):
            text = "check %s in the settings first; %s" % (setting, failure)
        raise Failure(text, ends_run=True) from failure


def may_pass(answer: Any) -> bool:
    """Tell whether an answer is a failure after which it is worth to ask again."""
    return isinstance(answer, Failure) and answer.retryable


def answers_to(ask: Ask, keys: List[int]) -> Dict[int, Any]:
    """Return what is answered to these keys, a Failure for each that is refused; raises Failure that ends the run."""
    try:
        return ask(keys)
    except Failure as failure:
        if failure.ends_run:
            raise
        if failure.retryable or len(keys) == 1:
            return dict.fromkeys(keys, failure)
    half = len(keys) // 2  # so that the one id that OneVizion refuses costs no other
    return {**answers_to(ask, keys[:half]), **answers_to(ask, keys[half:])}
