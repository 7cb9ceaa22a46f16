"""What one run knows, the next one knows: the journal, and what a run does with it."""

import contextlib
import os
import random
import sqlite3
import stat
import threading
import time

import pytest

from slack_notification import delivery
from slack_notification.errors import LOG
from slack_notification.journal import FORMAT, JOURNAL_FILE, KEPT_SECONDS, Journal
from tests.quick import journal_files, quick_directory, read_rows
from tests.world import PROCESS_TIMEOUT_SECONDS, finish

POST = "chat.postMessage"
SAVE = "PATCH .*update_status"
LONG = "".join("word%05d " % number for number in range(1600))
LONG_PARTS = 6

not_windows = pytest.mark.skipif(os.name == "nt", reason="other signals, modes and limits")


def saves(status):
    return lambda call: call.query["status"] == status


def killed_at(world, server, match, times, where=lambda call: True, work=False):
    """Run the program and kill it when so many calls have arrived; they are never answered."""
    enough, arrived = threading.Event(), []

    def count(call):
        if where(call):
            arrived.append(call)
            if len(arrived) >= times:
                enough.set()

    fault = server.fault(match, None, where=where, delay=600, work=work)
    server.on(match, count)
    process = world.start(cwd=quick_directory(world))
    assert enough.wait(PROCESS_TIMEOUT_SECONDS)
    while work and len(world.slack.messages) < times:  # the stand-in works after it has told of the call
        time.sleep(0.01)
    process.kill()
    assert finish(process).status == -9
    server.clear_faults()
    return fault


def next_run(world):
    return world.run_process(cwd=quick_directory(world))


def rows(world):
    return read_rows(world.path)


def begin(world, record, posted, parts, since=None):
    """Note in the journal that an earlier run has posted so many parts of a record."""
    os.makedirs(world.path, exist_ok=True)
    path = os.path.join(world.path, JOURNAL_FILE)
    with contextlib.closing(Journal(path)) as journal:
        journal.begin(record, parts)
        if posted:
            journal.note_posted(record, "C0000000001", "1.1", posted, parts, "")
    if since is not None:
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE begun SET since = ? WHERE record = ?", (since, record))


# The four cases, in runs of their own process


def test_a_run_posts_nothing_again_for_which_OneVizion_did_not_take_SUCCESS(world):
    records = [world.record() for _ in range(6)]
    world.onevizion.fault(SAVE, None, where=saves("SUCCESS"), status=502)
    first = next_run(world)
    assert first.status == 1
    assert "delivered, but SUCCESS not saved; the next run saves it, and posts nothing again" in first.console
    assert {row.posted for row in rows(world).values()} == {1}
    assert set(rows(world)) == set(records)
    world.onevizion.clear_faults()
    assert next_run(world).status == 0
    assert [world.onevizion.status(record) for record in records] == ["SUCCESS"] * 6
    assert len(world.texts()) == len(world.slack.calls_to(POST)) == 6
    assert rows(world) == {}


@not_windows
def test_a_run_posts_nothing_again_that_was_posted_when_kill_9_ended_the_one_before_it(world):
    for number in range(12):
        world.slack.add_channel("c%d" % number)
    records = [world.record("c%d" % number) for number in range(12)]
    killed_at(world, world.onevizion, SAVE, 12, saves("SUCCESS"))
    assert len(world.slack.messages) == 12
    assert {world.onevizion.status(record) for record in records} == {"SENDING"}
    run = next_run(world)
    assert run.status == 0
    assert len(world.slack.messages) == 12
    assert {world.onevizion.status(record) for record in records} == {"SUCCESS"}
    assert "12 record(s) posted by an earlier run: SUCCESS saved now" in run.console
    assert "twice" not in run.console


@not_windows
def test_a_long_message_cut_off_after_three_parts_goes_on_with_the_fourth_in_the_same_thread(world):
    record = world.record(msg=LONG)
    sent = []

    def fourth(call):
        if call not in sent:
            sent.append(call)
        return len(sent) > 3

    killed_at(world, world.slack, POST, 1, fourth)
    assert len(world.slack.messages) == rows(world)[record].posted == 3
    assert next_run(world).status == 0
    first, *replies = world.slack.messages
    assert len(replies) == LONG_PARTS - 1
    assert {reply.thread_ts for reply in replies} == {first.ts}
    words = [word for text in world.texts() for word in text.split() if word.startswith("word")]
    assert words == LONG.split()
    assert world.onevizion.status(record) == "SUCCESS"
    assert rows(world) == {}


