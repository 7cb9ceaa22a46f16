"""What a recipient reads. The tables are the documentation: on the left what comes in, on the right what Slack gets."""

import html
import os
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slack_notification import message

MAILS = os.path.join(os.path.dirname(__file__), "mails")
OV_URL = "https://acme.onevizion.com"
OV_LINK = "<https://acme.onevizion.com|acme.onevizion.com>"
ZERO_WIDTH_SPACE = "\u200b"


def unescape(text):
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def assert_nothing_live_but_links(mrkdwn):
    without_links = re.sub(r"<(?:https?://|mailto:)[^<>|\s]+\|[^<>\n]+>", "", mrkdwn, flags=re.IGNORECASE)
    without_quotes = re.sub("(?m)^> ", "", without_links)
    assert not re.search("[<>]", without_quotes)


# Plain text


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("one\r\ntwo\rthree\u2028four\u2029five", "one\ntwo\nthree\nfour\nfive"),
        ("a\r\r\nb", "a\n\nb"),
        ("tab\tand\nnewline stay", "tab\tand\nnewline stay"),
        ("bell\x07 null\x00 escape\x1b[1m form\x0cfeed", "bell null escape[1m formfeed"),
        ("del\x7f c1\x85\x9f", "del c1"),
        ("lone \ud83d and \ude00", "lone \ufffd and \ufffd"),
        ("a pair in two halves \ud83d\ude00", "a pair in two halves \U0001f600"),
        ("\U0001f600 Größe 中文 \u200d", "\U0001f600 Größe 中文 \u200d"),
        ("", ""),
    ],
)
def test_text_is_cleaned_of_what_slack_cannot_show(text, cleaned):
    assert message.clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("R&D", "R&amp;D"),
        ("<!channel>", "&lt;!channel&gt;"),
        ("<https://evil.example|your bank>", "&lt;https://evil.example|your bank&gt;"),
        ("already &lt; escaped", "already &amp;lt; escaped"),
        ("*bold* _italic_ `code` ~strike~", "*bold* _italic_ `code` ~strike~"),
        ("'quotes' \"too\"", "'quotes' \"too\""),
    ],
)
def test_exactly_three_characters_are_escaped(text, escaped):
    assert message.escape(text) == escaped


@pytest.mark.parametrize(
    ("url", "label", "mrkdwn"),
    [
        ("https://a.example/x", "see here", "<https://a.example/x|see here>"),
        ("HTTP://a.example", "x", "<HTTP://a.example|x>"),
        ("mailto:jane@a.example", "Jane", "<mailto:jane@a.example|Jane>"),
        ("  https://a.example\n", "trimmed", "<https://a.example|trimmed>"),
        ("https://a.example/?a=1&b=2", "R&D <1>", "<https://a.example/?a=1&amp;b=2|R&amp;D &lt;1&gt;>"),
        ('https://a.example/a b|c<d>e"f`g', "x", "<https://a.example/a%20b%7Cc%3Cd%3Ee%22f%60g|x>"),
        (
            "https://a.example/\n\x07\u00a0\ud800",
            "x",
            "<https://a.example/%0A%07%C2%A0%3F|x>",
        ),
        ("https://a.example/100%25%zz", "percent signs stay", "<https://a.example/100%25%zz|percent signs stay>"),
        ("https://a.example", "two\r\n  lines\x00", "<https://a.example|two lines>"),
        ("https://a.example", "a ``` fence", "<https://a.example|a `\u200b`` fence>"),
        ("https://a.example", " \n", "<https://a.example|https://a.example>"),
        ("javascript:alert(1)", "click <me>", "click &lt;me&gt;"),
        ("java\nscript:alert(1)", "x", "x"),
        ("ftp://a.example", "x", "x"),
        ("/relative", "x", "x"),
        ("#anchor", "x", "x"),
        ("https://", "x", "x"),
        ("", "x", "x"),
        ("https://a.example/" + "a" * 2000, "long & wide", "long &amp; wide (https://a.example/" + "a" * 2000 + ")"),
        ("https://a.example/" + "a" * 2000, "", "https://a.example/" + "a" * 2000),
    ],
)
def test_a_link_is_safe_in_both_parts_or_no_link(url, label, mrkdwn):
    assert message.link(url, label) == mrkdwn


