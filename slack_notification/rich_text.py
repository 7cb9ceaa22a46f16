"""Text as values: lines of runs, as Slack's rich_text, as plain text, and where they are cut.

A *run* is text of one look, a *line* is what ends with a line end; a body is a list of lines. Markup appears nowhere,
so no text can be taken for it.
"""

import functools
import html
import json
import re
from itertools import accumulate, dropwhile, groupby, islice
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote, urlsplit

# Of a longer body, or one with more lines and tags, only the beginning becomes posts, for the time and the memory.
CHARACTERS_LIMIT = 1000000
MARKS_LIMIT = 40000
# Each post: what a person reads in one go, what fits into `text` (4,000 escaped) and into all blocks (some 11,000 as
# JSON was refused) beside the header and the context.
POST_LIMIT_CHARACTERS = 3000
FIRST_POST_LIMIT_CHARACTERS = 1200  # of what a channel shows of a message; the rest stands in the thread
POST_LIMIT_JSON_CHARACTERS = 8000
POST_LIMIT_LINES = 500  # also for the time: each look at where a post ends takes them all
# Slack takes 3,000; but a link cannot be cut, and has to fit into a post with its words, often the same address.
URL_LIMIT_CHARACTERS = 2000
BULLETS = "•◦▪"
SECTIONS = {"text": "rich_text_section", "quote": "rich_text_quote", "pre": "rich_text_preformatted"}

BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
C1 = re.compile("[\x80-\x9f]")
WINDOWS_1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
# Everything else that a screen cannot show, and what turns the direction of the text that follows (bidi overrides).
UNSHOWABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
SURROGATES = re.compile("[\ud800-\udfff]")
# Nothing but these is an empty line: newsletters fill their preview text with them.
BLANK = re.compile("[\\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]*\\Z")
UNSAFE_IN_URL = re.compile('[\\s\x00-\x20\x7f-\x9f|<>"`\\\\^{}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]')
LINKABLE = re.compile(r"(?i)https?://[^/?#\s]|mailto:[^\s]|tel:[^\s]")
# No bracket without its other half, no quotation mark.
NOT_IN_ADDRESS = r"""\s<>"|“”„‘’‚«»‹›（）「」『』【】《》…。、，；：！？—"""
ADDRESS = re.compile(
    r"""(?i)\b(?:https?://|www\.[\w-]+\.|mailto:[^\s<>"|()@]{1,99}@)(?=\w)(?:[^NOT()\[\]{},;]+|[,;](?!https?://)"""
    r"""|\([^NOT()]*\)|\[[^NOT\[\]]*\]|\{[^NOT{}]*\}){1,999}""".replace("NOT", NOT_IN_ADDRESS)
)
PLAIN: FrozenSet[str] = frozenset()
BOLD = frozenset(["bold"])


class Run(NamedTuple):
    """Text of one look: `styles` of bold, italic, strike, code; `url` where it is a link ('' for none)."""

    text: str
    styles: FrozenSet[str] = PLAIN
    url: str = ""


class Line(NamedTuple):
    """A line of a body. `kind` is text, item, quote or pre.

    Of an item: `indent` from 0, `number` (None for a bullet), and `item`, which the lines of one item have in common.
    """

    runs: Tuple[Run, ...] = ()
    kind: str = "text"
    indent: int = 0
    number: Optional[int] = None
    item: Any = None


def clean(text: str) -> str:
    """Return the text with the characters that a reader can see, every break between lines as a newline.

    Characters that are control characters here and printable in Windows-1252 become those; an unpaired surrogate,
    which no request can carry, becomes U+FFFD; other control characters and bidi overrides are dropped.
    """
    text = UNSHOWABLE.sub("", BREAKS.sub("\n", text))
    text = text.translate(WINDOWS_1252) if C1.search(text) else text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if SURROGATES.search(text) else text


def one_line(text: str) -> str:
    """Return the text clean, on one line, without runs of blanks; '' where it shows nothing."""
    line = " ".join(clean(text).split())
    return "" if BLANK.match(line) else line


# Text as data for the `text` of a post: exactly & < > are escaped, & first, says Slack.
escape = functools.partial(html.escape, quote=False)