@not_windows
def test_records_that_OneVizion_hides_in_SENDING_are_delivered_by_the_next_run(world):
    world.onevizion.hides_sending = True
    for number in range(30):
        world.slack.add_channel("c%d" % number)
    records = [world.record("c%d" % number) for number in range(30)]
    killed_at(world, world.slack, POST, 30)
    assert {world.onevizion.status(record) for record in records} == {"SENDING"}
    run = next_run(world)
    assert run.status == 0
    assert {world.onevizion.status(record) for record in records} == {"SUCCESS"}
    assert len(world.slack.messages) == 30
    assert "30 record(s) were being sent when an earlier run was cut off, and may arrive twice" in run.console
    for record in records:
        after_the_kill = [status for each, status in world.onevizion.history if each == record][1:]
        assert after_the_kill == ["FAIL_WILL_RETRY", "SENDING", "SUCCESS"]


# What stands in it, and when


@not_windows
def test_no_text_no_name_and_no_key_ever_stands_in_the_journal_and_only_its_owner_may_read_it(world):
    user = world.onevizion.add_user("ops", key="Jane Doe")
    world.onevizion.add_record(user, subj="Salaries", msg=LONG)
    killed_at(world, world.slack, POST, 1, lambda call: call.form.get("thread_ts"))
    files = journal_files(world.path)
    assert len(files) == 2
    content = b""
    for path in files:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
        with open(path, "rb") as file:
            content += file.read()
    assert b"C0000000001" in content
    secrets = [world.slack.token, world.onevizion.access_key, world.onevizion.secret_key]
    for text in ["Salaries", "word0", "Jane", "ops", "USER", "127.0.0.1"] + secrets:
        assert text.encode() not in content


def seen_rows(world, record, *arguments):
    """Run the program; return (status, posted parts in the journal) at each save of a status, and what is left."""
    seen = []

    def look(call):
        row = read_rows(world.path).get(record)
        seen.append((call.query["status"], row and row.posted))

    world.onevizion.on(SAVE, look)
    world.run(*arguments)
    return seen, rows(world)


def test_a_row_is_written_before_SENDING_changed_after_each_answer_and_deleted_after_SUCCESS(world):
    record = world.record(msg=LONG)
    posted = []
    world.slack.on(POST, lambda call: posted.append(read_rows(world.path)[record].posted))
    assert seen_rows(world, record) == ([("SENDING", 0), ("SUCCESS", LONG_PARTS)], {})
    assert posted == list(range(LONG_PARTS))


def test_a_row_is_deleted_after_FAIL(world):
    record = world.record()
    world.slack.fault(POST, None, error="is_archived")
    assert seen_rows(world, record) == ([("SENDING", 0), ("FAIL", 0)], {})


def test_a_row_is_kept_while_another_attempt_follows_and_that_goes_on_with_the_next_part(world):
    world.settings["maxAttempts"] = 2
    record = world.record(msg=LONG)
    world.slack.fault(POST, after=2, error="internal_error")
    first, second = [("SENDING", 0), ("FAIL_WILL_RETRY", 2)], [("SENDING", 2), ("SUCCESS", LONG_PARTS)]
    assert seen_rows(world, record) == (first + second, {})
    assert len(world.texts()) == LONG_PARTS


def test_a_row_is_kept_where_OneVizion_does_not_take_FAIL(world):
    record = world.record()
    world.slack.fault(POST, None, error="is_archived")
    world.onevizion.fault(SAVE, None, where=saves("FAIL"), status=500)
    assert world.run().status == 1
    assert set(rows(world)) == {record}


def test_a_run_that_delivers_nothing_begins_nothing(world):
    world.record(None)
    world.run()
    assert rows(world) == {}


# A journal that cannot be used


def spoilt(path):
    with open(path, "wb") as file:
        file.write(b"spoilt " * 1000)


