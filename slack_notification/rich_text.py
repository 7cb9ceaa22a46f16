"""Text as values: lines of runs, as Slack's rich_text, as plain text, and where they are cut.

A *run* is text of one look, a *line* is what ends with a line end; a body is a list of lines. Markup appears nowhere,
so no text can be taken for it.
"""

import json
import re
from itertools import groupby, islice
from typing import Any, Dict, FrozenSet, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote, urlsplit

# Of a longer body, or one with more lines and tags, only the beginning becomes posts, for the time and the memory.
CHARACTERS_LIMIT = 1000000
MARKS_LIMIT = 40000
# Slack's documentation of the link element allows 3,000; a link cannot be cut, so it has to leave room in a post.
URL_LIMIT_CHARACTERS = 1500
# More digits than this are no number of a list that a person reads; Slack takes no more of an `offset`.
NUMBER_LIMIT = 999999
# Slack's composer indents lists no further.
INDENT_LIMIT = 8
BULLETS = "•◦▪"

BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
WINDOWS_1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
# Everything else that a screen cannot show, and what turns the direction of the text that follows (bidi overrides).
UNSHOWABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
SURROGATES = re.compile("[\ud800-\udfff]")
# Nothing but these is an empty line: newsletters fill their preview text with them.
BLANK = re.compile("[\\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]*\\Z")
UNSAFE_IN_URL = re.compile('[\\s\x00-\x20\x7f-\x9f|<>"`\\\\^{}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]')
LINKABLE = re.compile(r"(?:https?://[^/?#\s]|mailto:[^\s]|tel:[^\s])", re.IGNORECASE)
ADDRESS = re.compile(r"(?i)\b(?:https?://[^\s<>\"|]+|www\.\w[^\s<>\"|]*\.[^\s<>\"|]+|mailto:[^\s<>\"|@]+@[^\s<>\"|]+)")
PUNCTUATION = ".,;:!?'*_~"
BRACKETS = {")": "(", "]": "[", "}": "{"}
PLAIN: FrozenSet[str] = frozenset()


class Run(NamedTuple):
    """Text of one look: `styles` of bold, italic, strike, code; `url` where it is a link ('' for none)."""

    text: str
    styles: FrozenSet[str] = PLAIN
    url: str = ""


class Line(NamedTuple):
    """A line of a body.

    `kind` is text, item, quote or pre. Of an item: `indent` from 0, `number` (None for a bullet), and `more` for each
    of its lines but the first. `quoted`: a list or code inside a quote.
    """

    runs: Tuple[Run, ...] = ()
    kind: str = "text"
    indent: int = 0
    number: Optional[int] = None
    more: bool = False
    quoted: bool = False


def clean(text: str) -> str:
    """Return the text with the characters that a reader can see, every break between lines as a newline.

    Characters that are control characters here and printable in Windows-1252 become those; an unpaired surrogate,
    which no request can carry, becomes U+FFFD; other control characters and bidi overrides are dropped.
    """
    text = UNSHOWABLE.sub("", BREAKS.sub("\n", text).translate(WINDOWS_1252))
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") if SURROGATES.search(text) else text


def one_line(text: str) -> str:
    """Return the text clean, on one line, without runs of blanks."""
    return " ".join(clean(text).split())


