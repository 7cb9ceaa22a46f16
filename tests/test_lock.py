"""The lock of the working directory."""

import datetime
import os
import subprocess
import sys

from slack_notification.lock import only_run

HOLDER = (
    "import subprocess, sys; from slack_notification.lock import only_run\n"
    "with only_run(sys.argv[1]) as held:\n"
    "    child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=0, stderr=subprocess.DEVNULL)\n"
    "    print(held.alone, flush=True); sys.stdin.read()\n"
)


def test_a_second_run_learns_since_when_the_first_one_runs(tmp_path):
    path = str(tmp_path / "lock")
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    with only_run(path) as first:
        for _ in range(2):  # looking changes nothing
            with only_run(path) as second:
                assert not second.alone
                assert before <= second.since <= datetime.datetime.now(datetime.timezone.utc)
    assert first == (True, None, "")
    with only_run(path) as third:
        assert third.alone


def test_a_killed_run_leaves_no_lock_though_its_child_process_lives(tmp_path):
    path = str(tmp_path / "lock")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
    )
    assert process.stdout.readline() == "True\n"
    with only_run(path) as held:
        assert not held.alone
    process.kill()
    process.wait()
    with only_run(path) as held:
        assert held.alone
    process.stdin.close()
    process.stdout.close()


def test_where_the_lock_cannot_be_made_the_run_goes_on_and_says_what_that_means(tmp_path):
    with only_run(os.path.join(str(tmp_path), "missing", "lock")) as held:
        assert held.alone
        assert "let the module write to its directory" in held.problem
