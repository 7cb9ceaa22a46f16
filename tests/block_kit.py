"""The check of blocks by a package that is not ours: `blockkit` has a class for each kind of block and element."""

from typing import Any, Dict, List

from tests.slack_rules import problems

try:
    import blockkit
except ImportError:  # it needs Python 3.11
    blockkit = None


def assert_slack_takes(blocks: List[Dict[str, Any]]) -> None:
    """Fail where Slack's documented rules, or the package's, refuse the blocks."""
    assert problems(blocks) == []
    if blockkit is not None:
        for block in blocks:
            assert _model(block).build() == block


def _model(value: Dict[str, Any]) -> Any:
    keys = {key: inner for key, inner in value.items() if key != "type"}
    kind = value["type"]
    if kind == "header":
        return blockkit.Header(_model(keys["text"]))
    if kind in ("plain_text", "mrkdwn"):
        return blockkit.Text(keys["text"], type=kind, emoji=keys.get("emoji"))
    if "style" in keys and isinstance(keys["style"], dict):
        keys["style"] = blockkit.RichStyle(**keys["style"])
    if "elements" in keys:
        keys["elements"] = [_model(element) for element in keys["elements"]]
    names = {
        "context": "Context",
        "rich_text": "RichText",
        "rich_text_section": "RichTextSection",
        "rich_text_list": "RichTextList",
        "rich_text_quote": "RichTextQuote",
        "rich_text_preformatted": "RichTextPreformatted",
        "text": "RichTextEl",
        "link": "RichLinkEl",
    }
    return getattr(blockkit, names[kind])(**keys)