def damaged(path):
    with contextlib.closing(Journal(path)) as journal:
        for record in range(200):
            journal.begin(record, 1)
    with open(path, "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 8000)


def of_another_version(path):
    Journal(path).close()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = %d" % (FORMAT + 1))


def of_other_columns(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE begun (something TEXT)")


def with_a_wrong_byte_in_its_table(path):
    Journal(path).close()
    with open(path, "r+b") as file:
        file.seek(file.read().index(b"CREATE TABLE") + 7)
        file.write(b"\xff")


def of_values(**values):
    """A journal with values that sqlite takes, but no run has written."""

    def make(path):
        with contextlib.closing(Journal(path)) as journal:
            journal.begin(4711, 9)
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            for column, value in values.items():
                db.execute("UPDATE begun SET %s = ?" % column, (value,))

    return make


def a_directory(path):
    os.makedirs(path)


def a_directory_that_stays(path):  # as in a directory that lets nobody write
    os.makedirs(path)
    os.makedirs(os.path.join(path + ".bad", "full"))


@pytest.mark.parametrize(
    "make",
    [
        spoilt,
        damaged,
        of_another_version,
        of_other_columns,
        with_a_wrong_byte_in_its_table,
        of_values(posted="many"),
        of_values(parts=b"9"),
        of_values(since="yesterday"),
        of_values(posted=10),
        of_values(posted=-1),
        of_values(parts=1.5),
        of_values(parts=0),
        of_values(record=-1),
        of_values(channel=b"\xff", posted=1),
        a_directory,
        a_directory_that_stays,
    ],
)
def test_a_journal_that_cannot_be_used_is_put_aside_with_one_warning_and_the_run_goes_on(world, make):
    path = os.path.join(world.directory(), JOURNAL_FILE)
    make(path)
    record = world.record()
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    assert len(world.log("Warning")) == 1
    assert "cannot be used" in world.log("Warning")[0]
    renamed = make is not a_directory_that_stays
    assert ("was put aside" in world.log("Warning")[0], "let the module write" in world.log("Warning")[0]) == (
        renamed,
        not renamed,
    )
    assert os.path.exists(path + ".bad")
    if renamed:
        world.record()
        assert world.run().status == 0
        assert len(world.log("Warning")) == 1
        assert rows(world) == {}


def test_whatever_bytes_are_damaged_nothing_is_raised_and_at_most_one_warning_is_given(tmp_path, caplog):
    caplog.set_level("WARNING", LOG.name)
    path, draw, aside = str(tmp_path / "journal"), random.Random(1), 0
    with contextlib.closing(Journal(path)) as journal:
        for record in (1, 2, 3):
            journal.begin(record, 4)
            journal.note_posted(record, "C0000000001", "1.2", record, 4, "d" * 64)
    with open(path, "rb") as file:
        sound = file.read()
    used = [place for place, byte in enumerate(sound) if byte]
    for _ in range(150):
        content = bytearray(sound)
        for place in draw.sample(used, draw.choice([1, 1, 2, 3])):
            content[place] = draw.randrange(256)
        with open(path, "wb") as file:
            file.write(content)
        caplog.clear()
        with contextlib.closing(Journal(path)) as journal:
            journal.drop_old()
            journal.begin(9, 1)
            journal.note_posted(9, "C0000000002", "1.3", 1, 1, "d")
            journal.end(9)
            assert 9 not in journal.begun()
        assert [message for message in caplog.messages if "30 days" not in message][1:] == []
        aside += "put aside" in caplog.text
        assert all(message.isprintable() for message in caplog.messages)
    assert 30 < aside < 150


def run_with_a_disk_that_holds(world, size):
    """Run the program; no file of its may become larger than so many bytes."""
    import resource

    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # noqa: E731
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1")
    return world.run_process(cwd=quick_directory(world), preexec_fn=limit, env=environment)


@not_windows
@pytest.mark.parametrize("size", [3000, 30000])
def test_a_disk_that_is_full_or_becomes_full_costs_one_warning_and_no_record(world, size):
    records = [world.record() for _ in range(12)]
    assert run_with_a_disk_that_holds(world, size).status == 0
    assert {world.onevizion.status(record) for record in records} == {"SUCCESS"}
    assert len(world.texts()) == 12
    assert len(world.log("Warning")) == 1
    assert "cannot be used" in world.log("Warning")[0]


@not_windows
@pytest.mark.parametrize("size", [3000, 30000])
def test_a_run_without_a_journal_promises_nothing_for_what_it_posted_and_could_not_save(world, size):
    records = [world.record("dev") for _ in range(12)]
    long = world.record(msg=LONG)
    world.onevizion.fault(SAVE, None, where=saves("SUCCESS"), status=502)
    closed = {"status": 429, "headers": {"Retry-After": "3600"}, "where": lambda call: call.form.get("thread_ts")}
    world.slack.fault(POST, None, after=2, **closed)
    run = run_with_a_disk_that_holds(world, size)
    assert run.status == 1
    assert "posts nothing again" not in run.console
    assert "goes on with the next part" not in run.console
    assert run.console.count("delivered, but SUCCESS not saved; the journal is lost: the next run") == len(records)
    text = "record %d for USER-1013 (113): 3 of 6 parts are posted; the journal is lost: the next run starts again"
    assert text % long in run.console


def test_a_directory_that_is_made_anew_simply_has_no_journal(world):
    record = world.record(status="SENDING")
    assert world.run().status == 0
    assert world.log("Warning") == ["1 record(s) were being sent when an earlier run was cut off, and may arrive twice"]
    assert world.onevizion.status(record) == "SUCCESS"


def test_rows_older_than_30_days_are_dropped_with_a_warning_that_names_them(world):
    now = int(time.time())
    begin(world, 1, 2, 5, since=now - KEPT_SECONDS - 60)
    begin(world, 2, 1, 1, since=now - KEPT_SECONDS - 60)
    begin(world, 3, 1, 1, since=now - KEPT_SECONDS + 3600)
    world.onevizion.fault(SAVE, None, status=500)
    world.run()
    assert world.onevizion.log[1].message.startswith("2 record(s) were started more than 30 days ago")
    assert (world.onevizion.log[1].level, world.onevizion.log[1].description) == ("Warning", "1, 2")
    assert set(rows(world)) == {3}


# What a run does with it


def left_after_three_parts(world):
    """A record of which a run has posted three parts; Slack lets nobody post in its channel for an hour then."""
    record = world.record(msg=LONG)
    closed = {"status": 429, "headers": {"Retry-After": "3600"}}
    world.slack.fault(POST, None, after=3, **closed)
    assert world.run().status == 1
    assert rows(world)[record].posted == len(world.texts()) == 3
    world.slack.clear_faults()
    return record


def test_a_message_that_has_changed_since_is_posted_again_from_the_start_with_a_warning(world):
    record = left_after_three_parts(world)
    world.onevizion.records[0]["msg"] = "Other " + LONG
    assert world.run().status == 0
    assert len(world.texts()) == 3 + LONG_PARTS
    text = "its message has changed since 3 part(s) were posted, and is posted again from the start"
    assert text in world.log("Warning")[-1]
    assert world.onevizion.status(record) == "SUCCESS"


def test_a_message_whose_posted_parts_are_the_same_goes_on_though_its_end_has_changed(world):
    left_after_three_parts(world)
    world.onevizion.records[0]["msg"] = LONG + "and the end"
    assert world.run().status == 0
    assert len(world.texts()) == LONG_PARTS
    assert "and the end" in world.texts()[-1]


def move(world, channel):
    """Give the first user another channel."""
    world.onevizion.trackors[world.onevizion.users[101]][world.onevizion.channel_field] = channel


@pytest.mark.parametrize("old", ["ops", "C0000000001", None])
@pytest.mark.parametrize("new", ["dev", "C0000000002"])
def test_a_thread_stays_in_its_channel_when_its_user_has_another_one_and_takes_no_other_record_along(
    world, monkeypatch, old, new
):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.2)
    left_after_three_parts(world)
    move(world, new)
    for number in range(4):
        world.record(new, subj="new %d" % number)
        if old:
            world.record(old, subj="old %d" % number)
    run = world.run()
    assert run.status == 0
    where = "#ops" if old == "ops" else "C0000000001"
    assert "record 4711 for USER-1001 (101) delivered to %s" % where in run.console
    assert [text.split("\n")[0] for text in world.texts("dev")] == ["new %d" % number for number in range(4)]
    in_old = [message for message in world.slack.messages if message.name == "#ops"]
    assert len(in_old) == LONG_PARTS + (4 if old else 0)
    assert len({message.thread_ts for message in in_old if message.thread_ts}) == 1


@pytest.mark.parametrize("attempts", [1, 2])
def test_a_refusal_in_a_thread_of_an_earlier_run_costs_that_record_only_and_is_told_of_the_thread_s_channel(
    world, attempts
):
    world.settings["maxAttempts"] = attempts
    record = left_after_three_parts(world)
    move(world, "dev")
    others = [world.record("dev") for _ in range(4)]
    world.slack.channels["C0000000001"] = world.slack.channels["C0000000001"]._replace(archived=True)
    if attempts > 1:
        world.slack.fault(POST, where=lambda call: call.form.get("thread_ts"), error="internal_error")
    assert world.run().status == 1
    assert world.onevizion.status(record) == "FAIL"
    assert {world.onevizion.status(other) for other in others} == {"SUCCESS"}
    assert len(world.texts("dev")) == 4
    text = "record 4711 for USER-1001 (101) not delivered to C0000000001 (part 4 of 6): the channel is archived"
    assert world.log("Error")[0].startswith(text)


def test_a_thread_s_channel_that_Slack_closes_closes_no_other(world):
    record = left_after_three_parts(world)
    move(world, "dev")
    other = world.record("dev")
    in_thread = lambda call: call.form.get("thread_ts")  # noqa: E731
    world.slack.fault(POST, None, where=in_thread, status=429, headers={"Retry-After": "3600"})
    assert world.run().status == 1
    assert (world.onevizion.status(record), world.onevizion.status(other)) == ("FAIL_WILL_RETRY", "SUCCESS")
    assert any(text.startswith("C0000000001: Slack accepts no messages here until") for text in world.log("Warning"))


def test_the_message_after_a_thread_of_an_earlier_run_keeps_the_channel_s_pace(world, monkeypatch):
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.3)
    left_after_three_parts(world)
    world.record("ops")
    assert world.run().status == 0
    *_, last_part, after = world.slack.messages
    assert after.at - last_part.at >= 0.25


