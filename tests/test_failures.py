"""What the program does when OneVizion, Slack or a record is at fault: nothing lost, nothing twice, nobody held up."""

import os


import pytest

from slack_notification import lock, onevizion_api, slack_api, slack_errors
from tests.sandbox.onevizion import ABSENT

POST = "chat.postMessage"
STATUS = "PATCH .*update_status"
ATTEMPTS = "POST .*/attempts"
LOGIN_PAGE = {"status": 200, "body": "<!DOCTYPE html><html>Log in</html>", "content_type": "text/html"}


def saved(world, record):
    return [status for saved_record, status in world.onevizion.history if saved_record == record]


def test_not_in_channel_reads_as_the_house_style_wants_it(world):
    world.slack.add_channel("closed", member=False)
    world.slack.scopes = ("chat:write",)
    record = world.record("closed")
    world.run()
    text = (
        "record %d: Slack answered not_in_channel for #closed: invite the app to the channel, or use a public one"
        % record
    )
    assert world.onevizion.attempts[record] == [text]
    assert world.log("Error") == [text]


# Permanent failures.


@pytest.mark.parametrize("kind", ["no user", "unknown user", "no trackor", "no value", "unknown trackor", "no channel"])
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
    assert world.onevizion.attempts[bad][0].startswith("record %d: " % bad)
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
    key = list(changes)[0]
    assert world.onevizion.attempts[bad] == [
        "record %d: its %s cannot be read: report this to OneVizion's support" % (bad, key)
    ]


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
    assert world.texts() == ["<%s|127.0.0.1>" % world.onevizion.url]


# Failures that may pass.

PASSING = {
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


@pytest.mark.parametrize("case", sorted(PASSING))
def test_what_may_pass_is_tried_again_and_delivered_once(world, case):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    fault = world.slack.fault(POST, **PASSING[case])
    run = world.run()
    assert fault.applied == 1
    assert run.status == 0
    assert saved(world, record) == ["SENDING", "FAIL_WILL_RETRY", "SENDING", "SUCCESS"]
    assert len(world.texts()) == 1
    assert len(world.onevizion.attempts[record]) == 1
    assert "Traceback" not in run.console


@pytest.mark.parametrize("case", sorted(PASSING))
def test_with_one_attempt_what_may_pass_is_FAIL(world, case):
    record = world.record()
    world.slack.fault(POST, **PASSING[case])
    assert world.run().status == 1
    assert saved(world, record) == ["SENDING", "FAIL"]


def test_a_lost_answer_is_the_one_case_in_which_a_message_can_arrive_twice_and_the_text_says_so(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault(POST, cut="after")
    assert world.run().status == 0
    assert len(world.texts()) == 2
    assert world.onevizion.attempts[record][0].endswith("it may have arrived all the same")


def test_a_read_timeout_may_pass(world, monkeypatch):
    monkeypatch.setattr(slack_api, "SLACK_TIMEOUT_SECONDS", 0.2)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault(POST, delay=1.0)
    assert world.run().status == 0
    assert "timed out" in world.onevizion.attempts[record][0]


@pytest.mark.parametrize("call", ["GET /api/internal/users", "GET /api/v3/trackors/"])
@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": "before"}, LOGIN_PAGE, {"status": 200, "body": "5"}])
def test_a_recipient_that_could_not_be_read_gets_another_attempt(world, call, fault):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    # A cut connection is tried again before it counts, three times.
    world.onevizion.fault(call, times=4 if "cut" in fault else 1, **fault)
    assert world.run().status == 0
    assert saved(world, record) == ["FAIL_WILL_RETRY", "SENDING", "SUCCESS"]
    assert len(world.onevizion.attempts[record]) == 1


@pytest.mark.parametrize("call", ["GET /api/internal/users", "GET /api/v3/trackors/"])
def test_with_one_attempt_a_recipient_that_could_not_be_read_is_FAIL(world, call):
    record = world.record()
    world.onevizion.fault(call, times=None, status=500)
    assert world.run().status == 1
    assert saved(world, record) == ["FAIL"]


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
    assert world.log("Error") == [str(slack_errors.slack_failure(code, posting=False))]


def test_a_missing_chat_write_is_found_before_the_first_record(world):
    world.slack.scopes = ("files:write",)
    world.record()
    assert world.run().status == 2
    assert world.onevizion.history == []
    assert "missing_scope (chat:write)" in world.log("Error")[0]


def test_a_missing_scope_that_Slack_tells_only_when_asked_ends_the_run_too(world):
    world.slack.scopes, world.slack.show_scopes = ("files:write",), False
    record = world.record()
    assert world.run().status == 2
    assert saved(world, record) == ["SENDING", "FAIL_WILL_RETRY"]
    assert "missing_scope (chat:write)" in world.log("Error")[0]


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


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ({"status": 401, "body": "Authorization failed"}, "check ovAccessKey and ovSecretKey"),
        ({"status": 403}, "ADMIN_NOTIF_QUEUE"),
        ({"status": 404}, "check ovUrl"),
        ({"status": 500}, "if this lasts, ask its support"),
        ({"status": 503}, "if this lasts, ask its support"),
        ({"status": 302, "headers": {"Location": "/login"}}, "check ovUrl"),
        (LOGIN_PAGE, "a login or maintenance page?"),
        ({"status": 200, "body": "{}", "content_type": "application/json"}, "a login or maintenance page?"),
        ({"status": 200, "body": "[1, 2]", "content_type": "application/json"}, "a login or maintenance page?"),
        ({"cut": "before"}, "could not be reached"),
    ],
)
def test_a_queue_that_cannot_be_read_is_not_an_empty_queue(world, fault, advice):
    world.record()
    world.onevizion.fault("GET .*notif/queue", times=None, **fault)
    run = world.run()
    assert run.status == 2
    assert advice in run.console
    assert "Traceback" not in run.console
    assert world.slack.calls == []
    assert world.onevizion.history == []