def test_an_attachment_is_a_link_that_a_logged_in_person_can_open():
    mrkdwn = "<https://acme.onevizion.com/efiles/EFileGetBlobFromDb.do?id=4711|attachment 4711>"
    assert message.attachment_link(OV_URL, 4711) == mrkdwn


@pytest.mark.parametrize(
    ("msg", "is_html", "mrkdwn"),
    [
        ("a <b> & *c*\r\n", False, "a &lt;b&gt; &amp; *c*\n"),
        ("<p>looks like HTML</p>", None, "&lt;p&gt;looks like HTML&lt;/p&gt;"),
        ("<p>is <b>HTML</b></p>", True, "is *HTML*"),
        ("the plain form", "<p>the <i>HTML</i> form</p>", "the _HTML_ form"),
        (None, "<p>only HTML</p>", "only HTML"),
        ("a blank HTML form is none <", " \n", "a blank HTML form is none &lt;"),
        ("entities bring &#7;control characters&#0;", True, "entities bring control characters"),
        (None, True, ""),
        (None, False, ""),
        ("", None, ""),
        ("", True, ""),
    ],
)
def test_only_what_the_record_calls_html_is_html(msg, is_html, mrkdwn):
    assert message.body_mrkdwn(msg, is_html).replace("\ufffd", "") == mrkdwn


# HTML

TEXT_STYLES = [
    ("<b>bold</b> <strong>bold</strong>", "*bold* *bold*"),
    ("<i>italic</i> <em>italic</em>", "_italic_ _italic_"),
    ("<s>x</s> <del>x</del> <strike>x</strike>", "~x~ ~x~ ~x~"),
    ("<b>bold <i>both</i></b>", "*bold _both_*"),
    ("<b>bold <strong>once</strong></b>", "*bold once*"),
    ("<b> blanks go </b>outside", "*blanks go* outside"),
    ("one<b> </b>two <b></b><i></i>three", "one two three"),
    ("<b>each line<br>for itself</b>", "*each line*\n*for itself*"),
    ("<b>N</b>ote", "*N*" + ZERO_WIDTH_SPACE + "ote"),
    ("sub<b>way</b>, <b>x</b>.", "sub" + ZERO_WIDTH_SPACE + "*way*, *x*."),
    ("<b>cost<table><tr><td>1<td>2<tr><td>3<td>4</table></b>", "*cost*\n```\n1  2\n3  4\n```"),
    ("<u>no</u> <span>markup</span> <sub>for</sub> <font color=red>these</font>", "no markup for these"),
    ("<q>quoted</q>", '"quoted"'),
    ("the author's *own* _markup_ `stays`", "the author's *own* _markup_ `stays`"),
]

CODE = [
    ("<code>a &lt; b</code> <kbd>F1</kbd> <samp>ok</samp>", "`a &lt; b` `F1` `ok`"),
    ("<code>a ` b</code>", "a ` b"),
    ("<code>no <b>bold</b></code>", "`no bold`"),
    ("<code>see <a href='https://a.example'>it</a></code>", "see <https://a.example|it>"),
    ("<pre>\nif a &lt; b:\n    <b>go</b>  now\n\n\n\nend\n</pre>", "```\nif a &lt; b:\n    go  now\n\n\n\nend\n```"),
    ("<pre>a<br>b</pre>", "```\na\nb\n```"),
    ("<pre>a ``` b ```` c</pre>", "```\na `\u200b`` b `\u200b`\u200b`` c\n```"),
    ("<pre>a ``&#1;` b</pre>", "```\na `\u200b`` b\n```"),
    ("<pre>see <a href='https://a.example'>it</a></pre>after", "```\nsee it\n```\n<https://a.example|it>\nafter"),
    ("x<pre> </pre>y", "x y"),
]

