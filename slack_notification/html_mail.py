"""HTML mails as lines: one walk over the tree, with a table from tag to function."""

import re
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from lxml import etree
from lxml.html import HtmlElement, HTMLParser, document_fromstring

from .html_look import (
    BLOCKS,
    CODE,
    HEADINGS,
    PARAGRAPHS,
    Look,
    declarations,
    hides,
    hiding_classes,
    restyled,
    script_text,
)
from .html_source import COMMENTS, mended, text_of_html
from .html_table import Table
from .rich_text import (
    INDENT_LIMIT,
    NUMBER_LIMIT,
    Line,
    Run,
    clean,
    host_of,
    is_blank,
    length_to_read,
    link_target,
    linked,
    merged,
    text_of,
)

BREAK, PARAGRAPH = 1, 2
RULE = "-" * 20
PICTURE = "\0"  # stands for a linked picture without words until the walk ends; no clean text holds one
UNSEEN = {"title", "style", "script", "template"}
CHECKS = {("checkbox", True): "☑", ("checkbox", False): "☐", ("radio", True): "◉", ("radio", False): "○"}
LIST_INDENTS = {"1": 0, "decimal": 0, "a": 1, "A": 1, "lower-alpha": 1, "upper-alpha": 1, "i": 2, "I": 2}

# Targets that work nowhere but in the mail itself.
USELESS_TARGET = re.compile(r"(?i)#|(?:javascript|vbscript|data|cid|about|blob):")


def read_html(html: str) -> Tuple[List[Line], str]:
    """Return the lines of a mail, and the text of the part that is too long to be read as HTML. Never raises."""
    html = clean(html)
    end = length_to_read(html)
    if end < len(html):
        html = COMMENTS.sub("", html)
        end = length_to_read(html)
    html, beyond = html[:end], text_of_html(html[end:])
    try:
        # Around text outside of a body, libxml2 before 2.14 would put a paragraph of its own.
        body = mended(html if "<body" in html.lower() else "<body>" + html)
        root = document_fromstring(body.encode("utf-8"), HTMLParser(encoding="utf-8", huge_tree=True))
    except (etree.LxmlError, ValueError):
        # Nothing but comments, say, or nothing that the parser can read: the recipient is owed the text.
        return [Line(tuple(linked(line))) for line in text_of_html(html).split("\n") if line.strip()], beyond
    return _Walk(hiding_classes(element.text or "" for element in root.iter("style"))).read(root), beyond


def _number(value: Optional[str], default: int) -> int:
    match = re.match(r"\s*(-?[0-9]{1,6})\s*\Z", value or "")
    return int(match.group(1)) if match else default