def link_target(href: str) -> str:
    """Return the URL that Slack can link to for what a mail calls its target, '' where there is none.

    As browsers do, line breaks go. `www.` and `//` become https. What would take a post for itself is no link.
    """
    href = re.sub("[\t\r\n]", "", href.strip())
    if re.match(r"//[^/\s]|www\.[^/\s]", href, re.IGNORECASE):
        href = "https://" + href.lstrip("/")
    if len(href) > URL_LIMIT_CHARACTERS:
        return ""
    url = UNSAFE_IN_URL.sub(lambda unsafe: quote(unsafe.group(), safe=""), href)
    is_too_long = max(len(escape(url)), len(json.dumps(url))) > URL_LIMIT_CHARACTERS
    return "" if is_too_long or not LINKABLE.match(url) else url


def host_of(url: str) -> str:
    """Return what a link without words is called: its host, or the URL where it has none."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def linked(runs: Iterable[Run]) -> Iterator[Run]:
    """Yield clean runs, the web addresses in them as links."""
    for run in runs:
        end = 0
        for match in ADDRESS.finditer("" if run.url else run.text):
            address = match.group().rstrip(".,;:!?'*_~")
            url = link_target(address)
            if url:
                yield Run(run.text[end : match.start()], run.styles)
                yield Run(address, run.styles, url)
                end = match.start() + len(address)
        yield Run(run.text[end:], run.styles, run.url)


def lines_of(text: str) -> List[Line]:
    """Return clean text as lines in which the web addresses are links."""
    return [Line(tuple(linked([Run(line)]))) for line in text.split("\n")]


def merged(runs: Iterable[Run]) -> List[Run]:
    """Return the runs without empty ones, neighbours of one look as one."""
    return [
        Run("".join(run.text for run in group), styles, url)
        for (styles, url), group in groupby((run for run in runs if run.text), lambda run: (run.styles, run.url))
    ]


def text_of(line: Line) -> str:
    """Return the words of a line alone."""
    return "".join(run.text for run in line.runs)


def is_blank(line: Line) -> bool:
    """Tell whether a line shows nothing."""
    return all(BLANK.match(run.text) for run in line.runs)


def trimmed(lines: Sequence[Line]) -> List[Line]:
    """Return the lines without the blank ones at both ends."""
    shown = list(dropwhile(is_blank, lines))
    while shown and is_blank(shown[-1]):
        shown.pop()
    return shown


def divided(text: str, mark: str, limit: int = CHARACTERS_LIMIT) -> Tuple[str, str]:
    """Return the beginning of a text, and the rest.

    The beginning ends before the last mark in the second half of so many characters, or has so many. It has fewer where
    there are more lines and tags than become posts in a second.
    """
    marks = islice(re.finditer("[<\n]", text), MARKS_LIMIT, None)
    limit = min(limit, next((match.start() for match in marks), limit))
    end = text.rfind(mark, limit // 2, limit + 1) if len(text) > limit else limit
    end = end if end > 0 else limit
    return text[:end], text[end:]


def rich_text(lines: Sequence[Line]) -> List[Dict[str, Any]]:
    """Return the elements of a rich_text block (docs.slack.dev/reference/block-kit); no element is empty."""
    built: List[Dict[str, Any]] = []
    following: Any = None  # indent and number with which an item goes on with the list above
    for (kind, _), group in groupby(lines, lambda line: (line.kind, line.kind == "item" and (line.item, line.indent))):
        same = list(group)
        runs = [run for line in trimmed(same) for run in (Run("\n"), *line.runs)]
        if kind != "item":
            following = None
            # Lists, quotes and code keep a distance to what stands above them, but not to what stands below.
            has_gap = kind == "text" and built and is_blank(same[0])
            elements = _elements(runs if has_gap else runs[1:], kind != "pre")
            built += [{"type": SECTIONS[kind], "elements": elements}] if elements else []
        elif runs:
            indent, number = same[0].indent, same[0].number
            if (indent, number) != following:
                built.append({"type": "rich_text_list", "style": "ordered" if number else "bullet", "elements": []})
                if indent:
                    built[-1]["indent"] = indent
                if number and number > 1:
                    built[-1]["offset"] = number - 1
            built[-1]["elements"].append({"type": "rich_text_section", "elements": _elements(runs[1:])})
            following = indent, number and number + 1
    return built


def _elements(runs: Iterable[Run], styled: bool = True) -> List[Dict[str, Any]]:
    built = []
    for run in merged(runs if styled else (run._replace(styles=PLAIN) for run in runs)):
        element: Dict[str, Any] = {"type": "link", "url": run.url} if run.url else {"type": "text"}
        element["text"] = run.text
        if run.styles:
            element["style"] = dict.fromkeys(sorted(run.styles), True)
        built.append(element)
    return built


def plain(elements: Sequence[Dict[str, Any]]) -> str:
    """Return the elements of a rich_text block as a reader sees them: bullets, `> `, fences, `label (url)`."""
    return "\n".join(map(_plain, elements))


def _plain(element: Dict[str, Any]) -> str:
    if "text" in element:
        text, url = str(element["text"]), str(element.get("url", ""))
        return text if not url or url in (text, "https://" + text, "mailto:" + text) else "%s (%s)" % (text, url)
    inner = list(map(_plain, element["elements"]))
    if element["type"] == "rich_text_list":
        level, bullet = element.get("indent", 0), element["style"] == "bullet"
        lines = []
        for number, text in enumerate(inner, element.get("offset", 0) + 1):
            label = BULLETS[level % len(BULLETS)] if bullet else "%d." % number
            lines.append("    " * level + label + " " + text.replace("\n", "\n    " + "    " * level))
        return "\n".join(lines)
    text = "".join(inner)
    if element["type"] == "rich_text_preformatted":
        return "```\n%s\n```" % text
    return re.sub("(?m)^", "> ", text) if element["type"] == "rich_text_quote" else text


def posts(lines: Sequence[Line], limit: int) -> Tuple[List[List[Line]], List[Line]]:
    """Return the lines of each post, at most `limit` posts, and the lines that are left. Joined they are the whole.

    No post is empty.
    """
    found: List[List[Line]] = []
    left = trimmed(lines)
    while left and len(found) < limit:
        characters = POST_LIMIT_CHARACTERS if found else FIRST_POST_LIMIT_CHARACTERS
        head, left = _split(left, _end_of_post(left[:POST_LIMIT_LINES], characters - 1))  # and a line end
        found.append(head)
        left = trimmed(left)
    return [head for head in found if trimmed(head)], left


def _end_of_post(lines: Sequence[Line], limit: int) -> int:
    """Return how many characters of these lines are a post, at most `limit`.

    It ends with a paragraph, else with a line, else behind a blank; but not in the first half of what fits.
    """
    head, rest = _split(lines, limit)
    ends = list(accumulate(len(text_of(line)) + 1 for line in head))
    limit = min(limit, ends[-1])
    elements = rich_text(head)
    escaped, as_json = len(escape(plain(elements))), len(json.dumps(elements))
    filled = max(escaped / POST_LIMIT_CHARACTERS, as_json / POST_LIMIT_JSON_CHARACTERS)
    if filled > 1:  # by 2 % less at least, so that few looks are enough
        return _end_of_post(head, int(limit / max(filled, 1.02)))
    if not rest:
        return limit

    paragraphs = [end for end, line, above in zip(ends, lines[1:], lines) if is_blank(line) or line.kind != above.kind]
    blank = "\n".join(map(text_of, head)).rfind(" ") + 1
    for places in (paragraphs, ends, [blank]):
        last = max([place for place in places if place <= limit], default=0)
        if last >= limit / 2:
            return last
    return limit


def _split(lines: Sequence[Line], position: int) -> Tuple[List[Line], List[Line]]:
    """Return the lines up to a character of their text, and from there."""
    for number, line in enumerate(lines):
        for count, run in enumerate(line.runs):
            if position < len(run.text):
                head = (*line.runs[:count], run._replace(text=run.text[:position]))
                tail = (run._replace(text=run.text[position:]), *line.runs[count + 1 :])
                return [*lines[:number], line._replace(runs=head)], [line._replace(runs=tail), *lines[number + 1 :]]
            position -= len(run.text)
        position -= 1  # the end of the line
        if position <= 0:
            return list(lines[: number + 1]), list(lines[number + 1 :])
    return list(lines), []