BLOCKS = [
    ("<p>one</p><p>two</p>", "one\n\ntwo"),
    ("<div>one</div><div>two</div>three", "one\ntwo\nthree"),
    ("<div>one</div><div><br></div><div>two</div>", "one\n\ntwo"),
    (
        "one<br>two<br/>\n three<br><br>four<hr>five<hr/>six",
        "one\ntwo\nthree\n\nfour\n{0}\nfive\n{0}\nsix".format("-" * 20),
    ),
    ("<p>one</p><p>&nbsp;</p>\n<p><o:p>&nbsp;</o:p></p><p>two</p>", "one\n\ntwo"),
    ("white\n   space&nbsp;&nbsp;\tshrinks", "white space shrinks"),
    ("<center>one</center>\n<center>two</center>", "one\ntwo"),
    ("one<p></p>two", "one\n\ntwo"),
    ("<p>end tags<p>left <b>out", "end tags\n\nleft *out*"),
    ("<h1>Title</h1>text<h3>Sub <b>title</b></h3>text", "*Title*\n\ntext\n\n*Sub title*\n\ntext"),
    ("one<hr>two", "one\n--------------------\ntwo"),
    ("<blockquote>one<br>two</blockquote>", "> one\n> two"),
    ("<blockquote><p>one</p><blockquote>two</blockquote></blockquote>three", "> one\n\n> two\n\nthree"),
    ("<ul><li>one<blockquote>two</blockquote></ul>", "• one\n\n    two"),
    ("<blockquote>see<pre>a  b</pre></blockquote>", "> see\n```\na  b\n```"),
    ("<dl><dt>Site<dd>SE-0412<dt>State<dd>open</dl>", "Site\n    SE-0412\nState\n    open"),
]

LISTS = [
    ("<ul><li>one</li><li>two</li></ul>", "• one\n• two"),
    ("<ul><li>one<li>two</ul>three", "• one\n• two\n\nthree"),
    ("<p>text</p><ul><li><p>one</p></li><li></li></ul>", "text\n\n• one"),
    (
        "<ul><li>1<ul><li>2<ul><li>3<ul><li>4</ul></ul></ul><li>1</ul>",
        "• 1\n    ◦ 2\n        ▪ 3\n            • 4\n• 1",
    ),
    ("<ul><li>one</li><ul><li>Word's way</li></ul></ul>", "• one\n    ◦ Word's way"),
    ("<ol><li>one</li><li>two<br>lines</li></ol>", "1. one\n2. two\n    lines"),
    ("<ol start=9><li>nine<ul><li>x</ul><li>ten</ol>", "9. nine\n    ◦ x\n10. ten"),
    ("<ol start='²'><li>one</ol><ol start='-99999999999'><li>one</ol>", "1. one\n\n1. one"),
    ("<ul><li>see<pre>a  b</pre></li></ul>", "• see\n```\na  b\n```"),
    ("<li value='<!here>'>stray</li>", "• stray"),
]

LINKS_AND_IMAGES = [
    ("<a href='https://a.example/?a=1&amp;b=2'>R&amp;D</a>", "<https://a.example/?a=1&amp;b=2|R&amp;D>"),
    ("see<a href='https://a.example'> it </a>now", "see <https://a.example|it> now"),
    ("<b><a href='https://a.example'>x <i>y</i></a></b>", "*<https://a.example|x y>*"),
    ("<a href='https://a.example'>two<br>lines</a>", "<https://a.example|two lines>"),
    ("<a href='https://a.example'><div>Button</div></a>text", "<https://a.example|Button>\ntext"),
    ("<a href='https://a.example'><img src='cid:1' alt='Logo'></a>", "<https://a.example|Logo>"),
    ("<a href='https://a.example'><img src='cid:1'></a>", "<https://a.example|https://a.example>"),
    ("<a href='https://a.example'></a>x", "x"),
    ("<a>none</a> <a href>empty</a> <a href='#x'>inside</a>", "none empty inside"),
    ("<a href='javascript:x()'>a <b>script</b></a>", "a *script*"),
    (
        "<a href='https://a.example'>not closed <a href='https://b.example'>b</a>",
        "not closed <https://b.example|b> <https://a.example|https://a.example>",
    ),
    (
        "<a href='https://a.example'>" + "swallowed " * 40 + "</a>",
        "swallowed " * 40 + "<https://a.example|https://a.example>",
    ),
    ("<img src='https://a.example/i.png' alt='a > b'>", "<https://a.example/i.png|a &gt; b>"),
    ("<img src='https://a.example/i.png'>", "<https://a.example/i.png|image>"),
    ("<img src='cid:1' alt='Logo'><img src='data:image/png;base64,AA' alt='!'><img>", "Logo!"),
    ("<img src='https://a.example/t' width=1 height=1>", ""),
    ("<img src='https://a.example/t' width='0px'>", ""),
    ("<img src='https://a.example/t' style='border:0; height: 1px !important'>", ""),
    ("<img src='https://a.example/i' alt='i' width='100' style='max-width:1px'>", "<https://a.example/i|i>"),
    ("<a href='https://a.example'><img src='https://a.example/t' width=1></a>x", "x"),
    ("<video src='<!channel>' poster='<!here>'>a film</video>", "a film"),
]

