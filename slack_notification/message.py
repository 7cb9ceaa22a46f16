"""What the recipient reads: a record's subject, body and attachments as posts made of Slack's blocks.

Everything here is a pure function of its arguments. A *part* is one post of a message.
"""

import re
from html import unescape
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .records import Record
from .rich_text import BOLD, Line, Run, clean, divided, escape, host_of, lines_of, one_line, plain, posts, rich_text

HEADER_LIMIT_CHARACTERS = 150  # Slack's documentation of the header block
# A thread of more posts than this is read by nobody: its first ones are posted, the rest is a file.
PARTS_LIMIT = 40
PARTS_BEFORE_FILE = 10


class Part(NamedTuple):
    """One post: `blocks`, and the same as escaped text: for notifications, and where Slack refuses the blocks."""

    blocks: List[Dict[str, Any]]
    text: str


class Message(NamedTuple):
    """The posts of a message, and the plain text for the file message.txt: '' where the posts hold everything."""

    parts: List[Part]
    rest: str


def compose(record: Record, ov_url: str, file_names: Sequence[str], files: bool = True) -> Message:
    """Return the posts of a record: the first for the channel, the others for its thread.

    `file_names`: one for each of the record's `blob_ids`, '' where it is not known. Without `files` the end of a
    message that is too long refers to OneVizion instead of message.txt.
    """
    title = subject = one_line(record.subject or "")
    body, rest = _body(record.message, record.html)
    if len(subject) > HEADER_LIMIT_CHARACTERS:
        title = divided(subject, " ", HEADER_LIMIT_CHARACTERS - 1)[0] + "…"
        body.insert(0, Line((Run(subject, BOLD),)))
    links = []
    for number, (blob_id, name) in enumerate(zip(record.blob_ids, file_names), 1):
        label = one_line(name) or "attachment %d of %d" % (number, len(file_names))
        # Opens the attachment for a person who is logged in to OneVizion.
        links.append(Line((Run("📎 "), Run(label, url="%s/efiles/EFileGetBlobFromDb.do?id=%d" % (ov_url, blob_id)))))

    pieces, left = posts(body + links, PARTS_LIMIT)
    if rest or left:
        pieces, left = posts(body, PARTS_BEFORE_FILE)
        more_pieces, more_left = posts(links, PARTS_LIMIT - PARTS_BEFORE_FILE)
        rest = "\n".join(filter(None, [plain(rich_text(left)), rest, plain(rich_text(more_left))]))
        pieces += more_pieces

    pieces = pieces or [[]]
    notes: List[List[str]] = [[] for _ in pieces]
    if len(pieces) > 1:
        notes[0].append("continued in the thread")
    where = "the rest is in the file message.txt" if files else "this is not all: read the rest in OneVizion"
    notes[-1] += [where, _address(ov_url)] if rest else [_address(ov_url)]
    titles = [title] + [""] * len(pieces)
    return Message([_part(*each) for each in zip(titles, pieces, notes)], rest)


def notice(text: str, ov_url: str) -> Part:
    """Return a short message of the program's own; web addresses in it become links."""
    return _part("", lines_of(clean(text)), [_address(ov_url)])


def readable(part: Part) -> str:
    """Return a part as a reader sees its blocks: bullets, `> ` before quotes, fences around code, `label (url)`."""
    shown = []
    for block in part.blocks:
        if block["type"] == "header":
            shown.append(block["text"]["text"])
        elif block["type"] == "context":
            notes = " · ".join(element["text"] for element in block["elements"])
            shown.append(unescape(re.sub(r"<([^|>]*)\|([^>]*)>", r"\2 (\1)", notes)))
        else:
            shown.append(plain(block["elements"]))
    return "\n".join(shown)


def _body(text: Optional[str], html: Any) -> Tuple[List[Line], str]:
    """Return the lines of a body, and the text of the part of a mail that is too long to be read as HTML.

    `text` and `html` are the record's: `html` says that `text` is HTML, or is a text, the HTML form of `text`. Plain
    text is never treated as HTML, whatever it looks like.
    """
    said = str(html).strip().lower()  # a truth value may come as its word
    mail = text if said == "true" else html
    if mail and said not in ("", "false"):
        # Most records are plain text: a run without HTML does not load the parser.
        from .html_mail import read_html

        lines, rest = read_html(mail)
        if lines or mail is text:
            return lines, rest
    head, rest = divided(clean(text or ""), " ")
    return lines_of(head), rest


def _part(title: str, lines: List[Line], notes: List[str]) -> Part:
    blocks: List[Dict[str, Any]] = []
    if title:
        blocks.append({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": False}})
    elements = rich_text(lines)
    if elements:
        blocks.append({"type": "rich_text", "elements": elements})
    if notes:
        blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": note} for note in notes]})
    return Part(blocks, escape(readable(Part(blocks, ""))))


def _address(ov_url: str) -> str:
    return "<%s|OneVizion · %s>" % (escape(ov_url), escape(host_of(ov_url)))
