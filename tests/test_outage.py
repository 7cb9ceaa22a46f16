"""An outage of Slack, and a channel that cannot be posted to: what is no record's fault burns no record."""

import re

import pytest

from slack_notification import delivery

POST = "chat.postMessage"
OUTAGES = {
    "503": {"status": 503, "body": "no"},
    "internal_error": {"error": "internal_error"},
    "service_unavailable": {"error": "service_unavailable"},
    "other 5xx": {"status": 504, "body": "<html>no</html>"},
    "page": {"status": 200, "body": "<html>maintenance</html>"},
    "cut before": {"cut": "before"},
    "cut after": {"cut": "after"},
    "workspace over its limit": {"error": "message_limit_exceeded"},
    "workspace on the move": {"error": "team_added_to_org"},
}


def fill(world, channels, records):
    """Add so many records, one after the other for each of so many channels, and return their ids."""
    for number in range(channels):
        world.slack.add_channel("c%d" % number)
    return [world.record("c%d" % (number % channels)) for number in range(records)]


def statuses(world, records):
    return [world.onevizion.status(record) for record in records]


def to_channel(name):
    return lambda call: call.form.get("channel") == name


@pytest.mark.parametrize("max_attempts", [1, 3])
@pytest.mark.parametrize("case", sorted(OUTAGES))
def test_an_outage_of_Slack_ends_the_run_and_no_record_ends_in_FAIL(world, case, max_attempts):
    world.settings = {"maxAttempts": max_attempts, "nextAttemptDelay": 0}
    records = fill(world, channels=10, records=40)
    world.slack.fault(POST, times=None, **OUTAGES[case])
    run = world.run()
    assert run.status == 2
    assert set(statuses(world, records)) <= {"NOT_SENT", "FAIL_WILL_RETRY"}
    assert len(world.slack.calls_to(POST)) < 40
    cause, *final = sorted(world.log("Error"), key=lambda text: "out of order" not in text)
    assert "Slack is out of order (3 posts in a row failed)" in cause
    # What was told as final before the third failure is taken back.
    assert sorted(text.split(" not ")[0] for text in final) == sorted(
        text.split(": not ")[0] for text in world.log("Warning")[:-1]
    )
    assert world.log()[-1].startswith("delivered 0, failed 0, left pending 40")


def test_what_failed_while_a_post_of_before_the_outage_was_still_under_way_is_pending_again_too(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 1.2)
    records = fill(world, channels=3, records=6)
    before = to_channel("#c0")  # only the first post there has the name, the next one has the ID
    world.slack.fault(POST, where=before, delay=0.8)
    world.slack.fault(POST, times=None, where=lambda call: not before(call), delay=0.3, error="internal_error")
    assert world.run().status == 2
    assert statuses(world, records) == ["SUCCESS"] + ["FAIL_WILL_RETRY"] * 5


def test_what_failed_before_Slack_took_later_posts_stays_final_in_an_outage(world):
    records = [world.record("ops") for _ in range(15)]
    world.slack.fault(POST, status=500, work=True)  # it may have been posted: not twice without anybody asking for it
    world.slack.fault(POST, times=None, after=2, status=503)
    assert world.run().status == 2
    assert statuses(world, records)[:3] == ["FAIL", "SUCCESS", "SUCCESS"]
    assert set(statuses(world, records)[3:]) <= {"FAIL_WILL_RETRY", "NOT_SENT"}


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_an_outage_with_a_single_channel_burns_no_record_either(world, max_attempts):
    world.settings = {"maxAttempts": max_attempts, "nextAttemptDelay": 0}
    records = fill(world, channels=1, records=40)
    world.slack.fault(POST, times=None, error="internal_error")
    assert world.run().status == 2
    assert set(statuses(world, records)) <= {"NOT_SENT", "FAIL_WILL_RETRY"}
    assert "Slack is out of order" in " ".join(world.log("Error"))


def test_what_an_outage_left_is_delivered_once_by_the_next_run(world):
    records = fill(world, channels=10, records=40)
    world.slack.fault(POST, times=None, status=503)
    assert world.run().status == 2
    world.slack.clear_faults()
    assert world.run().status == 0
    assert set(statuses(world, records)) == {"SUCCESS"}
    assert len(world.slack.messages) == 40


def test_an_outage_that_begins_in_the_middle_leaves_what_was_delivered_delivered(world):
    records = fill(world, channels=10, records=40)
    world.slack.fault(POST, times=None, after=15, error="fatal_error")
    assert world.run().status == 2
    counted = statuses(world, records)
    assert counted.count("SUCCESS") == 15
    assert "FAIL" not in counted
    assert "SENDING" not in counted


