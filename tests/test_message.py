"""What a recipient reads of a record: the posts of a message, their limits, and where they are cut."""

import json
import re
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slack_notification import rich_text
from slack_notification.message import compose, notice, readable
from slack_notification.records import Record
from slack_notification.rich_text import Run, clean, escape, link_target
from tests import block_kit
from tests.block_kit import assert_slack_takes

OV_URL = "https://acme.onevizion.com"
END = "OneVizion · acme.onevizion.com (https://acme.onevizion.com)"
BLOB_URL = "https://acme.onevizion.com/efiles/EFileGetBlobFromDb.do?id=%d"


def record(text=None, subject=None, html=None, blobs=()):
    return Record(1, 2, subject, text, html, tuple(blobs), "BUILDING", "")


def composed(text=None, subject=None, html=None, names=(), files=True):
    """Return the message of a record with these attachments, after the checks that hold for any message."""
    message = compose(record(text, subject, html, range(1, len(names) + 1)), OV_URL, names, files)
    assert message.parts
    for part in message.parts:
        assert_slack_takes(part.blocks)
        assert len(json.dumps(part.blocks)) < 10500
        assert len(part.text) <= 4000
        assert part.text == escape(readable(part))
    return message


def body(message):
    """Return the text of all posts without their context blocks."""
    parts = [
        part._replace(blocks=[block for block in part.blocks if block["type"] != "context"]) for part in message.parts
    ]
    return "\n".join(map(readable, parts))


def test_a_message_is_header_body_attachments_and_the_address_of_onevizion():
    (part,) = composed("do it\nnow", "Task <7>\n is  due", names=["plan.pdf", "\u200b"]).parts
    runs = [
        {"type": "text", "text": "do it\nnow\n📎 "},
        {"type": "link", "url": BLOB_URL % 1, "text": "plan.pdf"},
        {"type": "text", "text": "\n📎 "},
        {"type": "link", "url": BLOB_URL % 2, "text": "attachment 2 of 2"},
    ]
    address = {"type": "mrkdwn", "text": "<https://acme.onevizion.com|OneVizion · acme.onevizion.com>"}
    assert part.blocks == [
        {"type": "header", "text": {"type": "plain_text", "text": "Task <7> is due", "emoji": False}},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": runs}]},
        {"type": "context", "elements": [address]},
    ]
    assert part.text.startswith("Task &lt;7&gt; is due\ndo it\nnow\n📎 plan.pdf (https://acme")


@pytest.mark.parametrize(
    ("text", "subject", "html", "shown"),
    [
        (None, None, None, END),
        ("", " \r\n", None, END),
        ("\n \n", "", True, END),
        ("\n\n a\n\n", None, None, " a\n" + END),
        ("<b>a</b> &amp;", None, None, "<b>a</b> &amp;\n" + END),
        ("<b>a</b> &amp;", None, "", "<b>a</b> &amp;\n" + END),
        ("<b>a</b> &amp;", None, True, "a &\n" + END),
        ("<b>a</b> &amp;", None, " True", "a &\n" + END),
        ("<b>a</b> &amp;", None, "false", "<b>a</b> &amp;\n" + END),
        ("a", "\u200b\u200d\u00ad", None, "a\n" + END),
        ("plain", None, "<i>html</i>", "html\n" + END),
        ("plain", None, "<img src=cid:1>", "plain\n" + END),
        (None, None, "<p>html", "html\n" + END),
    ],
)
def test_only_what_the_record_calls_html_is_html_and_what_is_empty_is_left_out(text, subject, html, shown):
    assert [readable(part) for part in composed(text, subject, html).parts] == [shown]


@pytest.mark.parametrize(
    ("subject", "header", "first_line"),
    [
        ("a" * 150, "a" * 150, "body"),
        ("a" * 151, "a" * 149 + "…", "a" * 151),
        ("word " * 40, "word " * 29 + "word…", ("word " * 40).strip()),
        ("bad \u202ename\x07 \x00", "bad name", "body"),
    ],
)
def test_a_long_subject_is_cut_in_the_header_and_stands_whole_and_bold_in_the_body(subject, header, first_line):
    blocks = composed("body", subject).parts[0].blocks
    assert blocks[0]["text"]["text"] == header
    first = blocks[1]["elements"][0]["elements"][0]
    assert (first["text"], "style" in first) == (first_line, first_line != "body")