class _Walk:
    """The walk over a mail: `_enter`, `_text` and `_leave` of what a reader sees, in order."""

    def __init__(self, hiding_classes: Set[str]) -> None:
        self._hiding = hiding_classes
        self._lines: List[Line] = []  # of the cell that is open, else of the mail
        self._runs: List[Run] = []  # of the line that is open
        self._gap = 0  # BREAK or PARAGRAPH, between the last line and the next
        self._looks = [Look()]
        self._items: List[Tuple[Optional[int], bool]] = []  # of each open item: its number, whether it has a line
        self._numbers: List[Optional[int]] = []  # of each open list: its next number
        self._cells: List[
            Tuple[List[Line], int, bool]
        ] = []  # of each open cell: lines and gap before it, if it is complex
        self._tables: List[Table] = []
        self._anchors: List[Tuple[str, int]] = []  # of each open <a>: its target, what was shown before it
        self._shown = 0
        self._worded: Set[str] = set()  # the links that have words

    def read(self, root: HtmlElement) -> List[Line]:
        """Return the lines of the mail. No recursion: mails nest deeper than Python does."""
        element: Optional[HtmlElement] = root
        while element is not None:
            seen = isinstance(element.tag, str) and self._enter(element)
            if seen and len(element):
                element = element[0]
                continue
            if seen:
                self._leave(element)
            while element is not None and element is not root and element.getnext() is None:
                self._text(element.tail)
                element = element.getparent()
                self._leave(element)
            if element is None or element is root:
                break
            self._text(element.tail)
            element = element.getnext()
        self._end_line()
        return [line for line in map(self._named, self._lines) if line is not None]

    def _named(self, line: Line) -> Optional[Line]:
        """Name the links without words by their host, once; None for a line that shows nothing else."""
        if PICTURE not in text_of(line):
            return line
        runs = []
        for run in line.runs:
            name = "" if run.url in self._worded else host_of(run.url)
            if PICTURE in run.text:
                self._worded.add(run.url)
            runs.append(run._replace(text=run.text.replace(PICTURE, name, 1).replace(PICTURE, "")))
        return line._replace(runs=tuple(runs)) if any(run.text.strip() for run in runs) else None

    def _enter(self, element: HtmlElement) -> bool:
        """Begin an element; False where a reader does not see it."""
        tag, css = element.tag, declarations(element.get("style") or "")
        classes = element.get("class")
        if tag in UNSEEN or "hidden" in element.attrib or hides(css):
            return False
        if classes and self._hiding and not self._hiding.isdisjoint(classes.split()):
            return False
        if tag in BLOCKS:
            self._boundary(tag)
        self._looks.append(restyled(self._looks[-1], tag, css))
        handler = ENTER.get(tag)
        if handler:
            handler(self, element)
        self._text(element.text)
        return True

    def _leave(self, element: HtmlElement) -> None:
        handler = LEAVE.get(element.tag)
        if handler:
            handler(self, element)
        if element.tag in BLOCKS:
            self._end_line()
        self._looks.pop()
        if element.tag == "table":
            self._show_table()
        if element.tag in BLOCKS:
            self._boundary(element.tag)

    def _look(self, **changes: Any) -> None:
        self._looks[-1] = self._looks[-1]._replace(**changes)

    # Lines

    def _boundary(self, tag: str) -> None:
        self._end_line()
        self._gap = max(self._gap, PARAGRAPH if tag in PARAGRAPHS and self._looks[-1].indent < 0 else BREAK)

    def _text(self, text: Optional[str]) -> None:
        look = self._looks[-1]
        if not text or look.unseen or look.tiny:
            return
        text = clean(text).replace("\xa0", " ")
        if look.space == "normal":
            self._add(re.sub(r"\s+", " ", text))
            return
        for number, line in enumerate(text.split("\n")):
            if number:
                self._break()
            self._add(line if look.space != "pre-line" else re.sub(r"\s+", " ", line))

    def _add(self, text: str, url: str = "") -> None:
        look = self._looks[-1]
        if look.space in ("normal", "pre-line") and (not self._runs or self._runs[-1].text.endswith(" ")):
            text = text.lstrip(" ")
        if not text:
            return
        if look.script:
            text = script_text(text, look.script)
        if not self._runs:
            self._open_gap()
        url = url or look.url
        self._shown += len(text.strip())
        if url and text.strip() and text != PICTURE:
            self._worded.add(url)
        plain = url or CODE in look.styles
        if not plain:
            self._runs += [run for run in linked(text, look.styles) if run.text]
            return
        # The blanks around a link's words are none of the link.
        words = text.strip(" ")
        before, after = text[: text.find(words)], text[text.find(words) + len(words) :]
        pieces = [Run(before, look.styles), Run(words, look.styles, url), Run(after if words else "", look.styles)]
        self._runs += [run for run in pieces if run.text]

    def _open_gap(self) -> None:
        if self._gap == PARAGRAPH:
            self._blank()
        self._gap = 0

    def _blank(self) -> None:
        look = self._looks[-1]
        if self._lines and not is_blank(self._lines[-1]) and look.indent < 0:
            same = self._lines[-1].kind == "quote" and look.kind == "quote"
            self._lines.append(Line(kind="quote" if same else "text"))

    def _break(self) -> None:
        """End the line; one that is empty is shown as such."""
        if self._runs:
            self._end_line()
        elif self._looks[-1].kind == "pre":
            self._lines.append(self._placed(Line()))
        else:
            self._blank()

    def _end_line(self) -> None:
        runs, self._runs = self._runs, []
        for number in range(1, len(runs) - 1):
            # An icon and the text beside it with the same link are one link.
            if runs[number + 1].url and runs[number - 1].url == runs[number + 1].url and not runs[number].text.strip():
                runs[number] = runs[number + 1]._replace(text=runs[number].text)
        runs = merged(runs)
        if self._looks[-1].kind != "pre":
            while runs and not runs[-1].text.strip():
                runs.pop()
            if runs:
                runs[-1] = runs[-1]._replace(text=runs[-1].text.rstrip())
        line = Line(tuple(runs))
        if runs and (self._looks[-1].kind == "pre" or not is_blank(line)):
            self._lines.append(self._placed(line))

    def _placed(self, line: Line) -> Line:
        """Return a line as one of the quote, code or item in which it stands."""
        look = self._looks[-1]
        if line.kind == "item":
            return line._replace(indent=min(line.indent + look.indent + 1, INDENT_LIMIT), quoted=look.quoted)
        if line.kind == "text" and look.kind != "pre" and look.indent >= 0:
            number, begun = self._items[-1]
            self._items[-1] = (number, True)
            return Line(line.runs, "item", look.indent, number, begun, look.quoted)
        kind = look.kind if line.kind == "text" else line.kind
        return Line(line.runs, kind, quoted=look.quoted and kind == "pre")

    # Lists

    def _enter_list(self, element: HtmlElement) -> None:
        css = declarations(element.get("style") or "")
        wanted = LIST_INDENTS.get(css.get("list-style-type") or element.get("type") or "")
        level = self._looks[-1].level + 1
        if element.tag == "ol" and wanted is not None:
            # Slack numbers lists by their indent: 1. a. i. and again.
            level += (wanted - level) % 3
        self._numbers.append(_number(element.get("start"), 1) if element.tag == "ol" else None)
        self._look(level=min(level, INDENT_LIMIT))

    def _leave_list(self, element: HtmlElement) -> None:
        self._numbers.pop()

    def _enter_item(self, element: HtmlElement) -> None:
        number = self._numbers[-1] if self._numbers else None
        if number is not None:
            number = _number(element.get("value"), number)
            self._numbers[-1] = number + 1
        level = max(self._looks[-1].level, 0)
        shown = number if number is not None and 1 <= number <= NUMBER_LIMIT else None
        self._items.append((shown, False))
        self._look(level=level, indent=level, kind="text")
        if number is not None and shown is None:
            self._add("%d. " % number)

    def _leave_item(self, element: HtmlElement) -> None:
        self._end_line()
        self._items.pop()

    # Tables

    def _enter_table(self, element: HtmlElement) -> None:
        self._mark_cell(element)
        self._tables.append(Table((element.get("role") or "").strip().lower() in ("presentation", "none")))

    def _show_table(self) -> None:
        lines = self._tables.pop().lines()
        if lines:
            self._open_gap()
        look = self._looks[-1]
        self._lines += (
            lines if look.kind == "text" and look.indent < 0 and not look.quoted else map(self._placed, lines)
        )

    def _enter_row(self, element: HtmlElement) -> None:
        if self._tables:
            self._tables[-1].add_row(element.getparent().tag == "thead")

    def _enter_cell(self, element: HtmlElement) -> None:
        self._cells.append((self._lines, self._gap, False))
        if self._tables:
            if not self._tables[-1].rows:
                self._tables[-1].add_row(False)
            self._lines, self._gap = [], 0
            self._look(kind="text", quoted=False, indent=-1, level=-1)

    def _leave_cell(self, element: HtmlElement) -> None:
        self._end_line()
        outer, gap, is_complex = self._cells.pop()
        if self._tables:
            lines, self._lines, self._gap = self._lines, outer, gap
            width, height = _number(element.get("colspan"), 1), _number(element.get("rowspan"), 1)
            self._tables[-1].add_cell(lines, element.tag == "th", is_complex, width, height)

    def _mark_cell(self, element: HtmlElement) -> None:
        if self._cells:
            self._cells[-1] = self._cells[-1][:2] + (True,)

    # Others

    def _enter_quote(self, element: HtmlElement) -> None:
        self._look(kind="quote", quoted=True)

    def _enter_pre(self, element: HtmlElement) -> None:
        self._look(kind="pre", space="pre")

    def _enter_anchor(self, element: HtmlElement) -> None:
        href = clean(element.get("href") or "").strip()
        self._anchors.append((href, self._shown))
        self._look(url=link_target(href))

    def _leave_anchor(self, element: HtmlElement) -> None:
        href, shown = self._anchors.pop()
        linked_to = self._looks[-1].url
        if linked_to or self._shown == shown or not href or USELESS_TARGET.match(href):
            return
        if not "".join(run.text for run in self._runs).endswith(href):
            self._add(" (%s)" % " ".join(href.split()))

    def _enter_image(self, element: HtmlElement) -> None:
        css = declarations(element.get("style") or "")
        sizes = [value for name in ("width", "height") for value in (element.get(name), css.get(name))]
        if self._looks[-1].unseen or any(re.match(r"\s*[01](?:px)?\s*\Z", size or "") for size in sizes):
            return
        alt, source = " ".join(clean(element.get("alt") or "").split()), element.get("src") or ""
        url = link_target(source) if re.match(r"(?i)\s*(?:https?:)?//", source) else ""
        if self._looks[-1].url:
            self._add(alt or PICTURE)
        elif alt:
            self._add(alt, url)
        elif element.get("alt") is None and url:
            self._add("image", url)

    def _enter_input(self, element: HtmlElement) -> None:
        kind = (element.get("type") or "").lower()
        self._add(CHECKS.get((kind, "checked" in element.attrib), ""))

    def _enter_rule(self, element: HtmlElement) -> None:
        self._add(RULE)

    def _quotation(self, element: HtmlElement) -> None:
        self._add('"')

    def _enter_break(self, element: HtmlElement) -> None:
        self._break()


Handler = Callable[[_Walk, HtmlElement], None]
ENTER: Dict[str, Handler] = {
    "a": _Walk._enter_anchor,
    "blockquote": _Walk._enter_quote,
    "br": _Walk._enter_break,
    "hr": _Walk._enter_rule,
    "img": _Walk._enter_image,
    "input": _Walk._enter_input,
    "li": _Walk._enter_item,
    "ol": _Walk._enter_list,
    "pre": _Walk._enter_pre,
    "q": _Walk._quotation,
    "table": _Walk._enter_table,
    "td": _Walk._enter_cell,
    "th": _Walk._enter_cell,
    "tr": _Walk._enter_row,
    "ul": _Walk._enter_list,
}
ENTER.update(dict.fromkeys(HEADINGS, _Walk._mark_cell))
LEAVE: Dict[str, Handler] = {
    "a": _Walk._leave_anchor,
    "li": _Walk._leave_item,
    "ol": _Walk._leave_list,
    "q": _Walk._quotation,
    "td": _Walk._leave_cell,
    "th": _Walk._leave_cell,
    "ul": _Walk._leave_list,
}
