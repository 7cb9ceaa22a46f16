"""What the recipient reads: a record's subject, body and attachments as posts made of Slack's blocks.

Everything here is a pure function of its arguments. A *part* is one post of a message.
"""

import re
from html import unescape
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from .records import Record
from .rich_text import BOLD, Line, Run, clean, divided, escape, host_of, lines_of, one_line, plain, posts, rich_text

# Slack's documentation of the header block.
HEADER_LIMIT_CHARACTERS = 150
# A thread of more posts than this is read by nobody: its first ones are posted, the rest is a file.
PARTS_LIMIT = 40
PARTS_BEFORE_FILE = 10
MARKUP_LINK = re.compile(r"<([^|>]*)\|([^>]*)>")


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
    subject = one_line(record.subject or "")
    title = _title(subject)
    body, rest = _body(record.message, record.html)
    if title != subject:
        body = [Line((Run(subject, BOLD),))] + body
    attached = [_attachment(ov_url, blob, i, file_names) for i, blob in enumerate(record.blob_ids)]
    pieces, left = posts(body + attached, PARTS_LIMIT)
    if rest or left:
        pieces, left = posts(body, PARTS_BEFORE_FILE)
        links, more_links = posts(attached, PARTS_LIMIT - PARTS_BEFORE_FILE)
        rest = "\n".join(filter(None, [plain(rich_text(left)), rest, plain(rich_text(more_links))]))
        pieces += links
    return Message(_parts(title, pieces, ov_url, files, bool(rest)), rest)


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
            shown.append(unescape(MARKUP_LINK.sub(r"\2 (\1)", notes)))
        else:
            shown.append(plain(block["elements"]))
    return "\n".join(shown)


def _title(subject: str) -> str:
    """Return what of a subject stands in the header, cut at a word where there is one."""
    if len(subject) <= HEADER_LIMIT_CHARACTERS:
        return subject
    cut = subject[:HEADER_LIMIT_CHARACTERS]
    return (cut[: cut.rfind(" ")] if " " in cut[HEADER_LIMIT_CHARACTERS // 2 :] else cut[:-1]).rstrip() + "…"


def _body(text: Optional[str], html: Any) -> Tuple[List[Line], str]:
    """Return the lines of a body, and the text of the part of a mail that is too long to be read as HTML.

    `text` and `html` are the record's: `html` says that `text` is HTML, or is a text, the HTML form of `text`. Plain
    text is never treated as HTML, whatever it looks like.
    """
    # A truth value may come as its word.
    html = {"true": True, "false": False}.get(str(html).strip().lower(), html)
    mail = html if isinstance(html, str) and html.strip() else text if html is True else None
    if mail:
        # Most records are plain text: a run without HTML does not load the parser.
        from .html_mail import read_html

        lines, rest = read_html(mail)
        if lines or mail is text:
            return lines, rest
    beginning, rest = divided(clean(text or ""), " ")
    return lines_of(beginning), rest


def _attachment(ov_url: str, blob_id: int, index: int, names: Sequence[str]) -> Line:
    """Return the line with the link under which a person who is logged in to OneVizion opens an attachment."""
    name = one_line(names[index]) or "attachment %d of %d" % (index + 1, len(names))
    return Line((Run("📎 "), Run(name, url="%s/efiles/EFileGetBlobFromDb.do?id=%d" % (ov_url, blob_id))))


def _parts(title: str, pieces: List[List[Line]], ov_url: str, files: bool, has_rest: bool) -> List[Part]:
    last = max(len(pieces), 1) - 1
    end = [_address(ov_url)]
    if has_rest:
        end.insert(0, "the rest is in the file message.txt" if files else "this is not all: read the rest in OneVizion")
    parts = []
    for number, piece in enumerate(pieces or [[]]):
        notes = ["continued in the thread"] if number == 0 and (last > 0 or (has_rest and files)) else []
        parts.append(_part("" if number else title, piece, notes + (end if number == last else [])))
    return parts


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