def test_nothing_behind_the_address_ends_the_run(world):
    world.settings["ovUrl"] = "http://127.0.0.1:1"
    run = world.run()
    assert run.status == 2
    assert "Connection refused" in run.console
    assert "Error: OneVizion could not be reached to read the Notif Queue" in run.stdout


@pytest.mark.parametrize("status", [401, 403])
def test_an_account_that_may_not_read_users_ends_the_run_before_the_first_record(world, status):
    world.record()
    world.onevizion.fault("GET /api/internal/users", times=None, status=status)
    assert world.run().status == 2
    assert world.onevizion.history == []


def test_a_field_that_no_trackor_has_is_a_wrong_setting_and_leaves_the_queue_as_it_was(world):
    world.settings["channelField"] = "SLAK_CHANNEL"
    for _ in range(3):
        world.record()
    run = world.run()
    assert run.status == 2
    assert world.onevizion.history == []
    assert "OneVizion knows no field SLAK_CHANNEL: correct channelField in the settings" in run.console


@pytest.mark.parametrize(("status", "body"), [(404, "Field SLACK_CHANNEL not found"), (403, "no")])
def test_a_field_that_one_trackor_does_not_have_is_that_records_failure(world, status, body):
    bad, good = world.record("ops"), world.record("dev")
    world.onevizion.fault("GET /api/v3/trackors/1001", times=None, status=status, body=body)
    assert world.run().status == 1
    assert world.onevizion.statuses == {bad: "FAIL", good: "SUCCESS"}


def test_an_id_that_OneVizion_refuses_costs_no_other_record(world):
    bad = world.record("ops")
    user = world.onevizion.records[-1]["userId"]
    goods = [world.record("dev") for _ in range(5)]
    asks_for_it = lambda call: str(user) in call.query["user_ids"].split(",")  # noqa: E731
    world.onevizion.fault("/users", times=None, where=asks_for_it, status=400)
    assert world.run().status == 1
    assert world.onevizion.status(bad) == "FAIL"
    assert {world.onevizion.status(good) for good in goods} == {"SUCCESS"}


@pytest.mark.parametrize("user", [-5, 10**20, "9" * 18 + "x"])
def test_a_userId_that_is_none_is_not_asked_for(world, user):
    bad, good = world.onevizion.add_record(user), world.record("dev")
    assert world.run().status == 1
    assert world.onevizion.statuses == {bad: "FAIL", good: "SUCCESS"}
    assert all(str(user) not in call.query["user_ids"] for call in world.onevizion.calls_to("/users"))


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 404, "body": "<html>404</html>", "content_type": "text/html"},
        {"status": 404, "body": "no such page", "content_type": "text/plain; charset=undefined"},
        {"status": 200, "body": {"status": "maintenance"}},
        {"status": 200, "body": {}},
    ],
)
def test_an_answer_that_is_no_trackor_may_pass(world, fault):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.onevizion.fault("/trackors", **fault)
    run = world.run()
    assert run.status == 0
    assert saved(world, record) == ["FAIL_WILL_RETRY", "SENDING", "SUCCESS"]
    assert "Traceback" not in run.console


