"""SIGTERM and SIGINT: what was begun is finished, nothing new is begun, no record is left in SENDING."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.world import PROCESS_TIMEOUT_SECONDS, finish

POST = "chat.postMessage"
SIGNALS = [signal.SIGTERM, signal.SIGINT]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of another kind")


def interrupted(world, server, call, number=signal.SIGTERM, where=lambda call: True, **fault):
    """Start the program, send it a signal as soon as a call arrives at a server, and return how it ended.

    `fault` is what such calls are answered with, see Server.fault; without it, they are answered as usual.
    """
    arrived = threading.Event()
    server.fault(call, None if fault else 0, where=lambda call: where(call) and (arrived.set() or True), **fault)
    process = world.start()
    assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
    process.send_signal(number)
    run = finish(process)
    assert "Traceback" not in run.console + run.stdout
    assert "SENDING" not in world.onevizion.statuses.values()
    return run


@pytest.mark.parametrize("number", SIGNALS)
def test_the_post_in_flight_is_finished_and_saved_and_nothing_new_is_begun(world, number):
    records = [world.record() for _ in range(4)]
    world.slack.delay = 0.5
    run = interrupted(world, world.slack, POST, number)
    assert run.status == 128 + number
    assert [world.onevizion.status(record) for record in records] == ["SUCCESS"] + ["NOT_SENT"] * 3
    assert len(world.texts()) == 1
    assert world.log()[-1].startswith("interrupted: delivered 1, failed 0, left pending 3")
    assert "left pending: %d, %d, %d" % tuple(records[1:]) in world.onevizion.log[-1].description


@pytest.mark.parametrize("number", SIGNALS)
def test_the_wait_for_the_next_round_ends_at_once(world, number):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 300}
    record = world.record()
    world.slack.fault(POST, times=None, error="internal_error")
    again = "FAIL_WILL_RETRY"
    run = interrupted(world, world.onevizion, "PATCH", number, where=lambda call: call.query["status"] == again)
    assert run.status == 128 + number
    assert world.onevizion.status(record) == "FAIL_WILL_RETRY"


def test_a_record_that_waits_for_the_rate_limit_goes_back_to_the_queue_without_an_attempt(world):
    record = world.record()
    run = interrupted(world, world.slack, POST, status=429, headers={"Retry-After": "300"})
    assert run.status == 128 + signal.SIGTERM
    assert world.onevizion.status(record) == "FAIL_WILL_RETRY"
    assert not world.onevizion.attempts
    assert world.texts() == []


def test_a_long_message_that_waits_for_the_rate_limit_goes_back_to_the_queue_with_a_warning(world):
    record = world.record(msg="word " * 3000)
    limited = {"status": 429, "headers": {"Retry-After": "300"}}
    run = interrupted(world, world.slack, POST, where=lambda call: call.form.get("thread_ts"), **limited)
    assert run.status == 128 + signal.SIGTERM
    assert world.onevizion.status(record) == "FAIL_WILL_RETRY"
    assert len(world.slack.calls_to(POST)) == 2
    assert world.log("Warning") == [
        "record %d: 1 of 5 parts were posted before the run had to end; the next run sends all of them" % record
    ]


def test_a_long_message_that_has_begun_is_finished(world):
    record = world.record(msg="word " * 3000)
    other = world.record("dev", msg="word " * 3000)
    world.slack.channel_interval = 0.1
    run = interrupted(world, world.slack, POST, where=lambda call: call.form.get("thread_ts"))
    assert run.status == 128 + signal.SIGTERM
    assert {world.onevizion.status(record), world.onevizion.status(other)} == {"SUCCESS"}
    assert len(world.texts("ops")) == len(world.texts("dev")) == 5
    assert world.log()[-1].startswith("interrupted: delivered 2, failed 0, left pending 0")


def test_an_interruption_before_the_first_post_leaves_the_queue_as_it_was(world):
    record = world.record()
    world.onevizion.delay = 0.5
    run = interrupted(world, world.onevizion, "GET .*notif/queue")
    assert run.status == 128 + signal.SIGTERM
    assert world.onevizion.status(record) == "NOT_SENT"
    assert world.slack.calls_to(POST) == []
    assert world.log()[-1].startswith("interrupted: delivered 0, failed 0, left pending 1")


def test_an_interruption_while_OneVizion_is_asked_again_ends_the_pauses(world):
    world.record()
    run = interrupted(world, world.onevizion, "GET .*notif/queue", status=503, headers={"Retry-After": "300"})
    assert run.status == 128 + signal.SIGTERM
    assert "could not read the Notif Queue" in run.console


def test_nothing_new_is_begun_for_records_that_cannot_be_delivered(world):
    for _ in range(2000):
        world.onevizion.add_record(None)
    world.onevizion.delay = 0.2
    run = interrupted(world, world.onevizion, "/attempts")
    assert run.status == 128 + signal.SIGTERM
    assert len(world.onevizion.calls_to("/attempts")) < 1000


def test_in_the_other_modes_Ctrl_C_ends_the_program_at_once_without_a_word(world):
    arrived = threading.Event()
    world.onevizion.fault("queue", None, where=lambda call: arrived.set() or True, delay=60)
    process = world.start("--check")
    assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.status == -signal.SIGINT
    assert "Traceback" not in run.console


def test_a_second_signal_changes_nothing(world):
    world.record()
    world.slack.delay = 0.5
    arrived = threading.Event()
    world.slack.fault(POST, times=0, where=lambda call: arrived.set() or True)
    process = world.start()
    assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    run = finish(process)
    assert run.status in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert list(world.onevizion.statuses.values()) == ["SUCCESS"]
    assert "ignored" not in run.console


def test_a_Ctrl_C_while_the_packages_load_shows_no_traceback(world):
    # The interpreter tells when it opens the first package, and waits there to be interrupted.
    directory = world.directory()
    with open(os.path.join(directory, "filelock.py"), "w") as file:
        file.write("import sys\nprint('loading', flush=True)\nsys.stdin.readline()\n")
    process = subprocess.Popen(
        [sys.executable, "module.py"],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
    )
    assert process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    stdout, console = process.communicate(timeout=PROCESS_TIMEOUT_SECONDS)
    assert (process.returncode, stdout, console) == (-signal.SIGINT, "", "")