def test_parts_that_were_posted_before_an_outage_are_not_posted_again_after_it(world):
    words = []
    for name, channel in zip("abcd", ("ops", "dev", "ops", "dev")):
        words.append(["%s%05d" % (name, number) for number in range(700)])  # three parts or more
        world.record(channel, msg=" ".join(words[-1]))
    # Its answers come late, so that no success comes in between that was still on its way.
    world.slack.fault(POST, times=None, after=4, delay=0.3, error="service_unavailable")
    assert world.run().status == 2
    assert len(world.slack.messages) == 4
    world.slack.clear_faults()
    assert world.run().status == 0
    posted = re.findall(r"[a-d]\d{5}", "".join(message.text for message in world.slack.messages))
    assert sorted(posted) == sorted(word for each in words for word in each)


@pytest.mark.parametrize("max_attempts", [1, 3])
def test_one_channel_that_fails_alone_is_attempted_as_the_settings_say(world, max_attempts):
    world.settings = {"maxAttempts": max_attempts, "nextAttemptDelay": 0}
    bad = [world.record("ops") for _ in range(3)]
    good = fill(world, channels=5, records=20)
    world.slack.fault(POST, times=None, where=to_channel("#ops"), error="internal_error")
    assert world.run().status == 1
    assert statuses(world, bad) == ["FAIL"] * 3
    assert {len(world.onevizion.attempts[record]) for record in bad} == {max_attempts}
    assert set(statuses(world, good)) == {"SUCCESS"}


