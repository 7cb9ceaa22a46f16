"""What Slack refuses in the blocks of a message: its documented limits, empty elements, unknown types and keys.

The rules are those of docs.slack.dev/reference/block-kit for the blocks that this program can send; a type that Slack
knows and the program never sends counts as unknown. The limit over all blocks is the one that people observed.
"""

import json
import re
from typing import Any, Callable, Dict, List

BLOCKS_LIMIT = 50
HEADER_LIMIT_CHARACTERS = 150
CONTEXT_LIMIT_ELEMENTS = 10
TEXT_OBJECT_LIMIT_CHARACTERS = 3000
URL_LIMIT_CHARACTERS = 3000
BLOCK_ID_LIMIT_CHARACTERS = 255
INDENT_LIMIT = 8
# Not documented: msg_blocks_too_long was seen from 11,000 to 13,000 characters on.
ALL_BLOCKS_LIMIT_CHARACTERS = 11000

STYLES = {"bold", "italic", "strike", "code"}
Check = Callable[[Any], str]


def problems(blocks: Any) -> List[str]:
    """Return what Slack would refuse, one text each with the place (`blocks[0].elements[1].text: ...`); [] for none.

    `blocks` is the value of chat.postMessage's argument, decoded from JSON.
    """
    found: List[str] = []
    _each(blocks, "blocks", BLOCKS, BLOCKS_LIMIT, found)
    if not found and len(json.dumps(blocks)) > ALL_BLOCKS_LIMIT_CHARACTERS:
        found.append("blocks: msg_blocks_too_long")
    return found


def _each(values: Any, place: str, kinds: Dict[str, Any], limit: int, found: List[str]) -> None:
    if not isinstance(values, list) or not values:
        found.append(place + ": must be a list with at least one element")
        return
    if len(values) > limit:
        found.append("%s: %d elements, at most %d are allowed" % (place, len(values), limit))
    for number, value in enumerate(values):
        _object(value, "%s[%d]" % (place, number), kinds, found)


def _object(value: Any, place: str, kinds: Dict[str, Any], found: List[str]) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        found.append("%s: unknown type %r" % (place, kind))
        return
    required, optional = kinds[kind]
    known = dict(required, **optional)
    found.extend("%s: %s is missing" % (place, key) for key in required if key not in value)
    found.extend("%s: unknown key %s" % (place, key) for key in value if key != "type" and key not in known)
    for key, rule in known.items():
        if key not in value:
            continue
        inner = "%s.%s" % (place, key)
        if isinstance(rule, tuple):  # a list of objects: their kinds, and how many of them
            _each(value[key], inner, rule[0], rule[1], found)
        elif isinstance(rule, dict):  # one object of these kinds
            _object(value[key], inner, rule, found)
        else:
            problem = rule(value[key])
            found.extend([inner + ": " + problem] if problem else [])


def _text(limit: int) -> Check:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not value:
            return "must be a text of at least one character"
        if re.search("[\ud800-\udfff]", value):
            return "holds a character that is none"
        return "longer than %d characters" % limit if len(value) > limit else ""

    return check


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]+\Z", value):
        return "is no URL"
    return "longer than %d characters" % URL_LIMIT_CHARACTERS if len(value) > URL_LIMIT_CHARACTERS else ""


def _number(limit: int) -> Check:
    def check(value: Any) -> str:
        return "" if type(value) is int and 0 <= value <= limit else "must be a number from 0 to %d" % limit

    return check


def _one_of(*allowed: Any) -> Check:
    return lambda value: "" if value in allowed else "must be one of " + ", ".join(map(str, allowed))


def _style(value: Any) -> str:
    if not isinstance(value, dict) or not value or not all(type(on) is bool for on in value.values()):
        return "must be an object of true and false"
    unknown = sorted(set(value) - STYLES)
    return "unknown style " + ", ".join(unknown) if unknown else ""


# type: (the keys that it must have, those that it may have). A rule is a check, one object's kinds, or (kinds, limit).
ANY_TEXT = _text(ALL_BLOCKS_LIMIT_CHARACTERS)
BLOCK_ID = {"block_id": _text(BLOCK_ID_LIMIT_CHARACTERS)}
BORDER = {"border": _one_of(0, 1)}
PLAIN_RUNS = {
    "text": ({"text": ANY_TEXT}, {}),
    "link": ({"url": _url}, {"text": ANY_TEXT, "unsafe": _one_of(True, False)}),
}
RUNS = {kind: (required, dict(optional, style=_style)) for kind, (required, optional) in PLAIN_RUNS.items()}
SECTION: Dict[str, Any] = {"rich_text_section": ({"elements": (RUNS, 10000)}, {})}
RICH_TEXTS = dict(
    SECTION,
    rich_text_list=(
        {"style": _one_of("bullet", "ordered"), "elements": (SECTION, 10000)},
        dict(BORDER, indent=_number(INDENT_LIMIT), offset=_number(10**6)),
    ),
    rich_text_quote=({"elements": (RUNS, 10000)}, BORDER),
    rich_text_preformatted=({"elements": (PLAIN_RUNS, 10000)}, BORDER),
)
PLAIN_TEXT = {"emoji": _one_of(True, False)}
MRKDWN = {"verbatim": _one_of(True, False)}
TEXT_OBJECTS = {
    "plain_text": ({"text": _text(TEXT_OBJECT_LIMIT_CHARACTERS)}, PLAIN_TEXT),
    "mrkdwn": ({"text": _text(TEXT_OBJECT_LIMIT_CHARACTERS)}, MRKDWN),
}
BLOCKS = {
    "header": ({"text": {"plain_text": ({"text": _text(HEADER_LIMIT_CHARACTERS)}, PLAIN_TEXT)}}, BLOCK_ID),
    "section": ({"text": TEXT_OBJECTS}, BLOCK_ID),
    "divider": ({}, BLOCK_ID),
    "context": ({"elements": (TEXT_OBJECTS, CONTEXT_LIMIT_ELEMENTS)}, BLOCK_ID),
    "rich_text": ({"elements": (RICH_TEXTS, 10000)}, BLOCK_ID),
}