TABLES = [
    (
        "<table><tr><th>Site</th><th>State</th></tr><tr><td>SE-0412</td><td>open</td></tr></table>",
        "```\nSite     State\n-------  -----\nSE-0412  open\n```",
    ),
    (
        "<table><thead><tr><td>A<td>B</thead><tbody><tr><td>1 &lt; 2<td><b>x</b><br>y</table>",
        "```\nA      B\n-----  ---\n1 &lt; 2  x y\n```",
    ),
    ("<table><tr><td>a</td><td>b</td></tr></table>", "```\na  b\n```"),
    (
        "<table><caption>Costs</caption><tr><th>Rent</th><td>7</td></tr><tr><th>Power</th><td>12</td></tr></table>",
        "Costs\n```\nRent   7\nPower  12\n```",
    ),
    (
        "x<table><tr><td>a<td><a href='https://a.example'>go</a><tr><td>b<td><a href='https://a.example'>go</a></table>",
        "x\n```\na  go\nb  go\n```\n<https://a.example|go>",
    ),
    (
        "<table><tr><td rowspan=2>A<td>b<td>c<tr><td>d<td>e</table>",
        "```\nA  b  c\n   d  e\n```",
    ),
    (
        "<table><tr><th colspan=2>A long title</th></tr><tr><td>a</td><td>b</td></tr></table>",
        "```\nA long title\n-  -\na  b\n```",
    ),
    ("<table><tr><td colspan='99999999'>a<td>b<tr><td>c<td>d</table>", "```\na     b\nc  d\n```"),
    ("<table><tr><td>a</td><td>&nbsp;</td><td>``` b</td></tr><tr></tr></table>", "```\na  `\u200b`` b\n```"),
    ("<table><tr><td>" + "a" * 50 + "<td>b<tr><td>c<td>d</table>", "```\n" + "a" * 50 + "  b\nc" + " " * 41 + "d\n```"),
]

LAYOUTS = [
    ("<table><tr><td>one<tr><td>two</table>", "one\ntwo"),
    ("<table role=presentation><tr><td>one<td>two</table>", "one\ntwo"),
    ("<table><tr><td><p>one</p><td>&nbsp;</table>", "one"),
    ("<table><tr><td>one<td><table><tr><td>a<td>b</table></table>", "one\n```\na  b\n```"),
    ("<table><tr><td><h1>one</h1><td>two</table>", "*one*\ntwo"),
    ("<table><tr><td><a href='https://a.example'>Yes</a><td>No</table>", "<https://a.example|Yes>\nNo"),
    ("<table>stray<tr><td>a<td>b</table>", "stray\na\nb"),
    ("<table><td>a<td>b</table>", "a\nb"),
    ("<table><tr><td>a<td><tr><td><td>b</table>", "a\nb"),
]

INVISIBLE = [
    ("<!DOCTYPE html><html><head><title>t</title><style>s</style><script>j</script></head><body>x</body></html>", "x"),
    ("<head><title>t</title><body>the head is never closed</body>", "the head is never closed"),
    ("a<!-- comment --><![if !mso]>b<![endif]><!--[if mso]>c<![endif]--><?xml:namespace x ?>d", "abd"),
    ("a<template>b</template><span style='color:red; DISPLAY : none'>c</span>d", "ad"),
]

ESCAPES = [
    ("&lt;!channel&gt; &amp;lt; &#60;@U1&#62; &copy; &eacute; &apos;", "&lt;!channel&gt; &amp;lt; &lt;@U1&gt; © é '"),
    ("<pre>&lt;!channel&gt; &amp;lt;</pre>", "```\n&lt;!channel&gt; &amp;lt;\n```"),
    ("<code>&lt;!channel&gt; &amp;lt;</code>", "`&lt;!channel&gt; &amp;lt;`"),
    ("<table><tr><td>&lt;@U1&gt;<td>&amp;lt;</table>", "```\n&lt;@U1&gt;  &amp;lt;\n```"),
    ("<!channel> <@U123> 1 < 2", "&lt;@U123&gt; 1 &lt; 2"),
    ("<img alt='<!here>'>", "&lt;!here&gt;"),
    ("plain text, no tag", "plain text, no tag"),
    ("", ""),
]


