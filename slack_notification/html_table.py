"""Tables of a mail as lines: `*Label:* value`, columns in a code block, or, where a table only arranges, its cells."""

import unicodedata
from itertools import chain, takewhile, zip_longest
from typing import Callable, Dict, List, Sequence, Tuple

from .rich_text import BOLD, CHARACTERS_LIMIT, Line, Run, text_of, trimmed

CODE_LIMIT_COLUMNS = 90  # Slack breaks the lines of a code block where the window ends; longer ones become rubble.
LABEL_LIMIT_CHARACTERS = 60  # What is longer is no name of a value but a text.
SHORT_LIMIT_CHARACTERS = 200  # What is longer, with its links, is not repeated for many rows.
HEAD_LIMIT_ROWS = 3
TABLE_LIMIT_COLUMNS = 100  # No table that a person reads has more, whatever its attributes say.
COLONS = (":", "：")
NAME_ENDS = (*COLONS, "?", "!", ".", "=")
COLUMN_GAP = "  "


class Cell:
    """A cell: its lines; `is_complex` where it holds a heading or a table; columns and rows that it spans."""

    def __init__(self, lines: List[Line], is_header: bool, is_complex: bool, width: int, height: int) -> None:
        self.lines, self.is_header, self.width, self.height = lines, is_header, width, height
        self.column = 0  # in which a browser shows it
        self.shown = [line for line in lines if line.kind != "text" or line.runs]  # without gaps between paragraphs
        runs = [run for line in lines for run in line.runs]
        self.has_link = any(run.url for run in runs)
        self.is_bold = all("bold" in run.styles for run in runs)  # like a cell of a head
        self.is_short = sum(len(run.text) + len(run.url) for run in runs) <= SHORT_LIMIT_CHARACTERS
        self.is_text = not is_complex and all(line.kind == "text" for line in lines)
        # Code cannot show that something is no longer valid.
        self.fits_code = self.is_text and not any("strike" in run.styles for run in runs)
        longest = max((len(text_of(line)) for line in lines), default=0)
        self.is_label = longest <= LABEL_LIMIT_CHARACTERS and self.is_text and not self.has_link


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
    code = _code(head, body, columns) if several and all(cell.fits_code for cell in chain(*head, *body)) else []
    return _lines(rows[:first]) + (code or (_records(head, body) if head or several else _lines(body)))


def _placed(rows: Sequence[Row]) -> List[Row]:
    """Put each cell into its column; return the rows and cells that show something."""
    covered: Dict[int, int] = {}  # the row up to which a cell reaches down, of each column
    for number, row in enumerate(rows):
        column = 0
        for cell in row:
            while covered.get(column, 0) > number:
                column += 1
            end = min(column + cell.width, TABLE_LIMIT_COLUMNS)
            covered.update(dict.fromkeys(range(column, end), number + cell.height))
            # What stands alone in its row is a title of all columns.
            cell.column, cell.width = column, max(end - column, 1) if len(row) > 1 else TABLE_LIMIT_COLUMNS
            column = max(end, column + 1)
    shown = [[cell for cell in row if cell.lines] for row in rows]
    return [row for row in shown if row]


def _lines(rows: Sequence[Row]) -> List[Line]:
    return [line for cell in chain(*rows) for line in trimmed(cell.lines)]


def _head(rows: Sequence[Row], names: Callable[[Cell], bool]) -> List[Row]:
    """Return the first rows, those of cells that name columns; nothing where no others follow."""
    head = list(takewhile(lambda row: len(row) > 1 and all(map(names, row)), rows[:HEAD_LIMIT_ROWS]))
    return head if len(head) < len(rows) else []


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
        if len(pairs) == 1 and not are_sure and (value.has_link or not value.is_text):
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


def _records(head: List[Row], body: List[Row]) -> List[Line]:
    """Return one paragraph a row, each value behind the name of its column if there is a head."""
    names: Dict[int, List[str]] = {}
    used = {cell.column for row in body for cell in row if len(row) > 1 or cell.width == 1}
    is_said = True  # by the names, repeated in the rows
    for cell in chain(*head):
        name, columns = " ".join(map(text_of, cell.shown)), range(cell.column, cell.column + cell.width)
        for column in columns:
            names.setdefault(column, []).append(name)
        is_said = is_said and cell.fits_code and not cell.has_link and not used.isdisjoint(columns)
    if len(body) * sum(len(name) for parts in names.values() for name in parts) > CHARACTERS_LIMIT:
        return _records([], head + body)
    lines = [] if is_said else _lines(head)
    group: Row = []  # the first cell, where it reaches down to the next row
    for row in body:
        row = group + row if group and row[0].column > group[0].column else row
        group = [cell for cell in row[:1] if cell.height > 1 and cell.is_short]
        lines += [Line()] if lines else []
        for cell in row:
            # What stands alone over several columns says something of all of them.
            name = " ".join(names.get(cell.column, [])) if len(row) > 1 or cell.width == 1 else ""
            lines += _labelled(Line((Run(name),)), cell.lines)
        row[0].height -= 1
    return lines


def _code(head: List[Row], body: List[Row], columns: List[int]) -> List[Line]:
    """Return the rows as columns of code, dashes under the head; nothing where they are too wide."""
    widths = dict.fromkeys(columns, 0)
    # A title that stands alone in its row must not widen its column.
    for cell in chain(*(row for row in head + body if len(row) > 1)):
        widths[cell.column] = max([widths[cell.column], *map(_width, cell.shown)])
    if sum(widths.values()) + len(COLUMN_GAP) * (len(columns) - 1) > CODE_LIMIT_COLUMNS:
        return []
    lines = []
    for row in head + body:
        for shown in zip_longest(*(cell.shown for cell in row), fillvalue=Line()):
            found = dict(zip((cell.column for cell in row), shown))
            lines.append(_code_line([(found.get(column, Line()), widths[column]) for column in columns]))
        if head and row is head[-1]:
            lines.append(_code_line([(Line((Run("-" * width),)), width) for width in widths.values()]))
    return lines


def _code_line(cells: Sequence[Tuple[Line, int]]) -> Line:
    runs: List[Run] = []
    for line, width in cells:
        runs += [*line.runs, Run(" " * (width - _width(line)) + COLUMN_GAP)]
    while runs and not runs[-1].text.strip():
        runs.pop()
    return Line(tuple(runs), "pre")


def _width(line: Line) -> int:
    """Return how many columns a line fills: Chinese, Japanese and Korean characters are double, accents nothing."""
    text = text_of(line)
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)
