"""What the recipient reads, through the program: long messages, HTML, and texts that must stay texts."""

import pytest

from slack_notification import delivery, rich_text

POST = "chat.postMessage"
LINES = "\n".join("line %04d of a long report" % number for number in range(600))
NOTE = "continued in the thread"


def footer(world):
    return "OneVizion · 127.0.0.1 (%s)" % world.onevizion.url


def joined(world):
    """Return the text of all messages, without the line ends that part them."""
    return "\n".join(message.text.strip("\n") for message in world.slack.messages)


def test_a_long_message_goes_on_as_replies_and_nothing_is_dropped(world):
    record = world.record(subj="Report", msg=LINES)
    run = world.run()
    assert run.status == 0
    first, replies = world.slack.messages[0], world.slack.messages[1:]
    assert first.thread_ts is None
    assert len(replies) >= 3
    assert {reply.thread_ts for reply in replies} == {first.ts}
    assert all(len(message.text) <= 4000 for message in world.slack.messages)
    assert len(world.slack.posts) == len(world.slack.messages), "Slack had to cut a part itself"
    assert joined(world).replace(NOTE + "\n", "") == "Report\n%s\n%s" % (LINES, footer(world))
    assert first.text.split("\n")[-1] == NOTE
    assert world.onevizion.history == [(record, "SENDING"), (record, "SUCCESS")]


@pytest.mark.parametrize("failing_part", [1, 2, 3])
def test_the_next_attempt_goes_on_with_the_part_that_failed(world, failing_part):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record(subj="Report", msg=LINES)
    world.slack.fault(POST, after=failing_part, error="internal_error")
    assert world.run().status == 0
    assert joined(world).replace(NOTE + "\n", "") == "Report\n%s\n%s" % (LINES, footer(world))
    assert len({message.text for message in world.slack.messages}) == len(world.slack.messages)
    assert len({message.thread_ts for message in world.slack.messages[1:]}) == 1
    (attempt,) = world.onevizion.attempts[record]
    beginning = "record %d for USER-1001 (101) not delivered to #ops (part %d of %d): "
    assert attempt.startswith(beginning % (record, failing_part + 1, len(world.slack.messages)))


def test_a_part_that_never_arrives_is_FAIL_and_the_parts_before_it_stay(world):
    record = world.record(msg=LINES)
    world.slack.fault(POST, times=None, after=1, error="cannot_reply_to_message")
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"
    assert len(world.slack.messages) == 1


def test_a_long_message_holds_up_no_other_channel(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.1)
    world.record("ops", msg=LINES)
    world.record("dev")
    assert world.run().status == 0
    names = [message.name for message in world.slack.messages]
    assert names.index("#dev") < len(names) - 2


@pytest.mark.parametrize(
    "keys",
    [
        {"html": True, "msg": "<p>Hello <b>you</b> &amp; <a href='https://example.com/?a=1&amp;b=2'>them</a></p>"},
        {"html": "<p>Hello <b>you</b> &amp; <a href='https://example.com/?a=1&amp;b=2'>them</a></p>", "msg": "plain"},
    ],
)
def test_an_HTML_message_is_shown_as_one(world, keys):
    world.record(subj="Mail", **keys)
    assert world.run().status == 0
    assert world.texts()[0].split("\n")[1] == "Hello you &amp; them (https://example.com/?a=1&amp;b=2)"
    _, body, _ = world.slack.messages[0].blocks
    (section,) = body["elements"]
    assert section["elements"] == [
        {"type": "text", "text": "Hello "},
        {"type": "text", "text": "you", "style": {"bold": True}},
        {"type": "text", "text": " & "},
        {"type": "link", "url": "https://example.com/?a=1&b=2", "text": "them"},
    ]


@pytest.mark.parametrize("html", [False, None, ""])
def test_plain_text_is_never_HTML(world, html):
    world.record(msg="<b>bold?</b> &amp;", html=html)
    assert world.run().status == 0
    assert world.texts()[0].split("\n")[1] == "&lt;b&gt;bold?&lt;/b&gt; &amp;amp;"


@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize(
    "text",
    ["<!channel>", "<@U0000000001>", "<#C0000000001>", "<https://evil.example|bank>", "@channel @here", "*a* _b_"],
)
def test_no_text_mentions_anyone_or_forges_a_link(world, text, html):
    data = rich_text.escape(text) if html else text
    world.record(subj=text, msg=data, html=html)
    assert world.run().status == 0
    subject, body, address = world.texts()[0].split("\n")
    assert subject == rich_text.escape(text)
    assert body == rich_text.escape(text)
    assert address == footer(world)
    header, rich, _ = world.slack.messages[0].blocks
    assert header["text"] == {"type": "plain_text", "text": text, "emoji": False}
    (section,) = rich["elements"]
    assert "".join(element["text"] for element in section["elements"]) == text
    assert {element["type"] for element in section["elements"]} <= {"text", "link"}
    assert all(element.get("url", element["text"]) == element["text"] for element in section["elements"])


