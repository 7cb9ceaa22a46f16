"""Calls that never end: a server that sends a byte now and then holds no run for ever, and no signal is lost on it."""

import signal
import threading
import time

import pytest

from slack_notification import calls, delivery, onevizion_api
from tests.world import CapturedWaits

POST = "chat.postMessage"
LOGS = "POST /api/v3/modules/runs/"
STATUS = "PATCH .*update_status"
QUEUE = "GET .*notif/queue"
DRIPS = [{"drip_head": 0.02}, {"drip_body": 0.02}]
CALLS_OF_ONEVIZION = [QUEUE, "GET /api/internal/users", "GET /api/v3/trackors", STATUS, "POST .*/attempts", LOGS]


class ShortLimits(CapturedWaits):
    """Notes the limit that each call is given, and gives it less."""

    def __init__(self, limit_seconds=0.6):
        super().__init__()
        self.limits = []
        self.limit_seconds = limit_seconds

    def within(self, seconds, *call):
        self.limits.append(seconds)
        return super().within(min(seconds, self.limit_seconds), *call)


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.parametrize("call", CALLS_OF_ONEVIZION[1:])
def test_a_call_to_OneVizion_that_never_ends_is_given_up_and_the_record_delivered_all_the_same(world, call, drip):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    dripping = world.onevizion.fault(call, **drip)
    world.slack.fault(POST, times=1, error="service_unavailable")  # so that there is an attempt to record
    run = world.run(interruption=ShortLimits())
    assert dripping.applied == 1
    assert world.onevizion.status(record) in ("SUCCESS", "FAIL")
    assert ("no answer in 0 s" in run.console) or call == LOGS
    assert "SENDING" not in world.onevizion.statuses.values()


@pytest.mark.parametrize("drip", DRIPS)
def test_a_queue_that_never_ends_ends_the_run(world, drip):
    record = world.record()
    world.onevizion.fault(QUEUE, times=None, **drip)
    run = world.run(interruption=ShortLimits())
    assert run.status == 2
    assert "could not be reached to read the Notif Queue of service 7: no answer in" in run.console
    assert world.onevizion.status(record) == "NOT_SENT"


@pytest.mark.parametrize("drip", DRIPS)
def test_an_auth_test_that_never_ends_ends_the_run_and_leaves_the_queue_as_it_was(world, drip):
    world.record()
    world.slack.fault("auth.test", times=None, **drip)
    run = world.run(interruption=ShortLimits())
    assert run.status == 2
    assert world.onevizion.history == []
    assert "did not answer (no answer in" in world.log("Error")[0]


@pytest.mark.parametrize("drip", DRIPS)
def test_a_post_that_never_ends_is_tried_again_and_said_to_have_perhaps_arrived(world, drip):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault(POST, **drip)
    assert world.run(interruption=ShortLimits()).status == 0
    (text,) = world.onevizion.attempts[record]
    assert text.endswith("(no answer in 0 s): it may have been posted anyway; look in the channel")


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.parametrize("call", ["getUploadURLExternal", "/upload/v1/", "completeUploadExternal"])
def test_an_upload_that_never_ends_leaves_the_link(world, call, drip):
    world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"content")])
    world.slack.fault(call, times=None, **drip)
    run = world.run(interruption=ShortLimits())
    assert run.status == 0
    assert len(world.texts()) == 1
    assert "'plan.pdf' stays a link in #ops" in " ".join(world.log("Warning"))


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.parametrize("server", ["onevizion", "storage"])
def test_a_file_that_never_ends_leaves_the_link(world, server, drip):
    world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"content")])
    dripping = world.onevizion.storage if server == "storage" else world.onevizion
    dripping.fault("/files/", times=None, **drip)
    run = world.run(interruption=ShortLimits())
    assert run.status == 0
    assert len(world.texts()) == 1
    assert "stays a link in #ops" in " ".join(world.log("Warning"))


def test_a_call_has_90_seconds_in_all_a_file_10_minutes_and_a_log_entry_5_seconds(world):
    world.record()
    interruption = ShortLimits(limit_seconds=60)
    world.run(interruption=interruption)
    # The queue, the user and the trackor, auth.test, SENDING, a post, SUCCESS; composing; three entries of the log.
    assert sorted(interruption.limits) == [5] * 3 + [60] + [90] * 7
    world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"content")])
    interruption.limits.clear()
    world.run(interruption=interruption)
    assert interruption.limits.count(600) == 2  # from OneVizion, and to Slack


def test_the_limit_of_a_call_includes_its_repeats(world):
    record = world.record()
    interruption = ShortLimits(limit_seconds=0.5)
    interruption.wait = time.sleep
    world.onevizion.fault(STATUS, times=None, status=503, headers={"Retry-After": "0.2"})
    run = world.run(interruption=interruption)
    assert run.status == 1
    assert len(world.onevizion.calls_to(STATUS)) == 2  # each tried once: the pause before the next is longer
    assert world.onevizion.status(record) == "NOT_SENT"


# Signals.


@pytest.mark.parametrize("drip", DRIPS)
@pytest.mark.parametrize("call", [*CALLS_OF_ONEVIZION, "auth.test", POST])
def test_a_signal_ends_a_run_in_a_hanging_call_and_leaves_nothing_in_SENDING(world, call, drip, monkeypatch):
    monkeypatch.setattr(calls, "FINISH_SECONDS", 0.2)
    monkeypatch.setattr(calls, "SAVE_SECONDS", 0.2)
    monkeypatch.setattr(onevizion_api, "LOG_LIMIT_SECONDS", 0.4)
    failing = world.record("nowhere")
    records = [failing] + [world.record() for _ in range(3)]
    interruption = CapturedWaits()
    server = world.slack if call in ("auth.test", POST) else world.onevizion
    server.on(call, lambda call: interruption.interrupt(signal.SIGTERM))
    server.fault(call, times=None, **drip)
    run = world.run(interruption=interruption)
    assert run.status == 128 + signal.SIGTERM
    assert {world.onevizion.status(record) for record in records[1:]} <= {"NOT_SENT", "FAIL_WILL_RETRY", "SUCCESS"}
    assert world.onevizion.status(failing) != "SUCCESS"
    assert "Traceback" not in run.console


# No progress.


def test_a_run_without_progress_ends_itself_and_says_why(world, monkeypatch):
    monkeypatch.setattr(delivery, "STALL_SECONDS", 0.6)
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "CALL_LIMIT_SECONDS", 0.1)
    _, waiting = world.record(), world.record()
    world.slack.fault(POST, times=None, drip_body=0.02)
    run = world.run()
    assert run.status == 2
    assert "no call to OneVizion or Slack has ended for" in " ".join(world.log("Error"))
    assert 3 < len(world.onevizion.calls_to(QUEUE)) < 100  # a look at the queue is no progress
    assert world.onevizion.status(waiting) == "NOT_SENT"
    assert world.texts() == []
    assert "Traceback" not in run.console
    for thread in threading.enumerate():
        if thread.name.startswith("worker"):  # the program's end would wait for it
            thread.join(5)
            assert not thread.is_alive()


def test_a_run_that_waits_for_the_next_attempt_is_not_stuck(world, monkeypatch):
    monkeypatch.setattr(delivery, "STALL_SECONDS", 2.0)
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.1)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 1}
    record = world.record()
    world.slack.fault(POST, error="internal_error")
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
