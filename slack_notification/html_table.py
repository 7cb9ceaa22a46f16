"""Tables of a mail as lines: `*Label:* value`, columns in a code block, or, where a table only arranges, its cells."""

import unicodedata
from itertools import chain, takewhile, zip_longest
from typing import Callable, Dict, List, NamedTuple, Optional, Sequence

from .rich_text import BOLD, CHARACTERS_LIMIT, Line, Run, is_blank, text_of, trimmed

# Slack breaks the lines of a code block where the window ends; longer ones become rubble.
CODE_LIMIT_COLUMNS = 90
# What is longer is no name of a value but a text.
LABEL_LIMIT_CHARACTERS = 60
SHORT_LIMIT_CHARACTERS = 200
HEAD_LIMIT_ROWS = 3
# No table that a person reads has more columns, whatever its attributes say.
TABLE_LIMIT_COLUMNS = 100
COLONS = (":", "：")
NAME_ENDS = (*COLONS, "?", "!", ".", "=")
COLUMN_GAP = "  "


class Cell(NamedTuple):
    """A cell: its lines; `is_complex` where it holds a heading or a table; columns and rows that it spans."""

    lines: List[Line]
    is_header: bool
    is_complex: bool
    width: int
    height: int
    column: int = 0  # in which a browser shows it

    @property
    def shown(self) -> List[Line]:
        """Return the lines without the gaps between paragraphs."""
        return [line for line in self.lines if line.kind != "text" or line.runs]

    @property
    def simple(self) -> bool:
        """Tell whether the cell holds nothing but text."""
        return not self.is_complex and all(line.kind == "text" for line in self.lines)

    @property
    def is_struck(self) -> bool:
        """Tell whether something in the cell is no longer valid, which code cannot show."""
        return any("strike" in run.styles for line in self.lines for run in line.runs)

    @property
    def is_label(self) -> bool:
        """Tell whether the cell can be the name of what stands beside it."""
        short = max(len(text_of(line)) for line in self.lines) <= LABEL_LIMIT_CHARACTERS
        return short and self.simple and not self.has_link

    @property
    def is_short(self) -> bool:
        """Tell whether the cell, with its links, can be repeated for many rows."""
        return sum(len(run.text) + len(run.url) for line in self.lines for run in line.runs) <= SHORT_LIMIT_CHARACTERS

    @property
    def has_link(self) -> bool:
        """Tell whether there is something to click at in the cell."""
        return any(run.url for line in self.lines for run in line.runs)

    @property
    def is_bold(self) -> bool:
        """Tell whether the cell looks like one of a head."""
        return all("bold" in run.styles for line in self.lines for run in line.runs)


Row = List[Cell]


def table_lines(rows: Sequence[Row], arranges: bool) -> List[Line]:
    """Return a table as lines; `arranges`: the mail says that it is no table for readers but a layout."""
    rows = _placed(rows)
    columns = sorted({cell.column for row in rows for cell in row})
    if arranges or not 1 < len(columns) < TABLE_LIMIT_COLUMNS:
        return _lines(rows)
    # A row of one cell above the others is a title.
    first = next((number for number, row in enumerate(rows) if len(row) > 1), 0)
    head = _head(rows[first:], lambda cell: cell.is_header)
    if not head and len(columns) == 2 and _has_labels(rows):
        return [line for row in rows for line in _labelled_row(row)]
    if not all(cell.is_bold for row in rows[first + 1 :] for cell in row):
        head = head or _head(rows[first:], lambda cell: cell.is_bold and cell.is_label)
    body = rows[first + len(head) :]
    several = sum(min(len(cell.shown) for cell in row) for row in head + body if len(row) > 1) > 1
    plain = all(cell.simple and not cell.is_struck for row in head + body for cell in row)
    code = _code(head, body, columns) if several and plain else []
    return _lines(rows[:first]) + (code or (_records(head, body) if head or several else _lines(body)))


def _lines(rows: Sequence[Row]) -> List[Line]:
    return [line for row in rows for cell in row for line in trimmed(cell.lines)]


def _head(rows: Sequence[Row], names: Callable[[Cell], bool]) -> List[Row]:
    """Return the first rows, those of cells that name columns; nothing where no others follow."""
    head = list(takewhile(lambda row: len(row) > 1 and all(map(names, row)), rows[:HEAD_LIMIT_ROWS]))
    return head if len(head) < len(rows) else []


def _placed(rows: Sequence[Row]) -> List[Row]:
    """Return the rows and cells that show something, each cell in its column."""
    placed: List[Row] = []
    covered: Dict[int, int] = {}  # the row up to which a cell reaches down, of each column
    for number, row in enumerate(rows):
        column = 0
        placed.append([])
        for cell in row:
            while covered.get(column, 0) > number:
                column += 1
            if cell.lines:
                # What stands alone in its row is a title of all columns.
                width = cell.width if len(row) > 1 else TABLE_LIMIT_COLUMNS
                placed[-1].append(cell._replace(column=column, width=width))
            end = min(column + cell.width, TABLE_LIMIT_COLUMNS)
            covered.update(dict.fromkeys(range(column, end), number + cell.height))
            column = max(end, column + 1)
    return [row for row in placed if row]


