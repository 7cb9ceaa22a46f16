"""HTML as a reader sees it in Slack. The tables are the documentation: the mail, and what is shown of it."""

import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slack_notification import html_mail, message
from slack_notification.html_mail import read_html
from slack_notification.records import Record
from slack_notification.rich_text import plain, rich_text
from tests.block_kit import assert_slack_takes

MAILS = os.path.join(os.path.dirname(__file__), "mails")
OV_URL = "https://acme.onevizion.com"
MARKS = {"bold": "*", "italic": "_", "strike": "~", "code": "`"}
A, B = "https://a.example", "https://b.example"
LONG = "too wide for code " * 5 + "."


def mail_of(html):
    return Record(1, 2, None, html, True, (), "BUILDING", "")


def marked(html):
    """Return a mail as it is read in Slack, styles between marks and links as <label|url>."""
    elements = rich_text(read_html(html)[0])
    if elements:
        assert_slack_takes([{"type": "rich_text", "elements": elements}])
    mark_runs(elements)
    return plain(elements)


def mark_runs(elements):
    for element in elements:
        mark_runs(element.get("elements", []))
        if element["type"] == "link":
            element["text"] = "<%s|%s>" % (element["text"], element.pop("url"))
        for style in sorted(element["style"] if isinstance(element.get("style"), dict) else {}):
            element["text"] = MARKS[style] + element["text"] + MARKS[style]


