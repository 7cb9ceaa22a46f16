"""The source of HTML mails: mended before it is parsed, or as nothing but its text."""

import re
from html import unescape
from typing import List, Match

from .html_look import BLOCKS, STYLES
from .rich_text import clean

# No mail that a person wrote is nested deeper; the parser's time grows with the depth.
DEPTH_LIMIT = 500
ATTRIBUTES_LIMIT = 100

KNOWN = BLOCKS.union(STYLES, ["a", "br", "img", "input", "span", "font", "u", "sup", "sub", "small", "big", "head"])
TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:]*)([^<>]*)(>?)")
NO_TAG = re.compile("<(?![a-zA-Z/!?])")
BARE_REFERENCE = re.compile(r"&(?=[a-zA-Z][a-zA-Z0-9]*=)")
BREAK_REFERENCE = re.compile("(?i)&#(?:0*1[12]|x0*[bc])(?:;|(?![0-9a-f]))")
QUOTED = re.compile("\"[^\"]*\"|'[^']*'")
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "wbr"}
LINE_ENDS = re.compile(r"(?i)</?(?:br|p|div|li|t[dhr]|table|[uo]l|pre|h[r1-6])\b[^<>]*>")
COMMENTS = re.compile(r"(?is)<!--.*?(?:-->|\Z)|<(style|script)\b.*?(?:</\1\s*>|\Z)")


def mended(html: str) -> str:
    """Return the mail without what costs the parser minutes or misleads it; no word is lost."""
    open_tags: List[str] = []

    def mend(tag: Match[str]) -> str:
        closing, name, rest, end = tag.groups()
        name = name.lower()
        if not end and (closing or name not in KNOWN or _is_no_tag(rest)):
            return "&lt;" + tag.group()[1:]
        if len(QUOTED.sub("", rest).split()) > ATTRIBUTES_LIMIT:
            return "&lt;" + tag.group()[1:]
        if closing and open_tags and name in open_tags[-20:]:
            while open_tags.pop() != name:
                pass
        elif not closing and name not in VOID and not rest.endswith("/"):
            if open_tags and open_tags[-1] == name and name in ("p", "li", "td", "th", "tr", "dt", "dd", "option", "a"):
                open_tags.pop()
            if len(open_tags) >= DEPTH_LIMIT and name != "a":
                return "<br>" if name in BLOCKS else ""
            open_tags.append(name)
        return (
            "<"
            + closing
            + tag.group(2)
            + BARE_REFERENCE.sub("&amp;", rest)
            + (">" if rest.count('"') % 2 == 0 else end)
        )

    return TAG.sub(mend, NO_TAG.sub("&lt;", BREAK_REFERENCE.sub("\n", html)))


def _is_no_tag(rest: str) -> bool:
    """Tell whether what follows `<name`, up to the next < or the end of the mail, is text and no list of attributes."""
    words = QUOTED.sub("", rest).split()
    return len(words) > ATTRIBUTES_LIMIT or any("=" not in word for word in words) and '"' not in rest


def text_of_html(html: str) -> str:
    """Return the text of HTML by looking at nothing but its tags."""
    text = LINE_ENDS.sub("\n", COMMENTS.sub("", html))
    text = re.sub(r"<[!?/a-zA-Z][^<>]*>", "", text)
    text = re.sub(r"&#\w{9,};?", "\ufffd", text)
    return re.sub(r"\n\s*\n+", "\n\n", re.sub("[ \t\xa0]+", " ", clean(unescape(text)))).strip()