@pytest.mark.parametrize(
    ("mail", "mrkdwn"),
    TEXT_STYLES + CODE + BLOCKS + LISTS + LINKS_AND_IMAGES + TABLES + LAYOUTS + INVISIBLE + ESCAPES,
)
def test_html_becomes_mrkdwn(mail, mrkdwn):
    assert message.html_to_mrkdwn(mail) == mrkdwn
    assert_nothing_live_but_links(mrkdwn)


@pytest.mark.parametrize("name", sorted(name[:-5] for name in os.listdir(MAILS) if name.endswith(".html")))
def test_a_mail_reads_as_expected(name):
    with open(os.path.join(MAILS, name + ".html"), encoding="utf-8") as mail:
        converted = message.body_mrkdwn(None, mail.read())
    with open(os.path.join(MAILS, name + ".mrkdwn"), encoding="utf-8") as expected:
        assert converted + "\n" == expected.read()


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        ("<div>" * 5000 + "deep &amp; down<br>&lt;!here&gt;" + "</div>" * 5000, "deep &amp; down\n&lt;!here&gt;"),
        ("< " * 2000 + "<b>bold</b>", "&lt; " * 2000 + "bold"),
        ("<p>paragraph" * 3000, "\n".join(["paragraph"] * 3000)),
        ("<soup>a tag that markdownify mistakes for a method</soup>", "a tag that markdownify mistakes for a method"),
    ],
    ids=["nested deeply", "tags without end", "elements without end", "a tag named like a method"],
)
def test_html_too_broken_to_convert_shows_its_text_and_says_so_at_debug(mail, text, caplog):
    caplog.set_level("DEBUG", logger="slack-notification")
    assert message.html_to_mrkdwn(mail) == text
    assert re.match("HTML shown as its text: [A-Za-z]*Error$", caplog.messages[0])


def test_a_method_that_shows_an_attribute_as_it_is_mentions_nobody(monkeypatch):
    monkeypatch.setattr(message.MrkdwnConverter, "convert_audio", lambda self, el, text, **_: el["src"], raising=False)
    assert message.html_to_mrkdwn("<audio src='&lt;!channel&gt;'>a <b>song</b></audio>") == "a song"


def test_a_number_of_thousands_of_digits_is_no_character():
    # Whether the parser copes is a matter of Python's version: the one way b is bold, the other way it is not.
    mail = "<style>x</style>a &#" + "9" * 5000 + "; <b>b</b>"
    assert message.html_to_mrkdwn(mail).replace("*", "") == "a \ufffd b"


# The parts of a message


def test_a_message_is_subject_body_attachments_and_the_address_of_onevizion():
    links = [message.attachment_link(OV_URL, 1), message.attachment_link(OV_URL, 2)]
    assert message.message_parts("Task <7>\n is  due", "\n \n  do it\nnow\n\n", links, OV_URL) == [
        "*Task &lt;7&gt; is due*\n"
        "  do it\n"
        "now\n"
        "<https://acme.onevizion.com/efiles/EFileGetBlobFromDb.do?id=1|attachment 1>\n"
        "<https://acme.onevizion.com/efiles/EFileGetBlobFromDb.do?id=2|attachment 2>\n" + OV_LINK
    ]


@pytest.mark.parametrize(
    ("subject", "body", "part"),
    [
        (None, "", OV_LINK),
        ("", "\n\n", OV_LINK),
        (" \r\n", "body", "body\n" + OV_LINK),
        ("subject", "", "*subject*\n" + OV_LINK),
        ("a ``` in the subject opens no block", "x", "*a `\u200b`` in the subject opens no block*\nx\n" + OV_LINK),
        ("R&D \x07", "a ``` alone is text", "*R&amp;D*\na ``` alone is text\n" + OV_LINK),
    ],
)
def test_empty_parts_leave_no_empty_lines(subject, body, part):
    assert message.message_parts(subject, body, [], OV_URL) == [part]