STYLES = [
    ("<b>a</b> <strong>b</strong> <i>c</i> <em>d</em> <code>e</code>", "*a* *b* _c_ _d_ `e`"),
    ("<b>N</b>ote sub<b>way</b>", "*N*ote sub*way*"),
    ("<s>1</s> <del>2</del> <strike>3</strike>", "~1~ ~2~ ~3~"),
    (
        "<span style='text-decoration: line-through'>9</span> <i style='TEXT-DECORATION-LINE:line-through'>8</i>",
        "~9~ ~_8_~",
    ),
    ("<span style='font-weight:bold'>a</span> <span style='font-weight:600'>b</span>", "*a* *b*"),
    ("<span style='font-style: italic'>a</span> <em style='font-style:normal'>b</em>", "_a_ b"),
    ("<b style='font-weight:normal'>whole <b>mail</b></b> <h2 style='font-weight:400'>t</h2>", "whole *mail*\n\nt"),
    ("<b>a <i>b</i></b>", "*a *_*b*_"),
    (
        "<u style='font:bold 9px A'>a</u> <u style='font:Italic 700 9px/2 A'>b</u> <b style='font:9px A'>c</b>",
        "*a* _*b*_ c",
    ),
    (
        "<i style='font-style:inherit'>a</i> <b style='font:inherit'>b</b> <b style='font:9px \"A bold\"'>c</b>",
        "_a_ *b* c",
    ),
    ("<b><p>a</p>b</b><S><center>c</center></S><strike><i><p>d</p></i></strike>", "*a*\n\n*b*\n~c~\n\n~_d_~"),
    ("<tt><p>a</p></tt><b>b<i>c</b>d</i><p><b>e</p>f <b>g</span>h</b>i", "`a`\n\n*b*_*c*_d\n\n*e*\n\nf *gh*i"),
    ("<table><tr><td>a<td><b>b<tr><th>c<td><i><font>d<tr><td><a>e<td>f</table>g", "*a:* *b*\n*c:* _d_\n*e:* f\ng"),
    ("a *b* _c_ `d` ```e``` :smile: <!-- x -->@here", "a *b* _c_ `d` ```e``` :smile: @here"),
]
SCRIPTS = [
    ("10<sup>3</sup> m<sup>-2</sup> 5<sup>th</sup>", "10³ m⁻² 5ᵗʰ"),
    ("H<sub>2</sub>O x<sub>i+1</sub>", "H₂O xᵢ₊₁"),
    (
        "10<span style='vertical-align:super'>3</span> H<span style='vertical-align:sub'>2</span>O "
        "<img style='vertical-align:sub' alt=2> <span style='vertical-align:top'>a</span>",
        "10³ H₂O 2 a",
    ),
    ("10<sup>-<span>3</span></sup> 2<sup><b>a</b> <i>Q</i></sup> x<sup><sup>2</sup></sup>", "10⁻³ 2^(*a* _Q_) x²"),
    ("Term<sup>of a contract that ends</sup> <sub>x<p>1</p></sub>", "Term of a contract that ends x\n\n1"),
    ("x<sup>Q</sup> y<sub>q</sub>", "x^(Q) y_(q)"),
    (
        "a<sup>®</sup> <sup>*</sup> <sup></sup><sup>small print of a whole line</sup>",
        "a® * small print of a whole line",
    ),
]
BLOCKS = [
    ("<p>a</p><p>b</p><div>c</div><div>d</div>e", "a\n\nb\n\nc\nd\ne"),
    ("a<br>b<br><br><br>c<div><br></div>d", "a\nb\n\nc\n\nd"),
    ("<p>a</p><p>&nbsp;</p><p>\u200c</p><p>b", "a\n\nb"),
    (" a\n\t b&nbsp;&nbsp;c ", "a b c"),
    ("<h1>T</h1>x<h3>S <i>s</i></h3>", "*T*\n\nx\n\n*S *_*s*_"),
    ("a<hr>b", "a\n--------------------\nb"),
    ("<blockquote>a<p>b<blockquote>c</blockquote></blockquote>d", "> a\n> \n> b\n> \n> c\n\nd"),
    (
        "<blockquote>a<ul><li>b<ul><li>c<br>d</ul></ul>e</blockquote>f",
        "> a\n> • b\n>     ◦ c\n>         d\n> \n> e\n\nf",
    ),
    ("<blockquote><ol start=3><li>a<li>b</ol></blockquote><ul><li>c</ul>", "> 3. a\n> 4. b\n• c"),
    ("<blockquote><pre>a  b\n\nc</pre></blockquote><pre>d</pre>", "> `a  b`\n> \n> `c`\n```\nd\n```"),
    ("<blockquote><table><tr><th>a<th>b<tr><td>1<td>2</table></blockquote>", "> `a  b`\n> `-  -`\n> `1  2`"),
    ("<blockquote><table><tr><td>k<td>v<tr><td>l<td><ul><li>w</ul></table></blockquote>", "> *k:* v\n> *l:*\n> • w"),
    ("<ul><li>a<blockquote>b<ul><li>c</ul></blockquote><li>d</ul>", "• a\n> b\n>     ◦ c\n• d"),
    ("<pre>\na\n  b <b>c</b>\n\n\nd\n</pre>", "```\na\n  b c\n\n\nd\n```"),
    ("<pre>see <a href='https://a.example'>it</a></pre>", "```\nsee <it|https://a.example>\n```"),
    ("<div style='white-space:pre-wrap'>a\n  b</div><p style='white-space:break-spaces'>c\nd", "a\n  b\n\nc\nd"),
    ("<pre>limit: <s>10</s> 20\n<del>a\nb</del></pre>", "```\nlimit: ~10~ 20\n~a~\n~b~\n```"),
    ("<b style='display:block'>a</b><b style='display:block'>b</b>c<i style='display:inline'>d</i>", "*a*\n*b*\nc_d_"),
    ("<style>.x{display:block}</style>a<span class=x>b</span>c", "a\nb\nc"),
    ("<dl><dt>a<dd>b<dt>c<dd>d</dl>", "*a*\nb\n*c*\nd"),
    ("<html><body><p>a</p></body></html>\n<p>b</p></HTML > c<i>d", "a\n\nb\n\nc_d_"),
    ("<!DOCTYPE html><html><body>a<br></body></html><html><title>x</title><body><b>b</b></body></html>c", "a\n*b*\nc"),
    ("<table><tr><td>a</html><td>b</table>", "*a:* b"),
    ("<html><body>a</body></html>b<style>'<b title='</style><i>c<s-x>d</s-x><p>e", "a\nb_cd_\n\n_e_"),
]
LISTS = [
    ("<ul><li>a<li>b</ul>c", "• a\n• b\n\nc"),
    ("<ul><li>a<ul><li>b<ul><li>c</ul></ul><li>d</ul>", "• a\n    ◦ b\n        ▪ c\n• d"),
    ("<ul><li>a</li><ul><li>b</li></ul></ul>", "• a\n    ◦ b"),
    ("<ol><li>a<br>b<li><p>c</p></ol>", "1. a\n    b\n2. c"),
    ("<ol start=9><li>a<ul><li>x</ul><li>b</ol>", "9. a\n    ◦ x\n10. b"),
    ("<ol><li>a<li value=7>b<li>c</ol>", "1. a\n7. b\n8. c"),
    ("<ol type=a><li>a<li>b</ol>", "a. a\nb. b"),
    ("<ol type=I start=3><li>a<li>b</ol>", "III. a\nIV. b"),
    (
        "<ol style='list-style-type:lower-alpha'><li>a</ol><ol style='list-style:upper-roman inside' start=4><li>b</ol>"
        "<style>.l{list-style-type:UPPER-LATIN}</style><ol class=l><li>c<li value=28>d</ol>",
        "a. a\n\nIV. b\n\nA. c\nAB. d",
    ),
    ("<ol><li type=a>a<li type=I>b<li style='list-style-type:lower-roman'>c<li>d</ol>", "a. a\nII. b\niii. c\n4. d"),
    ("<ol type=i start=9><li>a<li value=49>b<li value=99>c<li>d</ol>", "ix. a\nxlix. b\nxcix. c\n100. d"),
    (
        "<ol reversed><li>a<ul><li>b<li>c</ul><li>d</ol><ol reversed start=9><li>e<li>f</ol>",
        "2. a\n    ◦ b\n    ◦ c\n1. d\n9. e\n8. f",
    ),
    ("<ul type=a style='list-style-type:lower-alpha'><li>a</ul>", "• a"),
    ("<ol><li>a<ol type=A><li>b<li>c</ol><li>d</ol>", "1. a\n    A. b\n    B. c\n2. d"),
    ("<ol start=0><li>a<li>b</ol>", "0. a\n1. b"),
    ("<ol start='<@U1>'><li value='²'>a</ol><li value='<!here>'>b", "1. a\n• b"),
    ("<ul><li>a<pre>b</pre>c</ul>", "• a\n```\nb\n```\n• c"),
    ("<ul><li></li><li> </li></ul>a", "a"),
    ("<input type=checkbox checked> a <input type=CHECKBOX> b<input type=text value=c>", "☑ a ☐ b"),
]
LINKS = [
    (
        "<a href='https://a.example/?a=1&copy=2&region=EU&amp;x=&quot;'>a</a>",
        "<a|https://a.example/?a=1&copy=2&region=EU&x=%22>",
    ),
    ("<a href='https://a.exa\nmple/\tx'>a</a>", "<a|https://a.example/x>"),
    ("<a href=' https://a.example/a b|c '>a</a>", "<a|https://a.example/a%20b%7Cc>"),
    ("see<a href='https://a.example'> it </a>now", "see <it|https://a.example> now"),
    ("<b><a href='https://a.example'>a <i>b</i></a></b>", "*<a |https://a.example>*_*<b|https://a.example>*_"),
    ("<a href='mailto:x@a.example'>m</a> <a href='tel:+1-555'>t</a>", "<m|mailto:x@a.example> <t|tel:+1-555>"),
    (
        "<a href='www.a.example/x'>w</a> <a href='//a.example'>h</a>",
        "<w|https://www.a.example/x> <h|https://a.example>",
    ),
    (
        "<a href='/r?x=1'>r</a> <a href='file:///c:/d'>f</a> <a href='x.pdf'>x.pdf</a>",
        "r (/r?x=1) f (file:///c:/d) x.pdf",
    ),
    (
        "<a href='https://a.example'><table><tr><td>a</table></a>b <A href='https://b.example'><fieldset>c<h2>d</h2></fieldset></A>e",
        "<a|https://a.example>\nb\n\n<c|https://b.example>\n\n*<d|https://b.example>*\n\ne",
    ),
    (
        "<table><tr><td><a href='https://a.example'>a<td>b<td><b><a href='https://b.example'>c</table>d",
        "<a|https://a.example>\nb\n*<c|https://b.example>*\nd",
    ),
    ("<a href='#x'>a</a> <a href=' java\nscript:b()'>b</a> <a href>c</a> <a>d</a><a href='c\tid:1'>e</a>", "a b c de"),
    ("<a href='https://a.example'>a<a href='https://b.example'>b</a>", "<a|https://a.example><b|https://b.example>"),
    (
        "https://a.example/(x), <i>www.b.example.</i> (https://c.example)",
        "<https://a.example/(x)|https://a.example/(x)>, _<www.b.example|https://www.b.example>__._ (<https://c.example|https://c.example>)",
    ),
    ("https://a.ex<wbr>ample/<span>b</span>c", "<https://a.example/bc|https://a.example/bc>"),
    ("<a href='https://a.example/" + "a" * 2000 + "'>a</a>", "a (https://a.example/" + "a" * 2000 + ")"),
]
IMAGES = [
    ("<img src='https://a.example/i' alt='I'>", "<I|https://a.example/i>"),
    ("<img src='https://a.example/i'>", "<image|https://a.example/i>"),
    ("a<img alt=Warning>Disk full <img alt=I>", "a Warning Disk full I"),
    (
        "<a href='https://a.example'><img alt=F></a><a href='https://b.example'><img src=i></a>",
        "<F|https://a.example> <b.example|https://b.example>",
    ),
    ("<a href='https://a.example'><img alt=I>Open <b>q</b></a>", "<I Open |https://a.example>*<q|https://a.example>*"),
    ("a<img src='https://a.example/i' alt=''><img src='cid:1'><img>", "a"),
    ("<img src='cid:1' alt='Logo'><img src='https://a.example/s' alt='\u200b'>", "Logo"),
    ("a<img src='https://a.example/t' width=1><img src='https://a.example/t' style='height:0'>", "a"),
    ("<a href='https://a.example/x'><img src=i alt=''></a>", "<a.example|https://a.example/x>"),
    (
        "<a href='https://a.example'><img src=i></a><p><a href='https://a.example'>text</a></p>",
        "<text|https://a.example>",
    ),
    ("<a href='https://a.example'><img alt=L></a> <a href='https://a.example'>T</a>", "<L T|https://a.example>"),
    ("<a href='https://a.example'></a><a href='https://a.example'><img width=1></a>b", "b"),
]
TABLES = [
    ("<table><tr><td><s>1 May</s> 3 May<td>Go<tr><td>9 May<td>End</table>", "~*1 May*~* 3 May:* Go\n*9 May:* End"),
    (
        "<table><tr><td><a href=//x.io><b>Yes</b></a><td><a href=//y.io><b>No</b></a><tr><td colspan=2>By May.</table>",
        "*<Yes|https://x.io>*\n*<No|https://y.io>*\nBy May.",
    ),
    (
        "<table><tr><td><a href=//x.io><b>Yes</b></a><td><b>Or</b><td><b>No</b><tr><td>1<td>2<td><ul><li>3</ul>",
        "*<Yes|https://x.io>*\n*Or*\n*No*\n\n1\n2\n• 3",
    ),
    (
        "<table><tr><td><b>Acme</b><td><b>Alert</b><td><b>Now</b><tr><td colspan=3>Look <a href=//x.io>here",
        "*Acme*\n*Alert*\n*Now*\n\nLook <here|https://x.io>",
    ),
    ("<b><table><tr><td>Jo<br>Al<td>done<tr><td>Ed</table></b>", "*Jo*\n*Al*\n*done*\n*Ed*"),
    ("<table><thead><tr><td><ul><li>p<li>q</ul><td>B<tbody><tr><td>x<td>y</table>", "• p\n• q\nB\n\n*p q:* x\n*B:* y"),
    ("<table><tr><th>Site<th>Date<th>Who<tr><td colspan=3><ul><li>None</ul></table>", "Site\nDate\nWho\n• None"),
    (
        "<table><tr><th><a href=//x.io>Site</a><th><s>Plan</s> Now<tr><td>1<td><ul><li>2</ul></table>",
        "<Site|https://x.io>\n~Plan~ Now\n\n*Site:* 1\n*Plan Now:*\n• 2",
    ),
    ("<table><tr><th>Site<th>State<tr><td>S1<td>open</table>", "```\nSite  State\n----  -----\nS1    open\n```"),
    ("<table><tr><td>a<td>b<td>c<tr><td>dd<td>e<td>f</table>", "```\na   b  c\ndd  e  f\n```"),
    ("<table><tr><th>名前<th>x<tr><td>中文字<td>1</table>", "```\n名前    x\n------  -\n中文字  1\n```"),
    ("<table><tr><th>a<th>b<tr><td>x<br>y<td>1<br>2<tr><td>z<td>3</table>", "```\na  b\n-  -\nx  1\ny  2\nz  3\n```"),
    (
        "<table><tr><th>a<th>b<tr><td><a href='https://a.example'>go</a><td>x</table>",
        "```\na   b\n--  -\n<go|https://a.example>  x\n```",
    ),
    (
        "<table><tr><td>Site<td>S1<tr><td>State:<td><a href='https://a.example'>open</a></table>",
        "*Site:* S1\n*State:* <open|https://a.example>",
    ),
    ("<table><tr><td>Site<br>State<td>S1<br>open</table>", "*Site:* S1\n*State:* open"),
    ("<table><tr><td>Site<td>S1<tr><td>Items<td><ul><li>a<li>b</ul></table>", "*Site:* S1\n*Items:*\n• a\n• b"),
    ("<table><tr><td>Old<td><s>1</s><tr><td>Sure?<td><b>2</b></table>", "*Old:* ~1~\n*Sure?* *2*"),
    ("<table><tr><th>a<th>b<tr><td>1<td><del>2</del><tr><td>3<td>4</table>", "*a:* 1\n*b:* ~2~\n\n*a:* 3\n*b:* 4"),
    (
        "<table><tr><th>a<th>b<th>c<tr><td>1<td>2<td>" + LONG + "</table>",
        "*a:* 1\n*b:* 2\n*c:* " + LONG,
    ),
    ("<table><tr><th>a<th>b<tr><td>1<td><h3>T</h3>x</table>", "*a:* 1\n*b:* *T*\n\nx"),
    ("<table><tr><td rowspan=2>A<td>b<td>c<tr><td>d<td>e</table>", "```\nA  b  c\n   d  e\n```"),
    (
        "<table><caption>C</caption><tr><td colspan=3>A long title<tr><td>1<td>2<td>3<tr><td>4<td>5<td>6</table>",
        "C\nA long title\n```\n1  2  3\n4  5  6\n```",
    ),
    (
        "<table><tr><td><b>a</b><td><b>b</b><td><b>c</b><tr><td>1<td><td>" + LONG + "<tr><td>2<td>3<td>4</table>",
        "*a:* 1\n*c:* " + LONG + "\n\n*a:* 2\n*b:* 3\n*c:* 4",
    ),
    ("<table><thead><tr><td>a<td>b<tbody><tr><td>1<td><ul><li>2</ul></table>", "*a:* 1\n*b:*\n• 2"),
    ("<table><tr><td>1<td>2<td>" + LONG + "<tr><td>3<td>4<td>5</table>", "1\n2\n" + LONG + "\n\n3\n4\n5"),
    (
        "<table><tr><td><b>a</b><td><b>b</b><tr><td><a href='https://a.example'>go</a><td>" + LONG + "</table>",
        "*a:* <go|https://a.example>\n*b:* " + LONG,
    ),
    (
        "<table><tr><td>W<br>H<br>D<td>1<br><br>3<td>&nbsp;<br>5<br>6</table>",
        "```\nW  1\nH     5\nD  3  6\n```",
    ),
    (
        "<table><tr><td><p>k</p><p>l</p><p>m</p><td><p>v</p><p>&nbsp;</p><p>x</p><td>1<div><br></div>3</table>",
        "```\nk  v  1\nl\nm  x  3\n```",
    ),
    ("<table><tr><td>k<br>l<td><br>w</table>", "*k:*\n*l:* w"),
    ("<table><tr><td>k:<br>l:<br>m:<td>1<br><br>3<br>see note</table>", "*k:* 1\n*l:*\n*m:* 3\nsee note"),
    ("<table><tr><td>k:<br>l:<br>m:<td>1<br>2<br>&nbsp;</table>", "*k:* 1\n*l:* 2\n*m:*"),
    ("<table><tr><td>k<br>l<br>m<td>1<br>2<br>3<br>4</table>", "```\nk  1\nl  2\nm  3\n   4\n```"),
    ("<table><tr><td>k:<td><br>a<br><br><br>b<br></table>", "*k:* a\n\nb"),
    ("<table><tr><td><br><br>a<br><br><br>b<td><img></table>c<div>&nbsp;</div>d", "a\n\nb\nc\n\nd"),
    ("<table><tr><td>Key:<td><a href='https://a.example'>S1</a></table>", "*Key:* <S1|https://a.example>"),
    ("<table><tr><td>k :<td><ul><li>a<li>b</ul></table>", "*k :*\n• a\n• b"),
    ("<table><tr><td>k<td>" + LONG + "</table>", "*k:* " + LONG),
    (
        "<table><tr><td>Site<br>Owner<td><a href='https://a.example'>S1</a><br>Jo</table>",
        "*Site:* <S1|https://a.example>\n*Owner:* Jo",
    ),
    (
        "<table><tr><td colspan=2>Dear Ann,<tr><td>Due:<td><tr><td>k<td><tr><td>T =<td>3<tr><td>名前：<td>a</table>",
        "Dear Ann,\n*Due:*\n*k:*\n*T =* 3\n*名前：* a",
    ),
    ("<table><tr><th>k<td>v<tr><th>Empty<td></table>", "*k:* v\n*Empty:*"),
    ("<table><tr><td>☑<td>Paint<tr><td>•<td><b>First</b></table>", "☑ Paint\n• *First*"),
    ("<table><tr><td>→<td><a href='https://a.example'>go</a></table>", "→ <go|https://a.example>"),
    ("<del><table><tr><td>k<td>v<tr><td>l<td>w</table></del>", "~*k:*~ ~v~\n~*l:*~ ~w~"),
    ("<table><tr><td><s>k</s><td><tr><td>l<td>w</table>", "~*k:*~\n*l:* w"),
    ("<table><tr><th colspan=2>T<tr><th>a<th>b<tr><td>1<td>" + LONG + "</table>", "T\n*a:* 1\n*b:* " + LONG),
    ("<table><tr><th colspan=2>T<tr><th>a<th>b<tr><td>1<td>2</table>", "T\n```\na  b\n-  -\n1  2\n```"),
    (
        "<table><tr><th rowspan=2>Site<th colspan=2>Dates<tr><th>Plan<th>Actual<tr><td>S1<td>1<td>" + LONG + "</table>",
        "*Site:* S1\n*Dates Plan:* 1\n*Dates Actual:* " + LONG,
    ),
    (
        "<table><tr><th rowspan=2>Site<th colspan=2>Dates<tr><th>Plan<th>Done<tr><td>S1<td>1<td>2</table>",
        "```\nSite  Dates\n      Plan   Done\n----  -----  ----\nS1    1      2\n```",
    ),
    (
        "<table><tr><th>a<th>b<tr><td rowspan=2><a href='https://a.example'>S1</a><td>"
        + LONG
        + "<tr><td>1<tr><td>S2<td>2</table>",
        "*a:* <S1|https://a.example>\n*b:* " + LONG + "\n\n*a:* <S1|https://a.example>\n*b:* 1\n\n*a:* S2\n*b:* 2",
    ),
    (
        "<table><tr><th>a<th>b<tr><td rowspan=2>S1<td>" + LONG + "<tr><td>1<tr><td><td>2</table>",
        "*a:* S1\n*b:* " + LONG + "\n\n*a:* S1\n*b:* 1\n\n*b:* 2",
    ),
    ("<table><tr><td rowspan=2>a<td>b<td>c<tr></tr><tr><td>d<td>e<td>f</table>", "```\na  b  c\nd  e  f\n```"),
    ("<table><tr><td><b>a</b><td>1<td>2<tr><td>b<td>3<td>4</table>", "```\na  1  2\nb  3  4\n```"),
    ("<table><tr><th colspan=2>Title<tr><td>k<td>v<tr><td>l<td>w</table>", "Title\n*k:* v\n*l:* w"),
    ("<b><table><tr><td>a<td>b<td>c<tr><td>d<td>e<td>f</table></b>", "```\na  b  c\nd  e  f\n```"),
    ("<table role=presentation><tr><td>a<td>b<tr><td>c<td>d</table>", "a\nb\nc\nd"),
    ("<table><tr><td><a href='https://a.example'>Yes</a><td>No</table>", "<Yes|https://a.example>\nNo"),
    ("<table><tr><td>a<td><table><tr><td>k<td>v<tr><td>l<td>w</table></table>", "a\n*k:* v\n*l:* w"),
    ("<table><tr><td><p>a</p><p>b</p></table><td>c</td>", "a\n\nb\nc"),
    ("<ul><li>x<table><tr><td>k<td>v<tr><td>l<td>w</table></ul>", "• x\n    *k:* v\n    *l:* w"),
]
HIDDEN = [
    ("a<div hidden>x</div><div style='display : none !important'>x</div>b", "ab"),
    ("a<p style='visibility:hidden'>x<b>y</b></p>", "a"),
    ("<td style='font-size:0px'>x<div style='font-size:13px'>b</div></td>", "b"),
    (
        "<div style='font-size:0'>x<span style='font:14px/20px Arial'>a</span> x <font size=3>b</font>"
        "<style>.t{font-size:14px}</style><p class=t>c</p><table><tr><td>d</table></div>",
        "ab\n\nc\n\nd",
    ),
    ("<div style='max-height:0;overflow:hidden'>x</div><div style='max-height:0'>b</div>", "b"),
    ("<span style='mso-hide:all'>x</span>b", "b"),
    ("<style>.p, td.q{display:none} @media print{.r{display:none}}</style><i class='z p'>x</i><b class=r>b</b>", "*b*"),
    (
        "<style>@media print{.r{color:red} @supports (x:y){.p{display:none} .q{display:none}} .r{display:none}} "
        ".s{display:none}</style><i class='p q r'>a</i><b class=s>x</b>",
        "_a_",
    ),
    (
        "<style media='screen and (max-width:9px)'>.a{display:none}</style><style media=print>.b{display:none}</style>"
        "<style media=Screen>.c{display:none}</style><i class=a>a</i><i class=b>b</i><i class=c>x</i>",
        "_ab_",
    ),
    ("<style>td.s{display:none}</style><p class=s>a</p><table><tr><td class=s>x</table>", "a"),
    ("<style>.a{display:none} .b{display:none} .a{display:block}</style><p class=a>a</p><p class=b>x", "a"),
    ("<style>.a{display:none}</style><i class=a style='display:inline'>a</i><i class=a style='color:red'>x", "_a_"),
    (
        "<div style='display:none'><a href='https://a.example'>x</a></div><a href='https://a.example'><img src=i></a>",
        "<a.example|https://a.example>",
    ),
    ("<a href='https://a.example'><i hidden>x</i><img src=i></a>", "<a.example|https://a.example>"),
    ("a<table hidden><tr><td>x</table>b<ul style='display:none'><li>x</ul>c<p hidden>x<br hidden>", "abc"),
    (
        "<style>.s{text-decoration:line-through} .b{font-weight:bold} .w{white-space:pre-wrap}</style>"
        "<i class=s>a</i> <u class='x b'>b</u><p class=w>c\nd",
        "~_a_~ *b*\n\nc\nd",
    ),
    ("<title>x</title><script>x</script><template>x</template>b", "b"),
]
CHARACTERS = [
    ("a\x0bb\x0cc\x85d&#11;e", "a b c d e"),
    ("don\x92t \x93q\x94 don&#146;t", "don’t “q” don’t"),
    ("\u202eevil\u2066 \x00\x07x", "evil x"),
    ("&lt;!channel&gt; &amp;lt; <@U1> 1 < 2 &copy; <x", "<!channel> &lt; <@U1> 1 < 2 © <x"),
    ("<a b c d", "<a b c d"),
    ("<p x='1' y < 2 words <b>c</b>", "< 2 words *c*"),
    ("<?xml version='1.0' encoding='latin-1'?><p>é</p>", "é"),
    ("", ""),
    ("<!-- x -->", ""),
]
TABLE = STYLES + SCRIPTS + BLOCKS + LISTS + LINKS + IMAGES + TABLES + HIDDEN + CHARACTERS


