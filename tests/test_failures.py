"""What the program does when OneVizion, Slack or a record is at fault: nothing lost, nothing twice, nobody held up."""

import re
import signal

import pytest

from slack_notification import calls, outcomes, slack_api, slack_errors
from tests.sandbox.onevizion import ABSENT
from tests.world import CapturedWaits

POST = "chat.postMessage"
LOGIN_PAGE = {"status": 200, "body": "<!DOCTYPE html><html>Log in</html>", "content_type": "text/html"}


def saved(world, record):
    return [status for saved_record, status in world.onevizion.history if saved_record == record]


def test_not_in_channel_reads_as_the_house_style_wants_it(world):
    world.slack.add_channel("closed", member=False)
    world.slack.scopes = ("chat:write",)
    record = world.record("closed")
    world.run()
    advice = "invite the app to the channel, or add the scope chat:write.public (Slack: not_in_channel)"
    text = "record %d for USER-1001 (101) not delivered to #closed: %s" % (record, advice)
    assert world.onevizion.attempts[record] == [text]
    assert world.log("Error") == [text]


# Permanent failures.


PERMANENT = {
    "no user": ("", "it is addressed to an e-mail address, not to a user: choose a OneVizion user as recipient"),
    "unknown user": (" for user 987654", "choose another user: OneVizion does not know this one (deleted?)"),
    "no trackor": (" for user 101", "link the user to a trackor of the user trackor type: the user has none"),
    "no value": (" for USER-1001 (101)", "the user has no channel: enter one in SLACK_CHANNEL"),
    "unknown trackor": (" for user 101", "link the user to another trackor: trackor 1001 does not exist"),
    "no channel": (
        " for USER-1001 (101)",
        "no such channel, or a private one without the app: correct the channel (private: use its ID), "
        "or invite the app "
        "(Slack: channel_not_found)",
    ),
}


@pytest.mark.parametrize("kind", sorted(PERMANENT))
def test_a_permanent_failure_is_one_attempt_and_FAIL_at_once_and_the_others_do_not_notice(world, kind):
    world.settings = {"maxAttempts": 5, "nextAttemptDelay": 300}
    users = {
        "no user": lambda: None,
        "unknown user": lambda: 987654,
        "no trackor": lambda: world.onevizion.add_user(None, trackor_id=None),
        "no value": lambda: world.onevizion.add_user(" "),
        "unknown trackor": lambda: world.onevizion.add_user("ops"),
        "no channel": lambda: world.onevizion.add_user("nowhere"),
    }
    bad = world.onevizion.add_record(users[kind]())
    good = world.record("ops")
    if kind == "unknown trackor":
        del world.onevizion.trackors[min(world.onevizion.trackors)]
    run = world.run()
    assert run.status == 1
    assert run.waits == []
    assert world.onevizion.statuses == {bad: "FAIL", good: "SUCCESS"}
    assert len(world.onevizion.attempts[bad]) == 1
    whom, advice = PERMANENT[kind]
    where = " to #nowhere" if kind == "no channel" else ""
    assert world.onevizion.attempts[bad] == ["record %d%s not delivered%s: %s" % (bad, whom, where, advice)]
    assert world.log("Error") == world.onevizion.attempts[bad]


@pytest.mark.parametrize(
    "changes",
    [
        {"userId": "abc"},
        {"userId": True},
        {"userId": 1.5},
        {"msg": {"a": 1}},
        {"subj": 5},
        {"blobDataIds": "5"},
        {"blobDataIds": [None]},
        {"blobDataIds": ["../x"]},
    ],
)
def test_a_malformed_record_is_its_own_failure(world, changes):
    bad = world.record("ops", **changes)
    good = world.record("dev")
    assert world.run().status == 1
    assert world.onevizion.statuses == {bad: "FAIL", good: "SUCCESS"}
    (text,) = world.onevizion.attempts[bad]
    assert text.endswith(" not delivered: %s cannot be read: report this to OneVizion's support" % list(changes)[0])


@pytest.mark.parametrize(
    "key", ["sender", "toAddress", "cc", "bcc", "replyTo", "createdTs", "blobDataIds", "html", "subj", "msg"]
)
@pytest.mark.parametrize("value", [ABSENT, None])
def test_a_key_that_is_missing_or_null_costs_nothing_and_None_is_never_shown(world, key, value):
    world.record("ops", **{key: value})
    assert world.run().status == 0
    assert "None" not in world.texts()[0]
    assert "null" not in world.texts()[0]