def test_a_code_block_that_a_cut_falls_in_is_closed_and_opened_again():
    body = "see\n```\n" + "0123456789\n" * 5 + "```\nend"
    assert message.message_parts(None, body, [], OV_URL, limit=60) == [
        "see\n```\n0123456789\n0123456789\n0123456789\n0123456789\n```",
        "```\n0123456789\n```\nend\n",
        OV_LINK,
    ]


def test_a_line_of_code_without_line_end_gets_one_before_the_fence():
    assert message.message_parts(None, "```" + "0123456789 " * 6 + "```", [], OV_URL, limit=61) == [
        "```0123456789 0123456789 0123456789 0123456789 \n```",
        "```\n0123456789 0123456789 ```\n",
        OV_LINK,
    ]


def test_no_cut_makes_an_empty_code_block():
    line = "0123456789" * 4 + "\n"
    for before in range(60):
        body = "a" * before + "\n```\n" + line + line + "```\nend"
        for part in message.message_parts(None, body, [], OV_URL, limit=100):
            assert not re.search("```\n+```", part)


def test_a_part_that_would_show_nothing_is_left_out():
    parts = message.message_parts("subject", "one" + "\n" * 500 + "two", [], OV_URL, limit=100)
    assert [part.strip() for part in parts] == ["*subject*\none", "two", OV_LINK]


@pytest.mark.parametrize(
    ("text", "chunks"),
    [
        ("", []),
        ("short", ["short"]),
        ("0123456789ab", ["0123456789ab"]),
        ("line one\nline two\n", ["line one\n", "line two\n"]),
        ("one two three four", ["one two ", "three four"]),
        ("one\ntwo three four", ["one\n", "two three ", "four"]),
        ("0123456789abcdefghij", ["0123456789ab", "cdefghij"]),
        ("0123456789&amp;x", ["0123456789", "&amp;x"]),
        ("01234567 <ht|a b>", ["01234567 ", "<ht|a b>"]),
        ("01234567<ht|a b>", ["01234567", "<ht|a b>"]),
        ("0123456789```x```", ["0123456789", "```x```"]),
        ("<a link that is longer than a chunk>", ["<a link ", "that is ", "longer than ", "a chunk>"]),
    ],
)
def test_a_text_is_cut_at_a_line_end_else_at_a_blank_else_anywhere(text, chunks):
    assert message.cut(text, limit=20) == chunks


def test_a_limit_without_room_is_a_mistake_of_the_caller():
    with pytest.raises(ValueError, match="12 characters"):
        message.cut("text", limit=12)


def test_a_text_of_a_million_characters_is_cut_in_seconds():
    for text in ("a" * 1000000, "word &amp; <https://a.example|x y> ``` \n" * 25000, "<" * 1000000):
        begin = time.process_time()
        parts = message.message_parts(None, text, [], OV_URL)
        assert time.process_time() - begin < 20
        assert max(map(len, parts)) <= message.MESSAGE_LIMIT_CHARACTERS


# For any text

PIECES = st.one_of(
    st.sampled_from(["```", "`", "\n", "\n\n", " ", "&amp;", "&lt;", "*", "```\n", "\n```", "<!channel>", "<@U1>"]),
    st.text(max_size=30),
    st.integers(0, 999).map("<https://a.example/{0}|a label {0}>".format),
    st.integers(1, 150).map("x".__mul__),
)
# As the program makes them: escaped text and links.
MRKDWN = st.lists(PIECES.map(lambda piece: piece if piece.startswith("<h") else message.escape(piece))).map("".join)
LIMITS = st.integers(60, 300)
TAGS = st.sampled_from(
    ["p", "div", "b", "i", "s", "code", "pre", "table", "tr", "td", "th", "ul", "ol", "li", "blockquote", "h2", "span"]
    + ["a", "dl", "dt", "dd", "center"]
)
FRAGMENTS = st.one_of(
    TAGS.map("<{}>".format),
    TAGS.map("</{}>".format),
    st.sampled_from(["<!channel>", "<@U1>", "<#C1>", "&lt;!here&gt;", "&#60;!here>", "&#0;", "&#xD800;", "&amp;lt;"]),
    st.sampled_from(["<br>", "<br/>", "<!--", "-->", "<![if x]>", "<![CDATA[", "]]>", "<?", "<style>", "</style>"]),
    st.sampled_from(["```", "`", "https://a.example", "javascript:", "'", ">", "<", "&", "<a href='", "' >"]),
    st.sampled_from(["<a href='https://a.example'>", "<img alt='<!here>'>", "<img src='https://a.example'>"]),
    st.sampled_from(["<video src='<!here>'>", "<li value='<!here>'>", "<td colspan='<@U1>'>", "<ol start='<@U1>'>"]),
    st.text(max_size=10),
)