@pytest.mark.parametrize(("html", "shown"), TABLE)
def test_a_mail_is_shown_as_a_browser_shows_it(html, shown):
    assert marked(html) == shown


@pytest.mark.parametrize("name", sorted(name[:-5] for name in os.listdir(MAILS) if name.endswith(".html")))
def test_a_whole_mail_becomes_the_blocks_and_the_text_that_are_right(name):
    with open(os.path.join(MAILS, name + ".html"), encoding="utf-8") as mail:
        composed = message.compose(mail_of(mail.read()), OV_URL, [])
    with open(os.path.join(MAILS, name + ".json"), encoding="utf-8") as expected:
        assert [dict(part._asdict()) for part in composed.parts] == json.load(expected)
    for part in composed.parts:
        assert_slack_takes(part.blocks)


# Nothing that a mail holds can stop the run

LINK = "<a href='https://a.example'>x</a>"
BOMBS = {
    "cells that span": "<table>" + "<tr><td colspan=100 rowspan=100>x" * 3000,
    "open links": "<a " * 900 + "word " * 60000,
    "nothing but open links": "<a " * 300000,
    "divs": "<div>" * 180000 + LINK,
    "crossed ends": "<b><div></b>" * 40000 + "</i>" * 100000 + LINK,
    "paragraphs": "<p>x" * 250000,
    "nested tables": "<table><tr><td>a<td>" * 20000,
    "a long head": "<table><tr><th>" + "x" * 100000 + "<th>b<th>c" + "<tr><td>1<td>2<td>3" * 9000,
    "lines in nested tables": "<table><tr><td>k<td>" * 600 + "x<br>" * 25000,
    "lines in nested tables with heads": "<table><tr><th>k<th>v<tr><td>k<td>" * 600 + "x<br>" * 25000,
    "heads that span": "<table>" + "<tr><th colspan=100 rowspan=9>x<th>y" * 13000 + "<tr><td>1<td>2",
    "a long cell that spans": "<table><tr><th>a<th>b<tr><td rowspan=9999>" + "x" * 99999 + "<td>" + "<tr><td>1" * 19000,
    "nested lists": "<ul><li>" * 100000,
    "a list of a long type": "<ol type='" + "a" * 400000 + "' reversed='" + "a" * 300000 + "'>" + "<li>x" * 30000,
    "nested links": "<a href='https://a.example'><b>" * 1000 + "<i></i>" * 18000,
    "addresses": "https://a.example/ " * 52000,
    "beginnings of addresses": "mailto:" * 140000,
    "attributes": "<a " + " ".join("a%d=1" % number for number in range(100000)) + ">x</a>",
    "attributes behind a quoted end": "<a t='>' " + "/".join("a%d" % number for number in range(100000)) + ">x</a>",
    "quotes without values": "<a " + " ".join('"%d"' % number for number in range(100000)) + ">x</a>",
    "blanks before no target": "<div>" * 2100 + "<a href=" + " " * 50000 + ">x</a>",
    "long names": ("<" + "a" * 990 + ">") * 500 + ("</" + "a" * 990 + ">") * 500,
    "open quotes": '<a href="' * 100000,
    "styles": "<p style='color:red;font-weight:bold'>x</p>" * 23000,
    "classes": "<style>" + ".a{font-size:1;display:block;overflow:x;white-space:normal}" * 5000 + "</style>"
    "<p class='" + "a " * 20 + "'>x" * 12000,
    "rules": "<style>.a{"
    + ";".join("a%d:1" % number for number in range(20000))
    + "}</style>"
    + "<p class=a>x" * 30000,
    "long rules": "<style>.a{font:" + "x " * 300000 + "}</style>" + "<p class=a>x" * 30000,
    "powers": "1<sup>2</sup>" * 20000,
    "open braces": "<style>" + ".a{" * 300000 + "</style>x",
    "beginnings of pictures": "<img src='data:;base64," * 30000 + "=data:" * 100000,
    "code": "<pre>" + "x\n" * 480000,
    "less than": "<" * 10**7,
    "a mail of 10 MB": "<p>Hello <b>you</b></p>\n" * 450000,
    "a mail of 10 MB of links": "<a href='https://a.example/x'>y</a>\n" * 280000,
    "a mail of 10 MB with an emoji": "<p>Hello <b>you</b></p>\n" * 400000 + "\U0001f600",
    "a word of 10 MB": "x" * 10**7,
}


