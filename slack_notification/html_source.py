"""The source of HTML mails: mended before it is parsed, or as nothing but its text."""

import re
from html import unescape
from typing import Match

from .rich_text import CHARACTERS_LIMIT, clean

# No mail that a person wrote has a tag of more; older parsers take minutes for them.
ATTRIBUTES_LIMIT = 100

# libxml2 ends these where a paragraph, a table or the like begins in them, browsers do not: it is given names that it
# does not know. In cells they end where it would end the cell; an end tag reaches no further.
RENAMED = {name: name + "-" for name in ["a", "b", "big", "font", "i", "s", "small", "strike", "tt", "u"]}
CELL_ENDS = "</a-></b-></font-></i->"
ENDS = {"a": "</a->", "td": CELL_ENDS, "th": CELL_ENDS, "tr": CELL_ENDS}

BARE_REFERENCE = re.compile(r"&(?=[a-zA-Z][a-zA-Z0-9]*=)")
BREAK_REFERENCE = re.compile("(?i)&#(?:1[12]|xb|xc);")
QUOTED = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*')")
LINE_ENDS = re.compile(r"(?i)</?(?:br|p|div|li|t[dhr]|table|[uo]l|pre|h[r1-6])\b[^<>]*>")
COMMENTS = re.compile(r"(?is)<!--.*?(?:-->|\Z)|<(style|script)\b.*?(?:</\1\s*>|\Z)")
PICTURE = re.compile("(?i)([\"'(=]\\s*data:)[\\w/+.;=-]{0,99};base64,[\\w+/=%\\s]{1000,}")
TAG = re.compile(r"%s|<(/?)([a-z][\w:.-]*)((?:[^<>=]+|%s|=){0,999}[^<>]*)(>?)" % (COMMENTS.pattern, QUOTED.pattern))
ANCHOR = re.compile(r"(?i)</?a\b([^<>]*)>")
WEB_TARGET = re.compile("(?i)\\bhref\\s*=[\\s\"']*((?:https?:|mailto:|tel:|www\\.)[^\\s\"'<>]+)")

# In pieces, the text of a mail of any length takes little memory.
PIECES = re.compile(r"(?s).{1,%d}(?=<|\Z)|.{1,%d}" % (CHARACTERS_LIMIT, CHARACTERS_LIMIT))


def mended(html: str) -> str:
    """Return the mail without what costs the parser minutes or misleads it; no word is lost."""
    return TAG.sub(_mended_tag, BARE_REFERENCE.sub("&amp;", BREAK_REFERENCE.sub("\n", html)))


def _mended_tag(tag: Match[str]) -> str:
    _, slash, name, attributes, end = tag.groups()
    if not name:
        return tag.group()
    if not end and "=" not in attributes:
        return "&lt;" + tag.group()[1:]
    name = name.lower()
    if slash and name in ("body", "html"):
        return "<div></div>"  # libxml2 reads nothing behind it
    bare = QUOTED.sub("= ", attributes)
    if len(bare) > ATTRIBUTES_LIMIT and len(re.findall(r"[^\s/=]+", bare)) > 2 * ATTRIBUTES_LIMIT:
        attributes = ""
    begin = "" if slash else ENDS.get(name, "")
    return "%s<%s%s%s%s" % (begin, slash, RENAMED.get(name, name), attributes, end if '"' in bare else ">")


def text_of_html(html: str) -> str:
    """Return the text of HTML, links as `label (url)`, by looking at nothing but its tags."""
    begin, *rest = ANCHOR.split(COMMENTS.sub("", html))
    pieces = [begin]
    for attributes, label in zip(rest[::2], rest[1::2]):
        target = WEB_TARGET.search(attributes)
        pieces += [label, " (%s)" % target.group(1)] if target else [label]
    text = re.sub(r"<[!?/a-zA-Z][^<>]*>", "", LINE_ENDS.sub("\n", "".join(pieces)))
    text = re.sub(r"&#\w{9,};?", "\ufffd", text)
    return re.sub(r"\n\s*\n+", "\n\n", re.sub("[ \t\xa0]+", " ", clean(unescape(text)))).strip()
