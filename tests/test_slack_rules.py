"""The rules by which the sandbox's Slack refuses blocks: messages that keep them, and one that breaks each."""

from typing import Any, Dict, List

import pytest

from tests.slack_rules import problems

TEXT = {"type": "text", "text": "a"}
LINK = {"type": "link", "url": "https://a.example", "text": "a"}
SECTION = {"type": "rich_text_section", "elements": [TEXT]}


def rich(*elements: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [{"type": "rich_text", "elements": list(elements)}]


def section(*runs: Dict[str, Any]) -> List[Dict[str, Any]]:
    return rich({"type": "rich_text_section", "elements": list(runs)})


def items(**keys: Any) -> List[Dict[str, Any]]:
    return rich(dict({"type": "rich_text_list", "style": "bullet", "elements": [SECTION]}, **keys))


def header(text: str, kind: str = "plain_text") -> List[Dict[str, Any]]:
    return [{"type": "header", "text": {"type": kind, "text": text}}]


def context(*elements: Dict[str, Any]) -> List[Dict[str, Any]]:
    return [{"type": "context", "elements": list(elements)}]


MRKDWN = {"type": "mrkdwn", "text": "<https://a.example|a>"}


@pytest.mark.parametrize(
    "blocks",
    [
        header("a" * 150) + section(TEXT, LINK) + context(MRKDWN),
        section(dict(TEXT, style={"bold": True, "italic": True, "strike": True, "code": False})),
        section({"type": "link", "url": "tel:+1-555", "style": {"bold": True}}),
        items(indent=0, offset=11) + items(style="ordered", indent=8, border=1),
        rich({"type": "rich_text_quote", "elements": [TEXT, LINK]}),
        rich({"type": "rich_text_preformatted", "elements": [TEXT, LINK]}),
        context(*[MRKDWN] * 10),
        [{"type": "divider", "block_id": "a"}] * 50,
        section(dict(TEXT, text="a" * 10800)),
    ],
)
def test_what_slack_documents_passes(blocks: Any) -> None:
    assert problems(blocks) == []


@pytest.mark.parametrize(
    ("blocks", "problem"),
    [
        ([], "blocks: must be a list"),
        ({}, "blocks: must be a list"),
        (["text"], "blocks[0]: unknown type None"),
        ([{"type": ["header"]}], "blocks[0]: unknown type ['header']"),
        ([{"type": "markdown", "text": "a"}], "blocks[0]: unknown type 'markdown'"),
        ([{"type": "divider"}] * 51, "blocks: 51 elements, at most 50"),
        ([{"type": "divider", "text": "a"}], "blocks[0]: unknown key text"),
        ([{"type": "header"}], "blocks[0]: text is missing"),
        (header(""), "blocks[0].text.text: must be a text"),
        (header("a" * 151), "blocks[0].text.text: longer than 150"),
        (header("a", "mrkdwn"), "blocks[0].text: unknown type 'mrkdwn'"),
        (context(), "blocks[0].elements: must be a list with at least one"),
        (context(*[MRKDWN] * 11), "blocks[0].elements: 11 elements, at most 10"),
        (context(dict(MRKDWN, text="a" * 3001)), "blocks[0].elements[0].text: longer than 3000"),
        (context(TEXT), "blocks[0].elements[0]: unknown type 'text'"),
        (rich(), "blocks[0].elements: must be a list with at least one"),
        (rich(TEXT), "blocks[0].elements[0]: unknown type 'text'"),
        (section(), "blocks[0].elements[0].elements: must be a list with at least one"),
        (section(dict(TEXT, text="")), "blocks[0].elements[0].elements[0].text: must be a text"),
        (section(dict(TEXT, text=None)), "blocks[0].elements[0].elements[0].text: must be a text"),
        (section(dict(TEXT, text="\ud800")), "blocks[0].elements[0].elements[0].text: holds a character that is none"),
        (section(dict(LINK, text="")), "blocks[0].elements[0].elements[0].text: must be a text"),
        (section(dict(LINK, url="")), "blocks[0].elements[0].elements[0].url: is no URL"),
        (section(dict(LINK, url="www.a.example")), "blocks[0].elements[0].elements[0].url: is no URL"),
        (section(dict(LINK, url="https://a b")), "blocks[0].elements[0].elements[0].url: is no URL"),
        (section(dict(LINK, url="https://" + "a" * 3000)), "blocks[0].elements[0].elements[0].url: longer than 3000"),
        (section({"type": "user", "user_id": "U1"}), "blocks[0].elements[0].elements[0]: unknown type 'user'"),
        (section(dict(TEXT, style={})), "blocks[0].elements[0].elements[0].style: must be an object"),
        (section(dict(TEXT, style={"bold": 1})), "blocks[0].elements[0].elements[0].style: must be an object"),
        (section(dict(TEXT, style={"sup": True})), "blocks[0].elements[0].elements[0].style: unknown style sup"),
        (items(elements=[]), "blocks[0].elements[0].elements: must be a list with at least one"),
        (items(elements=[TEXT]), "blocks[0].elements[0].elements[0]: unknown type 'text'"),
        (items(style="dash"), "blocks[0].elements[0].style: must be one of"),
        (items(indent=9), "blocks[0].elements[0].indent: must be a number from 0 to 8"),
        (items(indent=-1), "blocks[0].elements[0].indent: must be a number"),
        (items(offset=True), "blocks[0].elements[0].offset: must be a number"),
        (
            rich({"type": "rich_text_preformatted", "elements": [dict(TEXT, style={"bold": True})]}),
            "blocks[0].elements[0].elements[0]: unknown key style",
        ),
        (section(dict(TEXT, text="a" * 10950)), "blocks: msg_blocks_too_long"),
    ],
)
def test_what_slack_refuses_is_named_with_its_place(blocks: Any, problem: str) -> None:
    found = problems(blocks)
    assert len(found) == 1
    assert found[0].startswith(problem)
