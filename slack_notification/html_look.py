"""How an element of a mail looks: what its tag and its style say, as a browser reads them."""

import re
from typing import Dict, FrozenSet, Iterable, NamedTuple, Set

from .rich_text import PLAIN

# Longer small print stays as it is.
SCRIPT_LIMIT_CHARACTERS = 12

HEADINGS = ["h1", "h2", "h3", "h4", "h5", "h6"]
PARAGRAPHS = set(HEADINGS + ["p", "ul", "ol", "dl", "blockquote", "pre", "figure", "fieldset"])
BLOCKS = PARAGRAPHS.union(["html", "body", "div", "section", "article", "header", "footer", "main", "aside", "nav"])
BLOCKS.update(["address", "center", "form", "table", "caption", "thead", "tbody", "tfoot", "tr", "td", "th", "hr"])
BLOCKS.update(["figcaption", "li", "dt", "dd", "details", "summary", "legend", "option"])
BOLD, ITALIC, STRIKE, CODE = "bold", "italic", "strike", "code"
STYLES = dict.fromkeys(["b", "strong", "dt"] + HEADINGS, BOLD)
STYLES.update(dict.fromkeys(["i", "em", "cite", "dfn", "var"], ITALIC))
STYLES.update(dict.fromkeys(["s", "del", "strike"], STRIKE), **dict.fromkeys(["code", "kbd", "samp", "tt"], CODE))
SUPERSCRIPT = str.maketrans("0123456789+-−=()abcdefghijklmnoprstuvwxyz", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻⁼⁽⁾ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ")
SUBSCRIPT = str.maketrans("0123456789+-−=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")


class Look(NamedTuple):
    """What an element hands down to its content."""

    styles: FrozenSet[str] = PLAIN
    url: str = ""
    space: str = "normal"
    kind: str = "text"
    quoted: bool = False
    level: int = -1  # of the list that is open, from 0
    indent: int = -1  # of the item that is open
    script: str = ""
    tiny: bool = False
    unseen: bool = False


def declarations(style: str) -> Dict[str, str]:
    """Return the declarations of a style attribute or a rule of CSS, in lower case."""
    pairs = (piece.partition(":") for piece in style.lower().split(";"))
    return {name.strip(): value.replace("!important", "").strip() for name, _, value in pairs}


def hides(css: Dict[str, str]) -> bool:
    """Tell whether an element with these declarations, and all in it, is not seen."""
    cut_off = re.match(r"0(?:px|pt|em|%)?\Z", css.get("max-height", "")) and css.get("overflow") == "hidden"
    return css.get("display") == "none" or css.get("mso-hide") == "all" or bool(cut_off)


def hiding_classes(sheets: Iterable[str]) -> Set[str]:
    """Return the classes whose elements the mail's own <style> hides, outside of @media and the like."""
    hiding: Set[str] = set()
    for sheet in sheets:
        depth, selector = 0, ""
        for piece in re.split("([{}])", re.sub(r"(?s)/\*.*?(?:\*/|\Z)|<!--|-->", "", sheet)):
            if piece in ("{", "}"):
                depth = max(depth + (1 if piece == "{" else -1), 0)
            elif depth == 0:
                selector = piece
            elif depth == 1 and "@" not in selector and hides(declarations(piece)):
                hiding.update(re.findall(r"(?:\A|,)\s*\w*\.([\w-]+)\s*(?=,|\Z)", selector))
    return hiding


def restyled(look: Look, tag: str, css: Dict[str, str]) -> Look:
    """Return the look of an element in that of its parent, as a browser shows it."""
    style = STYLES.get(tag)
    if not css:
        return look._replace(
            styles=look.styles | {style} if style else look.styles,
            script={"sup": "^", "sub": "_"}.get(tag, look.script),
        )
    styles = set(look.styles)
    if style:
        styles.add(style)
    weight, slant = css.get("font-weight", ""), css.get("font-style", "")
    if weight in ("bold", "bolder") or weight[:1] in "6789" and weight.isdigit():
        styles.add(BOLD)
    elif weight in ("normal", "lighter") or weight.isdigit():
        styles.discard(BOLD)
    if slant:
        (styles.discard if slant == "normal" else styles.add)(ITALIC)
    if "line-through" in css.get("text-decoration", "") + css.get("text-decoration-line", ""):
        styles.add(STRIKE)
    seen, size, space = css.get("visibility"), css.get("font-size"), css.get("white-space", look.space)
    return look._replace(
        styles=frozenset(styles),
        script={"sup": "^", "sub": "_"}.get(tag, look.script),
        space="normal" if space == "nowrap" else space,
        unseen=look.unseen if seen in (None, "inherit") else seen != "visible",
        tiny=look.tiny if size is None else re.match(r"0(?:\.0*)?(?:[a-z]+|%)?\Z", size) is not None,
    )


def script_text(text: str, sign: str) -> str:
    """Return text in superscript (^) or subscript (_) characters, or marked where Unicode has none."""
    content = text.strip()
    if len(content) > SCRIPT_LIMIT_CHARACTERS or not any(map(str.isalnum, content)):
        return text
    table = SUPERSCRIPT if sign == "^" else SUBSCRIPT
    raised = content.translate(table)
    known = all(ord(character) in table for character in content)
    return text.replace(content, raised if known else "%s(%s)" % (sign, content))