def escape(text: str) -> str:
    """Return the text as data for the `text` of a post: exactly these three characters, & first, says Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link_target(href: str) -> str:
    """Return the URL that Slack can link to for what a mail calls its target, '' where there is none.

    As browsers do, line breaks go. `www.` and `//` become https. What would take a post for itself is no link.
    """
    href = re.sub("[\t\r\n]", "", href.strip())
    if re.match(r"//[^/\s]|www\.[^/\s]", href, re.IGNORECASE):
        href = "https://" + href.lstrip("/")
    url = UNSAFE_IN_URL.sub(lambda unsafe: quote(unsafe.group(), safe=""), href)
    too_long = max(len(escape(url)), len(json.dumps(url))) > URL_LIMIT_CHARACTERS
    return "" if too_long or not LINKABLE.match(url) else url


def host_of(url: str) -> str:
    """Return what a link without words is called: its host, or the URL where it has none."""
    try:
        return urlsplit(url).hostname or url
    except ValueError:
        return url


def linked(text: str, styles: FrozenSet[str] = PLAIN) -> Iterator[Run]:
    """Yield clean text as runs in which the web addresses are links; punctuation behind one is none of it."""
    end = 0
    for match in ADDRESS.finditer(text):
        address = match.group()
        url = link_target(address) if len(address) <= URL_LIMIT_CHARACTERS else ""
        while url and _ends_outside(address):
            address = address[:-1]
        url = url and link_target(address)
        if url:
            yield Run(text[end : match.start()], styles)
            yield Run(address, styles, url)
            end = match.start() + len(address)
    yield Run(text[end:], styles)


def _ends_outside(address: str) -> bool:
    last = address[-1:]
    return last in PUNCTUATION or (last in BRACKETS and address.count(BRACKETS[last]) < address.count(last))


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
    return BLANK.match(text_of(line)) is not None


def trimmed(lines: Sequence[Line]) -> List[Line]:
    """Return the lines without the blank ones at both ends."""
    start, end = 0, len(lines)
    while start < end and is_blank(lines[start]):
        start += 1
    while start < end and is_blank(lines[end - 1]):
        end -= 1
    return list(lines[start:end])


def length_to_read(text: str) -> int:
    """Return how much of a text can be made into posts in a second: up to a blank, a line end or a tag."""
    marks = [match.start() for match in islice(re.finditer("[<\n]", text), MARKS_LIMIT, MARKS_LIMIT + 1)]
    end = min(marks + [CHARACTERS_LIMIT])
    if len(text) <= end:
        return len(text)
    place = max(text.rfind(mark, 0, end) for mark in "<\n ")
    # Not in a tag.
    tag = text.rfind("<", 0, place)
    return (
        tag if tag > text.rfind(">", 0, place) and place - tag < URL_LIMIT_CHARACTERS else place if place > 0 else end
    )


# Lines as Slack's rich_text


def rich_text(lines: Sequence[Line]) -> List[Dict[str, Any]]:
    """Return the elements of a rich_text block (docs.slack.dev/reference/block-kit); no element is empty."""
    built: List[Dict[str, Any]] = []
    for (kind, quoted), group in groupby(lines, lambda line: (line.kind, line.quoted)):
        same = list(group)
        if kind == "item":
            built += [dict(items, border=1) if quoted else items for items in _lists(same)]
            continue
        seen = trimmed(same)
        if seen:
            # Lists, quotes and code keep a distance to what stands above them, but not to what stands below.
            gap = [Run("\n")] if kind == "text" and built and is_blank(same[0]) else []
            name = {"text": "rich_text_section", "quote": "rich_text_quote", "pre": "rich_text_preformatted"}[kind]
            element = {"type": name, "elements": _elements(gap + _joined(seen), kind != "pre")}
            built.append(dict(element, border=1) if quoted else element)
    return built


def _joined(lines: Sequence[Line]) -> List[Run]:
    runs = [run for line in lines for run in (Run("\n"),) + line.runs]
    return runs[1:]


def _elements(runs: Iterable[Run], styled: bool = True) -> List[Dict[str, Any]]:
    built = []
    for run in merged(runs if styled else (run._replace(styles=PLAIN) for run in runs)):
        element: Dict[str, Any] = {"type": "link", "url": run.url} if run.url else {"type": "text"}
        element["text"] = run.text
        if run.styles:
            element["style"] = dict.fromkeys(sorted(run.styles), True)
        built.append(element)
    return built


def _lists(lines: Sequence[Line]) -> Iterator[Dict[str, Any]]:
    """Yield a rich_text_list for each run of items that Slack can number and indent as one."""
    items: List[List[Line]] = []
    for line in lines:
        if line.more and items and items[-1][0].indent == line.indent:
            items[-1].append(line)
        else:
            items.append([line])
    numbered = enumerate(item for item in items if not all(map(is_blank, item)))
    # The numbers of a list go up with the position of the item: their difference is what a list has in common.
    key = lambda pair: (pair[1][0].indent, None if pair[1][0].number is None else pair[1][0].number - pair[0])  # noqa: E731
    for (indent, bullet), group in groupby(numbered, key):
        same = [item for _, item in group]
        built: Dict[str, Any] = {"type": "rich_text_list", "style": "bullet" if bullet is None else "ordered"}
        if indent:
            built["indent"] = indent
        number = same[0][0].number
        if number is not None and number > 1:
            built["offset"] = number - 1
        built["elements"] = [{"type": "rich_text_section", "elements": _elements(_joined(item))} for item in same]
        yield built


# Slack's rich_text as plain text


def plain(elements: Sequence[Dict[str, Any]]) -> str:
    """Return the elements of a rich_text block as a reader sees them: bullets, `> `, fences, `label (url)`."""
    return "\n".join(filter(None, map(_plain_element, elements)))


def _plain_element(element: Dict[str, Any]) -> str:
    if element["type"] == "rich_text_list":
        indent = element.get("indent", 0)
        first = element.get("offset", 0) + 1
        lines = []
        for number, item in enumerate(element["elements"], first):
            label = BULLETS[indent % len(BULLETS)] if element["style"] == "bullet" else _number(number, indent)
            text = label + " " + _plain_element(item)
            lines.append("    " * indent + text.replace("\n", "\n" + "    " * (indent + 1)))
        text = "\n".join(lines)
    else:
        text = "".join(map(_plain_run, element["elements"]))
    if element["type"] == "rich_text_preformatted":
        text = "```\n%s\n```" % text
    quoted = element["type"] == "rich_text_quote" or element.get("border")
    return re.sub("(?m)^", "> ", text) if quoted else text


def _plain_run(run: Dict[str, Any]) -> str:
    text, url = str(run["text"]), str(run.get("url", ""))
    return text if not url or url in (text, "https://" + text, "mailto:" + text) else "%s (%s)" % (text, url)


def _number(number: int, indent: int) -> str:
    """Return an item's number as Slack shows it: 1. a. i. and again, by the indent."""
    if indent % 3 == 0:
        return "%d." % number
    if indent % 3 == 1:
        letters = ""
        while number:
            number, letter = divmod(number - 1, 26)
            letters = chr(ord("a") + letter) + letters
        return letters + "."
    roman = "m" * (number // 1000)
    for digit, (one, five, ten) in zip("%03d" % (number % 1000), (tuple("cdm"), tuple("xlc"), tuple("ivx"))):
        few = int(digit) % 5
        roman += one + (ten if digit == "9" else five) if few == 4 else five * (digit > "4") + one * few
    return roman + "."
