"""Two runs at once in one directory: the second one leaves the queue alone, and says so."""

import datetime
import os

from slack_notification import lock


def held_since(world, started):
    """Run the program while another run holds the lock since a time (UTC; None: that run has not said it)."""
    path = os.path.join(world.directory(), lock.LOCK_FILE)
    with lock.only_run(path):
        with open(path, "w") as file:
            file.write("" if started is None else started.strftime(lock.START_FORMAT))
        return world.run()


def utc(**ago):
    return datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(**ago)


def test_a_second_run_in_the_same_directory_leaves_the_queue_alone(world):
    world.record()
    directory = world.directory()
    with lock.only_run(os.path.join(directory, lock.LOCK_FILE)):
        process = world.start(cwd=directory)
        stdout, console = process.communicate()
    assert process.returncode == 0
    assert "another run is in progress" in console
    assert world.onevizion.calls_to("GET .*notif/queue") == []
    assert world.slack.calls == []


def test_the_second_run_says_since_when_the_other_one_runs(world):
    started = utc(minutes=59)
    run = held_since(world, started)
    assert run.status == 0
    since = started.strftime("%Y-%m-%d %H:%M:%S")
    assert world.log("Info") == ["another run is in progress in this directory since %s UTC: nothing was done" % since]
    assert world.log() == world.log("Info")


def test_a_run_that_is_older_than_an_hour_is_a_warning_and_exit_status_1(world):
    started = utc(minutes=61)
    run = held_since(world, started)
    assert run.status == 1
    (warning,) = world.log("Warning")
    since = started.strftime("%Y-%m-%d %H:%M:%S")
    assert warning.startswith("another run is in progress in this directory since %s UTC: nothing was done" % since)
    assert "Administer Processes" in warning
    assert world.slack.calls == []


def test_a_run_that_has_not_said_since_when_is_no_warning(world):
    run = held_since(world, None)
    assert run.status == 0
    assert world.log() == ["another run is in progress in this directory: nothing was done"]


def test_a_lock_file_that_a_dead_run_left_stops_nobody(world):
    world.record()
    directory = world.directory()
    open(os.path.join(directory, lock.LOCK_FILE), "w").close()
    assert world.run().status == 0
    assert len(world.texts()) == 1


def test_where_the_lock_cannot_be_made_the_run_goes_on_and_says_so(world):
    world.record()
    os.makedirs(os.path.join(world.directory(), lock.LOCK_FILE))
    run = world.run()
    assert run.status == 0
    assert len(world.texts()) == 1
    assert "the lock file .slack-notification.lock cannot be used (Is a directory)" in run.console
