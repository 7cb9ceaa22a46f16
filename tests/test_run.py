"""What one run does with a queue that nothing is wrong with (issue: a pending queue is delivered, end to end)."""

import pytest

from slack_notification import delivery, errors, recipients, slack_api
from tests.world import CapturedWaits


def test_a_record_is_posted_once_between_SENDING_and_SUCCESS(world):
    record = world.record(subj="Ticket 7 is yours", msg="Please look.")
    run = world.run()
    assert run.status == 0
    host = world.onevizion.url[len("http://") :]
    assert world.texts() == ["*Ticket 7 is yours*\nPlease look.\n<http://%s|127.0.0.1>" % host]
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


@pytest.mark.parametrize(
    "typed",
    [
        "general",
        "#general",
        " general ",
        "General",
        "C0000000077",
        "#C0000000077",
        "<#C0000000077|general>",
        "https://acme.slack.com/archives/C0000000077",
        "https://acme.slack.com/archives/C0000000077/p1700000000000100?thread_ts=1.2&cid=C0000000077",
        "https://acme.enterprise.slack.com/archives/C0000000077/",
        "https://app.slack.com/client/T0000000001/C0000000077",
        "https://acme.slack-gov.com/archives/C0000000077",
    ],
)
def test_every_spelling_of_a_channel_arrives(world, typed):
    world.slack.add_channel("general", channel_id="C0000000077")
    world.record(typed)
    assert world.run().status == 0
    assert len(world.texts("C0000000077")) == 1


@pytest.mark.parametrize("typed", ["{}", " {} ", "<@{}>", "<@{}|ann>", "https://acme.slack.com/team/{}"])
def test_a_member_ID_is_a_direct_message(world, typed):
    person = world.slack.add_person()
    world.record(typed.format(person))
    assert world.run().status == 0
    assert len(world.texts(person)) == 1


@pytest.mark.parametrize(
    ("typed", "channel"),
    [
        ("general", "#general"),
        ("#General", "#general"),
        ("##ops", "#ops"),
        ("größe_1-a", "#größe_1-a"),
        ("C0123456789", "C0123456789"),
        ("#C0123456789", "C0123456789"),
        ("G012345678", "G012345678"),
        ("D0123456789", "D0123456789"),
        ("W0123456789", "W0123456789"),
        ("c0123456789", "#c0123456789"),
        ("CEO", "#ceo"),
    ],
)
def test_what_an_admin_types_is_what_Slack_is_asked_for(typed, channel):
    assert recipients.channel_from_field(typed) == channel


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "#",
        "a b",
        "x@example.com",
        "@ann",
        "<!channel>",
        "https://example.com/archives/C0123456789",
        "a\x1bb",
        "x" * 81,
    ],
)
def test_what_cannot_be_a_channel_is_refused_without_asking_Slack(typed):
    with pytest.raises(errors.Failure) as refused:
        recipients.channel_from_field(typed)
    assert not refused.value.may_pass
    assert "\x1b" not in str(refused.value)


def test_the_channels_are_delivered_side_by_side_each_in_the_order_of_the_queue(world):
    for number in range(12):
        world.record("ops" if number % 2 else "dev", subj="number %02d" % number)
    # Who waits for the answers of one channel must not hold up the other.
    world.slack.fault("chat.postMessage", times=None, where=lambda call: call.form["channel"] == "#ops", delay=0.05)
    assert world.run().status == 0
    order = [message.text[len("*number ") :][:2] for message in world.slack.messages]
    assert [number for number in order if int(number) % 2] == ["01", "03", "05", "07", "09", "11"]
    assert [number for number in order if not int(number) % 2] == ["00", "02", "04", "06", "08", "10"]
    assert order.index("10") < order.index("11")


def test_a_channel_gets_one_message_a_second_whatever_its_spelling(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 1.0)
    world.slack.channel_interval = 1.0
    world.slack.add_channel("slow", channel_id="C0000000088")
    world.record("slow")
    world.record("C0000000088")
    world.record("#slow")
    run = world.run()
    assert run.status == 0
    starts = sorted(message.at for message in world.slack.messages)
    refused = [post for post in world.slack.posts if post.outcome != "ok"]
    assert len(starts) == 3
    # Before the first answer nobody can know that the name and the ID are one channel: Slack may refuse one post then.
    assert len(refused) <= 1
    assert starts[2] - starts[0] >= 1.9


def test_spellings_that_are_known_to_be_the_same_share_the_pace_and_the_order(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.2)
    for number in range(4):
        world.record("ops" if number % 2 else "#OPS", subj=str(number))
    assert world.run().status == 0
    assert [message.text[1] for message in world.slack.messages] == ["0", "1", "2", "3"]
    posts = [post.at for post in world.slack.posts]
    # Measured where they arrive; the way there takes each a little longer or shorter.
    assert posts[-1] - posts[0] >= 3 * 0.2 - 0.05


