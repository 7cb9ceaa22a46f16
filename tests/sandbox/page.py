"""One HTML page that shows channels, threads and files as Slack draws them, from the blocks that were really posted.

It is one file without scripts or outside resources; whatever was posted is escaped.
"""

import base64
import datetime
import os
import re
import time
from html import escape, unescape
from typing import Any, Dict, List

from .reading import markers
from .slack import Slack
from .values import Channel, Message, SharedFile

HERE = os.path.dirname(os.path.abspath(__file__))
ICON = os.path.join(os.path.dirname(os.path.dirname(HERE)), "icon.png")
TAGS = (("code", "code"), ("strike", "s"), ("italic", "i"), ("bold", "b"))  # from the inside to the outside
SAFE_LINK = re.compile(r"(https?|mailto|tel):", re.IGNORECASE)
BULLETS = ("disc", "circle", "square")
FILE_COLOURS = {"pdf": "#e01e5a", "jpg": "#36c5f0", "png": "#36c5f0", "xlsx": "#2eb67d", "docx": "#1264a3"}

LOCK = (
    '<svg viewBox="0 0 20 20" width="13" height="13" fill="none" stroke="currentColor" stroke-width="2">'
    '<rect x="3" y="9" width="14" height="9" rx="2"/><path d="M6 9V6a4 4 0 0 1 8 0v3"/></svg>'
)

PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Slack, as the sandbox's messages look in it</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<style>
{style}
</style></head><body><nav><h1>Acme</h1><h2>Channels</h2>{links}</nav><main>{channels}</main></body></html>
"""


def write_page(path: str, slack: Slack) -> None:
    """Write the page of all channels in which something stands."""
    with open(ICON, "rb") as file:
        icon = "data:image/png;base64," + base64.b64encode(file.read()).decode()
    with open(os.path.join(HERE, "page.css"), encoding="utf-8") as file:
        style = file.read().strip()
    messages, files = list(slack.messages), list(slack.files)
    written = {message.channel for message in messages}
    channels = [channel for channel in slack.channels.values() if channel.id in written]
    links = "".join('<a href="#{}">{}</a>'.format(channel.id, title(channel)) for channel in channels)
    shown = "".join(draw_channel(channel, messages, files, icon) for channel in channels)
    with open(path, "w", encoding="utf-8", errors="replace") as file:
        file.write(PAGE.format(style=style, links=links, channels=shown))


def title(channel: Channel) -> str:
    """The channel's name with its sign: #, a lock, or a person's dot."""
    sign = LOCK if channel.private else "<i></i>" if channel.user else "#"
    return "<span>{}</span> {}".format(sign, escape(channel.name.lstrip("#")))


def draw_channel(channel: Channel, messages: List[Message], files: List[SharedFile], icon: str) -> str:
    """A channel with its messages, each above its thread."""
    here = [message for message in messages if message.channel == channel.id]
    drawn = ""
    for message in here:
        if message.thread_ts is None:
            replies = [draw_message(reply, icon) for reply in here if reply.thread_ts == message.ts]
            shared = [file for file in files if (file.channel, file.thread_ts) == (channel.id, message.ts)]
            replies += [head(icon, message.at) + draw_file(file) + "</div></div>" for file in shared]
            drawn += draw_message(message, icon)
            if replies:
                count = "1 reply" if len(replies) == 1 else "{} replies".format(len(replies))
                drawn += '<div class="thread"><p>{}</p>{}</div>'.format(count, "".join(replies))
    return '<section id="{}"><h2>{}</h2>{}</section>'.format(channel.id, title(channel), drawn)


def draw_message(message: Message, icon: str) -> str:
    """A message with the app's picture and name."""
    body = draw_mrkdwn(message.text)
    if message.blocks:
        body = "".join('<div class="{}">{}</div>'.format(b["type"], draw_block(b)) for b in message.blocks)
    return head(icon, message.at) + body + "</div></div>"


