"""What one run does with a queue that nothing is wrong with (issue: a pending queue is delivered, end to end)."""

import contextlib
import os
import pty
import subprocess
import sys

import pytest

from slack_notification import calls, delivery, recipients, slack_errors


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
    users = [world.onevizion.add_user("ops" if number % 2 else "dev") for number in range(150)]
    for user in users + users:
        world.onevizion.add_record(user)
    assert world.run().status == 0
    calls = world.onevizion.calls_to("GET /api/internal/users")
    asked = [user for call in calls for user in call.query["user_ids"].split(",")]
    assert len(calls) == 2
    assert sorted(asked) == sorted(str(user) for user in users)
    assert len(world.onevizion.calls_to("GET /api/v3/trackors/")) == 150


# Every spelling of each kind stands in test_channel_spelling.py.
@pytest.mark.parametrize(
    "typed", ["general", " #General ", "C0000000077", "https://acme.slack.com/archives/C0000000077/p1700000000000100"]
)
def test_every_spelling_of_a_channel_arrives(world, typed):
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


def test_the_channels_are_delivered_side_by_side_each_in_the_order_of_the_queue(world):
    for number in range(12):
        world.record("ops" if number % 2 else "dev", subj="number %02d" % number)
    # Who waits for the answers of one channel must not hold up the other.
    world.slack.fault("chat.postMessage", times=None, where=lambda call: call.form["channel"] == "#ops", delay=0.05)
    assert world.run().status == 0
    order = [message.text[len("number ") :][:2] for message in world.slack.messages]
    assert [number for number in order if int(number) % 2] == ["01", "03", "05", "07", "09", "11"]
    assert [number for number in order if not int(number) % 2] == ["00", "02", "04", "06", "08", "10"]
    assert order.index("10") < order.index("11")


