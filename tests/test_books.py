"""The books balance after any runs: what OneVizion shows of each record is what became of its message at Slack."""

import os
import re
import shutil
import signal
import tempfile
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slack_notification import delivery
from tests.quick import copy_journal, journal_files, read_rows
from tests.sandbox.directory import PROCESS_ID, ROOT, make_settings, mark_packages, write_json
from tests.world import CapturedWaits, World

CASES = int(os.environ.get("BOOKS_CASES", "200"))
POST = "POST /api/chat.postMessage"
SAVE = "PATCH .*update_status"

CHANNELS = st.sampled_from(["ops", "#ops", "dev", "C0000000003", "nowhere", "old", "a b", "", None])
STATUSES = st.sampled_from(["NOT_SENT"] * 4 + ["FAIL_WILL_RETRY", "SENDING", "BUILDING"])
ODD_KEYS = st.sampled_from(
    [{}] * 6 + [{"userId": None}, {"userId": 999999}, {"msg": 5}, {"subj": None}, {"html": True}]
)
RECORDS = st.lists(st.tuples(CHANNELS, STATUSES, ODD_KEYS, st.sampled_from([1, 1, 1, 400]), st.booleans()), max_size=6)

# What can go wrong with any call.
FAULTS = [
    {"status": 401},
    {"status": 403},
    {"status": 404},
    {"status": 500},
    {"status": 503},
    {"status": 302, "headers": {"Location": "/x"}},
    {"status": 500, "work": True},
    {"status": 429},
    {"status": 429, "headers": {"Retry-After": "0.01"}},
    {"status": 429, "headers": {"Retry-After": "4000"}},
    {"cut": "before"},
    {"cut": "after"},
    {"status": 200, "body": "<html>Log in</html>", "content_type": "text/html"},
]
SAVING_FAULTS = [fault for fault in FAULTS if fault.get("status") != 404]  # which says that the record is gone
# What can go wrong with a call that is asked for data. (That a status was saved shows in nothing but the HTTP status.)
BODIES = ["[]", "", "{}", '"x"', b"\xff"]
DATA_FAULTS = FAULTS + [{"status": 200, "body": body} for body in BODIES]
QUEUE_FAULTS = [fault for fault in DATA_FAULTS if fault.get("body") != "[]"]  # which says that nothing is pending
SLACK_ERRORS = ["internal_error", "is_archived", "token_revoked", "ratelimited", "missing_scope", "no_such_error"]
SLACK_FAULTS = DATA_FAULTS + [{"status": 200, "body": {"ok": False, "error": error}} for error in SLACK_ERRORS]

SLACK_CALLS = [POST, POST, POST, "auth.test", "files[.]", "/upload/"]
SAVING_CALLS = [SAVE, SAVE, SAVE, "/attempts", "/logs"]
READING_CALLS = ["/users", "/trackors", "/v3/files"]
FAULTY_CALLS = st.one_of(
    st.tuples(st.sampled_from(SLACK_CALLS), st.sampled_from(SLACK_FAULTS)),
    st.tuples(st.sampled_from(SAVING_CALLS), st.sampled_from(SAVING_FAULTS)),
    st.tuples(st.just("GET .*notif/queue"), st.sampled_from(QUEUE_FAULTS)),
    st.tuples(st.sampled_from(READING_CALLS), st.sampled_from(DATA_FAULTS)),
)
ORDERS = st.lists(st.tuples(FAULTY_CALLS, st.sampled_from([1, 1, 2, 4, 5, None]), st.integers(0, 4)), max_size=5)


def seed(world, records):
    """Fill the queue; every line of a record's body names the record, so that every part of its message does.

    A line is one word, which no cut divides, even where HTML makes all of them one line.
    """
    for number, (channel, status, odd, lines, with_file) in enumerate(records):
        body = "\n".join("<%d-%d" % (4711 + number, line) for line in range(lines))
        blobs = [world.onevizion.add_file("a.txt", b"a")] if with_file else []
        keys = dict({"msg": body, "subj": "<%d" % (4711 + number), "blob_ids": blobs}, status=status)
        keys.update(odd)
        world.record(channel, **keys)


def order_faults(world, orders):
    for (call, fault), times, after in orders:
        server = world.slack if call in SLACK_CALLS else world.onevizion
        server.fault(call, times=times, after=after, **fault)


