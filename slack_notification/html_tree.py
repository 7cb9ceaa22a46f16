"""From the source of a mail to its tree, and how each element in it looks; or to nothing but its text."""

import re
from html import unescape
from string import ascii_lowercase
from typing import Any, Dict, FrozenSet, List, Match, NamedTuple, Optional, Tuple

from lxml import etree

from .html_table import Row
from .rich_text import CHARACTERS_LIMIT, PLAIN, Line, clean, divided

ATTRIBUTES_LIMIT = 100  # No mail that a person wrote has a tag of more; older parsers take minutes for them.
# What is read of styles: all of it for each element would take minutes for hostile mails.
VALUE_LIMIT_CHARACTERS = 99
PROPERTIES = {"display", "visibility", "overflow", "max-height", "mso-hide", "white-space", "text-decoration", "width"}
PROPERTIES.update(["text-decoration-line", "font", "font-size", "font-weight", "font-style", "vertical-align"])
PROPERTIES.update(["list-style", "list-style-type", "height"])

# libxml2 ends these where a paragraph, a table or the like begins in them, browsers do not: it is given names that it
# does not know. In cells they end where it would end the cell; an end tag reaches no further.
RENAMED = {name: name + "-" for name in ["a", "b", "big", "font", "i", "s", "small", "strike", "tt", "u"]}
CELL_ENDS = "</a-></b-></font-></i->"
ENDS = {"a": "</a->", "td": CELL_ENDS, "th": CELL_ENDS, "tr": CELL_ENDS}

UNSEEN = {"title", "style", "script", "template"}
HIDING = {"display": "none", "visibility": "hidden", "mso-hide": "all"}.items()
HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
STYLES = dict.fromkeys(["b", "strong", "dt"] + HEADINGS, "bold")
STYLES.update(dict.fromkeys(["i", "em", "cite", "dfn", "var"], "italic"))
STYLES.update(dict.fromkeys(["s", "del", "strike"], "strike"), **dict.fromkeys(["code", "kbd", "samp", "tt"], "code"))
HEAVY = ["bold", "bolder", "600", "700", "800", "900"]
KINDS = {"blockquote": "quote", "pre": "pre"}
SIGNS = {"sup": "^", "super": "^", "sub": "_"}
UNITS = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]
ROMAN = [ten.translate(str.maketrans("ivx", "xlc")) + unit for ten in UNITS for unit in UNITS][1:]
ALPHA = [first + last for first in ["", *ascii_lowercase] for last in ascii_lowercase]
LETTERS = {"a": ALPHA, "A": [n.upper() for n in ALPHA], "i": ROMAN, "I": [n.upper() for n in ROMAN]}
LETTERS.update({"lower-alpha": ALPHA, "lower-latin": ALPHA, "lower-roman": ROMAN, "upper-roman": LETTERS["I"]})
LETTERS.update(dict.fromkeys(["upper-alpha", "upper-latin"], LETTERS["A"]))

BARE_REFERENCE = re.compile(r"&(?=[a-zA-Z][a-zA-Z0-9]*=)")
BREAK_REFERENCE = re.compile("(?i)&#(?:1[12]|xb|xc);")
QUOTED = re.compile(r"=\s*(?:\"[^\"]*\"|'[^']*')")
LINE_ENDS = re.compile(r"(?i)</?(?:br|p|div|li|t[dhr]|table|[uo]l|pre|h[r1-6])\b[^<>]*>")
COMMENTS = re.compile(r"(?is)<!--.*?(?:-->|\Z)|<(style|script)\b.*?(?:</\1\s*>|\Z)")
PICTURE = re.compile("(?i)([\"'(=]\\s*data:)[\\w/+.;=-]{0,99};base64,[\\w+/=%\\s]{1000,}")
TAG = re.compile(r"%s|<(/?)([a-z][\w:.-]*)((?:[^<>=]+|%s|=){0,999}[^<>]*)(>?)" % (COMMENTS.pattern, QUOTED.pattern))
ANCHOR = re.compile(r"(?i)</?a\b([^<>]*)>")
WEB_TARGET = re.compile("(?i)\\bhref\\s*=[\\s\"']*((?:https?:|mailto:|tel:|www\\.)[^\\s\"'<>]+)")
CSS_COMMENTS = re.compile(r"(?s)/\*.*?(?:\*/|\Z)|<!--|-->")
ZERO = re.compile(r"0(?:\.0*)?(?:[a-z]+|%)?\Z")

# In pieces, the text of a mail of any length takes little memory.
PIECES = re.compile(r"(?s).{1,%d}(?=<|\Z)|.{1,%d}" % (CHARACTERS_LIMIT, CHARACTERS_LIMIT))


def divided_mail(html: str) -> Tuple[str, str]:
    """Return the beginning of a mail that is read as HTML, clean and without pictures, and what is too long for it."""
    html = PICTURE.sub(r"\1", clean(html))
    head, beyond = divided(html, "<")
    return divided(COMMENTS.sub("", html), "<") if beyond else (head, "")


def tree_of(html: str) -> Tuple[Any, Dict[Any, Dict[str, str]]]:
    """Return the root of a mail's tree without what is hidden, and each element's CSS.

    What costs the parser minutes or misleads it is mended before; no word is lost.
    """
    html = BARE_REFERENCE.sub("&amp;", BREAK_REFERENCE.sub("\n", html))
    # Around text outside of a body, libxml2 before 2.14 would put a paragraph of its own.
    html = TAG.sub(_mended_tag, html if "<body" in html.lower() else "<body>" + html)
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    root = etree.HTML(html.encode("utf-8"), parser)
    if root is None:
        root = etree.Element("html")
    for element in root.iter(*RENAMED.values()):
        element.tag = element.tag[:-1]
    css = _css_of(root)
    for element, said in css.items():
        is_cut = said.get("overflow") == "hidden" and ZERO.match(said.get("max-height", ""))
        if is_cut or HIDING & said.items() or "hidden" in element.attrib or element.tag in UNSEEN:
            element.clear(keep_tail=True)
            element.tag = "span"
    return root, css