@pytest.mark.parametrize("typed", [("slow", "C0000000088"), ("C0000000088", "slow")], ids=["name first", "ID first"])
def test_two_spellings_of_one_channel_become_one_queue_in_the_order_of_the_queue(world, monkeypatch, typed):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.1)
    world.slack.add_channel("slow", channel_id="C0000000088")
    for number in range(8):
        world.record(typed[number // 4], subj=str(number))
    assert world.run().status == 0
    order = [int(message.text[0]) for message in world.slack.messages]
    # The first of each spelling is posted before Slack has said that they are one.
    assert sorted(order[:2]) == [0, 4]
    assert order[2:] == [1, 2, 3, 5, 6, 7]


@pytest.mark.parametrize(
    ("typed", "order"),
    [(("slow", "C0000000088"), [0, 1, 2, 3, 4, 5, 6, 7]), (("C0000000088", "slow"), [4, 0, 1, 2, 3, 5, 6, 7])],
    ids=["name first", "ID first"],
)
def test_a_record_that_Slack_wanted_later_keeps_its_place_when_two_spellings_become_one(
    world, monkeypatch, typed, order
):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.1)
    world.slack.add_channel("slow", channel_id="C0000000088")
    for number in range(8):
        world.record(typed[number // 4], subj=str(number))
    by_id = lambda call: call.form["channel"] == "C0000000088"  # noqa: E731
    world.slack.fault("chat.postMessage", where=by_id, status=429, headers={"Retry-After": "0.3"})
    assert world.run().status == 0
    assert [int(message.text[0]) for message in world.slack.messages] == order


def test_a_pause_that_Slack_wants_of_one_spelling_is_kept_by_both_when_they_have_become_one(world):
    world.slack.add_channel("slow", channel_id="C0000000088")
    for typed in ("slow", "slow", "C0000000088"):
        world.record(typed)
    by_id = lambda call: call.form["channel"] == "C0000000088"  # noqa: E731
    # The refusal comes after the answer from which the run learns that both are one.
    success = lambda call: call.query["status"] == "SUCCESS"  # noqa: E731
    world.onevizion.fault("PATCH", times=None, where=success, delay=0.2)
    world.slack.fault("chat.postMessage", where=by_id, status=429, headers={"Retry-After": "0.4"}, delay=0.1)
    assert world.run().status == 0
    first, second, _ = world.slack.messages
    assert second.at - first.at >= 0.4


def test_a_channel_gets_one_message_a_second_whatever_its_spelling(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.5)
    world.slack.channel_interval = 0.5
    world.slack.add_channel("slow", channel_id="C0000000088")
    for typed in ("slow", "C0000000088", "#Slow", "https://acme.slack.com/archives/C0000000088"):
        world.record(typed)
    run = world.run()
    assert run.status == 0
    starts = [message.at for message in world.slack.messages]
    refused = [post for post in world.slack.posts if post.outcome != "ok"]
    assert len(starts) == 4
    # Before the first answer nobody can know that the name and the ID are one channel: Slack may refuse one post then.
    assert len(refused) <= 1
    assert starts[3] - starts[0] >= 3 * 0.5 - 0.05


def test_spellings_that_are_known_to_be_the_same_share_the_pace_and_the_order(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.2)
    for number in range(4):
        world.record("ops" if number % 2 else "#OPS", subj=str(number))
    assert world.run().status == 0
    assert [message.text[0] for message in world.slack.messages] == ["0", "1", "2", "3"]
    posts = [post.at for post in world.slack.posts]
    # Measured where they arrive; the way there takes each a little longer or shorter.
    assert posts[-1] - posts[0] >= 3 * 0.2 - 0.05


def test_a_retryable_failure_gets_its_next_attempt_a_delay_later_and_holds_up_nobody(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0.2}
    stubborn = world.record("ops", subj="stubborn")
    easy = world.record("ops", subj="easy")
    world.slack.fault(
        "chat.postMessage", times=2, where=lambda call: "stubborn" in call.form["text"], error="fatal_error"
    )
    run = world.run()
    assert run.status == 0
    posts = [post.at for post in world.slack.posts if post.text.startswith("stubborn")]
    assert len(posts) == 3
    assert min(later - earlier for earlier, later in zip(posts, posts[1:])) >= 0.2
    assert [status for record, status in world.onevizion.history if record == stubborn] == [
        "SENDING",
        "FAIL_WILL_RETRY",
        "SENDING",
        "FAIL_WILL_RETRY",
        "SENDING",
        "SUCCESS",
    ]
    assert len(world.onevizion.attempts[stubborn]) == 2
    assert world.onevizion.status(easy) == "SUCCESS"
    assert [text.split("\n")[0] for text in world.texts()] == ["easy", "stubborn"]


def test_a_delay_of_0_seconds_is_no_delay(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    world.record()
    world.slack.fault("chat.postMessage", error="internal_error")
    run = world.run()
    assert (run.status, run.waits) == (0, [])
    first, second = world.slack.posts
    assert second.at - first.at < 5  # the schema's default is 30


def test_one_attempt_is_the_default(world):
    record = world.record()
    world.slack.fault("chat.postMessage", error="internal_error")
    assert world.run().status == 1
    assert [status for _, status in world.onevizion.history] == ["SENDING", "FAIL"]
    assert len(world.onevizion.attempts[record]) == 1


def test_the_attempts_are_used_up_by_FAIL(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault("chat.postMessage", times=None, error="service_unavailable")
    run = world.run()
    assert run.status == 1
    assert [status for _, status in world.onevizion.history] == ["SENDING", "FAIL_WILL_RETRY", "SENDING", "FAIL"]
    text = "record %d for USER-1001 (101) not delivered to #ops: %s (Slack: service_unavailable)"
    assert world.onevizion.attempts[record] == [text % (record, slack_errors.LOOK_AT_STATUS)] * 2
    assert world.log("Error") == [text % (record, slack_errors.LOOK_AT_STATUS)]


def test_what_arrives_while_a_run_waits_for_another_attempt_is_delivered_at_the_next_look(world, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.15)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 1}
    world.record("ops")
    world.slack.fault("chat.postMessage", error="internal_error")
    world.onevizion.on("POST .*attempts", lambda call: world.record("dev", subj="arrived later"))
    assert world.run().status == 0
    assert [message.name for message in world.slack.messages] == ["#dev", "#ops"]


def test_a_run_looks_for_new_records_at_most_once_in_the_interval(world, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.15)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 1}
    world.record("ops")
    world.slack.fault("chat.postMessage", error="internal_error")
    # Records that come and fail one after the other must not bring the looks closer together.
    world.onevizion.on("GET .*notif/queue", lambda call: world.record(None))
    assert world.run().status == 1
    looks = [call.at for call in world.onevizion.calls_to("GET .*notif/queue")]
    assert 3 <= len(looks) <= 8
    assert min(later - earlier for earlier, later in zip(looks, looks[1:])) >= 0.14  # less the way to the stand-in


def test_records_that_keep_arriving_and_failing_do_not_keep_the_run_from_ending(world, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(delivery, "LOOKS_LIMIT", 4)
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 0.1}
    world.onevizion.on("GET .*notif/queue", lambda call: world.record("ops"))
    world.slack.fault("chat.postMessage", times=None, error="internal_error")
    assert world.run().status == 1
    assert len(world.onevizion.calls_to("GET .*notif/queue")) == 1 + 4
    # Whoever was begun has had all its attempts.
    assert set(world.onevizion.statuses.values()) == {"FAIL"}
    assert [len(attempts) for attempts in world.onevizion.attempts.values()] == [3] * 5


def test_a_look_that_OneVizion_answers_late_silences_no_channel(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.1)
    for number in range(16):
        world.record("ops" if number % 2 else "dev")
    world.onevizion.fault("GET .*notif/queue", after=1, delay=1.5)
    assert world.run().status == 0
    look = world.onevizion.calls_to("GET .*notif/queue")[1]
    during = [message.name for message in world.slack.messages if look.at < message.at < look.at + 1.5]
    assert len(during) >= 12
    assert set(during) == {"#ops", "#dev"}


def test_a_channel_with_many_records_does_not_hold_up_what_arrives_meanwhile(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.2)
    for _ in range(12):
        world.record("ops")
    arrive = lambda call: len(world.onevizion.records) == 12 and world.record("dev", subj="late")  # noqa: E731
    world.slack.on("chat.postMessage", arrive)
    assert world.run().status == 0
    names = [message.name for message in world.slack.messages]
    assert names.count("#ops") == 12
    assert names.index("#dev") < 11


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


def test_forty_records_in_four_channels_share_a_few_connections(world):
    for number in range(40):
        world.slack.add_channel("team%d" % (number % 4))
        world.record("team%d" % (number % 4))
    assert world.run().status == 0
    assert len(world.slack.messages) == 40
    assert world.slack.connections <= 4 + 1
    assert world.onevizion.connections <= recipients.READERS + 4


def test_a_connection_that_was_idle_for_too_long_is_not_used_for_a_post(world, monkeypatch):
    monkeypatch.setattr(calls, "IDLE_LIMIT_SECONDS", -1)
    for _ in range(5):
        world.record()
    assert world.run().status == 0
    assert len({call.connection for call in world.slack.calls_to("chat.postMessage")}) == 5


def test_a_connection_that_was_in_use_just_before_is_used_again(world):
    for _ in range(5):
        world.record()
    assert world.run().status == 0
    assert len({call.connection for call in world.slack.calls_to("chat.postMessage")}) == 1
