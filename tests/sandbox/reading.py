"""A message in Slack as its reader sees it, in plain text: the blocks where it has some, else the text."""

import html
import re
from typing import Any, Dict, List

from .values import Message

MARKS = (("code", "`"), ("strike", "~"), ("italic", "_"), ("bold", "*"))  # from the inside to the outside
BULLETS = "•◦▪"
INDENT = "    "


def as_read(message: Message) -> str:
    """The message as people read it: *bold*, bullets and numbers, '> ' for quotes, ``` for code, 'label (url)'."""
    if not message.blocks:
        return mrkdwn_as_read(message.text)
    return "\n".join(read_block(block) for block in message.blocks)


def mrkdwn_as_read(text: str) -> str:
    """Text in Slack's markup: links with their labels, entities as characters, live mentions marked as such."""
    text = re.sub(r"<([^<>|]*:[^<>|]*)\|([^<>]*)>", r"\2 (\1)", text)
    text = re.sub(r"<([@#!][^<>]*)>", r"[mention \1]", text)
    return html.unescape(text)


def read_block(block: Dict[str, Any]) -> str:
    """The lines of one block, without a line end."""
    if block["type"] == "rich_text":
        return "\n".join(read_element(element) for element in block["elements"])
    if block["type"] == "context":
        return " ".join(read_text(element) for element in block["elements"])
    return "---" if block["type"] == "divider" else read_text(block["text"])


def read_text(text: Dict[str, Any]) -> str:
    """A text object: plain_text or mrkdwn."""
    return mrkdwn_as_read(text["text"]) if text["type"] == "mrkdwn" else str(text["text"])


def read_element(element: Dict[str, Any]) -> str:
    """A section, list, quote or preformatted text of a rich text."""
    if element["type"] == "rich_text_list":
        indent = INDENT * element.get("indent", 0)
        rows = zip(markers(element), element["elements"])
        return "\n".join(hung("{}{} ".format(indent, marker), read_runs(row["elements"])) for marker, row in rows)
    text = read_runs(element["elements"])
    if element["type"] == "rich_text_quote":
        return re.sub("(?m)^", "> ", text)
    return "```\n{}\n```".format(text) if element["type"] == "rich_text_preformatted" else text


def hung(start: str, text: str) -> str:
    """The text behind `start`, with its further lines below its first character."""
    return start + text.replace("\n", "\n" + " " * len(start))


def markers(element: Dict[str, Any]) -> List[str]:
    """What Slack writes before the items of a list: a bullet, or numbers, letters and Roman numbers by its indent."""
    indent, first = element.get("indent", 0), element.get("offset", 0) + 1
    count = len(element["elements"])
    if element["style"] == "bullet":
        return [BULLETS[indent % 3]] * count
    write = (str, letters, roman)[indent % 3]
    return [write(number) + "." for number in range(first, first + count)]


def letters(number: int) -> str:
    """1 is a, 26 z, 27 aa."""
    rest, last = divmod(number - 1, 26)
    return (letters(rest) if rest else "") + chr(ord("a") + last)


def roman(number: int) -> str:
    """4 is iv."""
    numerals = zip((100, 90, 50, 40, 10, 9, 5, 4, 1), ["c", "xc", "l", "xl", "x", "ix", "v", "iv", "i"])
    written = ""
    for value, numeral in numerals:
        written += numeral * (number // value)
        number %= value
    return written


def read_runs(runs: List[Dict[str, Any]]) -> str:
    """Texts and links in a row; one line end at the end is not seen."""
    text = "".join(read_run(run) for run in runs)
    return text[:-1] if text.endswith("\n") else text


def read_run(run: Dict[str, Any]) -> str:
    """A text or a link with the marks of its style, which stand inside of blanks at its ends."""
    text = run.get("text") or run["url"]
    if run["type"] == "link" and text != run["url"]:
        text = "{} ({})".format(text, run["url"])
    style = run.get("style") or {}
    for name, mark in MARKS:
        if style.get(name):
            text = re.sub(r"(?s)\A(\s*)(.*?)(\s*)\Z", r"\1{0}\2{0}\3".format(mark), text)
    return str(text)
