"""OneVizion's bad days: what it refuses or does not answer costs as few records as it can, and none for a setting."""

import itertools
import signal

import pytest
import requests

from slack_notification import calls, delivery, onevizion_api
from tests.test_journal import begin, rows
from tests.world import CapturedWaits

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
    "fault",
    [
        {"status": 429},
        {"status": 502},
        {"status": 503},
        {"status": 504},
        {"cut": "before"},
        {"cut": "after"},
        {"cut": "during"},
    ],
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


def test_a_redirect_to_what_is_no_address_is_an_answer_that_ends_no_run(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0}
    record = world.record(blob_ids=[world.onevizion.add_file("a.txt", b"x")])
    for server, call, times in ((world.onevizion, STATUS, 1), (world.slack, POST, 1), (world.onevizion, "/files/", 2)):
        server.fault(call, times, status=302, headers={"Location": "http://[bad"})
    run = world.run()
    assert run.status == 0, run.console
    assert [text.split(": ")[1] for text in world.onevizion.attempts[record]] == ["Slack answered HTTP 302"]
    assert "file 9001 stays a link in #ops: check ovUrl: OneVizion answered 302" in run.console


@pytest.mark.parametrize("method", ["PATCH", "POST"])
def test_a_record_that_was_deleted_is_named_as_the_one_that_is_gone(world, method):
    gone, good = world.record("nowhere" if method == "POST" else "ops"), world.record("dev")  # POST: an attempt
    world.onevizion.fault("%s .*/%d/" % (method, gone), times=None, status=404, body="Not Found")
    run = world.run()
    assert run.status == 1
    assert len(world.texts("dev")) == 1
    assert world.onevizion.status(good) == "SUCCESS"
    assert "OneVizion has no record with this id, or ovUrl is wrong: OneVizion answered 404" in run.console
    assert "check ovUrl" not in run.console


# A wrong setting.


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        ({"status": 400, "body": "Bad Request"}, "check channelField in the settings first; "),
        ({"status": 404, "body": "no such page"}, "check channelField in the settings first; "),
        (
            {"status": 404, "body": "<html>404</html>", "content_type": "text/html; charset=undefined"},
            "check channelField in the settings first; ",
        ),
        ({"status": 404, "body": "Field SLACK_CHANNEL not found"}, "correct channelField in the settings: "),
        ({"status": 403, "body": "no"}, "give the account R on the user trackor type"),
        ({"status": 302, "headers": {"Location": "/login"}}, "check ovUrl: "),
    ],
)
def test_where_no_users_field_can_be_read_it_is_the_setting_and_the_queue_stays_as_it_was(world, fault, advice):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0}
    records = [world.record(status="FAIL_WILL_RETRY" if number % 2 else "NOT_SENT") for number in range(40)]
    before = dict(world.onevizion.statuses)
    world.onevizion.fault("/trackors/", times=None, **fault)
    run = world.run()
    assert run.status == 2
    assert world.onevizion.history == []
    assert world.onevizion.statuses == before
    assert not world.onevizion.attempts
    assert world.slack.calls_to(POST) == []
    assert len(world.onevizion.calls_to("/trackors/")) <= len(records)
    (error,) = [entry for entry in world.onevizion.log if entry.level == "Error"]
    assert error.message.startswith("the run ends here, and the records that are left stay in the queue: " + advice)
    assert "Traceback" not in run.console


@pytest.mark.parametrize("attempts", [1, 3])
@pytest.mark.parametrize("users", [2, 9])
@pytest.mark.parametrize("call", ["GET /api/internal/users", "GET /api/v3/trackors/"])
@pytest.mark.parametrize(
    "faults",
    [
        [{"status": 500}],
        [{"status": 503}],
        [{"status": 503}, {"status": 500}],
        [{"status": 429}],
        [{"cut": "before"}],
        [LOGIN_PAGE],
        [{"status": 200, "body": "5"}],
    ],
)
def test_an_outage_in_which_no_user_can_be_read_leaves_the_queue_as_it_was(world, faults, call, users, attempts):
    world.settings = {"maxAttempts": attempts, "nextAttemptDelay": 0}
    users = [world.onevizion.add_user("ops") for _ in range(users)]
    for number in range(20):
        world.onevizion.add_record(users[number % len(users)], status="FAIL_WILL_RETRY" if number % 3 else "NOT_SENT")
    before = dict(world.onevizion.statuses)
    for number, fault in enumerate(faults):
        world.onevizion.fault(call, times=None if number == len(faults) - 1 else 1, **fault)
    assert world.run().status == 2
    assert (world.onevizion.history, world.onevizion.statuses) == ([], before)
    assert not world.onevizion.attempts
    assert world.slack.calls_to(POST) == []
    (error,) = world.log("Error")
    assert "the records that are left stay in the queue" in error
    world.onevizion.clear_faults()
    assert world.run().status == 0
    assert len(world.texts()) == 20


