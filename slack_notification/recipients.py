"""From a record to its channel."""

import re
import unicodedata

from .errors import QUOTED_CHARACTERS, Failure, quoted

CHANNEL_OR_PERSON_ID = re.compile(r"[CDGUW][A-Z0-9]{8,}\Z")
SLACK = r"<?(?:https?://)?(?:[a-z0-9-]+\.)*slack(?:-gov)?\.com/"
REST = r"(?:[/?&#|][^\s>]*)?>?\Z"
# The forms in which Slack hands out a channel or a person; the first group is an ID.
COPIED_IDS = [
    re.compile(SLACK + r"(?:team|client/[A-Z0-9]+)/([A-Z0-9]+)" + REST, re.I),
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
LOOKS_LIKE_AN_ID_AND_A_NAME = re.compile(r"[CDGUW][A-Z]{3,}[0-9]*\Z")


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
    name = copied.group(1) if copied else typed.lstrip("#").strip()
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
    looks_like_a_name = CHANNEL_OR_PERSON_ID.match(channel) and LOOKS_LIKE_AN_ID_AND_A_NAME.match(channel)
    return "#" + channel.lower() if looks_like_a_name else ""