def test_a_file_name_cannot_turn_the_text_around_it():
    (part,) = composed(names=["\u202efdp.exe\n\x07x"]).parts
    assert part.blocks[0]["elements"][0]["elements"][1]["text"] == "fdp.exe x"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\r\ntwo\rthree\u2028four\x85five\x0bsix\x0cseven", "one\ntwo\nthree\nfour\nfive\nsix\nseven"),
        ("tab\t  blanks \x07\x1b[1m\x00", "tab\t  blanks [1m"),
        ("don\x92t \x80 \x81", "don’t € "),
        ("\u202aa\u202eb\u2066c\u2069", "abc"),
        ("lone \ud83d and \ude00, pair \ud83d\ude00", "lone \ufffd and \ufffd, pair \U0001f600"),
        ("\U0001f468\u200d\U0001f469 Größe 中文", "\U0001f468\u200d\U0001f469 Größe 中文"),
    ],
)
def test_text_is_cleaned_of_what_nobody_can_see(text, shown):
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("text", "links"),
    [
        ("see https://a.example/x.", ["https://a.example/x"]),
        ("(http://a.example/b_(c)), 'HTTPS://A.example'!", ["http://a.example/b_(c)", "HTTPS://A.example"]),
        ("www.a.example/x?y=1&z=2; mailto:x@a.example", ["www.a.example/x?y=1&z=2", "mailto:x@a.example"]),
        ("<https://a.example|label> https://b.example>", ["https://a.example", "https://b.example"]),
        ("ahttp://a.example https:// www. xwww.a.example http://?", []),
        ("https://a.example/" + "a" * 2000, []),
        (
            "“https://a.example/b” „http://c.example“ ‘www.d.example’ «https://e.example»",
            ["https://a.example/b", "http://c.example", "www.d.example", "https://e.example"],
        ),
        (
            "（https://a.example/b）「https://c.example」https://d.example。次、https://e.example，f",
            ["https://a.example/b", "https://c.example", "https://d.example", "https://e.example"],
        ),
        (
            "https://a.example/b—see http://c.example/d…, http://e.example/é–f",
            ["https://a.example/b", "http://c.example/d", "http://e.example/é–f"],
        ),
        (
            "https://a.example/?id={A}&x=1 (https://a.example/b[0]) https://a.example/{c https://a.example/d]",
            ["https://a.example/?id={A}&x=1", "https://a.example/b[0]", "https://a.example/", "https://a.example/d"],
        ),
        (
            "http://a.example/b,http://c.example/d;https://e.example/f,g;h, mailto:x@. https://a.example/?u=http://b.c",
            ["http://a.example/b", "http://c.example/d", "https://e.example/f,g;h", "https://a.example/?u=http://b.c"],
        ),
    ],
)
def test_the_web_addresses_of_plain_text_are_links_and_nothing_else_changes(text, links):
    runs = list(rich_text.linked([Run(text)]))
    assert [run.text for run in runs if run.url] == links
    assert "".join(run.text for run in runs) == text


@pytest.mark.parametrize(
    ("href", "url"),
    [
        (" HTTPS://a.example/x\n", "HTTPS://a.example/x"),
        ("https://a.example/100%25%zz", "https://a.example/100%25%zz"),
        ("https://a.example/\u202eé\u00a0\x07<>", "https://a.example/%E2%80%AEé%C2%A0%07%3C%3E"),
        ("mailto:", ""),
        ("https://", ""),
        ("java\nscript:x", ""),
        ("ftp://a.example", ""),
        ("https://a.example/" + "&" * 400, ""),
        ("https://a.example/" + "é" * 400, ""),
    ],
)
def test_a_target_is_a_url_that_slack_links_to_or_none(href, url):
    assert link_target(href) == url


# Long messages