def test_a_long_message_that_OneVizion_hides_goes_on_with_its_next_part(world):
    record = left_after_three_parts(world)
    world.onevizion.hides_sending = True
    world.onevizion.statuses[record] = "SENDING"
    assert world.run().status == 0
    assert len(world.texts()) == LONG_PARTS
    assert world.onevizion.status(record) == "SUCCESS"


def test_what_is_hidden_and_cannot_be_made_pending_now_is_left_to_the_next_run(world):
    world.onevizion.hides_sending = True
    record = world.record(status="SENDING")
    begin(world, record, 0, 1)
    world.onevizion.fault(SAVE, None, status=500)
    assert world.run().status == 1
    assert "cannot be made pending again: " in world.log("Warning")[0]
    assert world.onevizion.log[1].description.endswith(str(record))
    assert set(rows(world)) == {record}
    world.onevizion.clear_faults()
    assert world.run().status == 0
    assert (world.onevizion.status(record), len(world.texts())) == ("SUCCESS", 1)


def test_what_is_begun_and_gone_from_OneVizion_is_said_once_and_forgotten(world):
    begin(world, 1, 0, 1)
    assert world.run().status == 1
    assert "cannot be made pending again: " in world.log("Warning")[0]
    assert rows(world) == {}
    assert world.run().status == 0