# How a run ends: by itself, or interrupted or killed when so many calls have arrived.
ENDS = st.sampled_from(["", "", "signal", "kill", "kill"])
RUNS = st.lists(st.tuples(ENDS, st.integers(1, 40)), min_size=1, max_size=3)


class Books:
    """What is known of each post, which is (record, number of its first line).

    `sure`: Slack's answer has reached the program for good. `doubtful`: posts that may be repeated, and how often: an
    answer was lost, or a run was killed before the journal had it.
    """

    def __init__(self, world):
        self.world = world
        self.sure = set()
        self.doubtful = Counter()
        self.seen = 0  # tries of runs before this one

    def close_run(self, killed, rows):
        """Take over what the run that has just ended posted; `rows` are what its journal holds."""
        tries = self.world.slack.posts[self.seen :]
        self.seen = len(self.world.slack.posts)
        order = {}  # of each record's posts
        for each in self.world.slack.posts:
            order.setdefault(post_of(each.text)[0], set()).add(post_of(each.text))
        for each in tries:
            post = post_of(each.text)
            assert post not in self.sure, "a message was posted again after Slack's answer had reached the program"
            row = rows.get(post[0])
            known = row is not None and sorted(order[post[0]]).index(post) < row.posted
            if each.outcome == "ok" and (not killed or known or self.world.onevizion.status(post[0]) == "SUCCESS"):
                self.sure.add(post)
            else:
                self.doubtful[post] += 1
        for post, times in self.arrived().items():
            assert times <= 1 + self.doubtful[post] - (post not in self.sure), (
                "a message arrived twice without a reason"
            )

    def arrived(self):
        return Counter(post_of(message.text) for message in self.world.slack.messages)


def post_of(text):
    """Return the record that a post is about, and the number of its first line (-1: it has none)."""
    lines = re.findall(r"(?:<|&lt;)(\d+)-(\d+)", text)
    if lines:
        return int(lines[0][0]), int(lines[0][1])
    return int(re.search(r"(?:<|&lt;)(\d+)", text).group(1)), -1


def lines_at_slack(world):
    """Return what stands there of each record: the numbers of its lines, and None for its header."""
    found = {}
    for message in world.slack.messages:
        about, lines = post_of(message.text)[0], re.findall(r"(?:<|&lt;)\d+-(\d+)", message.text)
        found.setdefault(about, set()).update([None] + [int(line) for line in lines])
    return found


def check_statuses(world, books, run, before, killed):
    """Check each record's status after a run, given the one before it."""
    there = lines_at_slack(world)
    for record, raw in zip(before, world.onevizion.records):
        status = world.onevizion.status(record)
        tried = [each.text for each in world.slack.posts if post_of(each.text)[0] == record]
        saves = [call for call in world.onevizion.calls_to(SAVE) if "/%d/" % record in call.path]
        if before[record] == "BUILDING":
            assert (status, tried, saves) == ("BUILDING", [], []), "a record that was not ready was touched"
            continue
        if status == "SUCCESS":
            lines = set(range(str(raw["msg"]).count("\n") + 1))
            assert lines <= there.get(record, set()), "SUCCESS though a part of the message never arrived"
        if status == "NOT_SENT":
            assert record not in there, "a message arrived, and its record looks as if nobody had tried"
        if status == "FAIL" and len({post_of(text) for text in tried}) == 1:
            assert (record, 0) not in books.sure, "FAIL though Slack took the message"
        if status == "SENDING" != before[record] and saves and not killed:
            # A status that was asked for last and does not stand there was refused, be it by a page with status 200.
            assert saves[-1].query["status"] != "SENDING", "a record was left in SENDING, and nothing was tried"
    if run.status == 0 and not killed:
        pending = [record for record in before if is_pending(world, record, before[record])]
        states = {world.onevizion.status(record) for record in pending}
        assert states <= {"SUCCESS"}, "exit 0 though not all is SUCCESS"


def is_pending(world, record, status):
    """Tell whether a record is to be delivered; one that the queue hides, and that no journal has, nobody knows of."""
    touched = any(each == record for each, _ in world.onevizion.history)
    return status not in ("BUILDING", "FAIL", "SUCCESS") and (touched or not world.onevizion.hides_sending)