def _has_labels(rows: Sequence[Row]) -> bool:
    """Tell whether the first of two columns names what stands in the second."""
    pairs = [row for row in rows if len(row) == 2]
    for label, value in pairs:
        names = [text_of(line).rstrip() for line in label.shown]
        are_sure = label.is_header or all(name.endswith(COLONS) for name in names if name)
        if not label.is_label or not (are_sure or len(names) in (1, len(value.shown))):
            return False
        # One row of a text and a picture or button is a layout.
        are_sure = are_sure or len(names) > 1 or not any(map(str.isalnum, names[0]))
        if len(pairs) == 1 and not are_sure and (value.has_link or not value.simple):
            return False
    return bool(pairs)


def _labelled_row(row: Row) -> List[Line]:
    label, value = row[0].shown, row[1].shown if len(row) > 1 else []
    if len(row) == 1 and (row[0].column or row[0].width > 1 or not row[0].is_label):
        return row[0].lines
    if len(label) == 1:
        return _labelled(label[0], value)
    pairs = zip_longest(label, value, fillvalue=Line())
    return [line for name, one in pairs for line in _labelled(name, [one])]


def _labelled(label: Line, value: List[Line]) -> List[Line]:
    name, value = text_of(label).strip(), trimmed(value)
    if not name.rstrip(": "):
        return value
    runs = label.runs
    if any(map(str.isalnum, name)):
        colon = [] if name.endswith(NAME_ENDS) else [runs[-1]._replace(text=":")]
        runs = tuple(Run(run.text, BOLD | (run.styles & {"strike"})) for run in [*runs, *colon])
    if not value or value[0].kind != "text":
        return [Line(runs)] + value
    return [value[0]._replace(runs=(*runs, Run(" ")) + value[0].runs)] + value[1:]


def _records(head: Sequence[Row], body: Sequence[Row]) -> List[Line]:
    """Return one paragraph a row, each value behind the name of its column if there is a head."""
    found: Dict[int, List[str]] = {}
    for cell in chain(*head):
        name = " ".join(map(text_of, cell.shown))
        for column in range(cell.column, min(cell.column + cell.width, TABLE_LIMIT_COLUMNS)):
            found.setdefault(column, []).append(name)
    if len(body) * sum(len(name) for names in found.values() for name in names) > CHARACTERS_LIMIT:
        body, found = [*head, *body], {}
    names = {column: Line((Run(" ".join(found[column])),)) for column in found}
    lines = [] if _is_said(head, body) else _lines(head)
    group: Row = []  # the first cell, where it reaches down to the next row
    for row in body:
        row = group + row if group and row[0].column > group[0].column else row
        group = [cell._replace(height=cell.height - 1) for cell in row[:1] if cell.height > 1 and cell.is_short]
        lines += [Line()] if lines else []
        for cell in row:
            lines += cell.lines if _spans(row) else _labelled(names.get(cell.column, Line()), cell.lines)
    return lines


def _spans(row: Row) -> bool:
    """Tell whether a row is one cell that says something of all columns."""
    return len(row) == 1 and row[0].width > 1


def _is_said(head: Sequence[Row], body: Sequence[Row]) -> bool:
    """Tell whether the names of the columns, repeated in the rows, say all that the head does."""
    used = {cell.column for row in body if not _spans(row) for cell in row}
    cells = list(chain(*head))
    covered = all(not used.isdisjoint(range(cell.column, cell.column + cell.width)) for cell in cells)
    return covered and all(cell.simple and not cell.has_link and not cell.is_struck for cell in cells)


def _code(head: List[Row], body: List[Row], columns: List[int]) -> List[Line]:
    """Return the rows as columns of code, dashes under the head; nothing where they are too wide."""
    rows = head + body
    widths = dict.fromkeys(columns, 0)
    for row in rows:
        # A title that stands alone in its row must not widen its column.
        for cell in row if len(row) > 1 else []:
            widths[cell.column] = max([widths[cell.column]] + [_width(line) for line in cell.shown])
    if sum(widths.values()) + len(COLUMN_GAP) * (len(columns) - 1) > CODE_LIMIT_COLUMNS:
        return []
    lines: List[Line] = []
    for row in rows:
        for shown in zip_longest(*(cell.shown for cell in row)):
            lines.append(_code_line({cell.column: line for cell, line in zip(row, shown)}, widths))
        if head and row is head[-1]:
            lines.append(Line((Run(COLUMN_GAP.join("-" * widths[column] for column in columns)),), "pre"))
    return lines


def _code_line(shown: Dict[int, Optional[Line]], widths: Dict[int, int]) -> Line:
    runs: List[Run] = []
    blanks = 0
    for column, width in sorted(widths.items()):
        line = shown.get(column)
        if line and not is_blank(line):
            runs += [Run(" " * blanks), *line.runs]
            blanks = -_width(line)
        blanks += width + len(COLUMN_GAP)
    return Line(tuple(runs), "pre")


def _width(line: Line) -> int:
    """Return how many columns a line fills: Chinese, Japanese and Korean characters are double, accents nothing."""
    text = text_of(line)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)