def test_a_404_that_names_the_field_and_the_trackor_is_about_the_field(world):
    record = world.record()
    world.onevizion.fault("/trackors", None, status=404, body="Field SLACK_CHANNEL not found for Trackor 1001")
    assert world.run().status == 2
    assert world.onevizion.status(record) == "NOT_SENT"


@pytest.mark.parametrize("fault", [{"cut": "before"}, {"status": 500}, LOGIN_PAGE])
def test_a_OneVizion_that_stops_answering_before_the_first_post_leaves_the_queue_as_it_was(world, fault):
    records = [world.record() for _ in range(40)]
    world.onevizion.fault("/trackors", times=None, **fault)
    assert world.run().status == 2
    assert {world.onevizion.status(record) for record in records} == {"NOT_SENT"}
    assert "calls in a row failed" in " ".join(world.log("Error"))


# Rate limits.


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


def test_waiting_has_a_limit_beyond_which_it_counts_as_a_failure_that_may_pass(world, monkeypatch):
    monkeypatch.setattr(delivery, "WAIT_LIMIT_SECONDS", 0.5)
    record = world.record()
    world.slack.fault(POST, times=None, status=429, headers={"Retry-After": "0.2"})
    run = world.run()
    assert run.status == 1
    assert saved(world, record) == ["SENDING", "FAIL"]
    assert len(world.slack.calls_to(POST)) == 3
    assert "rate limit lasts longer than" in world.onevizion.attempts[record][0]


def test_who_is_told_to_wait_longer_than_the_limit_does_not_wait_and_asks_nothing_meanwhile(world):
    records = [world.record() for _ in range(3)]
    world.slack.fault(POST, times=None, status=429, headers={"Retry-After": "3600"})
    assert world.run().status == 1
    assert [world.onevizion.status(record) for record in records] == ["FAIL"] * 3
    assert len(world.slack.calls_to(POST)) == 1


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


# OneVizion's bad days.


@pytest.mark.parametrize(
    "fault", [{"status": 429}, {"status": 502}, {"status": 503}, {"status": 504}, {"cut": "before"}, {"cut": "after"}]
)
@pytest.mark.parametrize("call", ["GET .*notif/queue", "GET /api/internal/users", "GET /api/v3/trackors", STATUS])
def test_reads_and_status_updates_are_tried_again_with_growing_pauses(world, call, fault):
    world.record()
    order = world.onevizion.fault(call, times=3, **fault)
    run = world.run()
    assert order.applied == 3
    assert run.status == 0
    assert run.waits == list(onevizion_api.RETRY_PAUSES_SECONDS)
    assert sorted(run.waits) == run.waits
    assert len(world.texts()) == 1


def test_a_time_that_OneVizion_names_is_kept_up_to_a_limit(world):
    world.record()
    world.onevizion.fault(STATUS, status=503, headers={"Retry-After": "4"})
    world.onevizion.fault(STATUS, status=503, headers={"Retry-After": "4000"})
    run = world.run()
    assert run.status == 0
    assert run.waits == [4.0, calls.WAIT_LIMIT_SECONDS]


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 404}, {"cut": "before"}, {"cut": "after"}, LOGIN_PAGE])
def test_a_record_whose_SENDING_could_not_be_saved_is_not_posted_and_stays_pending(world, fault):
    bad, good = world.record("ops"), world.record("dev")
    world.onevizion.fault(
        STATUS, times=4, where=lambda call: str(bad) in call.path and call.query["status"] == "SENDING", **fault
    )
    run = world.run()
    assert run.status == 1
    assert world.texts("ops") == []
    assert world.onevizion.statuses == {bad: "NOT_SENT", good: "SUCCESS"}
    assert not world.onevizion.attempts
    assert "record %d: not posted, since OneVizion" % bad in " ".join(world.log("Error"))
    assert world.log()[-1].startswith("delivered 1, failed 0, left pending 1")


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": "before"}, LOGIN_PAGE, {"status": 403}])
def test_posted_but_not_saved_is_saved_at_the_end_of_the_run(world, fault):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0}
    record = world.record()
    times = 1 if "status" in fault else 4
    world.onevizion.fault(STATUS, times=times, where=lambda call: call.query["status"] == "SUCCESS", **fault)
    run = world.run()
    assert run.status == 0
    assert saved(world, record) == ["SENDING", "SUCCESS"]
    assert len(world.texts()) == 1


