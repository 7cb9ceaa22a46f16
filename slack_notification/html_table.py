"""Tables of a mail as lines: `*Label:* value`, columns in a code block, or, where a table only arranges, its cells."""

import unicodedata
from typing import Dict, List, NamedTuple, Optional

from .rich_text import Line, Run, is_blank, text_of, trimmed

# Slack breaks the lines of a code block where the window ends; longer ones become rubble.
CODE_LIMIT_COLUMNS = 90
# What is longer is no name of a value but a text.
LABEL_LIMIT_CHARACTERS = 60
# No table that a person reads has more columns, whatever its attributes say.
TABLE_LIMIT_COLUMNS = 100
COLUMN_GAP = "  "
BOLD = frozenset(["bold"])


class Cell(NamedTuple):
    """A cell: its lines; `complex` where it holds a heading or a table; the column in which a browser shows it."""

    lines: List[Line]
    is_header: bool
    complex: bool
    column: int

    @property
    def shown(self) -> List[Line]:
        """Return the lines without the empty ones between paragraphs."""
        return [line for line in self.lines if line.kind != "text" or not is_blank(line)]

    @property
    def simple(self) -> bool:
        """Tell whether columns of a code block can show the cell."""
        styles = {style for line in self.lines for run in line.runs for style in run.styles}
        return not self.complex and all(line.kind == "text" for line in self.lines) and "strike" not in styles

    @property
    def has_link(self) -> bool:
        """Tell whether there is something to click at in the cell."""
        return any(run.url for line in self.lines for run in line.runs)


class Row(NamedTuple):
    """The cells of a row that show something."""

    cells: List[Cell]
    in_head: bool

    @property
    def is_header(self) -> bool:
        """Tell whether the row names the columns."""
        return self.in_head or all(cell.is_header for cell in self.cells)


class Table:
    """A table while its cells come in, in the order of the mail."""

    def __init__(self, arranges: bool) -> None:
        """`arranges`: the mail says that this is no table for readers but a layout."""
        self.rows: List[Row] = []
        self._arranges = arranges
        self._column = 0
        self._covered: List[int] = [0] * TABLE_LIMIT_COLUMNS  # rows, this one included, that a cell above reaches into

    def add_row(self, in_head: bool) -> None:
        """Begin a row."""
        self.rows.append(Row([], in_head))
        self._column = 0
        self._covered = [max(rows - 1, 0) for rows in self._covered]

    def add_cell(self, lines: List[Line], is_header: bool, is_complex: bool, width: int, height: int) -> None:
        """Add a cell that spans `width` columns and `height` rows."""
        while self._column < TABLE_LIMIT_COLUMNS and self._covered[self._column]:
            self._column += 1
        lines = trimmed(lines)
        if lines:
            self.rows[-1].cells.append(Cell(lines, is_header, is_complex, self._column))
        end = min(self._column + max(width, 1), TABLE_LIMIT_COLUMNS)
        self._covered[self._column : end] = [max(height, 1)] * (end - self._column)
        self._column = max(end, self._column + 1)

    def lines(self) -> List[Line]:
        """Return the whole table as lines."""
        rows = [row for row in self.rows if row.cells]
        cells = [cell for row in rows for cell in row.cells]
        columns = sorted({cell.column for cell in cells})
        if self._arranges or len(columns) < 2 or columns[-1] >= TABLE_LIMIT_COLUMNS:
            return _arranged(rows)
        body = rows[1:] if rows[0].is_header and len(rows) > 1 else rows
        head = rows[0] if body is not rows else None
        if head is None and len(columns) == 2 and _has_labels(rows):
            return [line for row in rows for line in _labelled_row(row)]
        full = sum(len(row.cells) > 1 for row in rows)
        if full and all(cell.simple for cell in cells) and (full > 1 or not any(cell.has_link for cell in cells)):
            code = _code(rows, columns, head is not None)
            if code:
                return code
        return _records(head, body) if head else _arranged(rows)


def _arranged(rows: List[Row]) -> List[Line]:
    return [line for row in rows for cell in row.cells for line in cell.lines]


def _has_labels(rows: List[Row]) -> bool:
    """Tell whether the first of two columns names what stands in the second."""
    full = [row for row in rows if len(row.cells) == 2]
    if len(full) == 1 and not full[0].cells[0].is_header:
        # One row of pictures, buttons or texts is a layout.
        value = full[0].cells[1]
        if not value.simple or value.has_link or len(text_of(value.lines[0])) > LABEL_LIMIT_CHARACTERS:
            return False
    for row in full:
        label, value = row.cells
        names = label.simple and not label.has_link and max(len(text_of(line)) for line in label.lines)
        if not names or names > LABEL_LIMIT_CHARACTERS or len(label.shown) not in (1, len(value.shown)):
            return False
    return bool(full)


def _labelled_row(row: Row) -> List[Line]:
    if len(row.cells) == 1:
        return row.cells[0].lines
    label, value = row.cells
    if len(label.shown) == len(value.shown):
        return [line for name, one in zip(label.shown, value.shown) for line in _labelled(text_of(name), [one])]
    return _labelled(text_of(label.shown[0]), value.shown)


def _labelled(label: str, value: List[Line]) -> List[Line]:
    name = label.strip().rstrip(":").rstrip()
    name += "" if name[-1:] in ("?", "!", ".") or not name else ":"
    first = value[0]
    if first.kind != "text":
        return [Line((Run(name, BOLD),))] + value
    return [first._replace(runs=(Run(name, BOLD), Run(" ")) + first.runs)] + value[1:]


def _records(head: Row, body: List[Row]) -> List[Line]:
    """Return one paragraph a row, each value behind the name of its column."""
    names = {cell.column: " ".join(map(text_of, cell.shown)) for cell in head.cells}
    lines: List[Line] = []
    for row in body:
        lines += [Line()] if lines else []
        for cell in row.cells:
            name = names.get(cell.column, "")
            lines += _labelled(name, cell.lines) if name else cell.lines
    return lines


def _code(rows: List[Row], columns: List[int], has_head: bool) -> Optional[List[Line]]:
    """Return the rows as columns of code, dashes under the head; None where they are too wide."""
    widths = dict.fromkeys(columns, 0)
    for row in rows:
        # A title that stands alone in its row must not widen its column.
        for cell in row.cells if len(row.cells) > 1 else []:
            widths[cell.column] = max([widths[cell.column]] + [_width(text_of(line)) for line in cell.shown])
    if sum(widths.values()) + len(COLUMN_GAP) * (len(columns) - 1) > CODE_LIMIT_COLUMNS:
        return None
    lines: List[Line] = []
    for row in rows:
        for number in range(max(len(cell.shown) for cell in row.cells)):
            shown = {cell.column: cell.shown[number] for cell in row.cells if number < len(cell.shown)}
            lines.append(_code_line(shown, columns, widths))
        if has_head and row is rows[0]:
            lines.append(Line((Run(COLUMN_GAP.join("-" * widths[column] for column in columns)),), "pre"))
    return lines


def _code_line(shown: Dict[int, Line], columns: List[int], widths: Dict[int, int]) -> Line:
    runs: List[Run] = []
    blanks = 0
    for column in columns:
        line = shown.get(column, Line())
        if line.runs:
            runs += [Run(" " * blanks)] + list(line.runs)
            blanks = 0
        blanks += max(widths[column] - _width(text_of(line)), 0) + len(COLUMN_GAP)
    return Line(tuple(runs), "pre")


def _width(text: str) -> int:
    """Return how many columns a text fills: Chinese, Japanese and Korean characters are double, accents nothing."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) in ("Mn", "Me", "Cf") for character in text)
