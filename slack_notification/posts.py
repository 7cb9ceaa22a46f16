"""Where the lines of a message are cut into posts, so that each keeps to Slack's limits."""

import json
from typing import List, Sequence, Tuple

from .rich_text import Line, escape, is_blank, plain, rich_text, text_of, trimmed

# Each post: what a person reads in one go, what fits into `text` (4,000 escaped) and into all blocks (some 11,000 as
# JSON was refused) beside the header and the context.
POST_LIMIT_CHARACTERS = 3000
POST_LIMIT_JSON_CHARACTERS = 8000


def posts(lines: Sequence[Line], first_characters: int, limit: int) -> Tuple[List[List[Line]], List[Line]]:
    """Return the lines of each post, at most `limit` posts, and the lines that are left. Joined they are the whole.

    The first post shows at most `first_characters`. No post is empty.
    """
    cut: List[List[Line]] = []
    left = trimmed(lines)
    while left and len(cut) < limit:
        head, left = _take(left, POST_LIMIT_CHARACTERS if cut else first_characters)
        cut.append(head)
        left = trimmed(left)
    return cut, left


def _weight(line: Line, characters: int) -> float:
    """Return how much of a post a line fills: 1.0 is all of it, of whichever limit is met first."""
    if sum(len(run.text) for run in line.runs) > characters:
        return 2.0
    elements = rich_text([line])
    shown = len(text_of(line)) + 1
    escaped, added = len(escape(plain(elements))) + 1, len(json.dumps(elements))
    return max(shown / characters, escaped / POST_LIMIT_CHARACTERS, added / POST_LIMIT_JSON_CHARACTERS)


def _take(lines: List[Line], characters: int) -> Tuple[List[Line], List[Line]]:
    """Cut where a paragraph ends, else where a line ends, else in a line; but not before half of the room is used."""
    used = paragraph_used = 0.0
    paragraph = 0
    for number, line in enumerate(lines):
        if number and (is_blank(line) or line.kind != lines[number - 1].kind):
            paragraph, paragraph_used = number, used
        weight = _weight(line, characters)
        if used + weight > 1:
            break
        used += weight
    else:
        return lines, []
    if paragraph_used >= 0.5:
        return lines[:paragraph], lines[paragraph:]
    if used >= 0.5:
        return lines[:number], lines[number:]
    head, tail = _split(line, characters, 1 - used)
    return lines[:number] + [head], [tail] + lines[number + 1 :]


def _split(line: Line, characters: int, room: float) -> Tuple[Line, Line]:
    """Cut a line behind a blank in the second half of what fits into the room, else anywhere."""
    low, high = 1, characters
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _weight(_before(line, middle), characters) <= room else (low, middle - 1)
    text = text_of(_before(line, low))
    blank = text.rfind(" ", low // 2) + 1
    position = blank if blank and line.kind != "pre" else low
    head = _before(line, position)
    whole = sum(len(run.text) for run in head.runs[:-1])
    number = len(head.runs) - 1
    rest = line.runs[number]._replace(text=line.runs[number].text[position - whole :])
    tail = ((rest,) if rest.text else ()) + line.runs[number + 1 :]
    return head, line._replace(runs=tail, more=line.kind == "item")


def _before(line: Line, position: int) -> Line:
    """Return the line up to a position in its text, which is above 0."""
    runs = []
    for run in line.runs:
        runs.append(run._replace(text=run.text[:position]))
        position -= len(run.text)
        if position <= 0:
            break
    return line._replace(runs=tuple(runs))
