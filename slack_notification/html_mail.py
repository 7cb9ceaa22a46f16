"""HTML mails as lines: one walk over the tree, with a table from tag to function."""

import re
from itertools import chain, islice
from typing import Any, Callable, Dict, Iterator, List, Optional, Set, Tuple

from lxml import etree

from .errors import PROGRESS
from .html_look import BLOCKS, HEADINGS, PARAGRAPHS, Look, css_of, hides, letters_of, quoted, restyled, scripted
from .html_source import COMMENTS, PICTURE, PIECES, RENAMED, mended, text_of_html
from .html_table import Cell, Row, table_lines
from .rich_text import Line, Run, clean, divided, host_of, is_blank, lines_of, link_target, linked, merged, one_line

# Deeper, the parser gives up; no mail that a person wrote is.
DEPTH_LIMIT = 2000
# So many elements in a link tell whether it has words.
WORDS_LIMIT = 20
# Tables that stand in so many others arrange what is in them; each looks at all its lines.
TABLES_LIMIT = 10
# Slack's composer indents lists no further.
INDENT_LIMIT = 8
# More digits than this are no number of a list that a person reads; Slack takes no more of an `offset`.
NUMBER_LIMIT = 999999

RULE = "-" * 20
UNSEEN = {"title", "style", "script", "template"}

# Targets that work nowhere but in the mail itself.
USELESS_TARGET = re.compile(r"(?i)#|(?:javascript|vbscript|data|cid|about|blob):")


def read_html(html: str) -> Tuple[List[Line], str]:
    """Return the lines of a mail, and the text of the part that is too long to be read as HTML. Never raises."""
    html = PICTURE.sub(r"\1", clean(html))
    head, beyond = divided(html, "<")
    if beyond:
        head, beyond = divided(COMMENTS.sub("", html), "<")
    try:
        lines = _Walk().read(head)
    except Exception:
        # The recipient is owed the text of a mail, whatever else it holds.
        PROGRESS.debug("a mail could not be read as HTML, its text is posted", exc_info=True)
        lines = lines_of(text_of_html(head))
    return lines, "\n".join(text_of_html(piece.group()) for piece in PIECES.finditer(beyond))


def _number(value: Optional[str], default: int) -> int:
    match = re.match(r"\s*(-?[0-9]{1,6})\s*\Z", value or "")
    return int(match.group(1)) if match else default