@pytest.mark.parametrize("call", ["GET .*/users", "GET .*/trackors"])
def test_an_outage_that_begins_during_a_run_burns_no_record_that_comes_in(world, call, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.05)
    first, late = world.record(), []

    def come_in(_):
        if not late:
            world.onevizion.fault(call, times=None, status=503)
            late.extend(world.record() for _ in range(5))

    world.slack.on(POST, come_in)
    world.slack.fault(POST, delay=0.3)
    assert world.run().status == 2
    assert world.onevizion.status(first) == "SUCCESS"
    assert {world.onevizion.status(record) for record in late} == {"NOT_SENT"}
    assert not world.onevizion.attempts


@pytest.mark.parametrize(("attempts", "status"), [(1, "FAIL"), (3, "SUCCESS")])
def test_where_only_some_users_cannot_be_read_for_a_while_their_records_get_the_attempts_of_the_settings(
    world, attempts, status
):
    world.settings = {"maxAttempts": attempts, "nextAttemptDelay": 0}
    records = [world.record() for _ in range(5)]
    some = "/trackors/(%s)" % "|".join(str(world.onevizion.users[101 + number]) for number in range(4))
    world.onevizion.fault(some, times=4, status=500)
    assert world.run().status == (status == "FAIL")
    assert {world.onevizion.status(record) for record in records[:4]} == {status}
    assert world.onevizion.status(records[4]) == "SUCCESS"


@pytest.mark.parametrize("fault", [{"status": 400}, {"status": 404, "body": "no"}, {"status": 403}])
def test_where_one_user_alone_cannot_be_read_it_costs_that_users_records_only(world, fault):
    bad, good = [world.record("ops") for _ in range(2)], [world.record("dev") for _ in range(5)]
    trackors = [world.onevizion.users[world.onevizion.records[number]["userId"]] for number in range(2)]
    world.onevizion.fault("/trackors/(%d|%d)" % tuple(trackors), times=None, **fault)
    assert world.run().status == 1
    assert {world.onevizion.status(record) for record in bad} == {"FAIL"}
    assert {world.onevizion.status(record) for record in good} == {"SUCCESS"}


@pytest.mark.parametrize("status", [400, 404])
def test_where_no_user_can_be_read_at_all_the_queue_stays_as_it_was(world, status):
    records = [world.record() for _ in range(3)]
    world.onevizion.fault("/users", times=None, status=status, body="no")
    assert world.run().status == 2
    assert "channelField" not in world.log("Error")[0]
    assert {world.onevizion.status(record) for record in records} == {"NOT_SENT"}
    assert not world.onevizion.attempts


def test_a_trackor_that_does_not_exist_is_that_users_fault_though_there_is_no_other_user(world):
    record = world.record()
    world.onevizion.trackors.clear()
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"


# The counter of failed calls.


def failing_statuses(world, failing):
    """Run with one channel whose records' SENDING cannot be saved for those in `failing` (numbers from 0)."""
    world.settings = {"maxAttempts": 1}
    records = [world.record(subj=str(number)) for number in range(24)]
    bad = {records[number] for number in failing}
    number_of = lambda call: int(call.path.split("/")[-2])  # noqa: E731
    world.onevizion.fault(STATUS, times=None, where=lambda call: number_of(call) in bad, status=500)
    return records, world.run()


def test_nine_failed_calls_in_a_row_and_a_success_go_on(world):
    # One channel: its records go one after the other. The last status that the run puts back is a call, too.
    records, run = failing_statuses(world, set(range(9)))
    assert run.status == 1
    assert [world.onevizion.status(record) for record in records] == ["NOT_SENT"] * 9 + ["SUCCESS"] * 15


def test_ten_failed_calls_in_a_row_end_the_run(world):
    records, run = failing_statuses(world, set(range(10)))
    assert run.status == 2
    assert {world.onevizion.status(record) for record in records} == {"NOT_SENT"}
    assert "(10 calls in a row failed)" in run.console
    assert world.slack.calls_to(POST) == []


def test_thirty_posted_records_that_are_gone_from_OneVizion_are_forgotten_as_one_is(world):
    for record in range(1, 31):
        begin(world, record, 1, 1)
    assert world.run().status == 0
    assert (rows(world), world.log("Error")) == ({}, [])