def test_a_long_message_goes_on_in_the_thread_and_is_cut_at_paragraphs():
    text = "\n\n".join("paragraph %02d " % number + "word " * 40 for number in range(40))
    parts = composed(text, "subject").parts
    shown = [readable(part) for part in parts]
    assert shown[0].endswith("word \ncontinued in the thread")
    assert 900 < len(shown[0]) < 1300
    assert all(page.startswith("paragraph") for page in shown[1:])
    assert all(2500 < len(page) < 3100 for page in shown[1:-1])
    assert [page.count(END) for page in shown] == [0] * (len(shown) - 1) + [1]
    assert [page.count("continued in the thread") for page in shown] == [1] + [0] * (len(shown) - 1)
    assert [part.blocks[0]["type"] for part in parts] == ["header"] + ["rich_text"] * (len(shown) - 1)


def test_a_paragraph_that_ends_soon_does_not_end_the_post():
    first, *_ = composed("Hello,\n\n" + "word " * 1000).parts
    assert len(readable(first)) > 1000


def test_a_paragraph_of_several_lines_is_not_torn():
    paragraph = "\n".join("line %d " % number + "word " * 12 for number in range(5))
    shown = [readable(part) for part in composed("\n\n".join([paragraph] * 40)).parts]
    assert all(page.startswith("line 0") for page in shown)


@pytest.mark.parametrize(
    ("html", "kind"),
    [
        ("<ol start=5>" + "<li>one item of many</li>" * 150 + "</ol>", "rich_text_list"),
        ("<blockquote>" + "a line that is quoted<br>" * 150 + "</blockquote>", "rich_text_quote"),
        ("<pre>" + "a line of code\n" * 150 + "</pre>", "rich_text_preformatted"),
        ("<pre>" + "code " * 500 + "</pre>", "rich_text_preformatted"),
        ("<ul><li>" + "long " * 500 + "</ul>", "rich_text_list"),
    ],
)
def test_lists_quotes_and_code_go_on_as_what_they_are(html, kind):
    parts = composed(html, html=True).parts
    assert len(parts) > 1
    assert {element["type"] for part in parts for element in part.blocks[0]["elements"]} == {kind}
    if html.startswith("<ol"):
        lists = [part.blocks[0]["elements"][0] for part in parts]
        assert lists[1]["offset"] == lists[0]["offset"] + len(lists[0]["elements"])


@pytest.mark.parametrize(
    "text", ["x" * 30000, "中" * 9000, "<&>" * 5000, "😀" * 4000, "a b" * 8000, "https://a.example/x " * 900]
)
def test_a_line_that_fits_into_no_post_is_cut_and_complete(text):
    assert re.sub(r"\s", "", body(composed(text))) == re.sub(r"\s", "", text)


@pytest.mark.parametrize("blank", [" ", "\u200b", "\t"])
@pytest.mark.parametrize("html", [None, True])
def test_blanks_that_fill_posts_make_no_empty_post(blank, html):
    text = "<pre>a%sb" if html else "a%sb"
    first, *parts = composed(text % (blank * 9000), html=html).parts
    assert all(part.blocks[0]["type"] == "rich_text" for part in [first, *parts])
    assert "b" in parts[-1].text
    assert "b" in composed(text % (blank * 200000), html=html).rest


def test_long_links_stay_whole_and_links():
    url = "https://a.example/" + "x" * 1980
    parts = composed(("<p>%s</p><a href='%s'>Open it</a>" % ("word " * 150, url)) * 9, html=True).parts
    assert json.dumps([part.blocks for part in parts]).count('"url": "%s", "text": "Open it"}' % url) == 9


@pytest.mark.parametrize(("files", "end"), [(True, "file message.txt"), (False, "read the rest in OneVizion")])
def test_of_more_than_40_posts_the_first_are_posted_and_the_rest_is_a_file(files, end):
    words = ["word%05d" % number for number in range(20000)]
    message = composed(" ".join(words), names=["a.pdf"], files=files)
    assert 10 <= len(message.parts) <= 12
    assert end in readable(message.parts[-1])
    assert END in readable(message.parts[-1])
    assert "a.pdf" in readable(message.parts[-1])
    assert (body(message) + " " + message.rest).replace("📎 a.pdf (" + BLOB_URL % 1 + ")", "").split() == words


def test_forty_posts_are_posted():
    message = composed("x" * (1100 + 38 * 2900))
    assert len(message.parts) <= 40
    assert message.rest == ""


