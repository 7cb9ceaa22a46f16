"""What the recipient reads: a record's subject, body and attachments as posts in Slack's mrkdwn."""

import re
import warnings
from html import unescape
from typing import Callable, Iterator, List, Match, Optional, Sequence, Set, Tuple, Union
from urllib.parse import quote, urlsplit

from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, XMLParsedAsHTMLWarning
from bs4.element import NavigableString, PageElement, PreformattedString, Tag
from markdownify import MarkdownConverter

from .errors import PROGRESS

# Hints to programmers, of text that looks like a file name or like XML. No mail is either.
warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)
warnings.simplefilter("ignore", XMLParsedAsHTMLWarning)

# A record's subject, body and attachments become posts in Slack's mrkdwn. Everything here is a pure function of its
# arguments. A *part* is one post, a *fence* is the ``` at either end of a code block.

# Slack's documentation of chat.postMessage: Slack itself cuts a text above 4,040 characters, wherever that falls.
MESSAGE_LIMIT_CHARACTERS = 4000
# A link is never cut, so one that would fill half a post is shown as plain text, which can be.
LINK_LIMIT_CHARACTERS = 2000
# A longer label is no label but the text that an <a> without its end tag has swallowed.
LABEL_LIMIT_CHARACTERS = 300
# A wider column would push everything to the right of it out of sight; a longer cell just sticks out.
COLUMN_LIMIT_CHARACTERS = 40
# No table that a person reads has cells that span more, whatever its attributes say.
SPAN_LIMIT_CELLS = 100
# Each "<" without its ">" may cost the standard library's parser a walk to the end of the mail, and each element
# without its end costs ours a walk through all that follow: seconds for thousands.
UNCLOSED_TAGS_LIMIT = 1000

FENCE = "```"
FENCE_OPENING = FENCE + "\n"
FENCE_CLOSING = "\n" + FENCE
RULE = "-" * 20
BULLETS = "•◦▪"
# While a mail is converted, this is a blank that has to stay (in code, before a nested item). It cannot be mistaken:
# the mail's own no-break spaces are made ordinary blanks first.
KEPT_BLANK = "\u00a0"
INDENT = KEPT_BLANK * 4
# Shows as nothing and parts what Slack would otherwise read as one.
ZERO_WIDTH_SPACE = "\u200b"

CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
SURROGATES = re.compile(r"[\ud800-\udfff]")
LINKABLE_URL = re.compile(r"\s*(?:https?://|mailto:)\S", re.IGNORECASE)
NOT_A_LINK = re.compile(r"<(?!https?://|mailto:)", re.IGNORECASE)
WEB_URL = re.compile(r"\s*https?://\S", re.IGNORECASE)
UNSAFE_IN_URL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff|<>\"`]")
CODE_BLOCK = re.compile(r"(```\n.*?\n```)", re.DOTALL)

HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
BOLD = {"b", "strong"}.union(HEADINGS)
BLOCKS = HEADINGS + ["html", "body", "p", "div", "section", "article", "header", "footer", "main", "aside", "nav"]
BLOCKS += ["address", "center", "form", "fieldset", "figure", "figcaption", "blockquote", "pre", "hr"]
BLOCKS += ["ul", "ol", "li", "dl", "dt", "dd", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th"]
NOT_IN_A_CELL = HEADINGS + ["table", "ul", "ol", "pre", "blockquote"]
INVISIBLE = {"title", "style", "script", "template"}
HIDDEN_STYLE = re.compile(r"(?:^|;)\s*display\s*:\s*none", re.IGNORECASE)
PIXEL_STYLE = re.compile(r"(?:^|;)\s*(?:width|height)\s*:\s*[01](?:px)?\s*(?:[;!]|$)", re.IGNORECASE)
PIXEL_SIZE = re.compile(r"\s*[01](?:px)?\s*$", re.IGNORECASE)
# The HTML standard lets authors leave these end tags out: the next start tag of the kind ends the element. Each tag
# with those that it ends, and with the elements at which the search for an open one stops.
IMPLIED_ENDS = {
    "p": (["p"], BLOCKS),
    "li": (["li"], ["li", "ul", "ol"]),
    "dt": (["dt", "dd"], ["dt", "dd", "dl"]),
    "dd": (["dt", "dd"], ["dt", "dd", "dl"]),
    "tr": (["tr"], ["tr", "table"]),
    "td": (["td", "th"], ["td", "th", "tr", "table"]),
    "th": (["td", "th"], ["td", "th", "tr", "table"]),
}


def clean(text: str) -> str:
    """Return the text with the characters that Slack can show, every line end as a newline.

    Control characters except newline and tab are dropped; an unpaired surrogate, which no request can carry, becomes
    U+FFFD. Raises nothing.
    """
    text = re.sub("\r\n|[\r\u2028\u2029]", "\n", text)
    if SURROGATES.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return CONTROL_CHARACTERS.sub("", text)


def escape(text: str) -> str:
    """Return the text as data, which mentions nobody and links nowhere.

    Slack's documentation of formatting message text says: escape exactly these three characters, & first.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def link(url: str, label: str) -> str:
    """Return the mrkdwn of a link: `<url|label>`, both parts made safe, at most LINK_LIMIT_CHARACTERS long.

    `url` and `label` are plain text, not escaped; an empty label shows the URL. Only http, https and mailto become a
    link, anything else gives the escaped label. A link that would be too long becomes the escaped text `label (url)`.
    Slack's documentation of formatting message text says which characters may not stand in the two parts.
    """
    label = _without_fences(_one_line(label))
    if not LINKABLE_URL.match(url):
        return escape(label)
    url = UNSAFE_IN_URL.sub(lambda unsafe: quote(unsafe.group(), safe="", errors="replace"), url.strip())
    linked = f"<{escape(url)}|{escape(label if label else url)}>"
    if len(linked) > LINK_LIMIT_CHARACTERS:
        return escape(f"{label} ({url})" if label else url)
    return linked


def attachment_link(ov_url: str, blob_id: int) -> str:
    """Return the link under which a person who is logged in to OneVizion opens an attachment.

    `ov_url` is the installation's address without a trailing slash, `blob_id` one of a record's `blobDataIds`.
    """
    return link(f"{ov_url}/efiles/EFileGetBlobFromDb.do?id={blob_id}", f"attachment {blob_id}")


def body_mrkdwn(msg: Optional[str], html: Union[bool, str, None]) -> str:
    """Return the body of a record as mrkdwn, escaped; '' where there is none.

    `msg` and `html` are the record's keys: `html` says that `msg` is HTML, or is a text, the HTML form of `msg`. Plain
    text is never treated as HTML, whatever it looks like.
    """
    if isinstance(html, str) and html.strip():
        return html_to_mrkdwn(clean(html))
    if msg is None:
        return ""
    return html_to_mrkdwn(clean(msg)) if html is True else escape(clean(msg))


def html_to_mrkdwn(html: str) -> str:
    """Return an HTML mail as mrkdwn, escaped and clean; one that cannot be converted as its text. Raises nothing."""
    try:
        converter = MrkdwnConverter(wrap=True, escape_asterisks=False, escape_underscores=False)
        mrkdwn = _tidy(converter.convert_soup(_parse(html)))
        if NOT_A_LINK.search(mrkdwn):
            # No method below lets one through; one that a later markdownify adds may.
            raise ValueError("a < is neither escaped nor a link")
        return mrkdwn
    except Exception as error:
        # A broad except: a mail is foreign input, parser and converter are foreign code, and whatever one does to
        # the others (a RecursionError after some hundred nested tags, say), the recipient is owed the text.
        PROGRESS.debug("HTML shown as its text: %s", type(error).__name__)
        return escape(_tidy(_text_of_broken_html(html)))


def message_parts(
    subject: Optional[str],
    body: str,
    attachment_links: Sequence[str],
    ov_url: str,
    limit: int = MESSAGE_LIMIT_CHARACTERS,
) -> List[str]:
    """Return the finished posts of a message, in order, each of at most `limit` characters; there is at least one.

    `subject` is plain text, `body` and `attachment_links` are mrkdwn, `ov_url` is the address of OneVizion and closes
    the last post. A code block that a cut falls in is closed in the one post and opened again in the next. A post that
    would show nothing is left out: Slack's documentation of chat.postMessage has the error no_text for it. Raises
    ValueError like `cut`.
    """
    title = "" if subject is None else _without_fences(escape(_one_line(subject)))
    sections = [
        f"*{title}*" if title else "",
        re.sub(r"\A\s*\n", "", body.rstrip()),
        "\n".join(attachment_links),
        link(ov_url, urlsplit(ov_url).hostname or ov_url),
    ]
    text = "\n".join(section for section in sections if section)
    fences = _count_fences(text, limit)
    last_pair_ends = fences - fences % 2
    passed = 0
    parts = []
    for chunk in cut(text, limit):
        reopened = passed % 2 == 1 and passed < last_pair_ends
        passed += _count_fences(chunk, limit)
        still_open = passed % 2 == 1 and passed < last_pair_ends
        if not chunk.replace(FENCE, "").strip():
            continue
        # Behind a line end a second one would show as an empty line of the code.
        closing = FENCE if chunk.endswith("\n") else FENCE_CLOSING
        parts.append((FENCE_OPENING if reopened else "") + chunk + (closing if still_open else ""))
    return parts


def cut(text: str, limit: int = MESSAGE_LIMIT_CHARACTERS) -> List[str]:
    """Return the text in chunks which, joined, are the text again, and of which each fits into a part.

    `text` is mrkdwn, escaped. A chunk has at most `limit` characters less those of the fences that `message_parts` may
    add to it. It ends behind a line end where it has one, else behind a blank, else anywhere, but never inside an
    entity, a link or a fence. Raises ValueError where `limit` leaves no room for an entity.
    """
    room = _room(limit)
    chunks = []
    start = line_end = earlier_line_end = blank = 0
    in_code = False
    for token in _tokens(text, limit):
        # A cut right behind the fence that opens a block, or right before the one that closes it, would make an empty
        # block, so the line ends and blanks there are passed over.
        if token.group() == FENCE and in_code and line_end == token.start():
            line_end = earlier_line_end
        while token.end() - start > room:
            position = next(place for place in (line_end, blank, token.start()) if place > start)
            chunks.append(text[start:position])
            start = position
        if token.group() == FENCE:
            in_code = not in_code
        elif in_code and text.endswith(FENCE, 0, token.start()):
            continue
        elif token.group() == "\n":
            earlier_line_end, line_end = line_end, token.end()
        elif token.group() == " ":
            blank = token.end()
    if text:
        chunks.append(text[start:])
    return chunks


def _room(limit: int) -> int:
    room = limit - len(FENCE_OPENING) - len(FENCE_CLOSING)
    if room < len("&amp;"):
        raise ValueError(f"a limit of {limit} characters leaves no room for text")
    return room


def _tokens(text: str, limit: int) -> Iterator[Match[str]]:
    """Yield what a cut may not fall into: links that fit into a chunk, entities, fences; and every other character."""
    link_characters = _room(limit) - len("<>")
    return re.finditer(rf"<[^<>\n]{{1,{link_characters}}}>|&(?:amp|lt|gt);|```|.", text, re.DOTALL)


def _count_fences(text: str, limit: int) -> int:
    return sum(token.group() == FENCE for token in _tokens(text, limit)) if FENCE in text else 0


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def _without_fences(text: str) -> str:
    """Return the text without three backticks in a row: it looks the same, but opens and closes no code block."""
    return re.sub("`(?=``)", "`" + ZERO_WIDTH_SPACE, text)


def _tidy(text: str) -> str:
    """Return a converted mail without runs of blanks, blanks at line ends, and more than one empty line in a row."""
    lines = [re.sub(" +", " ", line).strip(" ") for line in text.split("\n")]
    text = re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return "\n".join(line.replace(KEPT_BLANK, " ").rstrip() for line in text.split("\n"))


# HTML to mrkdwn: first the tree of what a reader of the mail sees, then a walk through it.


def _parse(html: str) -> BeautifulSoup:
    """Return the tree of what a reader of the mail sees, its text clean. Raises whatever the parser raises."""
    if html.count("<") - html.count(">") > UNCLOSED_TAGS_LIMIT:
        raise ValueError("too many tags without end")
    soup = BeautifulSoup(html, "html.parser")
    for element in soup.find_all(True):
        if element.can_be_empty_element and element.contents:
            # Beautiful Soup before 4.13 takes <br/> behind a <br> for the start of an element.
            element.insert_after(*list(element.contents))
        # Not all of <head>: where its end tag is missing, the parser puts the body into it.
        if element.name in INVISIBLE or HIDDEN_STYLE.search(_attribute(element, "style")) or _is_pixel(element):
            element.extract()
    implied = 0
    for element in soup.find_all(list(IMPLIED_ENDS)):
        ended, searched = IMPLIED_ENDS[element.name]
        before = element.find_parent(searched)
        if before is not None and before.name in ended:
            implied += 1
            if implied > UNCLOSED_TAGS_LIMIT:
                raise ValueError("too many elements without end")
            before.insert_after(element, *list(element.next_siblings))
    _label_items(soup)
    for string in soup.find_all(string=True):
        if isinstance(string, PreformattedString):
            # Comments, declarations and processing instructions, Outlook's conditional ones among them.
            string.extract()
            continue
        text = clean(string).replace(KEPT_BLANK, " ")
        beside_block = _is_block(string.previous_sibling) or _is_block(string.next_sibling)
        if beside_block and not text.strip() and string.find_parent("pre") is None:
            string.extract()
        elif text != string:
            string.replace_with(text)
    return soup


def _label_items(soup: BeautifulSoup) -> None:
    """Give every list item its bullet or number as its only attribute, `value`."""
    for item in soup.find_all("li"):
        item.attrs = {"value": BULLETS[0]}
    for items in soup.find_all(["ul", "ol"]):
        bullet = BULLETS[len(items.find_parents(["ul", "ol"])) % len(BULLETS)]
        for number, item in enumerate(items.find_all("li", recursive=False), _number(items, "start", 1)):
            item["value"] = bullet if items.name == "ul" else f"{number}."


def _text_of_broken_html(html: str) -> str:
    """Return the text of HTML, clean but not escaped, by looking at nothing but its tags."""
    text = re.sub(r"(?is)<!--.*?(?:-->|\Z)|<(title|style|script|template)\b.*?(?:</\1\s*>|\Z)", "", html)
    text = re.sub(rf"(?i)</?(?:br|{'|'.join(BLOCKS)})\b[^<>]*>", "\n", text)
    text = re.sub(r"<[!?/a-zA-Z][^<>]*>", "", text)
    # A number as long as this names no character, and the standard library stumbles over the longest.
    text = re.sub(r"&#\w{9,};?", "\ufffd", text)
    return clean(unescape(text))


def _attribute(element: Tag, name: str) -> str:
    value = element.get(name)
    return value if isinstance(value, str) else ""


def _parent_name(element: Tag) -> str:
    return element.parent.name if element.parent is not None else ""


def _number(element: Tag, name: str, default: int) -> int:
    number = re.match(r"\s*([0-9]{1,9})\s*$", _attribute(element, name))
    return int(number.group(1)) if number else default


def _is_block(node: Optional[PageElement]) -> bool:
    return isinstance(node, Tag) and node.name in BLOCKS


def _is_pixel(element: Tag) -> bool:
    """Say whether an element is an image too thin to be seen: for tracking or for spacing."""
    sizes = [_attribute(element, "width"), _attribute(element, "height")]
    style = _attribute(element, "style")
    return element.name == "img" and (any(map(PIXEL_SIZE.match, sizes)) or bool(PIXEL_STYLE.search(style)))


def _plain(element: Tag) -> str:
    """Return the text of an element on one line, images as their alternative text. Not escaped."""
    pieces = []
    for node in element.descendants:
        if _is_block(node) or _is_block(node.previous_sibling):
            pieces.append(" ")
        if isinstance(node, NavigableString):
            pieces.append(node)
        elif isinstance(node, Tag):
            pieces.append({"img": _attribute(node, "alt"), "br": " "}.get(node.name, ""))
    return _one_line("".join(pieces))


def _image(element: Tag) -> str:
    """Return an image as a link where its address works outside of the mail (not cid:, data:), else as its text."""
    alt = _one_line(_attribute(element, "alt"))
    src = _attribute(element, "src")
    return link(src, alt if alt else "image") if WEB_URL.match(src) else escape(alt)


def _is_link(element: Tag) -> bool:
    # Without text or image there was nothing to click at: a tracking pixel that is gone, perhaps.
    clickable = element.name == "a" and LINKABLE_URL.match(_attribute(element, "href"))
    return bool(clickable and (_plain(element) or element.find("img")))


def _links(element: Tag) -> List[str]:
    """Return the links and images inside an element, each once: a code block cannot hold them."""
    links: List[str] = []
    for inner in element.find_all(["a", "img"]):
        if _is_link(inner):
            links.append(link(_attribute(inner, "href"), _plain(inner)))
        elif WEB_URL.match(_attribute(inner, "src")) and inner.find_parent("a") is None:
            links.append(_image(inner))
    return sorted(set(links), key=links.index)


def _outside_code(change: Callable[[str], str], text: str) -> str:
    """Return the text with everything but its code blocks changed."""
    pieces = CODE_BLOCK.split(text)
    return "".join(piece if number % 2 else change(piece) for number, piece in enumerate(pieces))


def _prefixed(text: str, prefix: str) -> str:
    """Return the text with the prefix before each line that is neither blank nor code."""
    return _outside_code(lambda piece: re.sub(r"(?m)^(?=.*\S)", prefix, piece), text)


def _marked(text: str, marker: str) -> str:
    """Return the text with each line between two markers, which touch its first and last character."""
    # Slack's markup ends where the line ends, and does not begin before a blank. "> " begins a quote.
    line = rf"(?m)^([ {KEPT_BLANK}]*(?:> )?)([^ {KEPT_BLANK}\n>](?:.*[^ {KEPT_BLANK}\n])?)"
    return _outside_code(lambda piece: re.sub(line, rf"\1{marker}\2{marker}", piece), text)


def _code_block(text: str) -> str:
    """Return escaped text as a code block, which no fence in the text can end."""
    lines = _without_fences(text).split("\n")
    kept = "\n".join(line.replace(" ", KEPT_BLANK) if line else KEPT_BLANK for line in lines)
    return FENCE_OPENING + kept + FENCE_CLOSING


def _is_data_table(table: Tag) -> bool:
    """Say whether all text of a table stands in the cells of its rows, and can stand on one line there."""
    if _attribute(table, "role").strip().lower() in ("presentation", "none") or table.find(NOT_IN_A_CELL):
        return False
    for text in table.find_all(string=re.compile(r"\S")):
        if text.find_parent(["td", "th", "caption", "table"]) is table:
            return False
    return all(_parent_name(cell) == "tr" for cell in table.find_all(["td", "th"]))


def _table_rows(table: Tag) -> Tuple[List[List[str]], int]:
    """Return the rows of a data table that have text, and how many of them, from the first on, are its header.

    A cell stands in the column where a browser shows it; the rows may differ in length.
    """
    rows: List[List[str]] = []
    header_rows = 0
    covered: Set[Tuple[int, int]] = set()
    for line, tr in enumerate(table.find_all("tr")):
        cells = tr.find_all(["td", "th"], recursive=False)
        row: List[str] = []
        for cell in cells:
            while (line, len(row)) in covered:
                row.append("")
            width, height = (min(max(_number(cell, name, 1), 1), SPAN_LIMIT_CELLS) for name in ("colspan", "rowspan"))
            covered.update((line + down, len(row) + right) for down in range(1, height) for right in range(width))
            row.extend([_plain(cell)] + [""] * (width - 1))
        if any(row):
            is_header = _parent_name(tr) == "thead" or all(cell.name == "th" for cell in cells)
            header_rows += is_header and header_rows == len(rows)
            rows.append(row)
    return rows, header_rows


def _aligned(table: Tag) -> str:
    """Return a data table as lines with aligned columns, dashes under the header, not escaped; '' for a layout."""
    ragged, header_rows = _table_rows(table)
    length = max(map(len, ragged), default=0)
    columns = [column for column in zip(*(row + [""] * (length - len(row)) for row in ragged)) if any(column)]
    rows = list(zip(*columns))
    # A title that stands alone in its row, across the table, must not widen the first column.
    full_rows = [row for row in rows if sum(map(bool, row)) > 1]
    # One row of pictures or buttons is a layout, too: in a code block its links would be torn from their places.
    if not full_rows or (len(rows) == 1 and table.find(["a", "img"])):
        return ""
    widths = [min(max(map(len, column)), COLUMN_LIMIT_CHARACTERS) for column in zip(*full_rows)]
    if 0 < header_rows < len(rows):
        rows.insert(header_rows, tuple("-" * width for width in widths))
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


class MrkdwnConverter(MarkdownConverter):
    """markdownify's walk through the tree, with Slack's mrkdwn in place of Markdown.

    The names and arguments of the methods are markdownify's: `el` is an element, `text` its content, converted and
    escaped, `parent_tags` are the names of the elements around it, "_noformat" among them inside code. An attribute
    gets into the result through `link` or `escape` only.
    """

    def process_text(self, el: NavigableString, parent_tags: Optional[Set[str]] = None) -> str:
        # markdownify's hook for this, its method escape(), is not called for text inside code.
        return escape(super().process_text(el, parent_tags=parent_tags))  # type: ignore[misc] # not in its stub

    def _inline(self, el: Tag, text: str, parent_tags: Set[str], marker: str, same: Set[str]) -> str:
        if "_noformat" in parent_tags or parent_tags & same or not text.strip():
            return text
        # Slack takes a marker that touches a letter on its outside for an ordinary character.
        before, after = el.previous_sibling, el.next_sibling
        touches_before = isinstance(before, NavigableString) and before[-1:].isalnum() and not text[0].isspace()
        touches_after = isinstance(after, NavigableString) and after[:1].isalnum() and not text[-1].isspace()
        return ZERO_WIDTH_SPACE * touches_before + _marked(text, marker) + ZERO_WIDTH_SPACE * touches_after

    def convert_b(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self._inline(el, text, parent_tags, "*", BOLD)

    def convert_em(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self._inline(el, text, parent_tags, "_", {"em", "i"})

    def convert_del(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self._inline(el, text, parent_tags, "~", {"del", "s", "strike"})

    convert_strong = convert_b
    convert_i = convert_em
    convert_s = convert_strike = convert_del

    def convert_hN(self, n: int, el: Tag, text: str, parent_tags: Set[str]) -> str:
        plain = "_noformat" in parent_tags or parent_tags & BOLD
        return self.convert_p(el, text if plain else _marked(text, "*"), parent_tags)

    def convert_code(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # A backtick would end the code, and a link (only a link has a bare <) would not be one inside of it.
        return text if "_noformat" in parent_tags or "`" in text or "<" in text else _marked(text, "`")

    convert_kbd = convert_samp = convert_code

    def convert_pre(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        if "_noformat" in parent_tags or not text.strip():
            return text
        return "\n".join(["", _code_block(text.strip("\n").rstrip())] + _links(el) + [""])

    def convert_a(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        if "pre" in parent_tags or not _is_link(el):
            return text
        url, label = _attribute(el, "href"), _plain(el)
        if el.find("a", href=True) or len(label) > LABEL_LIMIT_CHARACTERS:
            return f"{text} {link(url, '')}"
        before = text[: len(text) - len(text.lstrip(" \n"))]
        after = text[len(text.rstrip(" \n")) :]
        return before + link(url, label) + after

    def convert_img(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return escape(_one_line(_attribute(el, "alt"))) if "pre" in parent_tags else _image(el)

    def convert_video(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # markdownify's own would show attributes as they are.
        return text

    def convert_br(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # markdownify merges line ends that meet; the blank keeps two breaks two.
        return "\n" if "pre" in parent_tags else " \n"

    def convert_hr(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return f"\n{RULE}\n"

    def convert_div(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        content = text.strip("\n" if "pre" in parent_tags else " \n")
        # <div><br></div> is how an empty line is written.
        return f"\n{content}\n" if content or el.find("br") else "\n"

    convert_section = convert_article = convert_header = convert_footer = convert_main = convert_aside = convert_div
    convert_nav = convert_address = convert_center = convert_form = convert_fieldset = convert_figure = convert_div
    convert_figcaption = convert_caption = convert_tr = convert_td = convert_th = convert_dt = convert_div

    def convert_p(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return f"\n{self.convert_div(el, text, parent_tags)}\n"

    convert_dl = convert_p

    def convert_dd(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        return self.convert_div(el, _prefixed(text.strip(" \n"), INDENT), parent_tags)

    def convert_blockquote(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # Slack has one level of quotes, and none in an indented line.
        plain = parent_tags & {"pre", "blockquote", "ul", "ol", "li", "dd"}
        return self.convert_p(el, text if plain else _prefixed(text.strip(" \n"), "> "), parent_tags)

    def convert_list(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        # Word puts a nested list beside the item that it belongs to, not into it.
        items = _prefixed(text.strip("\n"), INDENT if _parent_name(el) in ("ul", "ol") else "")
        return f"\n{items}\n" if {"ul", "ol"} & parent_tags else f"\n\n{items}\n\n"

    convert_ul = convert_ol = convert_list

    def convert_li(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        lines = _prefixed(text.strip(" \n"), INDENT)
        if lines.startswith(INDENT):
            return f"\n{el['value']} {lines[len(INDENT) :]}\n"
        return f"\n{el['value']}\n{lines}\n" if lines else "\n"

    def convert_table(self, el: Tag, text: str, parent_tags: Set[str]) -> str:
        rows = _aligned(el) if "pre" not in parent_tags and _is_data_table(el) else ""
        if not rows:
            return self.convert_div(el, text, parent_tags)
        captions = [escape(_plain(caption)) for caption in el.find_all("caption")]
        return "\n".join([""] + captions + [_code_block(escape(rows))] + _links(el) + [""])
