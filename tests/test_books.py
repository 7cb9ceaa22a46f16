"""The books balance after any run: what OneVizion shows of each record is what became of its message at Slack."""

import os
import tempfile
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slack_notification import delivery
from tests.world import World

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
# What can go wrong with a call that is asked for data. (That a status was saved shows in nothing but the HTTP status.)
DATA_FAULTS = FAULTS + [{"status": 200, "body": body} for body in ("[]", "", "{}", '"x"', b"\xff")]
SLACK_ERRORS = ["internal_error", "is_archived", "token_revoked", "ratelimited", "missing_scope", "no_such_error"]
SLACK_FAULTS = DATA_FAULTS + [{"status": 200, "body": {"ok": False, "error": error}} for error in SLACK_ERRORS]

SLACK_CALLS = [POST, POST, POST, "auth.test", "files[.]", "/upload/"]
SAVING_CALLS = [SAVE, SAVE, SAVE, "/attempts", "/logs"]
READING_CALLS = ["GET .*notif/queue", "/users", "/trackors", "/v3/files"]
FAULTY_CALLS = st.one_of(
    st.tuples(st.sampled_from(SLACK_CALLS), st.sampled_from(SLACK_FAULTS)),
    st.tuples(st.sampled_from(SAVING_CALLS), st.sampled_from(FAULTS)),
    st.tuples(st.sampled_from(READING_CALLS), st.sampled_from(DATA_FAULTS)),
)
ORDERS = st.lists(st.tuples(FAULTY_CALLS, st.sampled_from([1, 1, 2, 4, 5, None]), st.integers(0, 4)), max_size=5)


def seed(world, records):
    """Fill the queue; every line of a record's body names the record, so that every part of its message does."""
    for number, (channel, status, odd, lines, with_file) in enumerate(records):
        body = "\n".join("<%d line %d" % (4711 + number, line) for line in range(lines))
        blobs = [world.onevizion.add_file("a.txt", b"a")] if with_file else []
        keys = dict({"msg": body, "subj": "<%d" % (4711 + number), "blob_ids": blobs}, status=status)
        keys.update(odd)
        world.record(channel, **keys)


def order_faults(world, orders):
    for (call, fault), times, after in orders:
        server = world.slack if call in SLACK_CALLS else world.onevizion
        server.fault(call, times=times, after=after, **fault)


def is_about(record, text):
    return "&lt;%d" % record in (text or "") or "<%d" % record in (text or "")


def check_books(world, run, before):
    """Check one run, given each record's status before it."""
    after = {record: world.onevizion.status(record) for record in before}
    for record, status in after.items():
        parts = {post.text for post in world.slack.posts if is_about(record, post.text)}
        arrived = Counter(message.params["text"] for message in world.slack.messages if is_about(record, message.text))
        answered = Counter(post.text for post in world.slack.posts if post.outcome == "ok")
        saves = [call for call in world.onevizion.calls_to(SAVE) if "/%d/" % record in call.path]
        for part in parts:
            lost_answers = arrived[part] - answered[part]
            assert answered[part] <= 1, "a message was posted again after Slack had taken it"
            assert arrived[part] <= 1 + lost_answers, "a message arrived twice though no answer was lost"
        if before[record] == "BUILDING":
            assert (status, parts, saves) == ("BUILDING", set(), []), "a record that was not ready was touched"
            continue
        if status == "SUCCESS":
            assert parts, "SUCCESS without a post"
            assert all(arrived[part] for part in parts), "SUCCESS though a part of the message never arrived"
        if status == "NOT_SENT":
            assert not arrived, "a message arrived, and its record looks as if nobody had tried"
        if status == "FAIL" and len(parts) == 1:
            assert not any(answered[part] for part in parts), "FAIL though Slack took the message"
        if status == "SENDING" and saves:
            # A status that was asked for last and does not stand there was refused, be it by a page with status 200.
            assert saves[-1].query["status"] != "SENDING", "a record was left in SENDING, and nothing was tried"
    pending = [record for record in before if before[record] != "BUILDING"]
    if run.status == 0:
        assert all(after[record] == "SUCCESS" for record in pending), "exit 0 though not all is SUCCESS"
    assert run.status in (0, 1, 2)
    told = run.console + run.stdout + "".join(entry.message + entry.description for entry in world.onevizion.log)
    told += "".join(text for texts in world.onevizion.attempts.values() for text in texts)
    assert "Traceback" not in told
    for secret in (world.onevizion.access_key, world.onevizion.secret_key, world.slack.token):
        assert secret not in told


@settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck))
@given(records=RECORDS, orders=ORDERS, attempts=st.integers(1, 3))
def test_the_books_balance_after_any_queue_and_any_faults(records, orders, attempts):
    with tempfile.TemporaryDirectory() as path, World(path) as world:
        world.slack.add_channel("secret", private=True, channel_id="C0000000003")
        world.slack.add_channel("old", archived=True)
        world.settings = {"maxAttempts": attempts, "nextAttemptDelay": 0}
        seed(world, records)
        order_faults(world, orders)
        before = dict(world.onevizion.statuses)
        with quick_waits():
            run = world.run()
        check_books(world, run, before)


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