@pytest.mark.parametrize(
    "text", ["x" * 10**7, "word\n" * 2000000, "\n" * 10**7 + "x", ")" * 10**6, "https://a.example/" + ")" * 10**6]
)
def test_a_body_of_10_MB_is_read_in_time(text):
    begin = time.process_time()
    message = compose(record(text), OV_URL, [])
    assert time.process_time() - begin < 2
    assert len(message.parts) <= 40
    assert (
        sum(len(re.sub(r"\s", "", part.text)) for part in message.parts) + len(message.rest) > len(text.strip()) * 0.7
    )


@pytest.mark.parametrize(
    ("html", "posts"),
    [
        ("Site 17 is ready<br>" * 400, 3),
        ("<p>123456789</p>" * 1100, 6),
        ("<pre>" + "Site 17 is ready\n" * 400 + "</pre>", 3),
        ("<blockquote>" + "Site 17 is ready<br>" * 400 + "</blockquote>", 4),
        ("<p>a<ul><li>b</ul>" * 150, 5),
        ("a<br><b>b</b><br>" * 600, 9),
        ("<blockquote>a</blockquote>b" * 200, 5),
        ("<blockquote>" + "<p>a" * 900 + "</blockquote>", 4),
    ],
)
def test_short_lines_fill_posts_like_long_ones(html, posts):
    assert len(composed(html, html=True).parts) <= posts


def test_thousands_of_attachments_are_named_in_posts_and_file():
    message = composed(names=["file %d" % number for number in range(3000)])
    assert len(message.parts) <= 40
    assert "file 2999 (" in message.rest


def test_a_run_without_html_does_not_load_the_parser():
    code = (
        "import sys; from slack_notification.message import compose;"
        "from slack_notification.records import Record;"
        "compose(Record(1, 2, 's', '<p>x', None, (), '', ''), 'https://a.example', []); sys.exit('lxml' in sys.modules)"
    )
    assert subprocess.call([sys.executable, "-c", code]) == 0


def test_a_notice_is_a_post_of_its_own():
    part = notice("It works, see https://a.example.", OV_URL)
    assert_slack_takes(part.blocks)
    assert readable(part) == "It works, see https://a.example.\n" + END
    assert part.blocks[0]["elements"][0]["elements"][1]["url"] == "https://a.example"


@pytest.mark.skipif(
    block_kit.blockkit is None,
    reason="the package blockkit, which needs Python 3.11, is not installed: our own rules alone check the blocks",
)
@pytest.mark.parametrize("text", ["", "x" * 151])
def test_a_package_that_is_not_ours_refuses_what_slack_refuses(text):
    header = {"type": "header", "text": {"type": "plain_text", "text": text}}
    with pytest.raises(block_kit.blockkit.core.FieldValidationError):
        block_kit._model(header).build()


# For any text

PIECES = st.one_of(
    st.sampled_from(["\n", "\n\n", " ", "```", "*", "<!channel>", "<@U1>", "https://a.example/x", "&amp;"]),
    st.text(max_size=30),
    st.integers(1, 2500).map("x".__mul__),
    st.integers(1, 900).map("word ".__mul__),
    st.integers(1, 900).map("中&".__mul__),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES).map("".join), st.text())
def test_the_posts_of_any_text_joined_are_the_text(text, subject):
    message = composed(text, subject)
    shown = [
        element
        for part in message.parts
        for block in part.blocks
        if block["type"] == "rich_text"
        for element in block["elements"]
    ]
    title = message.parts[0].blocks[0].get("text", {}).get("text", "")
    whole = "".join(run["text"] for element in shown for run in element["elements"])
    whole = whole if not title.endswith("…") or len(title) < 100 else whole[len(rich_text.one_line(subject)) :]
    unseen = r"[\s\u00ad\u034f\u200b-\u200f\u2060\ufeff]"  # lines of nothing else are empty ones
    assert re.sub(unseen, "", whole) == re.sub(unseen, "", clean(text))
    assert message == composed(text, subject)


@given(st.text(alphabet=st.characters()) | st.text(alphabet="\ud83d\ude00\r\n\x00\x85\u202ea"))
def test_clean_text_can_be_sent_and_stays_as_it_is(text):
    clean(text).encode("utf-8")
    assert clean(clean(text)) == clean(text)
