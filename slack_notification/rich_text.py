"""Text as values: lines of runs, as Slack's rich_text, as plain text, and where they are cut.

A *run* is text of one look, a *line* is what ends with a line end; a body is a list of lines. Markup appears nowhere,
so no text can be taken for it.
"""

import json
import re
from itertools import dropwhile, groupby, islice
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
ELEMENT_JSON_CHARACTERS = 75  # of an element of rich_text without its text; its first line may be a blank one
# Slack's documentation of the link element allows 3,000; a link cannot be cut, so it has to leave room in a post, also
# for its words, which may be the same address.
URL_LIMIT_CHARACTERS = 2000
BULLETS = "•◦▪"

BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
C1 = re.compile("[\x80-\x9f]")
WINDOWS_1252 = {code: bytes([code]).decode("cp1252", "ignore") for code in range(0x80, 0xA0)}
# Everything else that a screen cannot show, and what turns the direction of the text that follows (bidi overrides).
UNSHOWABLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")
SURROGATES = re.compile("[\ud800-\udfff]")
# Nothing but these is an empty line: newsletters fill their preview text with them.
BLANK = re.compile("[\\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]*\\Z")
UNSAFE_IN_URL = re.compile('[\\s\x00-\x20\x7f-\x9f|<>"`\\\\^{}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]')
LINKABLE = re.compile(r"(?:https?://[^/?#\s]|mailto:[^\s]|tel:[^\s])", re.IGNORECASE)
# No bracket without its other half, no quotation mark; punctuation at the end is none of it.
NOT_IN_ADDRESS = r"""\s<>"|“”„‘’‚«»‹›（）「」『』【】《》…。、，；：！？—"""
ADDRESS = re.compile(
    r"""(?i)\b(?:https?://|www\.[\w-]+\.|mailto:[^\s<>"|()@]{1,99}@)(?=\w)(?:[^NOT()\[\]{},;]+|[,;](?!https?://)"""
    r"""|\([^NOT()]*\)|\[[^NOT\[\]]*\]|\{[^NOT{}]*\}){1,999}""".replace("NOT", NOT_IN_ADDRESS)
)
PUNCTUATION = ".,;:!?'*_~"
PLAIN: FrozenSet[str] = frozenset()
BOLD = frozenset(["bold"])


class Run(NamedTuple):
    """Text of one look: `styles` of bold, italic, strike, code; `url` where it is a link ('' for none)."""

    text: str
    styles: FrozenSet[str] = PLAIN
    url: str = ""


class Line(NamedTuple):
    """A line of a body.

    `kind` is text, item, quote or pre. Of an item: `indent` from 0, `number` (None for a bullet), and `item`, which the
    lines of one item have in common.
    """

    runs: Tuple[Run, ...] = ()
    kind: str = "text"
    indent: int = 0
    number: Optional[int] = None
    item: int = 0


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
            address = match.group().rstrip(PUNCTUATION)
            url = link_target(address)
            if url:
                yield run._replace(text=run.text[end : match.start()])
                yield run._replace(text=address, url=url)
                end = match.start() + len(address)
        yield run._replace(text=run.text[end:])


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


def divided(text: str, mark: str) -> Tuple[str, str]:
    """Return the beginning of a text that becomes posts in a second, up to a mark if there is one, and the rest."""
    marks = [match.start() for match in islice(re.finditer("[<\n]", text), MARKS_LIMIT, MARKS_LIMIT + 1)]
    end = min(marks + [CHARACTERS_LIMIT])
    if len(text) > end:
        end = max(text.rfind(mark, 0, end), 0) or end
    return text[:end], text[end:]


# Lines as Slack's rich_text


def rich_text(lines: Sequence[Line]) -> List[Dict[str, Any]]:
    """Return the elements of a rich_text block (docs.slack.dev/reference/block-kit); no element is empty."""
    names = {"text": "rich_text_section", "quote": "rich_text_quote", "pre": "rich_text_preformatted"}
    built: List[Dict[str, Any]] = []
    for kind, group in groupby(lines, lambda line: line.kind):
        same = list(group)
        seen = trimmed(same)
        if kind == "item":
            built += _lists(same)
        elif seen:
            # Lists, quotes and code keep a distance to what stands above them, but not to what stands below.
            gap = [Run("\n")] if kind == "text" and built and is_blank(same[0]) else []
            built.append({"type": names[kind], "elements": _elements(gap + _joined(seen), kind != "pre")})
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


def _lists(lines: Sequence[Line]) -> List[Dict[str, Any]]:
    """Return a rich_text_list for each run of items that Slack can number and indent as one."""
    built: List[Dict[str, Any]] = []
    following: Tuple[int, Optional[int]] = (-1, None)  # indent and number with which an item goes on with the list
    for _, group in groupby(lines, lambda line: (line.item, line.indent)):
        item = list(group)
        if all(map(is_blank, item)):
            continue
        indent, number = item[0].indent, item[0].number
        if (indent, number) != following:
            built.append({"type": "rich_text_list", "style": "bullet" if number is None else "ordered", "elements": []})
            if indent:
                built[-1]["indent"] = indent
            if number is not None and number > 1:
                built[-1]["offset"] = number - 1
        built[-1]["elements"].append({"type": "rich_text_section", "elements": _elements(_joined(item))})
        following = (indent, number and number + 1)
    return built