class _Walk:
    """The walk over a mail.

    A handler of a tag begins an element; one that yields goes on where the element ends.
    """

    def __init__(self) -> None:
        self._css: Dict[Any, Dict[str, str]] = {}  # of each element
        self._lines: List[Line] = []  # of the cell that is open, else of the mail
        self._runs: List[Run] = []  # of the line that is open
        self._paragraph = False  # an empty line goes before the next
        self._look = Look()
        self._items = 0  # begun until now
        self._labelled = 0  # the last of them that has a line in a quote
        self._next: Optional[int] = None  # number of the list that is open
        self._step = 1  # from its numbers to the next
        self._letters: List[str] = []  # of that list, where Slack has no such numbers
        self._rows: Optional[List[Row]] = None  # of the table that is open
        self._shown = 0  # characters
        self._named: Set[str] = set()  # the links that have words

    def read(self, html: str) -> List[Line]:
        """Return the lines of the mail. No recursion: mails nest deeper than Python does."""
        # Around text outside of a body, libxml2 before 2.14 would put a paragraph of its own.
        body = mended(html if "<body" in html.lower() else "<body>" + html)
        parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
        root = etree.HTML(body.encode("utf-8"), parser)
        if root is None:
            return []
        for element in root.iter(*RENAMED.values()):
            element.tag = element.tag[:-1]
        self._css = css_of(root)
        for element, css in self._css.items():
            if element.tag in UNSEEN or "hidden" in element.attrib or hides(css):
                element.clear(keep_tail=True)
                element.tag = "span"
        for anchor in root.iter("a"):
            inner = islice(anchor.iter(), 1, WORDS_LIMIT)
            texts = chain([anchor.text], *((element.text, element.tail) for element in inner))
            if any(text and not text.isspace() for text in texts):
                self._named.add(link_target(anchor.get("href") or ""))
        open_elements: List[Iterator[None]] = []
        for event, element in etree.iterwalk(root, events=("start", "end")):
            if event == "end":
                next(open_elements.pop(), None)
                self._text(element.tail)
                continue
            if len(open_elements) >= DEPTH_LIMIT:
                raise ValueError("nested deeper than the parser reads")
            open_elements.append(self._visit(element))
            next(open_elements[-1])
        self._end_line()
        return self._lines

    def _visit(self, element: Any) -> Iterator[None]:
        """Begin an element; go on to its end."""
        outer = self._look
        self._boundary(element)
        self._look = restyled(outer, element.tag, self._css[element])
        handler = HANDLERS.get(element.tag)
        rest = (handler(self, element) if handler else None) or iter(())
        next(rest, None)
        begin = len(self._runs)
        before = max(begin - 1, 0)
        self._text(element.text)
        yield
        next(rest, None)
        if self._look.script != outer.script:
            self._runs[before:] = scripted(self._runs[before:], begin - before, self._look.script)
        self._boundary(element)
        self._look = outer

    # Lines

    def _boundary(self, element: Any) -> None:
        if element.tag in BLOCKS or self._css[element].get("display") == "block":
            self._end_line()
            self._paragraph = self._paragraph or element.tag in PARAGRAPHS

    def _text(self, text: Optional[str]) -> None:
        if not text or self._look.tiny:
            return
        if "\xa0" in text and not self._runs:
            self._runs.append(Run(""))  # a line that shows nothing is a line
        text = clean(text).replace("\xa0", " ")
        if not self._look.keeps_blanks:
            self._add(re.sub(r"\s+", " ", text))
            return
        for number, line in enumerate(text.split("\n")):
            if number:
                self._break()
            self._add(line)

    def _add(self, text: str) -> None:
        look = self._look
        if not look.keeps_blanks and (self._runs[-1].text if self._runs else "")[-1:] in ("", " "):
            text = text.lstrip(" ")
        if not text:
            return
        if "strike" in look.styles and look.kind == "pre" and not look.quoted:
            text = "~%s~" % text  # code has no styles
        words, url = text.strip(" "), look.url
        self._shown += len(words)
        if not url or not words:
            self._runs.append(Run(text, look.styles))
            return
        # The blanks around a link's words are none of the link, those between two links of one target are.
        before, _, after = text.partition(words)
        self._runs += [Run(before, look.styles)] if before else []
        if len(self._runs) > 1 and self._runs[-2].url == url and not self._runs[-1].text.strip():
            self._runs[-1] = self._runs[-1]._replace(url=url)
        self._runs += [Run(words, look.styles, url)] + ([Run(after, look.styles)] if after else [])

    def _blank(self, is_gap: bool = False) -> None:
        """Add an empty line: the gap between paragraphs, or, in a cell, one that has a line beside it."""
        if not is_gap and self._rows is not None and self._look.kind == "text":
            self._lines.append(Line((Run(""),)))
        elif self._lines and not is_blank(self._lines[-1]) and self._look.kind != "item":
            self._append(Line(kind=self._look.kind))

    def _break(self) -> None:
        """End the line; one that is empty is shown as such."""
        if self._runs:
            self._end_line()
        elif self._look.kind == "pre":
            self._append(Line(kind="pre"))
        else:
            self._blank()

    def _end_line(self) -> None:
        if not self._runs:
            return
        runs, self._runs, is_code = merged(self._runs), [], self._look.kind == "pre"
        while runs and not is_code and not runs[-1].text.strip():
            runs.pop()
        if runs and not is_code:
            runs[-1] = runs[-1]._replace(text=runs[-1].text.rstrip())
        line = Line(tuple(run for run in linked(runs) if run.text))
        if is_code or not is_blank(line):
            self._place(line)
        else:
            self._blank()

    def _place(self, line: Line) -> None:
        """Add a line to the text, quote, code or item in which it stands."""
        look = self._look
        if self._paragraph:
            self._blank(is_gap=True)
        self._paragraph = False
        if line.kind == "text":
            line = Line(line.runs, look.kind, look.level, look.number, look.item)
        self._append(line)

    def _append(self, line: Line) -> None:
        if self._look.quoted:
            begins, self._labelled = line.item > self._labelled, max(self._labelled, line.item)
            line = quoted(line, begins)
        self._lines.append(line)

    # Handlers

    def _list(self, element: Any) -> Iterator[None]:
        outer = self._next, self._step, self._letters
        self._step = 1 if element.get("reversed") is None else -1
        first = _number(element.get("start"), 1 if self._step > 0 else len(element.findall("li")))
        self._next = first if element.tag == "ol" else None
        self._letters = letters_of(element, self._css[element]) if element.tag == "ol" else []
        if not self._letters:
            self._look = self._look._replace(level=min(self._look.level + 1, INDENT_LIMIT))
        yield
        self._next, self._step, self._letters = outer

    def _item(self, element: Any) -> None:
        number, letters = self._next, letters_of(element, self._css[element]) or self._letters
        if number is not None:
            number = _number(element.get("value"), number)
            self._next = number + self._step
            if letters or not 1 <= number <= NUMBER_LIMIT:
                # Slack has no such numbers: they are text.
                label = letters[number - 1] if letters and 1 <= number <= len(letters) else number
                self._add("%s. " % label)
                return
        self._items += 1
        level = max(self._look.level, 0)
        self._look = self._look._replace(kind="item", level=level, number=number, item=self._items)

    def _table(self, element: Any) -> Iterator[None]:
        outer, self._rows = self._rows, [[]] if self._look.tables < TABLES_LIMIT else None
        self._look = self._look._replace(tables=self._look.tables + 1)
        yield
        self._end_line()
        rows, self._rows = self._rows or [], outer
        lines = table_lines(rows, (element.get("role") or "").strip().lower() in ("presentation", "none"))
        for line in lines:
            if line.kind == "pre" or not (is_blank(line) and self._lines and is_blank(self._lines[-1])):
                self._place(line)

    def _row(self, element: Any) -> None:
        if self._rows is not None:
            self._rows.append([])

    def _cell(self, element: Any) -> Iterator[None]:
        if self._rows is None:
            return
        rows, lines, paragraph = self._rows, self._lines, self._paragraph
        self._lines, self._paragraph = [], False
        self._look = self._look._replace(kind="text", level=-1, quoted=False)
        yield
        self._end_line()
        shown, self._lines, self._paragraph = self._lines, lines, paragraph
        while shown and is_blank(shown[-1]):
            shown.pop()
        is_complex = next(element.iter("table", *HEADINGS), None) is not None
        width, height = (max(_number(element.get(name), 1), 1) for name in ("colspan", "rowspan"))
        is_header = element.tag == "th" or element.getparent().getparent().tag == "thead"
        rows[-1].append(Cell(shown, is_header, is_complex, width, height))

    def _anchor(self, element: Any) -> Iterator[None]:
        href, shown = one_line(element.get("href") or ""), self._shown
        url = link_target(element.get("href") or "")
        self._look = self._look._replace(url=url)
        yield
        doubled = self._runs and self._runs[-1].text.endswith(href)
        if not url and href and self._shown > shown and not doubled and not USELESS_TARGET.match(href.replace(" ", "")):
            self._add(" (%s)" % href)

    def _image(self, element: Any) -> None:
        css = self._css[element]
        sizes = [element.get("width"), element.get("height"), css.get("width"), css.get("height")]
        if any(re.match(r"\s*[01](?:px)?\s*\Z", size or "") for size in sizes):
            return
        alt, url = one_line(element.get("alt") or ""), link_target(element.get("src") or "")
        target = self._look.url
        if alt or (url and not target and element.get("alt") is None):
            self._look = self._look._replace(url=target or url)
            self._add(" %s " % (alt or "image"))
        elif target and target not in self._named:
            self._add(" %s " % host_of(target))
        self._named.add(target)

    def _input(self, element: Any) -> None:
        if (element.get("type") or "").lower() == "checkbox":
            self._add("☐" if element.get("checked") is None else "☑")


HANDLERS: Dict[str, Callable[[_Walk, Any], Optional[Iterator[None]]]] = {
    "a": _Walk._anchor,
    "br": lambda walk, _: walk._break(),
    "hr": lambda walk, _: walk._add(RULE),
    "img": _Walk._image,
    "input": _Walk._input,
    "li": _Walk._item,
    "ol": _Walk._list,
    "table": _Walk._table,
    "td": _Walk._cell,
    "th": _Walk._cell,
    "tr": _Walk._row,
    "ul": _Walk._list,
}