def check_words(world, run):
    told = run.console + run.stdout + "".join(entry.message + entry.description for entry in world.onevizion.log)
    told += "".join(text for texts in world.onevizion.attempts.values() for text in texts)
    assert "Traceback" not in told
    for secret in (world.onevizion.access_key, world.onevizion.secret_key, world.slack.token):
        assert secret not in told


class End:
    """Interrupts a run, or does to it what a kill would, when so many calls have arrived.

    From a kill on nothing reaches the services, and the journal is as it was then.
    """

    def __init__(self, world):
        self.world = world
        self.dead = False
        self.how, self.left = "", 0
        for server in (world.onevizion, world.slack):
            server.on(".", self.count)
            server.fault(".", None, where=lambda call: self.dead, cut="before")

    def run(self, how, calls):
        """Run the program to that end; return how it ended and whether that was by a kill."""
        self.how, self.left, self.interruption = how, calls, CapturedWaits()
        with tempfile.TemporaryDirectory() as self.copies:
            run = self.world.run(interruption=self.interruption)
            killed, self.dead, self.how = self.dead, False, ""
            if killed:
                for path in journal_files(self.world.path):
                    os.remove(path)
                copy_journal(self.copies, self.world.path)
        return run, killed

    def count(self, call):
        self.left -= 1
        if self.left or not self.how:
            return
        if self.how == "kill":
            self.dead = True
            copy_journal(self.world.path, self.copies)
        self.interruption.interrupt(signal.SIGTERM)


class BareWorld(World):
    """A world whose directory is made once and has no copy of the program, which runs in this process."""

    def directory(self):
        if not os.path.exists(self.path):
            os.makedirs(self.path)
            for name in ("settings_schema.json", "requirements.txt"):
                shutil.copy(os.path.join(ROOT, name), self.path)
            values = dict(make_settings(self.onevizion, self.slack), **self.settings)
            parameters = {"processId": PROCESS_ID, "logLevel": "Info", "ovUrl": self.onevizion.url}
            write_json(os.path.join(self.path, "settings.json"), values)
            write_json(os.path.join(self.path, "ihub_parameters.json"), parameters)
            mark_packages(os.path.join(self.path, ".packages"))
        return self.path


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=RECORDS, orders=ORDERS, attempts=st.integers(1, 3), runs=RUNS, hides=st.booleans())
def test_the_books_balance_after_any_queue_any_faults_and_any_ends_of_runs(records, orders, attempts, runs, hides):
    with tempfile.TemporaryDirectory() as path, BareWorld(os.path.join(path, "module")) as world, quick_waits():
        world.slack.add_channel("secret", private=True, channel_id="C0000000003")
        world.slack.add_channel("old", archived=True)
        world.settings = {"maxAttempts": attempts, "nextAttemptDelay": 0}
        world.onevizion.hides_sending = hides
        seed(world, records)
        books, end = Books(world), End(world)
        order_faults(world, orders)
        for how, calls in runs:
            before = dict(world.onevizion.statuses)
            run, killed = end.run(how, calls)
            assert killed or run.status in (0, 1, 2, 128 + signal.SIGTERM)
            books.close_run(killed, read_rows(world.path))
            check_statuses(world, books, run, before, killed)
            check_words(world, run)
        check_that_nothing_is_lost(world, books)


def check_that_nothing_is_lost(world, books):
    """Run once more, without faults: every record gets its end, and the journal is empty."""
    world.onevizion.clear_faults()
    world.slack.clear_faults()
    before = dict(world.onevizion.statuses)
    run = world.run()
    rows = read_rows(world.path)
    books.close_run(False, rows)
    check_statuses(world, books, run, before, False)
    for record in before:
        if is_pending(world, record, before[record]):
            assert world.onevizion.status(record) in ("SUCCESS", "FAIL"), "a record was lost"
    assert rows == {}, "the journal holds what is ended"


class quick_waits:
    """Shorten what the program waits for by its own clock; what it asks its Interruption for is never waited."""

    QUICK = {"CHANNEL_INTERVAL_SECONDS": 0.0, "WAIT_WITHOUT_HEADER_SECONDS": 0.01, "WAIT_LIMIT_SECONDS": 0.3}

    def __enter__(self):
        self.usual = {name: getattr(delivery, name) for name in self.QUICK}
        for name, value in self.QUICK.items():
            setattr(delivery, name, value)

    def __exit__(self, *exception):
        for name, value in self.usual.items():
            setattr(delivery, name, value)