def test_posted_but_never_saved_is_told_and_never_posted_again_in_this_run(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0}
    record = world.record("ops")
    retried = world.record("dev")
    world.slack.fault(POST, times=2, where=lambda call: call.form["channel"] == "#dev", error="fatal_error")
    world.onevizion.fault(
        STATUS,
        times=None,
        where=lambda call: call.query["status"] == "SUCCESS" and str(record) in call.path,
        status=500,
    )
    run = world.run()
    assert run.status == 1
    assert len(world.texts("ops")) == 1
    assert world.onevizion.status(retried) == "SUCCESS"
    told = [
        message
        for message in world.log("Error")
        if message.startswith("record %d: delivered, status not saved" % record)
    ]
    assert len(told) == 1
    assert told[0] in run.console
    assert world.onevizion.log[-1].description == "status not saved: %d" % record


def test_a_FAIL_that_was_not_saved_is_saved_at_the_end_and_told_if_it_cannot(world):
    record = world.record("nowhere")
    world.onevizion.fault(STATUS, times=1, where=lambda call: call.query["status"] == "FAIL", status=500)
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"
    record = world.record("nowhere")
    world.onevizion.fault(STATUS, times=None, where=lambda call: call.query["status"] == "FAIL", status=500)
    assert world.run().status == 1
    assert "record %d: status FAIL not saved" % record in " ".join(world.log("Error"))


@pytest.mark.parametrize("fault", [{"status": 500}, {"cut": "before"}, {"cut": "after"}, {"status": 403}])
def test_an_attempt_that_cannot_be_written_stops_nothing_and_is_not_written_twice(world, fault):
    record = world.record("nowhere")
    good = world.record()
    world.onevizion.fault(ATTEMPTS, times=None, **fault)
    run = world.run()
    assert run.status == 1
    assert world.onevizion.statuses == {record: "FAIL", good: "SUCCESS"}
    assert len(world.onevizion.calls_to(ATTEMPTS)) == 1


def test_the_text_of_an_attempt_is_encoded_and_short(world):
    record = world.record("a&b#c=d %41 " + "ü" * 500)
    world.run()
    (text,) = world.onevizion.attempts[record]
    assert "'a&b#c=d %41 " in text
    assert len(text) <= onevizion_api.ATTEMPT_CHARACTERS


def test_a_OneVizion_that_goes_away_in_the_middle_ends_the_run_instead_of_asking_for_every_record(world):
    records = [world.record() for _ in range(30)]
    world.onevizion.fault(STATUS, times=None, after=4, status=500)
    run = world.run()
    assert run.status == 2
    assert [world.onevizion.status(record) for record in records[:2]] == ["SUCCESS"] * 2
    assert set(map(world.onevizion.status, records[2:])) == {"NOT_SENT"}
    assert len(world.texts()) == 2


def test_the_credentials_do_not_follow_a_redirect_of_OneVizion(world):
    world.record()
    world.onevizion.fault(
        "GET .*notif/queue", times=None, status=307, headers={"Location": world.slack.url + "/api/steal"}
    )
    assert world.run().status == 2
    assert world.slack.calls == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_does_not_follow_a_redirect_of_Slack(world, status):
    world.record()
    world.slack.fault(POST, times=None, status=status, headers={"Location": world.onevizion.url + "/api/steal"})
    assert world.run().status == 1
    assert world.onevizion.calls_to("/api/steal") == []


# Overlap.


def test_a_second_run_in_the_same_directory_leaves_the_queue_alone(world):
    world.record()
    directory = world.directory()
    held = lock.only_run(os.path.join(directory, lock.LOCK_FILE))
    with held:
        process = world.start(cwd=directory)
        stdout, console = process.communicate()
    assert process.returncode == 0
    assert "another run is in progress" in console
    assert world.onevizion.calls_to("GET .*notif/queue") == []
    assert world.slack.calls == []


def test_a_lock_file_that_a_dead_run_left_stops_nobody(world):
    world.record()
    directory = world.directory()
    open(os.path.join(directory, lock.LOCK_FILE), "w").close()
    assert world.run().status == 0
    assert len(world.texts()) == 1


def test_where_the_lock_cannot_be_made_the_run_goes_on_and_says_so(world):
    world.record()
    os.makedirs(os.path.join(world.directory(), lock.LOCK_FILE))
    run = world.run()
    assert run.status == 0
    assert len(world.texts()) == 1
    assert "the file .slack-notification.lock cannot be made" in run.console
