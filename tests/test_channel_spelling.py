"""What an admin enters as a channel, and what Slack is asked for."""

import pytest

from slack_notification.errors import Failure
from slack_notification.recipients import channel_from_field, name_instead

ID, PERSON = "C0123456789", "U0123456789"


@pytest.mark.parametrize(
    ("entered", "channel"),
    [
        ("general", "#general"),
        ("#General", "#general"),
        ("＃general", "#general"),
        (" ##ops ", "#ops"),
        ("größe_1-a", "#größe_1-a"),
        ("\u200bgen\u00aderal\u200f\ufeff", "#general"),
        ("\u2066#C0123456789\u2069", ID),
        (ID, ID),
        ("#" + ID, ID),
        ("D0123456789", "D0123456789"),
        ("W0123456789", "W0123456789"),
        ("c0123456789", "#c0123456789"),
        ("CEO", "#ceo"),
        ("CONSTRUCTION", "CONSTRUCTION"),
        ("#DELIVERIES", "DELIVERIES"),
        ("@" + PERSON, PERSON),
        ("<@%s>" % PERSON, PERSON),
        ("<@%s|ann>" % PERSON, PERSON),
        ("<#%s|general>" % ID, ID),
        ("<#%s|>" % ID, ID),
        ("https://acme.slack.com/archives/" + ID, ID),
        ("acme.slack.com/archives/%s/p1700000000000100?thread_ts=1.2&cid=%s" % (ID, ID), ID),
        ("<https://acme.slack.com/archives/%s|general>" % ID, ID),
        ("https://acme.enterprise.slack.com/archives/%s/" % ID, ID),
        ("https://acme.slack-gov.com/archives/" + ID, ID),
        ("https://acme.slack.com/messages/" + ID, ID),
        ("https://acme.slack.com/messages/general/", "#general"),
        ("https://acme.slack.com/team/" + PERSON, PERSON),
        ("https://app.slack.com/client/T0000000001/" + ID, ID),
        ("app.slack.com/client/E0000000001/%s/thread/x" % ID, ID),
        ("https://app.slack.com/huddle/T0000000001/" + ID, ID),
        ("https://acme.slack.com/canvas/%s?focus=1" % ID, ID),
        ("https://acme.slack.com/archives/gr%C3%B6%C3%9Fe", "#größe"),
        ("https://slack.com/app_redirect?channel=" + ID, ID),
        ("https://slack.com/app_redirect?channel=%23General", "#general"),
        ("https://slack.com/app_redirect?team=T0000000001&channel=%23" + ID, ID),
        ("https://slack.com/app_redirect?team=T0000000001&channel=%s&x=1" % ID, ID),
        ("https://slack.com/app_redirect?channel=general", "#general"),
        ("slack://channel?team=T0000000001&id=" + ID, ID),
        ("slack://user?id=%s&team=T0000000001" % PERSON, PERSON),
    ],
)
def test_every_form_in_which_Slack_hands_out_a_channel_or_a_person_is_understood(entered, channel):
    assert channel_from_field(entered) == channel


@pytest.mark.parametrize("text", ["", " ", "#", "\u200b"])
def test_an_empty_field_is_told_as_such(text):
    with pytest.raises(Failure, match="^enter a channel in the user's field"):
        channel_from_field(text)


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "ann@example.com",
        "@ann",
        "<!channel>",
        "a,b",
        "a\x1bb",
        "x" * 81,
        "https://example.com/archives/" + ID,
        "https://slack.com.example.com/archives/" + ID,
        "https://app.slack.com/client/T0000000001/later",
        "https://acme.slack.com/canvas/F0123456789",
        "https://slack.com/app_redirect?channel=%40ann",
        "slack://open",
    ],
)
def test_what_cannot_be_a_channel_is_refused_with_what_to_do(text):
    with pytest.raises(Failure) as refused:
        channel_from_field(text)
    assert str(refused.value).startswith("enter a channel's name, ID or link")
    assert not refused.value.retryable
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "typed", ["CONSTRUCTION", "DELIVERIES", "WAREHOUSE", "CUSTOMERS2026", "C2025PROJECTS", "COVID19UPDATES"]
)
def test_a_name_in_capitals_that_looks_like_an_ID_is_tried_as_a_name_too(typed):
    assert name_instead(channel_from_field(typed)) == "#" + typed.lower()


@pytest.mark.parametrize("channel", [ID, PERSON, "C024BE91L", "GA1B2C3D4", "C08ABC1DEF2", "#construction", "#ops", ""])
def test_a_real_ID_or_a_name_is_asked_for_once(channel):
    assert name_instead(channel) == ""


def test_a_name_in_capitals_is_found_and_a_real_ID_is_asked_for_once(world):
    world.slack.add_channel("c2025projects")
    found, unknown, real = world.record("C2025PROJECTS"), world.record("COVID19UPDATES"), world.record(ID)
    assert world.run().status == 1
    assert [world.onevizion.status(record) for record in (found, unknown, real)] == ["SUCCESS", "FAIL", "FAIL"]
    assert len(world.texts("c2025projects")) == 1
    asked = sorted(call.form["channel"] for call in world.slack.calls_to("chat.postMessage"))
    assert asked == ["#c2025projects", "#covid19updates", ID, "C2025PROJECTS", "COVID19UPDATES"]
