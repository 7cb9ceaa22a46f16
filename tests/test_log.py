"""The integration log, the console and stdout: who is told what."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading

import pytest

import module
from slack_notification import delivery, integration_log, onevizion_api, outcomes

LOGS = "POST /api/v3/modules/runs/"


def at_level(world, level):
    directory = world.directory()
    path = os.path.join(directory, "ihub_parameters.json")
    with open(path, encoding="utf-8") as file:
        parameters = dict(json.load(file), logLevel=level)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(parameters, file)
    process = world.start(cwd=directory)
    stdout, console = process.communicate()
    return process.returncode, stdout, console


def test_at_Info_a_run_costs_a_handful_of_entries_however_many_records(world):
    for _ in range(40):
        world.record()
    world.run()
    assert world.log() == [
        "Slack-notification %s started" % module.VERSION,
        "40 record(s) pending for service 7",
        world.log()[-1],
    ]


def test_at_Info_each_record_that_failed_has_its_entry(world):
    failed = [world.record("nowhere"), world.onevizion.add_record(None)]
    world.record()
    world.run()
    assert len(world.log("Error")) == 2
    for record in failed:
        (entry,) = [entry for entry in world.onevizion.log if entry.message.startswith("record %d " % record)]
        resend = "This is final after 1 attempt(s). To send again once it is corrected: --resend %d" % record
        assert (entry.level, entry.description) == ("Error", resend)


def test_a_failure_that_another_attempt_mends_does_not_stand_in_the_integration_log(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault("chat.postMessage", error="internal_error")
    run = world.run()
    assert world.log("Error") == world.log("Warning") == []
    text = "record %d for USER-1001 (101) not delivered to #ops: it may have been posted anyway" % record
    assert text in run.console
    assert "(Slack: internal_error); another attempt follows" in run.console


def test_a_flood_of_causes_is_told_up_to_a_limit_and_the_summary_names_all(world, monkeypatch):
    monkeypatch.setattr(outcomes, "FAILURE_ENTRIES", 3)
    records = [world.onevizion.add_record(world.onevizion.add_user(" ")) for _ in range(8)]
    run = world.run()
    assert len(world.log("Error")) == 3
    more = "more than 3 causes of failure: see the summary for the other records"
    assert world.log("Warning") == [more, world.log()[-1]]
    assert world.onevizion.log[-1].description.split("\n")[0] == "failed: 4711-4718"
    for record in records:
        assert "record %d for USER-" % record in run.console


def test_a_cause_that_many_records_share_is_one_entry_with_count_user_advice_and_ids(world):
    records = [world.onevizion.add_record(None) for _ in range(8)]
    world.run()
    (entry,) = [entry for entry in world.onevizion.log if entry.level == "Error"]
    advice = "it is addressed to an e-mail address, not to a user: choose a OneVizion user as recipient"
    assert entry.message == "8 records not delivered: " + advice
    assert "records: 4711-4718" in entry.description
    assert {len(world.onevizion.attempts[record]) for record in records} == {1}


def test_at_Error_only_errors_are_told(world):
    world.record("nowhere")
    at_level(world, "error")
    assert [entry.level for entry in world.onevizion.log] == ["Error"]


def test_message_bodies_are_told_at_Debug_only(world):
    world.record(subj="Words of the subject", msg="Words of the body")
    status, stdout, console = at_level(world, "Info")
    told = " ".join(entry.message + entry.description for entry in world.onevizion.log)
    assert "Words of the" not in told + stdout + console
    world.record(subj="Words of the subject", msg="Words of the body")
    status, stdout, console = at_level(world, "Debug")
    told = [entry for entry in world.onevizion.log if "Words of the body" in entry.description]
    assert [entry.level for entry in told] == ["Debug"]
    assert "Words of the" not in stdout + console
    assert any("delivered to #ops" in entry.message for entry in world.onevizion.log)


def test_a_long_text_is_cut_into_message_and_description():
    text = "a" * 300 + "\n" + "b" * 5000
    entry = integration_log.entry_of(logging.LogRecord("x", logging.ERROR, "", 0, text, (), None), text)
    assert (entry.level, len(entry.message), len(entry.description)) == ("Error", 200, 4000)
    assert entry.description.startswith("a" * 300 + "\nb")


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 403, "body": "no"},
        {"status": 500},
        {"status": 404},
        {"status": 200, "body": "<html>Log in</html>", "content_type": "text/html"},
        {"status": 302, "headers": {"Location": "/login"}},
        {"cut": "before"},
        {"cut": "after"},
    ],
)
def test_a_log_that_fails_stops_nothing_and_is_given_up_after_three_failures(world, fault):
    for number in range(6):
        world.record("nowhere%d" % number)
    world.record()
    world.onevizion.fault(LOGS, times=None, **fault)
    run = world.run()
    assert run.status == 1
    assert len(world.texts()) == 1
    assert len(world.onevizion.calls_to(LOGS)) == 3
    assert run.console.count("the integration log is incomplete: ") == 1
    (line,) = [line for line in run.console.splitlines() if "the integration log is incomplete: " in line]
    assert "to write the integration log" in line


def test_what_the_log_refused_is_told_on_stdout(world):
    record = world.record("nowhere")
    world.onevizion.fault(LOGS, times=None, status=403)
    run = world.run()
    lines = run.stdout.splitlines()
    assert lines[0].startswith("Warning: the integration log is incomplete: give the account ADMIN_MODULE_LOG RA")
    assert any(line.startswith("Error: record %d for USER-1001 (101) not delivered" % record) for line in lines)
    assert any(line.startswith("Warning: delivered 0, failed 1") for line in lines)
    assert "Warning: failed: %d" % record in lines


def test_one_entry_that_is_lost_is_told_on_stdout_and_the_log_goes_on(world):
    world.record()
    world.onevizion.fault(LOGS, status=500)
    run = world.run()
    assert world.log()[-1].startswith("delivered 1")
    assert "Info: Slack-notification %s started" % module.VERSION in run.stdout.splitlines()


def test_a_log_that_answers_slowly_delays_no_delivery(world):
    for _ in range(3):
        world.record()
    answered = world.onevizion.fault(LOGS, times=1, delay=0.3)
    world.run()
    assert answered.applied == 1
    last_post = world.slack.messages[-1].at
    second_entry = world.onevizion.calls_to(LOGS)[1].at
    assert last_post < second_entry


def test_a_log_that_answers_slowly_gets_every_entry_of_the_run(world):
    world.record()
    world.onevizion.fault(LOGS, times=None, delay=0.2)
    run = world.run()
    assert run.status == 0
    assert "incomplete" not in run.console + run.stdout
    assert len(world.log()) == 3


@pytest.mark.parametrize("status", [401, 503])
def test_OneVizion_out_of_reach_is_told_on_stdout_in_a_scheduled_run(world, status):
    world.onevizion.fault("/api/", times=None, status=status, body="no")
    run = world.run()
    assert run.status == 2
    assert any(
        line.startswith("Error: ") and "OneVizion answered %d" % status in line for line in run.stdout.splitlines()
    )


def test_no_secret_reaches_any_output_whatever_the_services_answer(world):
    secrets = [world.onevizion.access_key, world.onevizion.secret_key, world.slack.token]
    world.record(" ".join(secrets))
    world.record()
    echo = "you sent %s" % " ".join(secrets)
    world.slack.fault("chat.postMessage", error="no_such_thing " + echo, extra={"needed": echo, "provided": echo})
    world.onevizion.fault("PATCH", times=3, status=500, body=echo)
    run = world.run()
    told = " ".join(entry.message + entry.description for entry in world.onevizion.log)
    attempts = " ".join(text for texts in world.onevizion.attempts.values() for text in texts)
    for secret in secrets:
        assert secret not in run.console + run.stdout + told + attempts


@pytest.mark.parametrize(
    "address",
    [
        "{}127.0.0.1:1",
        "http://{}127.0.0.1:1",
        "https://{}127.0.0.1:1",
        "https://{}127.0.0.1:PORT",  # that speaks http
        "socks5://{}127.0.0.1:1",
        "ftp://{}127.0.0.1:1",
        "http://{}127.0.0.1:x",
        "http://{}[::1",
        "http://{}127.0.0.1:1/%zz",
        "http://{}",
        "{}",
    ],
)
def test_the_password_of_a_proxy_that_does_not_work_reaches_no_output(world, monkeypatch, address):
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, address.format("ann:proxy-password@").replace("PORT", str(world.slack.port)))
    world.record()
    for mode in ([], ["--check"], ["--send-test", "ops"]):
        run = world.run(*mode)
        assert run.status != 0
        assert "proxy-password" not in run.console + run.stdout
        assert "Traceback" not in run.console
        assert "Error)" not in run.console + run.stdout  # a reason in words


def test_a_secret_in_a_traceback_reaches_no_output(world, monkeypatch):
    secrets = [world.onevizion.access_key, world.onevizion.secret_key, world.slack.token]

    def broken(*others):
        try:
            raise KeyError(secrets[0])
        except KeyError as error:
            raise ValueError("with %s\nand %s" % tuple(secrets[1:])) from error

    for part, name in ((delivery, "compose"), (onevizion_api, "read_record")):
        with monkeypatch.context() as patched:
            patched.setattr(part, name, broken)
            world.record()
            run = world.run()
        told = " ".join(entry.message + entry.description for entry in world.onevizion.log)
        attempts = " ".join(text for texts in world.onevizion.attempts.values() for text in texts)
        assert "ValueError" in run.console
        for secret in secrets:
            assert secret not in run.console + run.stdout + told + attempts


@pytest.mark.parametrize("stream", ["1>&-", "2>&-", "1>&- 2>&-", ">/dev/full", "| true"])
def test_streams_that_nobody_reads_change_nothing(world, stream):
    world.record()
    world.onevizion.fault(LOGS, times=None, status=403)
    command = "set -o pipefail; '%s' module.py %s" % (sys.executable, stream)
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=world.directory(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    console = process.communicate()[1].decode()
    assert process.returncode == 0
    assert len(world.texts()) == 1
    assert "Traceback" not in console


def with_a_full_pipe(world, *arguments):
    """Start the program with a stderr that takes not one byte more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"x" * size)
    os.set_blocking(writer, True)
    process = subprocess.Popen(
        [sys.executable, "module.py"] + list(arguments),
        cwd=world.directory(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=writer,
        universal_newlines=True,
    )
    os.close(writer)
    return process, reader


@pytest.mark.skipif(os.name == "nt", reason="pipes of another kind")
def test_a_console_that_nobody_reads_holds_up_neither_the_records_nor_the_end_nor_SIGTERM(world):
    failed, good = world.record("nowhere"), world.record()
    process, reader = with_a_full_pipe(world)
    try:
        stdout = process.communicate(timeout=20)[0]
        assert (process.returncode, stdout) == (1, "")
        assert world.onevizion.statuses == {failed: "FAIL", good: "SUCCESS"}
        assert world.log()[-1].startswith("delivered 1, failed 1")
    finally:
        process.kill()
        os.close(reader)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 300}
    world.record()
    waits = threading.Event()
    world.slack.fault("chat.postMessage", None, error="internal_error")
    world.onevizion.on("PATCH", lambda call: call.query["status"] == "FAIL_WILL_RETRY" and waits.set())
    process, reader = with_a_full_pipe(world)
    try:
        assert waits.wait(60)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=15)
        assert process.returncode == 128 + signal.SIGTERM  # and not that of an abort
    finally:
        process.kill()
        os.close(reader)