# Run in a process of its own, whose memory is that of this mail.
CONVERSION = """
import json, sys, time
from slack_notification.message import compose
from slack_notification.records import Record

def megabytes():
    with open("/proc/self/status") as file:
        return int(file.read().split("VmHWM:")[1].split()[0]) // 1024 if sys.platform == "linux" else 0

html = sys.stdin.buffer.read().decode("utf-8")
begin, before = time.process_time(), megabytes()
message = compose(Record(1, 2, None, html, True, (), "", ""), "https://acme.onevizion.com", [])
seconds, used = time.process_time() - begin, megabytes() - before
print(json.dumps([seconds, used, [[part.blocks, part.text] for part in message.parts]]))
"""


@pytest.mark.parametrize("html", list(BOMBS.values()), ids=list(BOMBS))
def test_a_mail_that_wants_to_stop_the_run_is_read_within_2_seconds_and_200_MB(html):
    command = [sys.executable, "-c", CONVERSION]
    output = subprocess.run(command, input=html.encode("utf-8"), stdout=subprocess.PIPE, check=True).stdout
    seconds, megabytes, parts = json.loads(output.decode("utf-8"))
    assert seconds < 2
    assert megabytes < 200
    assert 1 <= len(parts) <= 40
    assert all(len(json.dumps(blocks)) < 11000 and len(text) <= 4000 for blocks, text in parts)


