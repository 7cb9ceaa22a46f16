"""OneVizion's bad days: what it refuses or does not answer costs as few records as it can, and none for a setting."""

import pytest

from slack_notification import calls, onevizion_api

POST = "chat.postMessage"
STATUS = "PATCH .*update_status"
ATTEMPTS = "POST .*/attempts"
LOGIN_PAGE = {"status": 200, "body": "<!DOCTYPE html><html>Log in</html>", "content_type": "text/html"}


def saved(world, record):
    return [status for saved_record, status in world.onevizion.history if saved_record == record]


# Users, and the field that holds a channel.


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


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ({"status": 401, "body": "Authorization failed"}, "check ovAccessKey and ovSecretKey"),
        ({"status": 403}, "ADMIN_NOTIF_QUEUE"),
        ({"status": 404}, "check ovUrl"),
        ({"status": 500}, "if it keeps happening, ask OneVizion's support"),
        ({"status": 503}, "if it keeps happening, ask OneVizion's support"),
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
    assert (
        "Error: check ovUrl and the network: OneVizion (127.0.0.1:1) could not be reached to read the Notif Queue"
        in run.stdout
    )


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
    assert "correct channelField in the settings: OneVizion knows no field SLAK_CHANNEL" in run.console


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


@pytest.mark.parametrize("body", [{"status": "maintenance"}, {}])
def test_an_answer_that_is_no_trackor_is_temporary(world, body):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.onevizion.fault("/trackors", status=200, body=body)
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
    assert "calls in a row failed" in " ".join(entry.description for entry in world.onevizion.log)


# Statuses and attempts.


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
    (told,) = world.log("Error")
    assert (
        "record %d for USER-1001 (101) not delivered to #ops: not posted, since SENDING could not be saved" % bad
        in told
    )
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
        if message.startswith("record %d for USER-1001 (101): delivered, but SUCCESS not saved" % record)
    ]
    assert len(told) == 1
    assert told[0].rstrip("…") in run.console
    assert "status not saved: %d" % record in world.onevizion.log[-1].description


def test_a_FAIL_that_was_not_saved_is_saved_at_the_end_and_told_if_it_cannot(world):
    record = world.record("nowhere")
    world.onevizion.fault(STATUS, times=1, where=lambda call: call.query["status"] == "FAIL", status=500)
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"
    record = world.record("nowhere")
    world.onevizion.fault(STATUS, times=None, where=lambda call: call.query["status"] == "FAIL", status=500)
    assert world.run().status == 1
    text = "record %d for USER-1002 (102): status FAIL not saved, the next run tries again" % record
    assert text in " ".join(world.log("Error"))


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
