"""How an element of a mail looks: what its tag and its style say, as a browser reads them."""

import re
from string import ascii_lowercase
from typing import Any, Dict, FrozenSet, Iterable, List, NamedTuple, Optional

from .rich_text import BULLETS, PLAIN, Line, Run

# Longer small print stays as it is.
SCRIPT_LIMIT_CHARACTERS = 12

HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
PARAGRAPHS = set(HEADINGS + ["p", "ul", "ol", "dl", "blockquote", "pre", "figure", "fieldset"])
BLOCKS = PARAGRAPHS.union(["html", "body", "div", "section", "article", "header", "footer", "main", "aside", "nav"])
BLOCKS.update(["address", "center", "form", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "hr"])
BLOCKS.update(["figcaption", "li", "dt", "dd", "details", "summary", "legend", "option"])
STYLES = dict.fromkeys(["b", "strong", "dt"] + HEADINGS, "bold")
STYLES.update(dict.fromkeys(["i", "em", "cite", "dfn", "var"], "italic"))
STYLES.update(dict.fromkeys(["s", "del", "strike"], "strike"), **dict.fromkeys(["code", "kbd", "samp", "tt"], "code"))
SUPERSCRIPT = str.maketrans("0123456789+-−=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
SUBSCRIPT = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
SIGNS = {"sup": "^", "super": "^", "sub": "_"}
HEAVY = ["bold", "bolder", "600", "700", "800", "900"]
# What is read of a mail's own classes: all of it for each element would take minutes for hostile mails.
VALUE_LIMIT_CHARACTERS = 99
PROPERTIES = {"display", "visibility", "overflow", "max-height", "mso-hide", "white-space", "text-decoration"}
PROPERTIES.update(["text-decoration-line", "font", "font-size", "font-weight", "font-style", "vertical-align"])
PROPERTIES.update(["list-style", "list-style-type"])
UNITS = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]
ROMAN = [ten.translate(str.maketrans("ivx", "xlc")) + unit for ten in UNITS for unit in UNITS][1:]
ALPHA = [first + last for first in ["", *ascii_lowercase] for last in ascii_lowercase]
LETTERS = {"a": ALPHA, "A": [n.upper() for n in ALPHA], "i": ROMAN, "I": [n.upper() for n in ROMAN]}
LIST_TYPES = {"lower-alpha": "a", "lower-latin": "a", "lower-roman": "i"}
LIST_TYPES.update({"upper-alpha": "A", "upper-latin": "A", "upper-roman": "I"})
KINDS = {"blockquote": "quote", "pre": "pre"}


class Look(NamedTuple):
    """What an element hands down to its content."""

    styles: FrozenSet[str] = PLAIN
    url: str = ""
    kind: str = "text"  # of the lines
    quoted: bool = False
    level: int = -1  # of the list that is open, from 0
    number: Optional[int] = None  # of the item that is open
    item: int = 0  # which one that is
    tables: int = 0  # that are open
    keeps_blanks: bool = False
    script: str = ""
    tiny: bool = False  # the element's own words are not seen: those within it have sizes of many kinds


def declarations(style: str) -> Dict[str, str]:
    """Return the declarations of a style attribute or a rule of CSS, in lower case."""
    pairs = (piece.partition(":") for piece in style.lower().split(";"))
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs}


def hides(css: Dict[str, str]) -> bool:
    """Tell whether an element with these declarations, and all in it, is not seen."""
    if css.get("display") == "none" or css.get("visibility") == "hidden" or css.get("mso-hide") == "all":
        return True
    return css.get("overflow") == "hidden" and _is_zero(css.get("max-height", ""))


def _is_zero(size: str) -> bool:
    return re.match(r"0(?:\.0*)?(?:[a-z]+|%)?\Z", size) is not None


def css_of(root: Any) -> Dict[Any, Dict[str, str]]:
    """Return what the style of each element says, and before that, the mail's own <style> of its classes."""
    sheets = [sheet for sheet in root.iter("style") if (sheet.get("media") or "all").lower() in ("all", "screen")]
    rules = _rules(sheet.text or "" for sheet in sheets)
    found: Dict[Any, Dict[str, str]] = {}
    for element in root.iter():
        css = found[element] = {}
        for name in element.get("class", "").split() if rules else []:
            css.update(rules.get("." + name, {}), **rules.get(element.tag + "." + name, {}))
        css.update(declarations(element.get("style", "")))
    return found


def _rules(sheets: Iterable[str]) -> Dict[str, Dict[str, str]]:
    """Return what sheets say of `.class` and `tag.class`, outside of @media and the like."""
    rules: Dict[str, Dict[str, str]] = {}
    for sheet in sheets:
        depth = 0
        for rule in re.sub(r"(?s)/\*.*?(?:\*/|\Z)|<!--|-->", "", sheet).split("}"):
            selector, _, content = rule.partition("{")
            if not depth and "{" not in content:
                said = declarations(content)
                known = {name: said[name][:VALUE_LIMIT_CHARACTERS] for name in PROPERTIES.intersection(said)}
                for name in re.findall(r"(?:\A|,)\s*(\w*\.[\w-]+)\s*(?=,|\Z)", selector):
                    rules.setdefault(name, {}).update(known)
            depth = max(depth + rule.count("{") - 1, 0)
    return rules


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
        kind=KINDS.get(tag, look.kind),
        quoted=look.quoted or tag == "blockquote",
        script=SIGNS.get(css.get("vertical-align", "") if tag == "span" else tag, look.script),
        keeps_blanks=space.startswith(("pre", "break")) if space else look.keeps_blanks,
        tiny=_is_zero(css.get("font-size", "")),
    )


def scripted(runs: List[Run], begin: int, sign: str) -> List[Run]:
    """Return the runs, from `begin` on in superscript (^) or subscript (_), or marked where Unicode has none."""
    before, inner = runs[:begin], runs[begin:]
    content = "".join(run.text for run in inner).strip()
    if len(content) > SCRIPT_LIMIT_CHARACTERS:
        return before + [Run(" " if before and before[-1].text[-1:] != " " else "")] + inner
    if not any(map(str.isalnum, content)):
        return runs
    table = SUPERSCRIPT if sign == "^" else SUBSCRIPT
    if all(ord(character) in table for character in content):
        return before + [run._replace(text=run.text.translate(table)) for run in inner]
    return before + [Run(sign + "("), *inner, Run(")")]


def letters_of(element: Any, css: Dict[str, str]) -> List[str]:
    """Return the letters that a list or an item has in place of numbers, as its style or its `type` says."""
    said = css.get("list-style-type", css.get("list-style", element.get("type", "")))
    return LETTERS.get(LIST_TYPES.get(said.partition(" ")[0], said), [])


def quoted(line: Line, begins: bool) -> Line:
    """Return the line as one of a quote, in which Slack knows neither lists nor blocks of code.

    :param begins: whether it is the first line of its item
    """
    runs = line.runs
    if line.kind == "pre":
        runs = tuple(run._replace(styles=run.styles | {"code"}) for run in runs)
    elif line.kind == "item":
        bullet = BULLETS[line.indent % len(BULLETS)] if line.number is None else "%d." % line.number
        runs = (Run("    " * line.indent + (bullet + " " if begins else "    ")), *runs)
    return Line(runs, "quote")