def _mended_tag(tag: Match[str]) -> str:
    _, slash, name, attributes, end = tag.groups()
    if not name:
        return tag.group()
    if not end and "=" not in attributes:
        return "&lt;" + tag.group()[1:]
    name = name.lower()
    if slash and name in ("body", "html"):
        return "<div></div>"  # libxml2 reads nothing behind it
    bare = QUOTED.sub("= ", attributes)
    if len(bare) > ATTRIBUTES_LIMIT and len(re.findall(r"[^\s/=]+", bare)) > 2 * ATTRIBUTES_LIMIT:
        attributes = ""
    begin = "" if slash else ENDS.get(name, "")
    return "%s<%s%s%s%s" % (begin, slash, RENAMED.get(name, name), attributes, end if '"' in bare else ">")


def _css_of(root: Any) -> Dict[Any, Dict[str, str]]:
    """Return what the style of each element says, and before that, the mail's own <style> of its classes.

    Of a <style>, rules for `.class` and `tag.class` are read, outside of @media and the like.
    """
    sheets = [sheet for sheet in root.iter("style") if (sheet.get("media") or "all").lower() in ("all", "screen")]
    css = CSS_COMMENTS.sub("", "}".join(sheet.text or "" for sheet in sheets))
    rules: Dict[str, Dict[str, str]] = {}
    depth = 0
    for rule in css.split("}"):
        selectors, _, content = rule.partition("{")
        said = {} if depth or "{" in content else _declarations(content)
        depth = max(depth + rule.count("{") - 1, 0)
        for selector in selectors.split(",") if said else []:
            rules.setdefault(selector.strip(), {}).update(said)
    found: Dict[Any, Dict[str, str]] = {}
    for element in root.iter():
        found[element] = {}
        for name in element.get("class", "").split() if rules else []:
            found[element].update(rules.get("." + name, {}), **rules.get(element.tag + "." + name, {}))
        found[element].update(_declarations(element.get("style", "")))
    return found


def _declarations(style: str) -> Dict[str, str]:
    """Return what is read of a style attribute or a rule of CSS, in lower case."""
    pairs = (piece.partition(":") for piece in style.lower().split(";"))
    said = {name.strip(): value[:VALUE_LIMIT_CHARACTERS] for name, _, value in pairs if name.strip() in PROPERTIES}
    return {name: value.replace("!important", "").strip() for name, value in said.items()}


class Look(NamedTuple):
    """What an element hands down to its content."""

    lines: List[Line]  # of the cell that is open, else of the mail
    styles: FrozenSet[str] = PLAIN
    url: str = ""
    line: Line = Line()  # what a line of it is, without its runs
    quoted: bool = False
    level: int = -1  # of the list that is open, from 0
    numbers: Optional[List[Any]] = None  # of its items, if it has any: the next, the step, letters in their place
    rows: Optional[List[Row]] = None  # of the table that is open
    keeps_blanks: bool = False
    script: str = ""
    tiny: bool = False  # the element's own words are not seen: those within it have sizes of many kinds


def restyled(look: Look, tag: str, css: Dict[str, str]) -> Look:
    """Return the look of an element in that of its parent, as a browser shows it."""
    styles = look.styles | {STYLES[tag]} if tag in STYLES else look.styles
    space = css.get("white-space", "pre" if tag == "pre" else "")
    for name, style, words in (("font-weight", "bold", HEAVY), ("font-style", "italic", ["italic", "oblique"])):
        font = css.get(name, css.get("font", "inherit")).split()
        if "inherit" not in font:
            styles = styles - {style} if set(words).isdisjoint(font) else styles | {style}
    if "line-through" in css.get("text-decoration", "") + css.get("text-decoration-line", ""):
        styles = styles | {"strike"}
    return look._replace(
        styles=styles,
        line=look.line._replace(kind=KINDS[tag]) if tag in KINDS else look.line,
        quoted=look.quoted or tag == "blockquote",
        script=SIGNS.get(css.get("vertical-align", "") if tag == "span" else tag, look.script),
        keeps_blanks=space.startswith(("pre", "break")) if space else look.keeps_blanks,
        tiny=ZERO.match(css.get("font-size", "")) is not None,
    )


def letters_of(element: Any, css: Dict[str, str]) -> List[str]:
    """Return the letters that a list or an item has in place of numbers, as its style or its `type` says."""
    said = css.get("list-style-type", css.get("list-style", element.get("type", "")))
    return LETTERS.get(said.partition(" ")[0], [])


def text_of_html(html: str) -> str:
    """Return the text of HTML, links as `label (url)`, by looking at nothing but its tags."""
    texts = []
    for piece in PIECES.finditer(html):
        pieces, text = ["", *ANCHOR.split(COMMENTS.sub("", piece.group()))], ""
        for attributes, label in zip(pieces[::2], pieces[1::2]):
            target = WEB_TARGET.search(attributes)
            text += label + (" (%s)" % target.group(1) if target else "")
        text = re.sub(r"<[!?/a-zA-Z][^<>]*>", "", LINE_ENDS.sub("\n", text))
        text = re.sub(r"&#\w{9,};?", "\ufffd", text)
        texts.append(re.sub(r"\n\s*\n+", "\n\n", re.sub("[ \t\xa0]+", " ", clean(unescape(text)))).strip())
    return "\n".join(texts)