def test_what_is_posted_and_gone_from_OneVizion_is_said_once_and_forgotten_and_no_fault_of_a_setting(world):
    for record in (1, 2, 3):
        begin(world, record, 4, 4)
    shown = world.record("dev", status="SENDING")
    begin(world, shown, 1, 1)
    world.onevizion.fault("PATCH .*/%d/" % shown, None, status=404)
    assert world.run().status == 1
    (gone,) = world.log("Warning")
    assert gone == "3 record(s) posted by an earlier run are no longer in OneVizion: their SUCCESS cannot be saved"
    assert [entry.description for entry in world.onevizion.log if entry.message == gone] == ["1-3"]
    assert set(rows(world)) == {shown}
    world.onevizion.clear_faults()
    assert world.run().status == 0
    assert len(world.log("Warning")) == len(world.log("Error")) == 1
    assert (world.texts("dev"), rows(world)) == ([], {})


def test_what_is_posted_is_not_forgotten_where_OneVizion_answers_404_to_everything(world):
    begin(world, 1, 1, 1)
    world.onevizion.fault("notif/queue", None, status=404)
    assert world.run().status == 2
    assert set(rows(world)) == {1}
    (error,) = world.log("Error")
    assert error.startswith("check ovUrl")


@pytest.mark.parametrize("status", ["NOT_SENT", "SENDING", "FAIL_WILL_RETRY"])
def test_a_record_that_is_posted_is_not_posted_again_whatever_the_queue_says(world, status):
    record, other = world.record(status=status), world.record()
    begin(world, record, 1, 1)
    world.onevizion.fault("PATCH .*/%d/" % record, None, status=500)
    assert world.run().status == 1
    assert world.onevizion.status(other) == "SUCCESS"
    assert len(world.texts()) == 1
    assert set(rows(world)) == {record}
    assert any("SUCCESS not saved, the next run tries again" in message for message in world.log("Error"))
    world.onevizion.clear_faults()
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    assert len(world.slack.calls_to(POST)) == 1
    assert rows(world) == {}


