"""--resend: records that ended in FAIL are made pending again, and the next run sends them."""

import os

import pytest

from slack_notification.journal import JOURNAL_FILE, Journal
from slack_notification.lock import LOCK_FILE, only_run
from tests.quick import read_rows

POST = "chat.postMessage"
SAVE = "PATCH .*update_status"


def failed_records(world, count=1):
    """Records that ended in FAIL, since their channel was archived; it is open again."""
    records = [world.record() for _ in range(count)]
    fault = world.slack.fault(POST, None, error="is_archived")
    assert world.run().status == 1
    assert {world.onevizion.status(record) for record in records} == {"FAIL"}
    assert fault is not None
    world.slack.clear_faults()
    return records


def test_a_record_that_ended_in_FAIL_is_sent_by_the_run_after_resend(world):
    (record,) = failed_records(world)
    run = world.run("--resend", str(record))
    assert run.status == 0
    assert run.stdout == "record %d: pending again\nThe next run sends %d.\n" % (record, record)
    assert world.onevizion.status(record) == "NOT_SENT"
    assert world.texts() == []
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    assert len(world.texts()) == 1


def test_the_summary_of_a_run_with_failures_names_a_command_that_works_as_it_stands(world):
    records = failed_records(world, 4)
    other = world.record()
    world.onevizion.records[-1]["notifQueueId"] = other  # 4711-4714 failed, the next one is delivered
    summary = world.onevizion.log[-1]
    assert summary.message.startswith("delivered 0, failed 4, left pending 0")
    words = "to send again what failed, once it is corrected: python module.py --resend 4711-4714"
    assert words in summary.description
    assert world.run(*words.split("module.py ")[1].split()).status == 0
    assert {world.onevizion.status(record) for record in records} == {"NOT_SENT"}


def test_a_run_without_failures_names_no_command(world):
    world.record()
    world.run()
    assert not any("--resend" in entry.message + entry.description for entry in world.onevizion.log)


@pytest.mark.parametrize(
    ("arguments", "ids"),
    [
        (["4711", "4713"], [4711, 4713]),
        (["4711-4713"], [4711, 4712, 4713]),
        (["4711,", "4713"], [4711, 4713]),
        (["4711-4712,", "4714"], [4711, 4712, 4714]),
        (["4711,4713"], [4711, 4713]),
        (["4712-4712", "4712", "4711-4712"], [4712, 4711]),
    ],
)
def test_ids_and_ranges_are_made_pending_and_each_is_told(world, arguments, ids):
    records = failed_records(world, 4)
    run = world.run("--resend", *arguments)
    assert run.status == 0
    assert run.stdout.splitlines()[:-1] == ["record %d: pending again" % record for record in ids]
    for record in records:
        assert world.onevizion.status(record) == ("NOT_SENT" if record in ids else "FAIL")


def test_what_OneVizion_does_not_take_is_told_with_the_reason_and_the_others_are_made_pending(world):
    record, other = failed_records(world, 2)
    world.onevizion.fault("PATCH .*/%d/" % other, None, status=500)
    run = world.run("--resend", str(record), str(other), "9999")
    assert run.status == 1
    first, second, third, last = run.stdout.splitlines()
    assert first == "record %d: pending again" % record
    assert second.startswith("record %d: could not be made pending: " % other)
    assert "OneVizion answered 500" in second
    assert third.startswith("record 9999: could not be made pending: OneVizion has no record with this id")
    assert last == "The next run sends %d." % record
    assert [world.onevizion.status(each) for each in (record, other)] == ["NOT_SENT", "FAIL"]


def test_where_OneVizion_takes_nothing_that_is_said(world):
    failed_records(world)
    world.onevizion.fault(SAVE, None, status=403)
    run = world.run("--resend", "4711")
    assert run.status == 1
    assert run.stdout.splitlines()[-1] == "Nothing was changed."


def test_the_row_of_a_record_is_removed_so_that_all_of_it_is_sent_again(world):
    kept, again = world.record(), world.record()
    with_journal = Journal(os.path.join(world.directory(), JOURNAL_FILE))
    for record in (kept, again):
        with_journal.begin(record, 1)
        with_journal.note_posted(record, "C0000000001", "1.1", 1, 1, "")
    with_journal.close()
    assert world.run("--resend", str(again)).status == 0
    assert set(read_rows(world.path)) == {kept}
    assert world.run().status == 0
    assert len(world.texts()) == 1
    assert {world.onevizion.status(record) for record in (kept, again)} == {"SUCCESS"}


def test_the_row_of_a_record_that_OneVizion_does_not_take_stays(world):
    record = world.record()
    journal = Journal(os.path.join(world.directory(), JOURNAL_FILE))
    journal.begin(record, 1)
    journal.close()
    world.onevizion.fault(SAVE, None, status=500)
    world.run("--resend", str(record))
    assert set(read_rows(world.path)) == {record}


def test_nothing_is_made_pending_while_another_run_is_in_progress(world):
    (record,) = failed_records(world)
    with only_run(os.path.join(world.path, LOCK_FILE)) as held:
        assert held.alone
        run = world.run("--resend", str(record))
    assert run.status == 1
    assert "Error: another run is in progress in this directory" in run.stdout
    assert "nothing was done; start this command again when it has ended" in run.stdout
    assert "pending again" not in run.stdout
    assert world.onevizion.status(record) == "FAIL"


@pytest.mark.parametrize(
    "argument", ["x", "-", "4711²", "4711-", "-4711", "4711-x", "4712-4711", "1-20000", "4711.5", "9" * 19]
)
def test_what_is_no_id_is_refused_and_nothing_is_changed(world, argument):
    failed_records(world)
    before = list(world.onevizion.history)
    run = world.run("--resend", "4711", argument)
    assert run.status == 2
    assert world.onevizion.history == before


def test_resend_without_an_id_prints_the_usage(world):
    assert world.run("--resend").status == 2


def test_resend_as_the_modules_command_prints_its_lines_for_the_platform_and_posts_nothing(world):
    (record,) = failed_records(world)
    entries, posts = len(world.onevizion.log), len(world.slack.calls)
    run = world.run_process("--resend", str(record))
    assert run.status == 0
    assert run.stdout.splitlines() == ["record %d: pending again" % record, "The next run sends %d." % record]
    assert len(world.slack.calls) == posts
    assert len(world.onevizion.log) == entries  # the platform makes log entries of the lines