@pytest.mark.parametrize(
    "opening", ["<div>" * 340, "<table><tr><td>" * 110, "<div>" * 5000, "<ul><li>" * 200, "<blockquote>" * 300]
)
def test_deep_mails_keep_their_words_and_links(opening):
    assert re.search(r"x \(https://a\.example\)", plain(rich_text(read_html(opening + LINK)[0])))


def test_the_text_of_a_mail_that_is_too_long_for_posts_is_complete():
    link = "<a class='x' href='https://a.example/%d'>y &amp; z</a>"
    html = "".join(("<p>word%dend " + link + "</p>\n") % (number, number) for number in range(60000))
    composed = message.compose(mail_of(html), OV_URL, [])
    whole = "\n".join(part.text for part in composed.parts) + composed.rest
    assert re.findall(r"word(\d+)end", whole) == [str(number) for number in range(60000)]
    assert re.findall(r"a\.example/(\d+)\)", whole) == [str(number) for number in range(60000)]
    assert "word59999end y & z (https://a.example/59999)" in composed.rest
    assert not re.search("[<>]|&amp;", composed.rest)


@pytest.mark.parametrize(
    "tag", ["<img src='%s'>", '<IMG ALT="" SRC = "%s" width=5>', "<img src=%s>", "<p style='background: url( %s )'>"]
)
@pytest.mark.parametrize("line_end", ["", "\r\n"])
def test_a_picture_in_a_mail_costs_none_of_its_words(tag, line_end):
    picture = "data:image/png;BASE64," + ("iVBORw0KGgo+/%2B" * 5 + line_end) * 14000 + "=="
    mail = "<style>.x{display:none}</style><p class=x>x<p>Intro</p>%s<p>Approve.</p>%s" % (tag, tag)
    composed = message.compose(mail_of(mail % (picture, picture)), OV_URL, [])
    assert (composed.parts[0].text.split("\n")[:-1], composed.rest) == (["Intro", "", "Approve."], "")