def trees(children):
    element = st.tuples(TAGS, children).map(lambda pair: "<{0} href='https://a.example'>{1}</{0}>".format(*pair))
    return st.lists(element | children, max_size=4).map("".join)


@given(st.text())
def test_escaping_undone_gives_the_text_back(text):
    escaped = message.escape(text)
    assert unescape(escaped) == text
    assert not re.search("[<>]", escaped)


@given(st.text(alphabet=st.characters()) | st.text(alphabet="\ud83d\ude00\r\n\x00a"))
def test_clean_text_can_be_sent_and_stays_as_it_is(text):
    cleaned = message.clean(text)
    cleaned.encode("utf-8")
    assert message.clean(cleaned) == cleaned


@given(
    st.sampled_from(["https://a.example/", "mailto:", "http:", " HTTP://x", "javascript:", ""]), st.text(), st.text()
)
def test_a_link_holds_together_whatever_is_in_it(scheme, rest, label):
    mrkdwn = message.link(scheme + rest, label)
    assert "\n" not in mrkdwn
    assert_nothing_live_but_links(mrkdwn)


@given(MRKDWN, LIMITS)
def test_the_chunks_joined_give_the_text_back_and_none_is_too_long(text, limit):
    chunks = message.cut(text, limit)
    assert "".join(chunks) == text
    assert all(len(chunk) <= limit - len("```\n" + "\n```") for chunk in chunks)


@given(MRKDWN, LIMITS)
def test_no_chunk_splits_an_entity_a_link_or_a_fence(text, limit):
    chunks = message.cut(text, limit)
    for chunk in chunks:
        assert not re.search("[<>]", re.sub(r"<[^<>\n]*>", "", chunk))
        assert not re.search("&(?!amp;|lt;|gt;)", chunk)
    assert sum(chunk.count("```") for chunk in chunks) == text.count("```")


@settings(max_examples=300)
@given(MRKDWN, LIMITS)
def test_the_parts_are_the_chunks_with_balanced_fences(body, limit):
    text = "\n".join(filter(None, [re.sub(r"\A\s*\n", "", body.rstrip()), OV_LINK]))
    visible = [chunk for chunk in message.cut(text, limit) if chunk.replace("```", "").strip()]
    parts = message.message_parts(None, body, [], OV_URL, limit)
    assert len(parts) == len(visible)
    for part, chunk in zip(parts, visible):
        assert part in [a + chunk + z for a in ("", "```\n") for z in ("", "\n```", "```")]
        assert len(part) <= limit
        if text.count("```") % 2 == 0:
            assert part.count("```") % 2 == 0
    assert parts[-1].endswith(OV_LINK)


@given(st.text(), MRKDWN, LIMITS)
def test_no_part_of_a_message_mentions_anybody(subject, body, limit):
    for part in message.message_parts(subject, body, [], OV_URL, limit):
        assert_nothing_live_but_links(part)
        assert part.strip()


@given(st.text())
def test_text_that_html_holds_comes_back_escaped(text):
    expected = " ".join(message.escape(message.clean(text)).split())
    assert " ".join(message.html_to_mrkdwn("<p>" + html.escape(text) + "</p>").split()) == expected


@settings(max_examples=500, deadline=None)
@given(st.lists(FRAGMENTS).map("".join))
def test_no_garbage_raises_or_becomes_a_mention(garbage):
    mrkdwn = message.html_to_mrkdwn(garbage)
    assert not re.search("<[!@#]", mrkdwn)
    assert_nothing_live_but_links(mrkdwn)
    assert message.clean(mrkdwn) == mrkdwn


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.sampled_from(["word ", "word", "<br>", "&nbsp;", " "]), trees, max_leaves=30))
def test_no_word_of_a_mail_gets_lost(mail):
    numbers = iter(range(1000))
    numbered = re.sub("word", lambda _: "word{}end".format(next(numbers)), mail)
    converted = set(re.findall(r"word\d+end", message.html_to_mrkdwn(numbered)))
    assert converted == set(re.findall(r"word\d+end", numbered))