def test_a_success_begins_the_count_of_failed_calls_anew(world):
    records, run = failing_statuses(world, set(range(9)) | set(range(10, 19)))
    assert run.status == 1
    assert world.onevizion.status(records[9]) == "SUCCESS"
    assert {world.onevizion.status(record) for record in records[19:]} == {"SUCCESS"}


def test_failed_attempts_and_failed_log_entries_are_no_failed_calls(world):
    bad = [world.record("nowhere%d" % number) for number in range(15)]
    good = world.record()
    world.onevizion.fault(ATTEMPTS, times=None, status=500)
    world.onevizion.fault("/logs", times=None, status=500)
    assert world.run().status == 1
    assert {world.onevizion.status(record) for record in bad} == {"FAIL"}
    assert world.onevizion.status(good) == "SUCCESS"


# What is asked of OneVizion, and for how long.


def test_an_answer_that_does_not_come_is_asked_for_again(world, monkeypatch):
    monkeypatch.setattr(calls, "READ_TIMEOUT_SECONDS", 0.2)
    world.record()
    slow = world.onevizion.fault("GET .*notif/queue", delay=2.0)
    assert world.run().status == 0
    assert (slow.applied, len(world.onevizion.calls_to("GET .*notif/queue"))) == (1, 2)


def test_a_failure_that_is_temporary_splits_no_chunk_of_users(world):
    for _ in range(7):
        world.record()
    world.onevizion.fault("/users", times=None, status=500)
    assert world.run().status == 2
    assert len(world.onevizion.calls_to("/users")) == 1


def test_a_read_is_not_asked_for_again_after_an_interruption(world):
    world.record()
    interruption = CapturedWaits()
    world.onevizion.on("GET .*notif/queue", lambda call: interruption.interrupt(signal.SIGTERM))
    world.onevizion.fault("GET .*notif/queue", times=None, status=503)
    run = world.run(interruption=interruption)
    assert run.status == 128 + signal.SIGTERM
    assert run.waits == []
    assert len(world.onevizion.calls_to("GET .*notif/queue")) == 1


def test_no_further_user_is_read_after_an_interruption(world):
    records = [world.record() for _ in range(200)]
    interruption = CapturedWaits()
    world.onevizion.on("/trackors/", lambda call: interruption.interrupt(signal.SIGTERM))
    world.onevizion.fault("/trackors/", times=None, delay=0.1)
    assert world.run(interruption=interruption).status == 128 + signal.SIGTERM
    assert len(world.onevizion.calls_to("/trackors/")) < 50
    assert world.log("Error") == []
    assert {world.onevizion.status(record) for record in records} == {"NOT_SENT"}


@pytest.mark.parametrize("fault", [{"status": 503}, {"cut": "before"}])
def test_a_status_is_asked_for_again_after_an_interruption(world, fault):
    record = world.record()
    interruption = CapturedWaits()
    world.slack.on(POST, lambda call: interruption.interrupt(signal.SIGTERM))
    order = world.onevizion.fault(STATUS, 3, where=lambda call: call.query["status"] == "SUCCESS", **fault)
    run = world.run(interruption=interruption)
    assert run.status == 128 + signal.SIGTERM
    assert order.applied == 3
    assert run.waits == list(onevizion_api.RETRY_PAUSES_SECONDS)
    assert world.onevizion.status(record) == "SUCCESS"


# Files.


def test_a_file_is_asked_for_unpacked(world):
    world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"content")])
    assert world.run().status == 0
    asked = world.onevizion.calls_to("/files/") + world.onevizion.storage.calls_to("/files/")
    assert {call.headers["accept-encoding"] for call in asked} == {"identity"}


def test_a_file_that_is_shorter_than_was_announced_stays_a_link(world, monkeypatch):
    # Older HTTP libraries tell nobody that a connection was cut in the middle of a body.
    whole = requests.Response.iter_content
    monkeypatch.setattr(requests.Response, "iter_content", lambda *a: itertools.islice(whole(*a), 2))
    world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"x" * (2 * onevizion_api.FILE_CHUNK_BYTES + 1))])
    assert world.run().status == 0
    assert world.slack.files == []
    assert "could not be read to its end (131072 of 131073 bytes)" in " ".join(world.log("Warning"))


@pytest.mark.parametrize("status", [408, 429])
def test_a_user_for_whom_OneVizion_has_no_time_gets_an_attempt_and_ends_no_run(world, status):
    record = world.record()
    world.onevizion.fault("GET /api/v3/trackors", times=None, status=status)
    assert world.run().status == 1
    assert len(world.onevizion.attempts[record]) == 1