@pytest.mark.parametrize("raw", [None, 5, "x", [], {}, {"notifQueueId": None}, {"notifQueueId": "1/../2"}])
def test_something_without_an_id_in_the_queue_is_told_and_the_others_are_delivered(world, raw):
    world.onevizion.fault("GET .*notif/queue", status=200, body=[raw, dict(record_in_queue(world))])
    run = world.run()
    assert run.status == 1
    assert len(world.texts()) == 1
    assert "1 record(s) without notifQueueId cannot be delivered" in run.console


def record_in_queue(world):
    world.record()
    return world.onevizion.records[-1]


def test_a_record_with_neither_subject_nor_text_is_delivered_with_the_address_alone(world):
    world.record("ops", subj=None, msg=None)
    assert world.run().status == 0
    assert world.texts() == ["OneVizion · 127.0.0.1 (%s)" % world.onevizion.url]


def test_a_member_ID_that_Slack_does_not_know_is_named_as_one_and_its_other_records_are_not_tried(world):
    records = [world.record("U0123456789"), world.record("<@U0123456789>")]
    assert world.run().status == 1
    advice = "no such person in Slack: correct the member ID (Slack: channel_not_found)"
    assert world.log("Error") == [
        "2 records for USER-1001 (101) and 1 more user not delivered to U0123456789: " + advice
    ]
    assert {world.onevizion.status(record) for record in records} == {"FAIL"}
    assert len(world.slack.calls_to(POST)) == 1


@pytest.mark.parametrize("code", ["team_added_to_org", "external_channel_migrating", "service_unavailable"])
def test_no_text_of_a_record_that_is_FAIL_says_that_it_is_tried_again(world, code):
    record = world.record()
    world.slack.fault(POST, times=None, error=code)
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"
    texts = world.onevizion.attempts[record] + [entry.message + entry.description for entry in world.onevizion.log]
    assert not [text for text in texts if re.search("next run|tr(y|ies) again|attempt follows", text)]


# Temporary failures.

TEMPORARY = {
    "HTTP 500": {"status": 500, "body": "oops"},
    "HTTP 503 with JSON": {"status": 503, "body": {"ok": False}},
    "HTTP 404": {"status": 404, "body": "no"},
    "a page": LOGIN_PAGE,
    "an empty body": {"status": 200, "body": ""},
    "a JSON list": {"status": 200, "body": [1]},
    "a JSON text": {"status": 200, "body": '"ok"'},
    "no JSON": {"status": 200, "body": "{"},
    "a wrong encoding": {"status": 200, "body": b"\xff\xfe", "content_type": "application/json"},
    "an unknown encoding": {"status": 200, "body": "{}", "content_type": "application/json; charset=nonsense"},
    "ok false without a code": {"status": 200, "body": {"ok": False}},
    "a code that is none": {"status": 200, "body": {"ok": False, "error": {"a": 1}}},
    "an unknown code": {"status": 200, "body": {"ok": False, "error": "brand_new_error"}},
    "internal_error": {"status": 200, "body": {"ok": False, "error": "internal_error"}},
    "a connection cut before": {"cut": "before"},
    "a redirect": {"status": 302, "headers": {"Location": "http://127.0.0.1:9/x"}},
}


@pytest.mark.parametrize("case", sorted(TEMPORARY))
def test_what_is_temporary_is_tried_again_and_delivered_once(world, case):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    fault = world.slack.fault(POST, **TEMPORARY[case])
    run = world.run()
    assert fault.applied == 1
    assert run.status == 0
    assert saved(world, record) == ["SENDING", "FAIL_WILL_RETRY", "SENDING", "SUCCESS"]
    assert len(world.texts()) == 1
    assert len(world.onevizion.attempts[record]) == 1
    assert "Traceback" not in run.console


@pytest.mark.parametrize("case", sorted(TEMPORARY))
def test_with_one_attempt_what_is_temporary_is_FAIL(world, case):
    record = world.record()
    world.slack.fault(POST, **TEMPORARY[case])
    assert world.run().status == 1
    assert saved(world, record) == ["SENDING", "FAIL"]