def test_a_mail_that_cannot_be_read_is_shown_as_its_text_and_links(monkeypatch, caplog):
    caplog.set_level("DEBUG", "slack-notification.progress")
    monkeypatch.setattr(html_mail, "tree_of", lambda html: [][0])
    mail = "<p>a <b>b</b></p><p>see https://a.example or <a class=x href='https://b.example/?x=1&amp;y'>c</a><!-- x -->"
    shown = "see <https://a.example|https://a.example> or c (<https://b.example/?x=1&y|https://b.example/?x=1&y>)"
    assert marked(mail) == "a b\n\n" + shown
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "IndexError" in caplog.text


# For any mail

NAMES = ["p", "div", "b", "i", "s", "code", "pre", "table", "tr", "td", "th", "ul", "ol", "li", "blockquote", "h2"]
TAGS = st.sampled_from(NAMES + ["span", "a", "dl", "dt", "dd", "center", "font"])
FRAGMENTS = st.one_of(
    TAGS.map("<{}>".format),
    TAGS.map("</{}>".format),
    st.sampled_from(["<!channel>", "<@U1>", "&lt;!here&gt;", "&#0;", "&#xD800;", "&#11;", "<br>", "<hr>", "<q>"]),
    st.sampled_from(["<!--", "-->", "<![if x]>", "<![CDATA[", "]]>", "<?", "<style>", "</style>", "'", ">", "<", "&"]),
    st.sampled_from(
        ["<a href='", "' >", "<a href='https://a.example'>", "<img alt='<!here>'>", "<td colspan=3 rowspan=2>"]
    ),
    st.sampled_from(
        ["<sup>", "<input type=checkbox>", "<img src='https://a.example'>", "<ol start=-3 type=i>", "<tbody>"]
    ),
    st.sampled_from(["<p style='display:none'>", "<b style='font-weight:100;white-space:pre'>", "<table role=none>"]),
    st.text(max_size=10),
)