def test_a_record_whose_SUCCESS_was_taken_is_not_posted_again_while_the_queue_still_shows_it(world, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.05)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 1}
    stale = [world.record("dev", status=status) for status in ("SENDING", "NOT_SENT", "FAIL_WILL_RETRY")]
    gone, other = world.record("dev", status="SUCCESS"), world.record("ops")
    for record in stale + [gone]:
        begin(world, record, 2, 2)
    world.onevizion.fault(SAVE, None, where=lambda call: world.texts("ops") == [], status=200, body="")
    world.slack.fault(POST, error="internal_error")
    assert world.run().status == 0
    assert len(world.onevizion.calls_to("GET .*notif/queue")) > 2
    assert set(rows(world)) == set(stale)
    assert world.run().status == 0
    assert [world.onevizion.status(record) for record in stale] == ["SUCCESS"] * 3
    assert rows(world) == {}
    assert (world.texts("dev"), len(world.texts("ops"))) == ([], 1)
    assert world.onevizion.status(other) == "SUCCESS"


def test_a_record_that_is_posted_is_not_posted_again_when_the_run_looks_for_new_records(world, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_AGAIN_SECONDS", 0.05)
    world.settings = {"maxAttempts": 2, "nextAttemptDelay": 1}
    posted, other = world.record("dev", status="SENDING"), world.record("ops")
    begin(world, posted, posted=1, parts=1)
    world.onevizion.fault(SAVE, None, where=saves("SUCCESS"), status=400)
    world.slack.fault(POST, error="internal_error")
    assert world.run().status == 1
    assert len(world.onevizion.calls_to("GET .*notif/queue")) > 1
    assert world.texts("dev") == []
    assert len(world.texts("ops")) == 1
    assert set(rows(world)) == {posted, other}


def test_a_run_with_nothing_pending_that_cannot_save_SUCCESS_of_an_earlier_one_exits_with_1(world):
    record = world.record()
    begin(world, record, 1, 1)
    world.onevizion.fault(SAVE, None, status=500)
    assert world.run().status == 1
    assert set(rows(world)) == {record}


def test_SUCCESS_of_an_earlier_run_is_saved_before_the_queue_is_read(world):
    begin(world, world.record(), 1, 1)
    assert world.run().status == 0
    asked = [call.method for call in world.onevizion.calls_to("notif/queue")]
    assert asked == ["PATCH", "GET"]


@not_windows
def test_while_a_run_has_the_journal_another_run_and_a_dry_run_leave_it_alone(world):
    record = world.record()
    arrived, go_on = threading.Event(), threading.Event()
    world.slack.on(POST, lambda call: arrived.set() or go_on.wait(PROCESS_TIMEOUT_SECONDS))
    process = world.start()
    try:
        assert arrived.wait(PROCESS_TIMEOUT_SECONDS)
        second, dry = world.run_process(cwd=world.path), world.run_process("--dry-run", cwd=world.path)
        assert (second.status, dry.status) == (0, 0)
        assert "another run is in progress" in second.console
        assert "journal" not in dry.console + dry.stdout
        assert set(rows(world)) == {record}
    finally:
        go_on.set()
    assert finish(process).status == 0
    assert rows(world) == {}
    assert not os.path.exists(os.path.join(world.path, JOURNAL_FILE + ".bad"))
    assert len(world.texts()) == 1


# --check and --dry-run


def journal_content(world):
    """The journal's files: name, mode, time of the last change, and content where there is one to read."""
    found = {}
    for name in os.listdir(world.path):
        path = os.path.join(world.path, name)
        if name.startswith(JOURNAL_FILE):
            state = os.stat(path)
            with open(path if os.path.isfile(path) else os.devnull, "rb") as file:
                found[name] = (state.st_mode, state.st_mtime, file.read())
    return found


@not_windows
@pytest.mark.parametrize("mode", ["--check", "--dry-run"])
@pytest.mark.parametrize(
    "make",
    [spoilt, damaged, of_another_version, of_values(posted="many"), a_directory, a_directory_that_stays],
)
def test_what_changes_nothing_leaves_a_journal_that_it_cannot_read_as_it_is_and_says_so_in_one_line(world, make, mode):
    world.record()
    make(os.path.join(world.directory(), JOURNAL_FILE))
    before = journal_content(world)
    run = world.run(mode)
    assert run.status == 0
    assert journal_content(world) == before
    (line,) = [line for line in (run.stdout + run.console).splitlines() if "journal" in line]
    assert "the journal %s cannot be read (" % JOURNAL_FILE in line
    assert line.startswith("[warn] journal: ") == (mode == "--check")


@pytest.mark.parametrize("mode", ["--check", "--dry-run"])
def test_what_changes_nothing_reads_the_journal_of_a_run_that_was_killed_and_leaves_it_as_it_is(world, mode):
    record = world.record()
    with contextlib.closing(Journal(os.path.join(world.directory(), JOURNAL_FILE))) as journal:
        journal.begin(record, 1)
        journal.note_posted(record, "C0000000001", "1.1", 1, 1, "")
        before = journal_content(world)
        assert len(before) == 2
        assert ("%d: would only save SUCCESS" % record in world.run(mode).stdout) == (mode == "--dry-run")
        assert journal_content(world) == before


@pytest.mark.parametrize("mode", ["--check", "--dry-run"])
def test_what_changes_nothing_makes_no_journal(world, mode):
    world.record()
    assert world.run(mode).status == 0
    assert journal_content(world) == {}


def test_check_says_how_many_records_the_journal_holds(world):
    world.record()
    assert "journal" not in world.run("--check").stdout
    for record, posted in ((1, 0), (2, 3), (3, 9)):
        begin(world, record, posted, 9)
    before = rows(world)
    lines = [line for line in world.run("--check").stdout.splitlines() if "journal" in line]
    assert lines == ["[ ok ] journal: 3 record(s) begun by an earlier run and not ended"]
    assert rows(world) == before


def test_dry_run_shows_what_would_only_be_saved_and_where_a_message_would_go_on(world):
    left_after_three_parts(world)
    move(world, "dev")
    posted = world.record()
    begin(world, posted, 1, 1)
    before = rows(world)
    saved = list(world.onevizion.history)
    lines = world.run("--dry-run").stdout.splitlines()
    assert "record %d: would only save SUCCESS, an earlier run has posted it" % posted in lines
    assert [line for line in lines if "would go on" in line] == [
        "record 4711 for USER-1001 (101): would go on with part 4 of %d" % LONG_PARTS
    ]
    shown = [line for line in lines if line.startswith("record 4711") and "to C0000000001" in line]
    assert ["part %d of" % number in line for number, line in enumerate(shown, 4)] == [True] * 3
    assert rows(world) == before
    assert world.onevizion.history == saved