def test_the_console_shows_each_line_at_once_and_in_order(world):
    world.record("nowhere")
    world.record()
    world.slack.fault("chat.postMessage", times=None, delay=600, where=lambda call: call.form["channel"] == "#ops")
    process = world.start()
    try:
        lines = [process.stderr.readline().split(" ", 1)[1] for _ in range(3)]
    finally:
        process.kill()
        process.communicate()
    assert lines[0] == "Slack-notification %s started\n" % module.VERSION
    assert lines[1] == "2 record(s) pending for service 7\n"
    assert lines[2].startswith("record 4711 for USER-1001 (101) not delivered to #nowhere")


def test_what_is_asked_for_shows_no_secret_either(world):
    world.record(msg="the token is %s" % world.slack.token)
    for mode in ("--dry-run", "--check"):
        assert world.slack.token not in world.run(mode).stdout
    assert integration_log.redacted("xoxb-test…", [world.slack.token]) == "***…"


def test_a_bug_behind_the_post_does_not_send_the_message_twice_and_ends_no_run(world, monkeypatch):
    save_status = onevizion_api.OneVizion.save_status

    def broken(self, record_id, status):
        if status.name != "SENDING":
            raise KeyError("broken")
        save_status(self, record_id, status)

    monkeypatch.setattr(onevizion_api.OneVizion, "save_status", broken)
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0}
    world.record("ops")
    world.record("ops")
    run = world.run()
    assert run.status == 2
    assert len(world.texts()) == 2
    assert "KeyError" in run.console


