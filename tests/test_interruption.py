"""SIGTERM and SIGINT: what is on its way is finished, nothing new begins, nothing stays in SENDING, the end is near."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter

import pytest

from slack_notification import calls, delivery, outcomes, workers
from slack_notification.journal import JOURNAL_FILE, Journal
from tests.world import PROCESS_TIMEOUT_SECONDS, CapturedWaits, World, finish

POST = "chat.postMessage"
LONG = "".join("word%05d " % number for number in range(1600))  # six parts
SIGNALS = [signal.SIGTERM, signal.SIGINT]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of another kind")


def interrupted(world, server, call, number=signal.SIGTERM, where=lambda call: True, **fault):
    """Start the program, send it a signal as soon as a call arrives at a server, and return how it ended.

    `fault` is what such calls are answered with, see Server.fault; without it, they are answered as usual.
    """
    arrived = threading.Event()
    server.on(call, lambda call: where(call) and arrived.set())
    if fault:
        server.fault(call, None, where=where, **fault)
    process = world.start()
    assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
    process.send_signal(number)
    run = finish(process)
    assert "Traceback" not in run.console + run.stdout
    assert "SENDING" not in world.onevizion.statuses.values()
    return run


def in_a_thread(call):
    return call.form.get("thread_ts")


@pytest.mark.parametrize("number", SIGNALS)
def test_the_post_in_flight_is_finished_and_saved_and_nothing_new_is_begun(world, number):
    records = [world.record() for _ in range(4)]
    world.slack.delay = 0.5
    run = interrupted(world, world.slack, POST, number)
    assert run.status == 128 + number
    assert [world.onevizion.status(record) for record in records] == ["SUCCESS"] + ["NOT_SENT"] * 3
    assert len(world.texts()) == 1
    assert world.log()[-1].startswith("interrupted: delivered 1, failed 0, left pending 3")
    assert "left pending: %d-%d" % (records[1], records[3]) in world.onevizion.log[-1].description


def test_a_post_that_waits_for_others_to_end_is_not_begun(world, monkeypatch):
    monkeypatch.setattr(workers, "WORKERS", 1)
    world.slack.add_channel("all")
    records = [world.record(channel) for channel in ("ops", "dev", "all")]
    interruption = CapturedWaits()
    world.slack.delay = 0.3
    world.slack.on(POST, lambda call: interruption.interrupt(signal.SIGTERM))
    assert world.run(interruption=interruption).status == 128 + signal.SIGTERM
    assert len(world.slack.calls_to(POST)) == 1
    assert [world.onevizion.status(record) for record in records] == ["SUCCESS", "NOT_SENT", "NOT_SENT"]


def test_what_is_being_composed_is_left_to_the_next_run_and_nothing_more_is_composed(world, monkeypatch):
    monkeypatch.setattr(calls, "FINISH_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "WORKERS", 2)  # half of them compose
    interruption, over, composed = CapturedWaits(), threading.Event(), []

    def compose(record, *_):
        composed.append(record.id)
        interruption.interrupt(signal.SIGTERM)
        over.wait(PROCESS_TIMEOUT_SECONDS)

    monkeypatch.setattr(delivery, "compose", compose)
    records = [world.record(channel) for channel in ("ops", "dev", "ops")]
    run = world.run(interruption=interruption)
    over.set()
    assert run.status == 128 + signal.SIGTERM
    assert composed == records[:1]
    assert world.onevizion.history == []
    assert "fault in this module" not in run.console


def test_a_failure_that_waits_to_be_recorded_is_left_to_the_next_run(world, monkeypatch):
    monkeypatch.setattr(outcomes, "WORKERS", 1)
    interruption = CapturedWaits()
    world.onevizion.on("POST .*attempts", lambda call: interruption.interrupt(signal.SIGTERM))
    records = [world.record(None) for _ in range(3)]
    assert world.run(interruption=interruption).status == 128 + signal.SIGTERM
    assert [world.onevizion.status(record) for record in records] == ["FAIL", "NOT_SENT", "NOT_SENT"]
    assert list(world.onevizion.attempts) == records[:1]


def test_the_first_posts_do_not_wait_until_a_long_queue_is_composed(world):
    for number in range(60):
        world.slack.add_channel("c%d" % number)
        world.record("c%d" % number, blob_ids=[world.onevizion.add_file("plan.pdf", b"content")])
    named = []  # files that had been asked for their name when a status was saved
    world.onevizion.on("PATCH", lambda call: named.append(len(world.onevizion.calls_to("GET /api/v3/files"))))
    assert world.run().status == 0
    assert named[0] < 40


@pytest.mark.parametrize("number", SIGNALS)
def test_the_wait_for_the_next_round_ends_at_once(world, number):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 300}
    record = world.record()
    world.slack.fault(POST, times=None, error="internal_error")
    again = "FAIL_WILL_RETRY"
    run = interrupted(world, world.onevizion, "PATCH", number, where=lambda call: call.query["status"] == again)
    assert run.status == 128 + number
    assert world.onevizion.status(record) == "FAIL_WILL_RETRY"


def test_a_record_that_waits_for_the_rate_limit_keeps_the_status_that_it_had(world):
    fresh, tried = world.record(), world.record("dev", status="FAIL_WILL_RETRY")
    both = Counter()
    limited = {"status": 429, "headers": {"Retry-After": "300"}}

    def second(call):
        both[call.form["channel"]] += 1
        return len(both) == 2

    arrived = threading.Event()
    world.slack.fault(POST, None, **limited)
    world.slack.on(POST, lambda call: second(call) and arrived.set())
    process = world.start()
    assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
    process.send_signal(signal.SIGTERM)
    assert finish(process).status == 128 + signal.SIGTERM
    assert [world.onevizion.status(record) for record in (fresh, tried)] == ["NOT_SENT", "FAIL_WILL_RETRY"]
    assert not world.onevizion.attempts
    assert world.texts() == world.texts("dev") == []


def test_of_a_long_message_the_part_in_flight_is_finished_and_the_next_run_goes_on_with_the_next_part(world):
    record = world.record(msg=LONG)
    world.slack.delay = 0.3
    run = interrupted(world, world.slack, POST, where=in_a_thread)
    assert run.status == 128 + signal.SIGTERM
    assert world.onevizion.status(record) == "FAIL_WILL_RETRY"
    assert len(world.texts()) == 2
    text = "record %d for USER-1001 (101): 2 of 6 parts are posted; the next run goes on with the next part"
    assert world.log("Warning")[0] == text % record
    assert world.log()[-1].startswith("interrupted: delivered 0, failed 0, left pending 1")
    world.slack.delay = 0.0
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    first, *replies = world.slack.messages
    assert len(replies) == 5
    assert {reply.thread_ts for reply in replies} == {first.ts}
    assert len(set(world.texts())) == 6


def test_a_failure_of_the_next_run_says_how_much_of_the_message_is_posted(world):
    record = world.record(msg=LONG)
    interrupted(world, world.slack, POST, where=in_a_thread)
    (trackor,) = world.onevizion.trackors.values()
    trackor[world.onevizion.channel_field] = None
    assert world.run().status == 1
    assert "not delivered (part 3 of 6): the user has no channel" in world.onevizion.attempts[record][0]


def test_a_long_message_that_waits_for_the_rate_limit_goes_on_in_the_next_run(world):
    record = world.record(msg=LONG)
    limited = {"status": 429, "headers": {"Retry-After": "300"}}
    interrupted(world, world.slack, POST, where=in_a_thread, **limited)
    assert world.onevizion.status(record) == "FAIL_WILL_RETRY"
    assert len(world.slack.calls_to(POST)) == 2
    assert "1 of 6 parts are posted; the next run goes on with the next part" in world.log("Warning")[0]


def test_an_interruption_before_the_first_post_leaves_the_queue_as_it_was(world):
    record = world.record()
    world.onevizion.delay = 0.5
    run = interrupted(world, world.onevizion, "GET .*notif/queue")
    assert run.status == 128 + signal.SIGTERM
    assert world.onevizion.status(record) == "NOT_SENT"
    assert world.slack.calls_to(POST) == []
    assert world.log()[-1].startswith("interrupted: delivered 0, failed 0, left pending 1")


@pytest.mark.parametrize(("service", "call"), [("onevizion", "GET .*notif/queue"), ("slack", "auth.test")])
def test_an_interruption_while_a_read_takes_long_is_told_as_one(world, monkeypatch, service, call):
    monkeypatch.setattr(calls, "FINISH_SECONDS", 0.2)
    world.record()
    interruption, server = CapturedWaits(), getattr(world, service)
    server.on(call, lambda call: interruption.interrupt(signal.SIGINT))
    server.fault(call, None, delay=PROCESS_TIMEOUT_SECONDS)
    run = world.run(interruption=interruption)
    assert run.status == 128 + signal.SIGINT
    assert "the run was interrupted" in world.log("Warning")
    assert world.log("Error") == []


def test_an_interruption_while_OneVizion_is_asked_again_ends_the_pauses(world):
    world.record()
    run = interrupted(world, world.onevizion, "GET .*notif/queue", status=503, headers={"Retry-After": "300"})
    assert run.status == 128 + signal.SIGTERM
    assert "OneVizion answered 503 when asked to read the Notif Queue" in run.console


def test_nothing_new_is_begun_for_records_that_cannot_be_delivered(world):
    for _ in range(2000):
        world.onevizion.add_record(None)
    world.onevizion.delay = 0.2
    run = interrupted(world, world.onevizion, "/attempts")
    assert run.status == 128 + signal.SIGTERM
    assert len(world.onevizion.calls_to("/attempts")) < 1000


@pytest.mark.parametrize("arguments", [("--check",), ("--dry-run",), ("--resend", "4711")])
def test_in_the_other_modes_Ctrl_C_ends_the_program_at_once_without_a_word(world, arguments):
    world.record()
    arrived = threading.Event()
    world.onevizion.on("queue", lambda call: arrived.set())
    world.onevizion.fault("queue", None, delay=60)
    process = world.start(*arguments)
    assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.status == -signal.SIGINT
    assert "Traceback" not in run.console


def test_a_second_signal_changes_nothing(world):
    world.record()
    world.slack.delay = 0.5
    arrived = threading.Event()
    world.slack.on(POST, lambda call: arrived.set())
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
    with open(os.path.join(directory, "requests.py"), "w") as file:
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


SAVED_LATE = "PATCH .*/update_status"  # of records that an earlier run has posted


def note_as_posted(directory, records):
    with contextlib.closing(Journal(os.path.join(directory, JOURNAL_FILE))) as journal:
        for record in records:
            journal.begin(record, 1)
            journal.note_posted(record, "C0000000001", "1.1", 1, 1, "")


# Calls that hang, by the service, the call and how it hangs; behind the last one nothing answers any more.
NOTHING = {"drip_head": 0.5}
HANGING = [
    ("onevizion", "GET .*notif/queue", {"drip_body": 0.05}),
    ("onevizion", "GET .*/users", {"drip_head": 0.05}),
    ("onevizion", "PATCH", {"delay": 600}),
    ("onevizion", "PATCH", {"drip_head": 0.05}),
    ("onevizion", SAVED_LATE, {"delay": 600}),
    ("onevizion", "/logs", {"delay": 600}),
    ("slack", "auth.test", {"drip_body": 0.05}),
    ("slack", POST, {"delay": 600}),
    ("slack", POST, {"drip_body": 0.05}),
    ("slack", "files.getUploadURLExternal", {"delay": 600}),
    ("slack", POST, NOTHING),
]
END_SECONDS = 15


def test_the_program_ends_soon_after_a_signal_whatever_call_hangs_and_leaves_nothing_in_SENDING_but_what_was_posted(
    tmp_path,
):
    with contextlib.ExitStack() as stack:
        hung = []
        for number, (service, call, fault) in enumerate(HANGING):
            world = stack.enter_context(World(tmp_path / str(number)))
            world.settings["uploadAttachments"] = True
            world.record(msg=LONG)
            world.record("dev", blob_ids=[world.onevizion.add_file("a.txt", b"a")])
            waiting = world.record("dev")
            arrived = threading.Event()
            server = getattr(world, service)
            if fault is NOTHING:
                server.on(call, lambda call, world=world: world.onevizion.fault("/", None, **NOTHING))
            server.on(call, lambda call, arrived=arrived: arrived.set())
            server.fault(call, None, **fault)
            directory = world.directory()
            if call == SAVED_LATE:
                note_as_posted(directory, [world.record() for _ in range(200)])
            hung.append((world, arrived, waiting, world.start(cwd=directory), service, call, fault))
        for _, arrived, _, _, *hanging in hung:
            assert arrived.wait(PROCESS_TIMEOUT_SECONDS), hanging
        signalled_at = time.monotonic()
        for _, _, _, process, *_ in hung:
            process.send_signal(signal.SIGTERM)
        for world, _, waiting, process, *hanging in hung:
            run = finish(process)
            assert time.monotonic() - signalled_at < END_SECONDS, hanging
            assert run.status == 128 + signal.SIGTERM, (hanging, run)
            assert "Traceback" not in run.console + run.stdout, hanging
            asked = {record for record, status in world.onevizion.history if status == "SENDING"}
            left = {record for record, status in world.onevizion.statuses.items() if status == "SENDING"}
            assert left <= asked - {waiting}
            if "PATCH" not in hanging[1] and hanging[2] is not NOTHING:
                assert not left, hanging  # else nothing more could be saved, or the PATCH that hangs has saved it
