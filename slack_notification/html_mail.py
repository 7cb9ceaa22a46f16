"""HTML mails as lines: one walk over the tree, with a table from tag to function."""

import re
from itertools import chain, islice
from typing import Any, Dict, Iterator, List, Optional, Set, Tuple

from lxml import etree

from .errors import PROGRESS
from .html_table import Cell, Row, table_lines
from .html_tree import HEADINGS, Look, divided_mail, letters_of, restyled, text_of_html, tree_of
from .rich_text import BULLETS, Line, Run, clean, host_of, is_blank, lines_of, link_target, linked, merged, one_line

DEPTH_LIMIT = 2000  # The parser reads no deeper; no mail that a person wrote is.
WORDS_LIMIT = 20  # So many elements in a link tell whether it has words.
TABLES_LIMIT = 10  # Tables that stand in so many others arrange what is in them; each looks at all its lines.
INDENT_LIMIT = 8  # Slack's composer indents lists no further.
NUMBER_LIMIT = 999999  # More is no number of a list that a person reads; Slack takes no more of an `offset`.
SCRIPT_LIMIT_CHARACTERS = 12  # Longer small print stays as it is.

PARAGRAPHS = set(HEADINGS + ["p", "ul", "ol", "dl", "blockquote", "pre", "figure", "fieldset"])
BLOCKS = PARAGRAPHS.union(["html", "body", "div", "section", "article", "header", "footer", "main", "aside", "nav"])
BLOCKS.update(["address", "center", "form", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "hr"])
BLOCKS.update(["figcaption", "li", "dt", "dd", "details", "summary", "legend", "option"])
RULE = "-" * 20
GAP = Line()  # between paragraphs
SUPERSCRIPT = str.maketrans("0123456789+-−=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
SUBSCRIPT = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
# Targets that work nowhere but in the mail itself.
USELESS_TARGET = re.compile(r"(?i)#|(?:javascript|vbscript|data|cid|about|blob):")


def read_html(html: str) -> Tuple[List[Line], str]:
    """Return the lines of a mail, and the text of the part that is too long to be read as HTML. Never raises."""
    head, beyond = divided_mail(html)
    try:
        lines = _Walk().read(head)
    except Exception:
        # The recipient is owed the text of a mail, whatever else it holds.
        PROGRESS.debug("a mail could not be read as HTML, its text is posted", exc_info=True)
        lines = lines_of(text_of_html(head))
    return lines, text_of_html(beyond)


def _put_in_script(runs: List[Run], begin: int, sign: str) -> None:
    """Put the runs from `begin` on in superscript (^) or subscript (_), or mark them where Unicode has none."""
    inner, table = runs[begin:], SUPERSCRIPT if sign == "^" else SUBSCRIPT
    content = "".join(run.text for run in inner).strip()
    if len(content) > SCRIPT_LIMIT_CHARACTERS:
        if begin and not runs[begin - 1].text.endswith(" "):
            runs.insert(begin, Run(" "))
    elif all(ord(character) in table for character in content):
        runs[begin:] = [run._replace(text=run.text.translate(table)) for run in inner]
    elif any(map(str.isalnum, content)):
        runs[begin:] = [Run(sign + "("), *inner, Run(")")]


def _spaced(lines: List[Line]) -> List[Line]:
    """Return the lines without an empty one behind another or at the end; one is of the kind of the next."""
    spaced = [GAP]
    for line in reversed(lines):
        if line.kind == "pre" or not is_blank(line):
            spaced.append(line)
        elif not is_blank(spaced[-1]):
            spaced.append(line._replace(kind=spaced[-1].kind))
    return list(reversed(spaced[1:]))


def _number(value: Optional[str], default: int) -> int:
    match = re.match(r"\s*(-?[0-9]{1,6})\s*\Z", value or "")
    return int(match.group(1)) if match else default


class _Walk:
    """The walk over a mail. A handler of a tag begins an element; one that yields goes on where the element ends."""

    def __init__(self) -> None:
        self._css: Dict[Any, Dict[str, str]] = {}  # of each element
        self._look = Look([])
        self._runs: List[Run] = []  # of the line that is open
        self._labelled: Set[Any] = set()  # the items that have a line in a quote
        self._shown = 0  # characters
        self._named: Set[str] = set()  # the links that have words

    def read(self, html: str) -> List[Line]:
        """Return the lines of the mail. No recursion: mails nest deeper than Python does."""
        root, self._css = tree_of(html)
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
        return _spaced(self._look.lines)

    def _visit(self, element: Any) -> Iterator[None]:
        """Begin an element; go on to its end."""
        outer = self._look
        self._boundary(element)
        self._look = restyled(outer, element.tag, self._css[element])
        handler = HANDLERS.get(element.tag)
        rest = (handler(self, element) if handler else None) or iter(())
        next(rest, None)
        begin = len(self._runs)
        self._text(element.text)
        yield
        next(rest, None)
        if self._look.script != outer.script:
            _put_in_script(self._runs, begin, self._look.script)
        self._boundary(element)
        self._look = outer

    def _boundary(self, element: Any) -> None:
        if element.tag in BLOCKS or self._css[element].get("display") == "block":
            self._end_line()
        if element.tag in PARAGRAPHS and self._look.lines[-1:] not in ([], [GAP]):
            self._look.lines.append(GAP)

    def _text(self, text: Optional[str]) -> None:
        if not text or self._look.tiny:
            return
        if "\xa0" in text and not self._runs:
            self._runs.append(Run(""))  # a line that shows nothing is a line
        text = clean(text).replace("\xa0", " ")
        begin, *lines = text.split("\n") if self._look.keeps_blanks else [re.sub(r"\s+", " ", text)]
        self._add(begin)
        for line in lines:
            self._break()
            self._add(line)

    def _add(self, text: str) -> None:
        look, runs = self._look, self._runs
        if not look.keeps_blanks and (not runs or runs[-1].text[-1:] in ("", " ")):
            text = text.lstrip(" ")
        if not text:
            return
        if "strike" in look.styles and look.line.kind == "pre" and not look.quoted:
            text = "~%s~" % text  # code has no styles
        words, url = text.strip(" "), look.url
        self._shown += len(words)
        if not url or not words:
            runs.append(Run(text, look.styles))
            return
        # The blanks around a link's words are none of the link, those between two links of one target are.
        before, _, after = text.partition(words)
        runs += [Run(before, look.styles)] if before else []
        if len(runs) > 1 and runs[-2].url == url and not runs[-1].text.strip():
            runs[-1] = runs[-1]._replace(url=url)
        runs += [Run(words, look.styles, url)] + ([Run(after, look.styles)] if after else [])

    def _break(self) -> None:
        """End the line; one that is empty is shown as such."""
        self._runs = self._runs or [Run("")]
        self._end_line()

    def _end_line(self) -> None:
        if not self._runs:
            return
        kind, runs, self._runs = self._look.line.kind, merged(self._runs), []
        if runs and kind != "pre":
            runs[-1] = runs[-1]._replace(text=runs[-1].text.rstrip())
        line = Line(tuple(run for run in linked(runs) if run.text))
        if kind == "pre" or not is_blank(line):
            self._place(line)
        elif kind != "item":
            self._look.lines.append(Line((Run(""),)))  # in a cell, there may be a line beside it

    def _place(self, line: Line) -> None:
        """Add a line to the text, quote, code or item in which it stands."""
        look = self._look
        while look.line.kind == "item" and look.lines[-1:] == [GAP]:
            look.lines.pop()
        if line.kind == "text":
            line = look.line._replace(runs=line.runs)
        look.lines.append(self._quoted(line) if look.quoted else line)

    def _quoted(self, line: Line) -> Line:
        """Return the line as one of a quote, in which Slack knows neither lists nor blocks of code."""
        runs = line.runs
        if line.kind == "pre":
            runs = tuple(run._replace(styles=run.styles | {"code"}) for run in runs)
        elif line.kind == "item":
            label = BULLETS[line.indent % len(BULLETS)] if line.number is None else "%d." % line.number
            label = "   " if line.item in self._labelled else label
            self._labelled.add(line.item)
            runs = (Run("    " * line.indent + label + " "), *runs)
        return Line(runs, "quote")

    # Handlers

    def _list(self, element: Any) -> None:
        step = 1 if element.get("reversed") is None else -1
        first = _number(element.get("start"), 1 if step > 0 else len(element.findall("li")))
        letters = letters_of(element, self._css[element]) if element.tag == "ol" else []
        numbers = [first, step, letters] if element.tag == "ol" else None
        level = self._look.level if letters else min(self._look.level + 1, INDENT_LIMIT)
        self._look = self._look._replace(numbers=numbers, level=level)

    def _item(self, element: Any) -> None:
        look, number = self._look, None
        if look.numbers:
            following, step, letters = look.numbers
            number = _number(element.get("value"), following)
            look.numbers[0] = number + step
            letters = letters_of(element, self._css[element]) or letters
            if letters or not 1 <= number <= NUMBER_LIMIT:
                # Slack has no such numbers: they are text.
                self._add("%s. " % (letters[number - 1] if 1 <= number <= len(letters) else number))
                return
        level = max(look.level, 0)
        self._look = look._replace(line=Line((), "item", level, number, element), level=level)

    def _table(self, element: Any) -> Iterator[None]:
        rows: List[Row] = [[]]
        is_deep = sum(1 for _ in element.iterancestors("table")) >= TABLES_LIMIT
        self._look = self._look._replace(rows=None if is_deep else rows)
        yield
        self._end_line()
        arranges = (element.get("role") or "").strip().lower() in ("presentation", "none")
        for line in table_lines(rows, arranges):
            self._place(line)

    def _row(self, element: Any) -> None:
        if self._look.rows is not None:
            self._look.rows.append([])

    def _cell(self, element: Any) -> Iterator[None]:
        rows = self._look.rows
        if rows is None:
            return
        row = rows[-1]
        lines: List[Line] = []
        self._look = self._look._replace(lines=lines, line=Line(), level=-1, quoted=False)
        yield
        self._end_line()
        while lines and is_blank(lines[-1]):
            lines.pop()
        is_complex = next(element.iter("table", *HEADINGS), None) is not None
        width, height = (max(_number(element.get(name), 1), 1) for name in ("colspan", "rowspan"))
        is_header = element.tag == "th" or element.getparent().getparent().tag == "thead"
        row.append(Cell(lines, is_header, is_complex, width, height))

    def _anchor(self, element: Any) -> Iterator[None]:
        href, shown = element.get("href") or "", self._shown
        self._look = self._look._replace(url=link_target(href))
        yield
        href = "" if self._look.url or USELESS_TARGET.match("".join(href.split())) else one_line(href)
        if href and self._shown > shown and not (self._runs and self._runs[-1].text.endswith(href)):
            self._add(" (%s)" % href)

    def _image(self, element: Any) -> None:
        sizes = [said.get(name, "") for said in (element.attrib, self._css[element]) for name in ("width", "height")]
        if any(re.match(r"\s*[01](?:px)?\s*\Z", size) for size in sizes):
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


HANDLERS: Dict[str, Any] = {"ol": _Walk._list, "ul": _Walk._list, "li": _Walk._item, "table": _Walk._table}
HANDLERS.update({"td": _Walk._cell, "th": _Walk._cell, "a": _Walk._anchor, "img": _Walk._image, "input": _Walk._input})
HANDLERS.update({"br": lambda walk, _: walk._break(), "hr": lambda walk, _: walk._add(RULE), "tr": _Walk._row})