def test_odd_characters_stop_no_run(world):
    world.record(subj="a\x00b\ud800", msg="one\r\ntwo\rthree\u2028four \udc00 \x1b[31m")
    run = world.run()
    assert run.status == 0
    assert world.texts()[0].split("\n")[:5] == ["ab\ufffd", "one", "two", "three", "four \ufffd [31m"]


def test_a_hundred_thousand_characters_in_one_line_arrive(world):
    world.record(msg="x" * 100000)
    assert world.run().status == 0
    assert sum(message.text.count("x") for message in world.slack.messages) == 100000


def test_no_package_talks_to_the_admin(world):
    for number, html in enumerate(("settings.json", "<?xml version='1.0'?><p>x</p>", "https://example.com")):
        world.slack.add_channel("team%d" % number)
        world.record("team%d" % number, html=True, msg=html)
    run = world.run_process()
    assert run.status == 0
    assert all(line[2] == ":" or line.startswith(" " * 9) for line in run.console.splitlines()), run.console


@pytest.mark.parametrize("error", ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"])
def test_a_message_whose_blocks_Slack_refuses_is_posted_at_once_with_its_text_alone(world, error):
    world.settings = {"maxAttempts": 1}
    record = world.record(subj="Form", msg="<b>content</b>", html=True)
    world.slack.fault(POST, times=None, where=lambda call: "blocks" in call.form, error=error)
    run = world.run()
    assert run.status == 0
    assert [post.outcome for post in world.slack.posts] == [error, "ok"]
    (message,) = world.slack.messages
    assert message.blocks is None
    assert message.text == "Form\ncontent\n" + footer(world)
    assert world.onevizion.history == [(record, "SENDING"), (record, "SUCCESS")]
    assert not world.onevizion.attempts


def test_a_part_whose_blocks_are_refused_leaves_the_others_their_blocks(world):
    world.record(msg=LINES)
    world.slack.fault(POST, after=1, error="invalid_blocks")
    assert world.run().status == 0
    blocks = [message.blocks is not None for message in world.slack.messages]
    assert blocks == [True, False] + [True] * (len(blocks) - 2)
    assert len({message.thread_ts for message in world.slack.messages[1:]}) == 1
    assert joined(world).replace(NOTE + "\n", "") == "Subject\n%s\n%s" % (LINES, footer(world))


def test_a_text_that_fails_too_is_one_failed_attempt(world):
    record = world.record()
    world.slack.fault(POST, error="invalid_blocks")
    world.slack.fault(POST, error="msg_too_long")
    assert world.run().status == 1
    assert [status for _, status in world.onevizion.history] == ["SENDING", "FAIL"]
    (attempt,) = world.onevizion.attempts[record]
    assert attempt.endswith("(Slack: msg_too_long)")


LARGE = "\n".join("line %05d of a very long report" % number for number in range(8000))


def test_a_message_that_is_too_long_goes_on_in_the_file_message_txt_and_nothing_is_lost(world):
    record = world.record(subj="Large", msg=LARGE)
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    (file,) = world.slack.files
    assert (file.name, file.channel, file.thread_ts) == (
        "message.txt",
        world.slack.messages[0].channel,
        world.slack.messages[0].ts,
    )
    assert len(world.slack.messages) <= 40
    posted = joined(world).replace(NOTE + "\n", "").split("\n")
    assert posted[0] == "Large"
    assert posted[-1] == "the rest is in the file message.txt · " + footer(world)
    assert "\n".join(posted[1:-1]) + "\n" + file.content.decode().strip("\n") == LARGE


def test_a_mail_that_is_too_long_goes_on_in_the_file_message_txt(world):
    world.record(html=True, msg="".join("<p>%s</p>" % line for line in LARGE.split("\n")))
    assert world.run().status == 0
    (file,) = world.slack.files
    words = (joined(world) + "\n" + file.content.decode()).split()
    assert [word for word in words if word.isdigit()] == ["%05d" % number for number in range(8000)]


def test_without_uploadAttachments_a_message_that_is_too_long_says_where_the_rest_is(world):
    world.settings["uploadAttachments"] = False
    world.record(msg=LARGE)
    assert world.run().status == 0
    assert world.slack.calls_to("files|/upload/") == []
    note = "this is not all: read the rest in OneVizion · "
    assert world.slack.messages[-1].text.split("\n")[-1] == note + footer(world)
    assert "message.txt" not in joined(world)
