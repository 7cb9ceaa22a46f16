"""What Slack's stand-in keeps of what it was sent, and how it reads the arguments that are JSON."""

import json
from typing import Any, Dict, List, NamedTuple, Optional

from tests.slack_rules import problems


class Channel(NamedTuple):
    """Where messages stand. `name` is what people see: '#ops', or 'DM U0000000001' for a direct message."""

    id: str
    name: str
    private: bool = False
    archived: bool = False
    member: bool = True
    user: Optional[str] = None


class Message(NamedTuple):
    """A message as it stands in a channel."""

    channel: str
    name: str
    text: str
    ts: str
    thread_ts: Optional[str]
    at: float
    params: Dict[str, Any]
    blocks: Optional[List[Dict[str, Any]]] = None


class Post(NamedTuple):
    """One try of chat.postMessage. outcome: 'ok', Slack's error code, 'HTTP 503', 'cut before', 'cut after' ..."""

    channel: Optional[str]
    text: Optional[str]
    at: float
    outcome: str
    blocks: Any = None  # as sent: the JSON text of a form, or the value


class SharedFile(NamedTuple):
    """A file after files.completeUploadExternal; channel is None for one that was shared nowhere."""

    name: str
    title: str
    content: bytes
    channel: Optional[str]
    thread_ts: Optional[str]


class Upload:
    """A file between files.getUploadURLExternal and files.completeUploadExternal."""

    def __init__(self, name: str, length: int) -> None:
        self.name = name
        self.length = length
        self.content: Optional[bytes] = None


def read_blocks(blocks: Any) -> Optional[List[Dict[str, Any]]]:
    """The `blocks` argument, a list or its JSON text; None where there is none.

    Raises ValueError(Slack's error, reason, ...) for blocks that Slack refuses.
    """
    if blocks in (None, ""):
        return None
    try:
        value = json.loads(blocks) if isinstance(blocks, str) else blocks
    except ValueError:
        raise ValueError("invalid_blocks_format", "[ERROR] not JSON") from None
    found = problems(value)
    if found:
        too_long = any("msg_blocks_too_long" in problem for problem in found)
        raise ValueError("msg_blocks_too_long" if too_long else "invalid_blocks", *found)
    return value  # type: ignore[no-any-return]


def read_entries(files: Any) -> List[Dict[str, Any]]:
    """The `files` argument, a JSON list of {id, title}, as text or parsed; [] where it is something else."""
    try:
        entries = json.loads(files) if isinstance(files, str) else files
    except ValueError:
        return []
    if not isinstance(entries, list) or not all(isinstance(e, dict) and isinstance(e.get("id"), str) for e in entries):
        return []
    return entries