def test_a_failure_that_may_pass_gets_its_attempts_in_rounds_with_the_delay_between(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 45}
    stubborn = world.record("ops", subj="stubborn")
    easy = world.record("ops", subj="easy")
    world.slack.fault(
        "chat.postMessage", times=2, where=lambda call: "stubborn" in call.form["text"], error="fatal_error"
    )
    run = world.run()
    assert run.status == 0
    assert run.waits == [45, 45]
    assert [status for record, status in world.onevizion.history if record == stubborn] == [
        "SENDING",
        "FAIL_WILL_RETRY",
        "SENDING",
        "FAIL_WILL_RETRY",
        "SENDING",
        "SUCCESS",
    ]
    assert len(world.onevizion.attempts[stubborn]) == 2
    assert world.onevizion.history.index((easy, "SUCCESS")) < len(world.onevizion.history) - 2
    assert [text.split("*")[1] for text in world.texts()] == ["easy", "stubborn"]


def test_a_delay_of_0_seconds_is_no_delay_and_one_attempt_is_the_default(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    world.record()
    world.slack.fault("chat.postMessage", error="internal_error")
    assert world.run().waits == [0]


def test_the_attempts_are_used_up_by_FAIL(world):
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 0}
    record = world.record()
    world.slack.fault("chat.postMessage", times=None, error="service_unavailable")
    run = world.run()
    assert run.status == 1
    assert [status for _, status in world.onevizion.history] == ["SENDING", "FAIL_WILL_RETRY", "SENDING", "FAIL"]
    assert (
        world.onevizion.attempts[record]
        == ["record %d: Slack answered service_unavailable for #ops: %s" % (record, slack_api.TRY_AGAIN)] * 2
    )


class ArrivalWhileWaiting(CapturedWaits):
    """Puts a record into the queue while the run waits for its next round."""

    def __init__(self, world):
        super().__init__()
        self.world = world

    def wait(self, seconds):
        super().wait(seconds)
        self.world.record("dev", subj="arrived later")


def test_what_arrives_during_the_wait_is_taken_along_in_the_next_round(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 30}
    world.record()
    world.slack.fault("chat.postMessage", error="internal_error")
    run = world.run(interruption=ArrivalWhileWaiting(world))
    assert run.status == 0
    assert len(world.texts("dev")) == 1


def test_records_that_keep_arriving_and_failing_do_not_keep_the_run_from_ending(world):
    world.settings = {"maxAttempts": 3, "nextAttemptDelay": 30}
    world.record()
    world.slack.fault("chat.postMessage", times=None, error="internal_error")
    run = world.run(interruption=ArrivalWhileWaiting(world))
    assert run.status == 1
    assert len(run.waits) < 2 * 3
    # Whoever was begun has had all its attempts; the last to arrive is left to the next run.
    assert sorted(set(world.onevizion.statuses.values())) == ["FAIL", "NOT_SENT"]


def test_a_channel_with_many_records_does_not_hold_up_what_arrives_meanwhile(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.2)
    for _ in range(12):
        world.record("ops")
    arrive = lambda call: len(world.onevizion.records) == 12 and bool(world.record("dev", subj="late"))  # noqa: E731
    world.slack.fault("chat.postMessage", times=0, where=arrive)
    assert world.run().status == 0
    names = [message.name for message in world.slack.messages]
    assert names.count("#ops") == 12
    assert names.index("#dev") < 11


def test_the_summary_counts_and_names_what_was_not_delivered(world):
    world.record()
    failed = world.record("nowhere")
    run = world.run()
    assert run.status == 1
    summary = world.onevizion.log[-1]
    assert summary.level == "Info"
    assert summary.message.startswith("delivered 1, failed 1, left pending 0 in ")
    assert summary.description == "failed: %d" % failed
    assert "delivered 1, failed 1, left pending 0 in " in run.console


def test_by_hand_the_console_alone_gets_the_log(world):
    world.scheduled = False
    record = world.record()
    run = world.run()
    assert run.status == 0
    assert world.onevizion.log == []
    assert "[1/1] record %d delivered to #ops" % record in run.console
    assert run.stdout == ""


def test_on_a_terminal_and_elsewhere_the_same_lines_are_shown(world):
    world.record("nowhere")
    run = world.run()
    assert "\033" not in run.console


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
    assert [text[1] for text in world.texts()] == ["b", "a"]
    assert [record for record, status in world.onevizion.history if status == "SUCCESS"] == [first, second]