@pytest.mark.parametrize("max_attempts", [1, 3, 20])
def test_one_record_that_fails_alone_is_attempted_as_the_settings_say(world, max_attempts):
    world.settings = {"maxAttempts": max_attempts, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault(POST, times=None, error="internal_error")
    assert world.run().status == 1
    assert statuses(world, [record]) == ["FAIL"]
    assert len(world.slack.calls_to(POST)) == len(world.onevizion.attempts[record]) == max_attempts


@pytest.mark.parametrize(
    ("channels", "records", "max_attempts"), [(2, 9, 1), (2, 9, 3), (2, 3, 1), (2, 2, 2), (2, 2, 3), (3, 3, 1)]
)
def test_an_outage_with_little_traffic_burns_no_record_either(world, channels, records, max_attempts):
    world.settings = {"maxAttempts": max_attempts, "nextAttemptDelay": 0}
    pending = fill(world, channels, records)
    world.slack.fault(POST, times=None, status=503)
    for _ in range(2):
        assert world.run().status == 2
        assert set(statuses(world, pending)) <= {"NOT_SENT", "FAIL_WILL_RETRY"}
        assert "Slack is out of order (3 posts in a row failed)" in " ".join(world.log("Error"))
    world.slack.clear_faults()
    assert world.run().status == 0
    assert len(world.slack.messages) == records


@pytest.mark.parametrize(("channels", "bad"), [(3, 3), (1, 10), (12, 12)])
@pytest.mark.parametrize("code", ["brand_new_error", "external_channel_migrating"])
def test_an_error_that_may_be_a_record_s_own_is_no_outage_and_holds_up_nobody(world, channels, bad, code):
    failing = fill(world, channels, bad)
    for record in world.onevizion.records:
        record["subj"] = "poison"
    good = [world.record("c%d" % (number % channels)) for number in range(12)]
    world.slack.fault(POST, None, where=lambda call: "poison" in call.form["text"], error=code)
    assert world.run().status == 1
    assert statuses(world, failing) == ["FAIL"] * bad
    assert {len(world.onevizion.attempts[record]) for record in failing} == {1}
    assert set(statuses(world, good)) == {"SUCCESS"}
    assert not [text for text in world.log() if "out of order" in text or "not final after all" in text]


def test_two_channels_that_fail_are_no_outage_yet(world):
    bad = [world.record(name) for name in ("ops", "dev")]
    world.slack.fault(POST, times=None, where=lambda call: call.form["channel"] in ("#ops", "#dev"), status=500)
    assert world.run().status == 1
    assert statuses(world, bad) == ["FAIL"] * 2


def test_failures_with_successes_between_them_are_no_outage_however_many(world):
    # One channel's records go one after the other: each failure is followed by a success before the next.
    kinds = [world.record("ops", subj="good" if number % 2 else "bad") for number in range(24)]
    world.slack.fault(POST, times=None, where=lambda call: "bad" in call.form["text"], error="internal_error")
    assert world.run().status == 1
    assert statuses(world, kinds) == ["FAIL", "SUCCESS"] * 12


def test_Slacks_refusals_of_single_channels_are_no_outage(world):
    bad = [world.record("nowhere%d" % number) for number in range(12)]
    good = world.record("ops")
    assert world.run().status == 1
    assert statuses(world, bad) == ["FAIL"] * 12
    assert statuses(world, [good]) == ["SUCCESS"]


# A wrong channel.


def test_a_channel_that_cannot_be_posted_to_is_asked_for_once_and_is_one_entry_of_the_log(world):
    user = world.onevizion.add_user("#opps", key="jdoe")
    records = [world.onevizion.add_record(user) for _ in range(120)]
    good = world.record("ops")
    run = world.run()
    assert run.status == 1
    assert len([call for call in world.slack.calls_to(POST) if call.form["channel"] == "#opps"]) == 1
    assert statuses(world, records) == ["FAIL"] * 120
    assert {len(world.onevizion.attempts[record]) for record in records} == {1}
    assert all(
        "record %d for jdoe (101) not delivered to #opps: " % r in world.onevizion.attempts[r][0] for r in records
    )
    assert statuses(world, [good]) == ["SUCCESS"]
    (entry,) = [entry for entry in world.onevizion.log if entry.level == "Error"]
    assert entry.message.startswith("120 records for jdoe (101) not delivered to #opps: no such channel")
    assert "records: 4711-4830" in entry.description
    assert "--resend 4711-4830" in entry.description
    assert world.log("Warning") == [world.log()[-1]]


@pytest.mark.parametrize(("users", "more"), [(1, ""), (2, " and 1 more user"), (4, " and 3 more users")])
def test_all_users_of_a_channel_that_cannot_be_posted_to_are_named(world, users, more):
    for number in range(users):
        user = world.onevizion.add_user("#opps", key="user%d" % number)
        world.onevizion.add_record(user)
        world.onevizion.add_record(user)
    assert world.run().status == 1
    (entry,) = [entry for entry in world.onevizion.log if entry.level == "Error"]
    assert entry.message.startswith("%d records for user0 (101)%s not delivered to #opps: " % (2 * users, more))
    names = ", ".join("user%d (%d)" % (number, 101 + number) for number in range(users))
    assert ("users: %s" % names in entry.description.split("\n")) == (users > 1)


def test_long_names_leave_room_for_what_to_do_in_the_table_of_the_log_and_stand_below(world):
    channel = "#" + "long-name-" * 8
    user = world.onevizion.add_user(channel, key="Maximiliane-Alexandra von Hohenlohe-Schillingsfuerst")
    records = [world.onevizion.add_record(user, notifQueueId=1234567890 + number) for number in range(2)]
    assert world.run().status == 1
    (entry,) = [entry for entry in world.onevizion.log if entry.level == "Error"]
    assert "no such channel, or a private one without the app: correct the channel" in entry.message
    assert "channel: " + channel in entry.description.split("\n")
    assert "correct the channel" in world.onevizion.attempts[records[0]][0][:200]


def test_users_without_a_channel_are_one_entry_for_each_user(world):
    users = [world.onevizion.add_user(None, key=key) for key in ("ann", "bob")]
    records = [world.onevizion.add_record(users[number % 2]) for number in range(120)]
    assert world.run().status == 1
    assert world.slack.calls_to(POST) == []
    assert statuses(world, records) == ["FAIL"] * 120
    assert {len(world.onevizion.attempts[record]) for record in records} == {1}
    errors = world.log("Error")
    assert sorted(errors) == [
        "60 records for ann (101) not delivered: the user has no channel: enter one in SLACK_CHANNEL",
        "60 records for bob (102) not delivered: the user has no channel: enter one in SLACK_CHANNEL",
    ]


@pytest.mark.parametrize("code", ["msg_too_long", "no_text", "too_many_attachments"])
def test_an_error_of_the_message_costs_that_message_only(world, code):
    records = [world.record("ops", subj="Number %d" % number) for number in range(5)]
    world.slack.fault(POST, times=None, where=lambda call: "Number 1" in call.form["text"], error=code)
    assert world.run().status == 1
    assert statuses(world, records) == ["SUCCESS", "FAIL", "SUCCESS", "SUCCESS", "SUCCESS"]


def test_a_record_that_arrives_later_for_a_channel_that_was_refused_fails_without_a_post(world, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.05)
    bad = world.record("nowhere")
    slow = world.record("ops")
    late = []

    def arrive(call):
        if not late and call.form["channel"] == "#ops":
            late.append(world.record("nowhere"))

    world.slack.on(POST, arrive)
    world.slack.fault(POST, where=to_channel("#ops"), status=429, headers={"Retry-After": "0.5"})
    assert world.run().status == 1
    assert statuses(world, [bad, slow] + late) == ["FAIL", "SUCCESS", "FAIL"]
    assert len([call for call in world.slack.calls_to(POST) if call.form["channel"] == "#nowhere"]) == 1