def test_a_bug_costs_its_record_keeps_its_traceback_in_the_log_without_secrets_and_the_others_go_on(world, monkeypatch):
    compose = delivery.compose

    def broken(record, *others):
        if record.subject == "bad":
            raise KeyError("the token is xoxb-test-token")
        return compose(record, *others)

    monkeypatch.setattr(delivery, "compose", broken)
    bad, good = world.record(subj="bad"), world.record(subj="good")
    run = world.run()
    assert run.status == 1
    assert world.onevizion.statuses == {bad: "FAIL", good: "SUCCESS"}
    entry = [entry for entry in world.onevizion.log if "a fault in this module" in entry.message][0]
    assert (entry.level, "Traceback" in entry.description, "KeyError" in entry.description) == ("Error", True, True)
    assert "xoxb-test-token" not in entry.description + run.console


def test_a_log_that_takes_an_entry_between_its_failures_is_not_given_up(world):
    calls_made = []
    fails = lambda call: calls_made.append(call) or len(calls_made) in (1, 2, 4, 5)  # noqa: E731
    world.onevizion.fault("POST .*/logs", times=None, where=fails, status=500)
    for channel in ("nowhere", "elsewhere", "gone"):
        world.record(channel)
    run = world.run()
    assert run.status == 1
    assert len(calls_made) == 6
    assert world.log()[-1].startswith("delivered 0, failed 3")
    assert run.stdout.count("This is final") + len(world.log("Error")) == 3
