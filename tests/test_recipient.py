"""What the recipient reads, through the program: long messages, HTML, and texts that must stay texts."""

import pytest

from slack_notification import delivery, message

POST = "chat.postMessage"
LINES = "\n".join("line %04d of a long report" % number for number in range(600))


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
    assert joined(world) == "*Report*\n%s\n<%s|127.0.0.1>" % (LINES, world.onevizion.url)
    assert world.onevizion.history == [(record, "SENDING"), (record, "SUCCESS")]


@pytest.mark.parametrize("failing_part", [1, 2, 3])
def test_the_next_round_goes_on_with_the_part_that_failed(world, failing_part):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record(subj="Report", msg=LINES)
    world.slack.fault(POST, after=failing_part, error="internal_error")
    assert world.run().status == 0
    assert joined(world) == "*Report*\n%s\n<%s|127.0.0.1>" % (LINES, world.onevizion.url)
    assert len({message.text for message in world.slack.messages}) == len(world.slack.messages)
    assert len({message.thread_ts for message in world.slack.messages[1:]}) == 1
    (attempt,) = world.onevizion.attempts[record]
    assert attempt.endswith("(part %d of %d)" % (failing_part + 1, len(world.slack.messages)))


def test_a_part_that_never_arrives_is_FAIL_and_the_parts_before_it_stay(world):
    record = world.record(msg=LINES)
    world.slack.fault(POST, times=None, after=1, error="cannot_reply_to_message")
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"
    assert len(world.slack.messages) == 1


def test_a_long_message_holds_up_no_other_channel(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.3)
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
    assert world.texts()[0].split("\n")[1] == "Hello *you* &amp; <https://example.com/?a=1&amp;b=2|them>"


@pytest.mark.parametrize("html", [False, None, ""])
def test_plain_text_is_never_HTML(world, html):
    world.record(msg="<b>bold?</b> &amp;", html=html)
    assert world.run().status == 0
    assert world.texts()[0].split("\n")[1] == "&lt;b&gt;bold?&lt;/b&gt; &amp;amp;"


@pytest.mark.parametrize("html", [True, False])
@pytest.mark.parametrize(
    "text", ["<!channel>", "<@U0000000001>", "<#C0000000001>", "<https://evil.example|bank>", "@channel @here"]
)
def test_no_text_mentions_anyone_or_forges_a_link(world, text, html):
    data = message.escape(text) if html else text
    world.record(subj=text, msg=data, html=html)
    assert world.run().status == 0
    subject, body, address = world.texts()[0].split("\n")
    assert subject == "*%s*" % message.escape(text)
    assert body == message.escape(text)
    assert address == "<%s|127.0.0.1>" % world.onevizion.url


def test_odd_characters_stop_no_run(world):
    world.record(subj="a\x00b\ud800", msg="one\r\ntwo\rthree\u2028four \udc00 \x1b[31m")
    run = world.run()
    assert run.status == 0
    assert world.texts()[0].split("\n")[:5] == ["*ab\ufffd*", "one", "two", "three", "four \ufffd [31m"]


def test_a_hundred_thousand_characters_in_one_line_arrive(world):
    world.record(msg="x" * 100000)
    assert world.run().status == 0
    assert sum(message.text.count("x") for message in world.slack.messages) == 100000


def test_no_package_talks_to_the_admin(world):
    for html in ("settings.json", "<?xml version='1.0'?><p>x</p>", "https://example.com"):
        world.record(html=True, msg=html)
    run = world.run_process()
    assert run.status == 0
    assert all(line[2] == ":" for line in run.console.splitlines()), run.console
