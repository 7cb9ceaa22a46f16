"""Who gets what when: channels side by side, two spellings of one, further attempts, newcomers, connections."""

import pytest

from slack_notification import calls, delivery, recipients, slack_errors, workers


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
    # The first of each spelling is posted before Slack has said that they are one, if it is not late.
    before = order[:2] if 4 in order[:2] else []
    assert sorted(before) in ([], [0, 4])
    assert order[len(before) :] == [each for each in range(8) if each not in before]


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
    world.onevizion.fault("PATCH", times=None, where=success, delay=0.4)
    world.slack.fault("chat.postMessage", where=by_id, status=429, headers={"Retry-After": "0.8"}, delay=0.1)
    assert world.run().status == 0
    first, second, _ = world.slack.messages
    assert second.at - first.at >= 0.8


def test_spellings_that_become_one_while_the_whole_workspace_is_busy_keep_the_order_and_the_pace(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.4)
    typed = []
    for number in range(6):
        channel_id = "C00000000%d0" % number
        world.slack.add_channel("c%d" % number, channel_id=channel_id)
        typed += ["c%d" % number, channel_id]
    for number in range(24):
        world.record(typed[number % 12], subj="%02d" % number)
    taken = []

    def too_many(call):
        if len([at for at in taken if at > call.at - 0.4]) >= 3:
            return True
        taken.append(call.at)
        return False

    world.slack.fault("chat.postMessage", None, where=too_many, status=429, headers={"Retry-After": "0.6"})
    assert world.run().status == 0
    for number in range(6):
        posts = [message for message in world.slack.messages if message.name == "#c%d" % number]
        # The first of each spelling is posted before Slack has said that they are one.
        firsts = [next(n for n, post in enumerate(posts) if int(post.text[:2]) % 2 == side) for side in (0, 1)]
        known = posts[max(firsts) :]
        gaps = [after.at - before.at for before, after in zip(known, known[1:])]
        assert min(gaps) >= 0.3
        assert [post.text[:2] for post in known[1:]] == sorted(post.text[:2] for post in known[1:])


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


def test_a_post_that_waited_for_a_place_keeps_the_pace_of_a_channel_that_became_its_own_meanwhile(world, monkeypatch):
    monkeypatch.setattr(workers, "WORKERS", 1)
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.5)
    world.slack.add_channel("slow", channel_id="C0000000088")
    for typed in ("slow", "C0000000088"):
        world.record(typed)
    # Both turns have come when the first answer says that they are one.
    world.slack.fault("chat.postMessage", delay=0.3)
    assert world.run().status == 0
    first, second = [call.at for call in world.slack.calls_to("chat.postMessage")]
    assert second - first >= 0.5 - 0.05


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
    assert len(looks) >= 3
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
