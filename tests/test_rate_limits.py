"""Slack's rate limits: a channel waits as long as Slack says, and no other waits with it."""

import datetime
import re

import pytest

from slack_notification import delivery

POST = "chat.postMessage"


def saved(world, record):
    return [status for saved_record, status in world.onevizion.history if saved_record == record]


@pytest.mark.parametrize(
    ("fault", "wait"),
    [
        ({"status": 429, "headers": {"Retry-After": "0.3"}}, 0.3),
        ({"status": 429, "headers": {"Retry-After": "0.3"}, "body": {"ok": False, "error": "ratelimited"}}, 0.3),
        ({"status": 200, "headers": {"Retry-After": "0.3"}, "body": {"ok": False, "error": "rate_limited"}}, 0.3),
    ],
)
def test_a_429_is_no_failed_attempt_and_the_channel_waits_as_long_as_Slack_says(world, fault, wait):
    record = world.record("ops")
    other = world.record("dev")
    world.slack.fault(POST, where=lambda call: call.form["channel"] == "#ops", **fault)
    run = world.run()
    assert run.status == 0
    assert saved(world, record) == ["SENDING", "SUCCESS"]
    assert not world.onevizion.attempts
    first, second = [post.at for post in world.slack.calls_to(POST) if post.form["channel"] == "#ops"]
    assert second - first >= wait
    assert saved(world, other) == ["SENDING", "SUCCESS"]
    assert world.onevizion.history.index((other, "SUCCESS")) < world.onevizion.history.index((record, "SUCCESS"))
    assert "waiting 0.3 s, Slack's rate limit" in run.console


@pytest.mark.parametrize("header", [None, "", "soon", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"])
def test_without_a_readable_Retry_After_the_wait_grows(world, header, monkeypatch):
    monkeypatch.setattr(delivery, "WAIT_WITHOUT_HEADER_SECONDS", 0.05)
    world.record()
    world.slack.fault(POST, times=3, status=429, headers={} if header is None else {"Retry-After": header})
    run = world.run()
    assert run.status == 0
    posts = [call.at for call in world.slack.calls_to(POST)]
    gaps = [later - earlier for earlier, later in zip(posts, posts[1:])]
    assert len(gaps) == 3
    assert all(gap >= 0.05 * 2**number for number, gap in enumerate(gaps))


def test_a_channel_that_stays_closed_for_longer_than_a_run_waits_is_left_to_the_next_run(world, monkeypatch):
    monkeypatch.setattr(delivery, "WAIT_LIMIT_SECONDS", 0.5)
    records = [world.record() for _ in range(3)]
    limited = world.slack.fault(POST, times=None, status=429, headers={"Retry-After": "0.2"})
    assert world.run().status == 1
    assert limited.applied == 3
    assert world.onevizion.history == [(records[0], "SENDING"), (records[0], "NOT_SENT")]
    assert not world.onevizion.attempts


def test_a_post_that_is_accepted_begins_the_wait_for_a_channel_anew(world, monkeypatch):
    monkeypatch.setattr(delivery, "WAIT_LIMIT_SECONDS", 0.25)
    records = [world.record() for _ in range(3)]
    once_each = {}
    first_time = lambda call: once_each.setdefault(call.form["text"], call) is call  # noqa: E731
    for record in world.onevizion.records:
        record["subj"] = "Number %d" % record["notifQueueId"]
    world.slack.fault(POST, times=None, where=first_time, status=429, headers={"Retry-After": "0.2"})
    assert world.run().status == 0
    assert {world.onevizion.status(record) for record in records} == {"SUCCESS"}


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_a_channel_that_Slack_closes_for_15_minutes_keeps_its_records_for_the_next_run(world, max_attempts):
    world.settings = {"maxAttempts": max_attempts, "nextAttemptDelay": 0}
    closed = [world.record("ops", status="FAIL_WILL_RETRY" if n % 2 else "NOT_SENT") for n in range(20)]
    before = [world.onevizion.status(record) for record in closed]
    others = [world.record("dev") for _ in range(5)]
    order = {"status": 429, "headers": {"Retry-After": "900"}}
    world.slack.fault(POST, times=None, where=lambda call: call.form["channel"] == "#ops", **order)
    run = world.run()
    assert run.status == 1
    assert [world.onevizion.status(record) for record in closed] == before
    assert {world.onevizion.status(record) for record in others} == {"SUCCESS"}
    assert not world.onevizion.attempts
    assert [call.form["channel"] for call in world.slack.calls_to(POST)].count("#ops") == 1
    (warning,) = [entry for entry in world.log("Warning") if entry.startswith("#ops")]
    assert re.match(
        r"#ops: Slack accepts no messages here until ([-\d]+ )?\d\d:\d\d:\d\d: its records stay in the queue", warning
    )
    assert world.log("Warning")[-1].startswith("delivered 5, failed 0, left pending 20")


@pytest.mark.parametrize(
    ("header", "days"), [("90000", (1, 2)), ("1e9", (7,)), ("99999999999999999999", (7,)), ("1e300", (7,))]
)
def test_a_wait_beyond_the_day_names_the_day_and_one_beyond_reason_is_taken_for_a_week(world, header, days):
    records = [world.record("ops") for _ in range(2)] + [world.record("dev")]
    in_ops = lambda call: call.form["channel"] == "#ops"  # noqa: E731
    world.slack.fault(POST, None, where=in_ops, status=429, headers={"Retry-After": header})
    today = datetime.date.today()
    assert world.run().status == 1
    assert [world.onevizion.status(record) for record in records] == ["NOT_SENT", "NOT_SENT", "SUCCESS"]
    assert not world.onevizion.attempts
    (until,) = re.findall(r"^#ops: Slack accepts no messages here until (.{10}) \d\d:", "\n".join(world.log()), re.M)
    assert until in [str(today + datetime.timedelta(each)) for each in days]


def test_one_channel_that_is_limited_does_not_slow_down_the_others(world):
    world.record("ops")
    for number in range(30):
        world.slack.add_channel("c%d" % number)
        world.record("c%d" % number)
    world.slack.fault(POST, where=lambda call: call.form["channel"] == "#ops", status=429, headers={"Retry-After": "1"})
    assert world.run().status == 0
    last_to_arrive = world.slack.messages[-1]
    assert last_to_arrive.name == "#ops"
    assert last_to_arrive.at - world.slack.messages[0].at >= 0.9


def test_two_channels_that_are_limited_at_once_slow_the_whole_workspace_down(world):
    for number in range(6):
        world.slack.add_channel("c%d" % number)
        world.record("c%d" % number)
    world.slack.fault(POST, times=2, status=429, headers={"Retry-After": "1"})
    assert world.run().status == 0
    *_, last_but_one, last = [call.at for call in world.slack.calls_to(POST)]
    # Those that were refused come again one after the other: a quarter of a second, a little less with each success.
    assert last - last_but_one >= 0.1
