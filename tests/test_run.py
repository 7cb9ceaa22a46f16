"""What one run does with a queue that nothing is wrong with (issue: a pending queue is delivered, end to end)."""

import contextlib
import os
import pty
import subprocess
import sys

import pytest


def test_a_record_is_posted_once_between_SENDING_and_SUCCESS(world):
    record = world.record(subj="Ticket 7 is yours", msg="Please look.")
    run = world.run()
    assert run.status == 0
    assert world.texts() == ["Ticket 7 is yours\nPlease look.\nOneVizion · 127.0.0.1 (%s)" % world.onevizion.url]
    assert world.onevizion.history == [(record, "SENDING"), (record, "SUCCESS")]
    assert not world.onevizion.attempts


def test_previews_of_links_are_off_and_names_are_not_linked(world):
    world.record(msg="see http://example.com")
    world.run()
    form = world.slack.calls_to("chat.postMessage")[0].form
    assert (form["unfurl_links"], form["unfurl_media"]) == ("0", "0")
    assert "link_names" not in form


def test_an_empty_queue_ends_the_run_without_a_call_to_Slack(world):
    run = world.run()
    assert run.status == 0
    assert world.slack.calls == []
    assert len(world.onevizion.calls) == 3
    assert world.log()[-1].startswith("nothing is pending for service 7: delivered 0, failed 0, left pending 0 in ")


@pytest.mark.parametrize("status", ["BUILDING", "SUCCESS", "FAIL", 0, 4, 5])
def test_a_record_that_is_not_pending_is_left_alone(world, status):
    world.onevizion.fault("GET .*notif/queue", status=200, body=[queue_record(world, status)])
    run = world.run()
    assert run.status == 0
    assert world.slack.calls == []
    assert world.onevizion.history == []


@pytest.mark.parametrize("status", ["NOT_SENT", "FAIL_WILL_RETRY", "SENDING", "PAUSED", None, 1, 2, 3, "not_sent"])
def test_a_record_in_any_other_status_is_delivered(world, status):
    world.onevizion.fault("GET .*notif/queue", status=200, body=[queue_record(world, status)])
    run = world.run()
    assert run.status == 0
    assert len(world.texts()) == 1


def queue_record(world, status):
    world.record()
    return dict(world.onevizion.records[-1], status=status)


def test_a_record_left_in_SENDING_is_delivered_with_a_warning(world):
    record = world.record(status="SENDING")
    world.run()
    assert len(world.texts()) == 1
    assert world.log("Warning") == ["1 record(s) were being sent when an earlier run was cut off, and may arrive twice"]
    assert [entry.description for entry in world.onevizion.log if entry.level == "Warning"] == [str(record)]


def test_a_record_that_stands_in_the_queue_twice_is_sent_once(world):
    world.record()
    world.onevizion.records.append(world.onevizion.records[0])
    assert world.run().status == 0
    assert len(world.texts()) == 1


def test_users_are_asked_for_in_chunks_and_every_user_and_trackor_once(world):
    users = [world.onevizion.add_user("ops" if number % 2 else "dev") for number in range(101)]
    for user in users + users[:10]:
        world.onevizion.add_record(user)
    assert world.run().status == 0
    calls = world.onevizion.calls_to("GET /api/internal/users")
    asked = [user for call in calls for user in call.query["user_ids"].split(",")]
    assert len(calls) == 2
    assert sorted(asked) == sorted(str(user) for user in users)
    assert len(world.onevizion.calls_to("GET /api/v3/trackors/")) == 101


# Every spelling of each kind stands in test_channel_spelling.py.
@pytest.mark.parametrize(
    "typed", ["general", " #General ", "C0000000077", "https://acme.slack.com/archives/C0000000077/p1700000000000100"]
)
def test_a_channel_is_reached_by_each_kind_of_spelling(world, typed):
    world.slack.add_channel("general", channel_id="C0000000077")
    world.record(typed)
    assert world.run().status == 0
    assert len(world.texts("C0000000077")) == 1


@pytest.mark.parametrize("typed", ["{}", "<@{}|ann>"])
def test_a_member_ID_is_a_direct_message(world, typed):
    person = world.slack.add_person()
    world.record(typed.format(person))
    assert world.run().status == 0
    assert len(world.texts(person)) == 1