def trees(children):
    element = st.tuples(TAGS, children).map(lambda pair: "<{0} href='https://a.example'>{1}</{0}>".format(*pair))
    return st.lists(element | children, max_size=4).map("".join)


def runs_of(elements):
    for element in elements:
        if "elements" in element:
            yield from runs_of(element["elements"])
        else:
            yield element


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS).map("".join))
def test_no_mail_raises_or_becomes_what_slack_refuses_or_a_link_that_it_did_not_have(html):
    composed = message.compose(mail_of(html), OV_URL, [])
    assert composed == message.compose(mail_of(html), OV_URL, [])
    for part in composed.parts:
        assert_slack_takes(part.blocks)
        assert not re.search("[<>]|&(?!amp;|lt;|gt;)", part.text)
        for block in part.blocks:
            for run in runs_of(block["elements"]) if block["type"] == "rich_text" else []:
                assert run.get("url", A).rstrip("/") == A or run["url"].split("://")[1][:5] in html


@settings(max_examples=300, deadline=None)
@given(st.recursive(st.sampled_from(["word ", "word", "<br>", "&nbsp;", " "]), trees, max_leaves=30))
def test_no_word_of_a_mail_is_lost_or_doubled(mail):
    numbers = iter(range(1000))
    numbered = re.sub("word", lambda _: "word{}end".format(next(numbers)), mail)
    shown = plain(rich_text(read_html(numbered)[0]))
    assert sorted(re.findall(r"word\d+end", shown)) == sorted(re.findall(r"word\d+end", numbered))