def head(icon: str, at: float) -> str:
    """The beginning of a message that arrived at time.monotonic() `at`; two <div> are left open."""
    clock = datetime.datetime.now() - datetime.timedelta(seconds=time.monotonic() - at)
    start = '<div class="message"><img src="{}" alt=""><div><p class="by"><b>OneVizion</b> <small>APP</small> {}</p>'
    return start.format(icon, clock.strftime("%H:%M"))


def draw_file(file: SharedFile) -> str:
    """The card of a file."""
    ending = file.name.rpartition(".")[2][:4] if "." in file.name else "file"
    card = '<div class="file"><em style="background:{}">{}</em><b>{}</b><span>{:,} bytes</span></div>'
    colour = FILE_COLOURS.get(ending.lower(), "#616061")
    return card.format(colour, escape(ending.upper()), escape(file.title or file.name), len(file.content))


def draw_block(block: Dict[str, Any]) -> str:
    """The inside of one block."""
    if block["type"] == "rich_text":
        return "".join(draw_element(element) for element in block["elements"])
    if block["type"] == "context":
        return " ".join(draw_text(element) for element in block["elements"])
    return "<hr>" if block["type"] == "divider" else draw_text(block["text"])


def draw_text(text: Dict[str, Any]) -> str:
    """A text object: plain_text or mrkdwn."""
    return draw_mrkdwn(text["text"]) if text["type"] == "mrkdwn" else draw_plain(text["text"])


def draw_element(element: Dict[str, Any]) -> str:
    """A section, list, quote or preformatted text of a rich text."""
    if element["type"] == "rich_text_list":
        indent, ordered = element.get("indent", 0), element["style"] == "ordered"
        kinds = ['"{} "'.format(marker) for marker in markers(element)]
        if not ordered:
            kinds = [BULLETS[indent % 3]] * len(kinds)
        rows = zip(kinds, element["elements"])
        items = "".join(
            "<li style='list-style-type:{}'>{}</li>".format(kind, draw_runs(row["elements"])) for kind, row in rows
        )
        return '<ul style="margin-left:{}px">{}</ul>'.format(26 * indent, items)
    tag = {"rich_text_quote": "blockquote", "rich_text_preformatted": "pre"}.get(element["type"], "div")
    return "<{0}>{1}</{0}>".format(tag, draw_runs(element["elements"]))


def draw_runs(runs: List[Dict[str, Any]]) -> str:
    """Texts and links in a row."""
    return "".join(draw_run(run) for run in runs)


def draw_run(run: Dict[str, Any]) -> str:
    """A text or a link with its style."""
    drawn = draw_plain(run.get("text") or run["url"])
    for name, tag in TAGS:
        if (run.get("style") or {}).get(name):
            drawn = "<{0}>{1}</{0}>".format(tag, drawn)
    return draw_link(run["url"], drawn) if run["type"] == "link" else drawn


def draw_link(url: str, label: str) -> str:
    """A link; the label alone where a click could run something."""
    return '<a href="{}">{}</a>'.format(escape(url), label) if SAFE_LINK.match(url) else label


def draw_plain(text: str) -> str:
    """Text that is no markup; what no browser shows becomes a sign."""
    return escape(re.sub("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", "\ufffd", text))


def draw_mrkdwn(text: str) -> str:
    """Slack's markup, as far as it is needed to look at: links, mentions, bold and code blocks."""
    drawn = ""
    for number, piece in enumerate(re.split(r"<([^<>]*)>", text)):
        target, _, label = piece.partition("|")
        if number % 2 == 0:
            drawn += draw_plain(unescape(piece))
        elif target[:1] in "@#!":
            drawn += "<mark>{}</mark>".format(draw_plain(target))
        else:
            drawn += draw_link(unescape(target), draw_plain(unescape(label or target)))
    drawn = re.sub(r"\n*```\n?(.*?)\n?```\n*", r"<pre>\1</pre>", drawn, flags=re.DOTALL)
    return '<div class="mrkdwn">{}</div>'.format(re.sub(r"(?<![\w*])\*([^*\n]+)\*(?![\w*])", r"<b>\1</b>", drawn))