def test_a_lost_answer_is_the_one_case_in_which_a_message_can_arrive_twice_and_the_text_says_so(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault(POST, cut="after")
    assert world.run().status == 0
    assert len(world.texts()) == 2
    assert world.onevizion.attempts[record][0].endswith("it may have been posted anyway; look in the channel")


def test_a_read_timeout_is_temporary(world, monkeypatch):
    monkeypatch.setattr(calls, "READ_TIMEOUT_SECONDS", 0.2)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault(POST, delay=1.0)
    assert world.run().status == 0
    assert "timed out" in world.onevizion.attempts[record][0]


# What ends the run.


@pytest.mark.parametrize("code", ["invalid_auth", "token_revoked", "account_inactive", "not_allowed_token_type"])
def test_a_dead_token_leaves_the_queue_exactly_as_it_was(world, code):
    world.slack.token_error = code
    for channel in ("ops", "nowhere", None):
        world.record(channel)
    run = world.run()
    assert run.status == 2
    assert world.onevizion.history == []
    assert not world.onevizion.attempts
    assert world.slack.calls_to(POST) == []
    cause = str(slack_errors.slack_failure(code, posting=False))
    assert world.log("Error") == [cause]
    assert world.log()[-2] == cause
    assert world.log()[-1].startswith("delivered 0, failed 0, left pending 3")


def test_a_signal_before_the_first_record_is_an_interruption_in_the_summary_too(world):
    interruption = CapturedWaits()
    world.slack.on("auth.test", lambda call: interruption.interrupt(signal.SIGTERM))
    world.slack.fault("auth.test", times=None, status=500)
    record = world.record()
    assert world.run(interruption=interruption).status == 128 + signal.SIGTERM
    assert world.log()[-1].startswith("interrupted: delivered 0, failed 0, left pending 1")
    assert world.log("Error") == []
    assert world.onevizion.status(record) == "NOT_SENT"


def test_a_missing_chat_write_is_found_before_the_first_record(world):
    world.slack.scopes = ("files:write",)
    world.record()
    assert world.run().status == 2
    assert world.onevizion.history == []
    assert "add the scope chat:write under OAuth & Permissions" in world.log("Error")[0]


def test_a_missing_scope_that_Slack_tells_only_when_asked_ends_the_run_too(world):
    world.slack.scopes, world.slack.show_scopes = ("files:write",), False
    record = world.record()
    assert world.run().status == 2
    assert saved(world, record) == ["SENDING", "FAIL_WILL_RETRY"]
    assert "add the scope chat:write under OAuth & Permissions" in world.log("Error")[0]


def test_a_token_that_dies_in_the_middle_ends_the_run_and_leaves_the_rest_in_the_queue(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0}
    records = [world.record("ops") for _ in range(5)]
    world.slack.fault(POST, times=None, after=2, error="token_revoked")
    run = world.run()
    assert run.status == 2
    assert [world.onevizion.status(record) for record in records] == [
        "SUCCESS",
        "SUCCESS",
        "FAIL_WILL_RETRY",
        "NOT_SENT",
        "NOT_SENT",
    ]
    assert len(world.slack.calls_to(POST)) == 3
    assert len(world.log("Error")) == 1
    assert world.log()[-1].startswith("delivered 2, failed 0, left pending 3")


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": "before"}, {"error": "fatal_error"}, {"status": 429}])
def test_a_Slack_that_does_not_answer_before_the_first_record_leaves_the_queue_as_it_was(world, fault):
    world.record()
    world.slack.fault("auth.test", times=None, **fault)
    run = world.run()
    assert run.status == 2
    assert world.onevizion.history == []
    assert len(world.log("Error")) == 1


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": "after"}, {"status": 429, "headers": {"Retry-After": "7"}}])
def test_a_Slack_that_answers_the_second_time_is_enough(world, fault):
    world.record()
    world.slack.fault("auth.test", **fault)
    run = world.run()
    assert run.status == 0
    assert run.waits == [7.0 if "headers" in fault else slack_api.RETRY_PAUSES_SECONDS[0]]


def test_records_that_fail_hold_up_no_post_however_many_they_are(world):
    for _ in range(400):
        world.record(None)
    world.record("ops")
    failed_before = []
    world.slack.on(POST, lambda call: failed_before.append(len(world.onevizion.calls_to("/attempts"))))
    world.onevizion.fault("/attempts", times=None, work=True, delay=0.05)
    assert world.run().status == 1
    assert failed_before[0] < 200


def test_a_bug_in_what_follows_a_failure_is_told_and_loses_no_record(world, monkeypatch):
    async def fail(*arguments):
        raise ValueError("a bug")

    monkeypatch.setattr(outcomes.Outcomes, "fail", fail)
    broken, other = world.record("nowhere"), world.record("ops")
    assert world.run().status == 1
    assert [world.onevizion.status(record) for record in (broken, other)] == ["NOT_SENT", "SUCCESS"]
    assert world.log("Error") == ["a fault in this module: report it to its developers"]
    assert "ValueError: a bug" in " ".join(entry.description for entry in world.onevizion.log)