def test_the_summary_counts_and_names_what_was_not_delivered(world):
    world.record()
    world.record("dev")
    world.record("dev")
    failed = world.record("nowhere")
    run = world.run()
    assert run.status == 1
    summary = world.onevizion.log[-1]
    assert summary.level == "Warning"
    assert summary.message.startswith("delivered 3, failed 1, left pending 0 in ")
    assert summary.description.split("\n")[:2] == ["delivered to #dev: 2, #ops: 1", "failed: %d" % failed]
    assert "delivered 3, failed 1, left pending 0 in " in run.console


def test_the_summary_of_a_run_that_delivered_everything_is_no_warning(world):
    world.record()
    assert world.run().status == 0
    assert world.onevizion.log[-1].level == "Info"


def test_by_hand_the_console_alone_gets_the_log(world):
    world.scheduled = False
    record = world.record()
    run = world.run()
    assert run.status == 0
    assert world.onevizion.log == []
    assert "[1/1] record %d for USER-1001 (101) delivered to #ops" % record in run.console
    assert run.stdout == ""


def on_a_terminal(world):
    """Run the program as a process whose stderr is a terminal; return what it wrote there, line after line."""
    ours, its = pty.openpty()
    command = [sys.executable, "module.py"]
    process = subprocess.Popen(command, cwd=world.directory(), stdin=its, stdout=subprocess.DEVNULL, stderr=its)
    os.close(its)
    written = []
    with contextlib.suppress(OSError):  # which Linux raises when nobody has the other end open any more
        written.extend(iter(lambda: os.read(ours, 10000), b""))
    os.close(ours)
    process.wait()
    return b"".join(written).decode().split("\r\033[K")


def test_on_a_terminal_one_line_shows_how_far_the_run_is_below_the_failures(world):
    for channel in ("ops", "ops", "ops", "nowhere"):
        world.record(channel)
    shown = on_a_terminal(world)
    assert "3 of 4, 1 failed, about 1 s left" in shown
    assert shown.index("3 of 4, 1 failed, about 1 s left") < shown.index("4 of 4, 1 failed, about 0 s left")
    (failure,) = [number for number, line in enumerate(shown) if "not delivered to #nowhere" in line]
    assert failure < shown.index("3 of 4, 1 failed, about 1 s left")
    assert shown[failure].endswith("\r\n")
    assert "[1/4]" not in "".join(shown), "a line for each record"
    assert shown[-1] == "", "the last line of the terminal is left free"


def test_elsewhere_every_record_has_a_line_of_its_own(world):
    world.record()
    world.record("nowhere")
    run = world.run_process()
    assert "\033" not in run.console
    assert "\r" not in run.console
    assert " s left" not in run.console
    assert run.console.count("delivered to #ops") >= 1
    assert run.console.count("not delivered to #nowhere") == 1


def test_the_run_as_a_process_ends_with_its_exit_status_and_says_nothing_on_stdout(world):
    world.record()
    run = world.run_process()
    assert (run.status, run.stdout) == (0, "")
    world.record("nowhere")
    run = world.run_process()
    assert (run.status, run.stdout) == (1, "")
    assert "Traceback" not in run.console


@pytest.mark.parametrize("form", ["{}", "{}/", " {}/ "])
def test_the_address_of_OneVizion_may_end_with_a_slash(world, form):
    world.settings["ovUrl"] = form.format(world.onevizion.url)
    world.record()
    assert world.run().status == 0
    assert len(world.texts()) == 1


def test_GovSlack_is_another_address(world):
    # The address in the settings is the one seam: whoever is asked there is Slack.
    world.settings["slackUrl"] = world.slack.url + "/"
    world.record()
    assert world.run().status == 0


def test_the_records_of_the_service_in_the_settings_are_asked_for(world):
    world.settings["serviceId"] = 8
    world.record()
    assert world.run().status == 0
    assert world.onevizion.calls_to("GET .*notif/queue")[0].query == {"service_id": "8"}
    assert world.texts() == []


def test_a_record_keeps_the_order_of_the_queue_not_of_its_number(world):
    first = world.record(subj="b", notifQueueId=9002)
    second = world.record(subj="a", notifQueueId=9001)
    assert world.run().status == 0
    assert [text[0] for text in world.texts()] == ["b", "a"]
    assert [record for record, status in world.onevizion.history if status == "SUCCESS"] == [first, second]
