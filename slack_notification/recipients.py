"""From a record to its channel."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List, Optional, Union

from .errors import QUOTED_CHARACTERS, Failure, quoted
from .onevizion_api import USERS_PER_CALL, OneVizion, Record, UnknownField

CHANNEL_ID = re.compile(r"[CGD][A-Z0-9]{8,}\Z")
PERSON_ID = re.compile(r"[UW][A-Z0-9]{8,}\Z")
# How Slack writes a channel or a person when their link is copied, or when a mention is pasted.
COPIED_LINK = re.compile(
    r"<?https?://[a-z0-9.-]*\bslack(?:-gov)?\.com/(?:archives|team|client/[A-Z0-9]+)/([A-Z0-9]+)(?:[/?#][^\s>]*)?>?\Z",
    re.I,
)
PASTED_MENTION = re.compile(r"<[#@]([A-Z0-9]+)(?:\|[^>]*)?>\Z")
NO_CHANNEL_NAME = re.compile(r"[\s@<>/:,;\"'&|\\]")


def channel_from_field(text: str) -> str:
    """Return what Slack is to be asked for, given what an admin typed: an ID, or a name with `#`.

    Slack's documents: a name may be given with or without `#`, an ID only without; e-mail addresses are not accepted.

    :raises Failure: permanent, when it cannot be a channel
    """
    typed = text.strip()
    copied = COPIED_LINK.match(typed) or PASTED_MENTION.match(typed)
    name = copied.group(1) if copied else typed.lstrip("#").strip()
    if CHANNEL_ID.match(name) or PERSON_ID.match(name):
        return name
    if not name:
        raise Failure("the channel is empty: type a channel into the user's field")
    if copied or NO_CHANNEL_NAME.search(name) or not name.isprintable() or len(name) > QUOTED_CHARACTERS:
        raise Failure(
            "%s is no Slack channel: type a channel's name, its ID or link, or a member ID into the user's field"
            % quoted(typed)
        )
    return "#" + name.lower()


class Recipients:
    """Finds the channel of each user. Every user and every trackor is read once; what did not answer, again later."""

    def __init__(self, onevizion: OneVizion, field: str, pool: ThreadPoolExecutor) -> None:
        self._onevizion = onevizion
        self._field = field
        self._pool = pool
        self._trackors: Dict[int, Union[Optional[int], Failure]] = {}
        self._values: Dict[int, Union[str, Failure]] = {}

    def read(self, user_ids: Iterable[int]) -> None:
        """Read the users' trackors and channels, side by side.

        :raises Failure: that ends the run: OneVizion refuses the account, or no trackor has the field
        """
        wanted = set(user_ids)
        unread = sorted(user_id for user_id in wanted if is_unread(self._trackors, user_id))
        chunks = [unread[start : start + USERS_PER_CALL] for start in range(0, len(unread), USERS_PER_CALL)]
        for answer in self._pool.map(self._read_users, chunks):
            self._trackors.update(answer)
        trackors = {trackor for trackor in map(self._trackors.get, wanted) if isinstance(trackor, int)}
        unread = sorted(trackor_id for trackor_id in trackors if is_unread(self._values, trackor_id))
        self._values.update(zip(unread, self._pool.map(self._read_field, unread)))
        refusals = [value for value in self._values.values() if isinstance(value, UnknownField)]
        if refusals and not any(isinstance(value, str) for value in self._values.values()):
            raise Failure(str(refusals[0]), ends_run=True) from refusals[0]

    def channel(self, record: Record) -> str:
        """Return the channel for a record whose user was read.

        :raises Failure: the record or its user has none, or could not be read
        """
        if record.problem:
            raise Failure("%s: report this to OneVizion's support" % record.problem)
        user_id = record.user_id
        if user_id is None:
            raise Failure("no user is given (userId is empty): choose a OneVizion user as recipient")
        trackor = self._trackors[user_id]
        if isinstance(trackor, Failure):
            raise trackor
        if trackor is None:
            raise Failure("user %d has no trackor: link the user to a trackor of the user trackor type" % user_id)
        value = self._values[trackor]
        if isinstance(value, Failure):
            raise value
        if not value.strip():
            raise Failure("user %d has no channel: type one into %s of trackor %d" % (user_id, self._field, trackor))
        return channel_from_field(value)

    def _read_users(self, user_ids: List[int]) -> Dict[int, Union[Optional[int], Failure]]:
        answers: Dict[int, Union[Optional[int], Failure]] = {}
        try:
            known = self._onevizion.trackors_of_users(user_ids)
        except Failure as failure:
            if failure.ends_run:
                raise
            if failure.may_pass or len(user_ids) == 1:
                return dict.fromkeys(user_ids, failure)
            half = len(user_ids) // 2  # so that the one id that OneVizion refuses costs no other
            return {**self._read_users(user_ids[:half]), **self._read_users(user_ids[half:])}
        for user_id in user_ids:
            answers[user_id] = known.get(user_id, Failure("user %d is unknown to OneVizion: choose another" % user_id))
        return answers

    def _read_field(self, trackor_id: int) -> Union[str, Failure]:
        try:
            return self._onevizion.field_of_trackor(trackor_id, self._field)
        except Failure as failure:
            if failure.ends_run:
                raise
            return failure


def is_unread(answers: Dict[int, Any], key: int) -> bool:
    """Tell whether something has to be read: for the first time, or again after a failure that may have passed."""
    answer = answers.get(key, answers)
    return answer is answers or (isinstance(answer, Failure) and answer.may_pass)