# Slack's rich_text as plain text


def plain(elements: Sequence[Dict[str, Any]]) -> str:
    """Return the elements of a rich_text block as a reader sees them: bullets, `> `, fences, `label (url)`."""
    return "\n".join(filter(None, map(_plain_element, elements)))


def _plain_element(element: Dict[str, Any]) -> str:
    if element["type"] == "rich_text_list":
        indent = element.get("indent", 0)
        lines = []
        for number, item in enumerate(element["elements"], element.get("offset", 0) + 1):
            label = BULLETS[indent % len(BULLETS)] if element["style"] == "bullet" else "%d." % number
            text = _plain_element(item).replace("\n", "\n    " + "    " * indent)
            lines.append("    " * indent + label + " " + text)
        return "\n".join(lines)
    text = "".join(map(_plain_run, element["elements"]))
    if element["type"] == "rich_text_preformatted":
        return "```\n%s\n```" % text
    return re.sub("(?m)^", "> ", text) if element["type"] == "rich_text_quote" else text


def _plain_run(run: Dict[str, Any]) -> str:
    text, url = str(run["text"]), str(run.get("url", ""))
    return text if not url or url in (text, "https://" + text, "mailto:" + text) else "%s (%s)" % (text, url)


# Where the lines of a message are cut into posts


def posts(lines: Sequence[Line], limit: int) -> Tuple[List[List[Line]], List[Line]]:
    """Return the lines of each post, at most `limit` posts, and the lines that are left. Joined they are the whole.

    No post is empty.
    """
    cut: List[List[Line]] = []
    left = trimmed(lines)
    while left and len(cut) < limit:
        head, left = _take(left, POST_LIMIT_CHARACTERS if cut else FIRST_POST_LIMIT_CHARACTERS)
        cut.append(head)
        left = trimmed(left)
    return cut, left


def _weight(line: Line, characters: int, goes_on: bool = False) -> float:
    """Return how much of a post a line fills: 1.0 is all of it, of whichever limit is met first.

    `goes_on`: it stands below one of its kind, in the same element; without styles and links, in the same text.
    """
    if sum(len(run.text) for run in line.runs[: characters + 1]) > characters:
        return 2.0
    text = text_of(line)
    if goes_on and line.kind != "item" and not any(run.styles or run.url for run in line.runs):
        escaped, added = len(escape(("> " if line.kind == "quote" else "") + text)) + 1, len(json.dumps(text)) + 2
    else:
        elements = rich_text([line])
        escaped, added = len(escape(plain(elements))) + 1, max(len(json.dumps(elements)), ELEMENT_JSON_CHARACTERS)
    return max((len(text) + 1) / characters, escaped / POST_LIMIT_CHARACTERS, added / POST_LIMIT_JSON_CHARACTERS)


def _take(lines: List[Line], characters: int) -> Tuple[List[Line], List[Line]]:
    """Cut where a paragraph ends, else where a line ends, else in a line; but not before half of the room is used."""
    used = paragraph_used = 0.0
    paragraph = 0
    for number, line in enumerate(lines):
        if number and (is_blank(line) or line.kind != lines[number - 1].kind):
            paragraph, paragraph_used = number, used
        weight = _weight(line, characters, number > 0 and line.kind == lines[number - 1].kind)
        if used + weight > 1:
            break
        used += weight
    else:
        return lines, []
    if paragraph_used >= 0.5:
        return lines[:paragraph], lines[paragraph:]
    if used >= 0.5 or (number and _weight(_halves(line, 1)[0], characters) > 1 - used):
        return lines[:number], lines[number:]
    head, tail = _split(line, characters, 1 - used)
    return lines[:number] + [head], [tail] + lines[number + 1 :]


def _split(line: Line, characters: int, room: float) -> Tuple[Line, Line]:
    """Cut a line behind a blank in the second half of what fits into the room, else anywhere."""
    position = min(characters, sum(len(run.text) for run in line.runs[:characters]))
    while position > 1:
        weight = _weight(_halves(line, position)[0], characters)
        if weight <= room:
            break
        position = max(1, min(position - 1, int(position * room / weight)))
    if line.kind != "pre":
        text = text_of(_halves(line, position)[0])
        position = text.rfind(" ", position // 2) + 1 or position
    return _halves(line, position)


def _halves(line: Line, position: int) -> Tuple[Line, Line]:
    """Return the line up to a position in its text, and from there."""
    number = 0
    while position > len(line.runs[number].text):
        position -= len(line.runs[number].text)
        number += 1
    run = line.runs[number]
    head, tail = run._replace(text=run.text[:position]), run._replace(text=run.text[position:])
    # No empty run is left: so many runs have to have at least so many characters, or _weight looks at all of them.
    left = ((tail,) if tail.text else ()) + line.runs[number + 1 :]
    return line._replace(runs=line.runs[:number] + (head,)), line._replace(runs=left)
