"""Attachments: links in the message, files in its thread; what goes wrong there never changes the message's fate."""

import re

import pytest

from slack_notification import attachments, onevizion_api, slack_errors

POST = "chat.postMessage"


def file_calls(world):
    return world.slack.calls_to("files|/upload/")


def address(world, blob):
    return "%s/efiles/EFileGetBlobFromDb.do?id=%d" % (world.onevizion.url, blob)


def links(message):
    """Return the lines with links of a message: what stands before the link, its words and its address."""
    (body,) = [block for block in message.blocks if block["type"] == "rich_text"]
    runs = [run for section in body["elements"] for run in section["elements"]]
    return [
        (before["text"].split("\n")[-1], run["text"], run["url"]) for before, run in zip(runs, runs[1:]) if "url" in run
    ]


def test_three_attachments_of_which_one_cannot_be_read(world):
    files = [
        world.onevizion.add_file(name, name.encode() * 100) for name in ("plan.pdf", "größe 1&2.txt", "locked.doc")
    ]
    record = world.record(subj="Files", msg="See below", blob_ids=files)
    world.onevizion.fault("GET /api/v3/files/%d" % files[2], times=None, status=403)
    run = world.run()
    assert run.status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    (message,) = world.slack.messages
    names = ("plan.pdf", "größe 1&2.txt", "attachment 3 of 3")
    assert links(message) == [("📎 ", name, address(world, blob)) for name, blob in zip(names, files)]
    lines = message.text.split("\n")
    assert lines[:3] == ["Files", "See below", "📎 plan.pdf (%s)" % address(world, files[0])]
    assert [(file.name, file.title, file.content) for file in world.slack.files] == [
        ("plan.pdf", "plan.pdf", b"plan.pdf" * 100),
        ("größe 1&2.txt", "größe 1&2.txt", "größe 1&2.txt".encode() * 100),
    ]
    assert {(file.channel, file.thread_ts) for file in world.slack.files} == {(message.channel, message.ts)}
    assert len(world.log("Warning")) == 1
    beginning = "record %d for USER-1001 (101): file %d stays a link in #ops: give the account R on the trackor type"
    assert world.log("Warning")[0].startswith(beginning % (record, files[2]))


def test_the_names_of_files_are_asked_for_before_the_message_is_posted(world):
    world.record(blob_ids=[world.onevizion.add_file("a.txt", b"a"), world.onevizion.add_file("b.txt", b"b")])
    before = []
    world.slack.on(POST, lambda call: before.append(len(world.onevizion.calls_to("/api/v3/files/"))))
    assert world.run().status == 0
    assert before == [2]
    assert [name for _, name, _ in links(world.slack.messages[0])] == ["a.txt", "b.txt"]


def test_names_that_are_not_had_in_time_hold_no_message_up(world, monkeypatch):
    monkeypatch.setattr(onevizion_api, "NAME_LIMIT_SECONDS", 1)
    files = [world.onevizion.add_file("%d.txt" % number, b"a") for number in range(3)]
    world.record(blob_ids=files)
    world.onevizion.fault("GET /api/v3/files/%d" % files[1], delay=60)
    assert world.run().status == 0
    shown = [name for _, name, _ in links(world.slack.messages[0])]
    assert shown == ["0.txt", "attachment 2 of 3", "2.txt"]
    # Only the name was not worth the wait: the file itself is shared.
    assert [file.name for file in world.slack.files] == ["0.txt", "1.txt", "2.txt"]


def test_the_files_of_a_record_are_shared_in_their_order(world):
    files = [world.onevizion.add_file("%d.txt" % number, b"a") for number in range(4)]
    world.record(blob_ids=files)
    for number, blob in enumerate(files):  # the first is the slowest
        world.onevizion.fault("GET /api/v3/files/%d" % blob, after=1, delay=0.2 - 0.05 * number)
    assert world.run().status == 0
    assert [file.name for file in world.slack.files] == ["0.txt", "1.txt", "2.txt", "3.txt"]


def test_a_file_in_a_direct_message_is_shared_there(world):
    person = world.slack.add_person()
    world.record(person, blob_ids=[world.onevizion.add_file("a.txt", b"a")])
    assert world.run().status == 0
    assert world.slack.files[0].channel == world.slack.messages[0].channel


def test_the_files_of_a_long_message_are_shared_in_its_thread(world):
    world.record(msg="word " * 2000, blob_ids=[world.onevizion.add_file("a.txt", b"a")])
    assert world.run().status == 0
    assert world.slack.files[0].thread_ts == world.slack.messages[0].ts


def test_without_uploadAttachments_files_stay_links_with_their_names(world):
    world.settings["uploadAttachments"] = False
    blob = world.onevizion.add_file("a.txt", b"a" * 10000000)
    world.record(blob_ids=[blob])
    assert world.run().status == 0
    assert file_calls(world) == []
    # Its name is asked for, and its content is left where it is.
    assert len(world.onevizion.storage.calls_to("GET")) == 1
    assert links(world.slack.messages[0]) == [("📎 ", "a.txt", address(world, blob))]


FILE_FAULTS = {
    "403": {"status": 403},
    "404": {"status": 404},
    "500": {"status": 500},
    "a login page": {"status": 200, "body": "<html>Log in</html>", "content_type": "text/html"},
    "cut": {"cut": "before"},
    "cut in the middle": {"cut": "during"},
}


@pytest.mark.parametrize("case", sorted(FILE_FAULTS))
@pytest.mark.parametrize("server", ["onevizion", "storage"])
def test_a_file_that_cannot_be_read_stays_a_link_with_a_warning(world, case, server):
    blob = world.onevizion.add_file("a.txt", b"a" * 100000)
    record = world.record(blob_ids=[blob])
    target = world.onevizion if server == "onevizion" else world.onevizion.storage
    target.fault("GET .*files/", times=None, **FILE_FAULTS[case])
    run = world.run()
    assert run.status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    assert len(world.texts()) == 1
    assert world.slack.files == []
    (warning,) = world.log("Warning")
    assert re.match(
        r"record %d for USER-1001 \(101\): file (%d|'a.txt') stays a link in #ops: " % (record, blob), warning
    )
    assert "Traceback" not in run.console


UPLOAD_FAULTS = {
    "refused": ("getUploadURLExternal", {"error": "storage_limit_reached"}),
    "unavailable": ("getUploadURLExternal", {"status": 503}),
    "cut": ("completeUploadExternal", {"cut": "after"}),
    "dead token": ("completeUploadExternal", {"error": "token_revoked"}),
    "bytes refused": ("/upload/", {"status": 400}),
    "bytes cut": ("/upload/", {"cut": "before"}),
    "bytes sent elsewhere": ("/upload/", {"status": 302, "headers": {"Location": "/x"}}),
    "not the address asked for": ("getUploadURLExternal", {"status": 200, "body": {"ok": True}}),
}


@pytest.mark.parametrize("case", sorted(UPLOAD_FAULTS))
def test_trouble_at_Slack_leaves_the_message_delivered_and_posts_nothing_twice(world, case):
    record = world.record(blob_ids=[world.onevizion.add_file("a.txt", b"a")])
    call, fault = UPLOAD_FAULTS[case]
    world.slack.fault(call, times=None, **fault)
    run = world.run()
    assert run.status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    assert not world.onevizion.attempts
    assert len(world.texts()) == 1
    assert len(world.slack.files) <= 1
    (warning,) = world.log("Warning")
    assert warning.startswith("record %d for USER-1001 (101): file 'a.txt' stays a link in #ops: " % record)
    assert "Slack" in warning


def test_a_rate_limit_of_the_upload_is_waited_out(world):
    world.record(blob_ids=[world.onevizion.add_file("a.txt", b"a")])
    world.slack.fault("completeUploadExternal", times=2, status=429, headers={"Retry-After": "5"})
    run = world.run()
    assert len(world.slack.files) == 1
    assert run.waits == [5.0, 5.0]


def test_a_bot_that_is_no_member_says_so_once_per_channel(world):
    world.slack.add_channel("open", member=False)
    world.slack.add_channel("wide", member=False)
    for channel in ("open", "open", "wide"):
        world.record(
            channel, blob_ids=[world.onevizion.add_file("a.txt", b"a"), world.onevizion.add_file("b.txt", b"b")]
        )
    run = world.run()
    assert run.status == 0
    assert len(world.slack.messages) == 3
    warnings = world.log("Warning")
    assert len(warnings) == 2
    # Which record and which file comes first is chance: the two of #open go side by side.
    assert {re.sub(r"^record .*: file '[ab].txt' ", "", text) for text in warnings} == {
        "stays a link in #%s: %s (Slack: not_in_channel)" % (channel, slack_errors.INVITE_FOR_FILES)
        for channel in ("open", "wide")
    }


@pytest.mark.parametrize("show_scopes", [True, False])
def test_a_missing_files_write_turns_uploads_off_with_one_warning(world, show_scopes):
    world.slack.scopes, world.slack.show_scopes = ("chat:write", "chat:write.public"), show_scopes
    for channel in ("ops", "ops", "dev"):
        world.record(
            channel, blob_ids=[world.onevizion.add_file("a.txt", b"a"), world.onevizion.add_file("b.txt", b"b")]
        )
    assert world.run().status == 0
    assert world.log("Warning") == [
        "files stay links in this run: add the scope files:write to the app, and install it again"
    ]
    # What is known before is not tried: no file's content is fetched for nothing.
    assert bool(world.slack.calls_to("files.getUploadURLExternal")) is not show_scopes


def test_a_missing_files_write_is_no_matter_where_there_are_no_files(world):
    world.slack.scopes = ("chat:write", "chat:write.public")
    world.record()
    assert world.run().status == 0
    assert world.log("Warning") == []


def test_a_file_that_never_ends_holds_up_the_end_of_the_run_for_a_limited_time(world, monkeypatch):
    monkeypatch.setattr(attachments, "FILES_WAIT_SECONDS", 0.5)
    monkeypatch.setattr(onevizion_api, "NAME_LIMIT_SECONDS", 0.1)
    record = world.record(blob_ids=[world.onevizion.add_file("a.txt", b"a")])
    world.onevizion.storage.fault("GET", times=None, delay=20)
    world.onevizion.fault("POST .*logs", times=None, delay=0.35)
    run = world.run()
    assert run.status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    assert world.log("Warning") == ["1 file(s) stay links: sharing them took too long"]
    assert run.stdout == "", "an entry of the log was abandoned with the file"


def test_the_same_reason_is_told_once_per_channel(world):
    for _ in range(3):
        world.record(blob_ids=[world.onevizion.add_file("a.txt", b"a")])
    world.onevizion.fault("/api/v3/files/", times=None, status=403)
    run = world.run()
    assert len(world.log("Warning")) == 1
    assert run.console.count("OneVizion answered 403 when asked to read the file") == 3


def test_an_empty_file_stays_a_link(world):
    world.record(blob_ids=[world.onevizion.add_file("a.txt", b"")])
    assert world.run().status == 0
    assert file_calls(world) == []
    assert "it is empty" in world.log("Warning")[0]


def test_a_file_over_the_limit_stays_a_link(world, monkeypatch):
    monkeypatch.setattr(onevizion_api, "FILE_LIMIT_BYTES", 1000000)
    world.record(
        blob_ids=[
            world.onevizion.add_file("big.bin", b"x" * 1000001),
            world.onevizion.add_file("ok.bin", b"x" * 1000000),
        ]
    )
    assert world.run().status == 0
    assert [file.name for file in world.slack.files] == ["ok.bin"]
    assert "the file is larger than 1 MB" in world.log("Warning")[0]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (None, ""),
        ("", ""),
        ("inline", ""),
        ("attachment", ""),
        ("attachment; filename*=UTF-8''plan%20%C3%BC.pdf", "plan ü.pdf"),
        ('attachment; filename="plan.pdf"', "plan.pdf"),
        ("attachment; filename=plan.pdf", "plan.pdf"),
        ("attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("attachment; filename*=UTF-8''a%5Cb.txt", "b.txt"),
        ("attachment; filename*=UTF-8''a%0Ab%00.txt", "ab.txt"),
        ("attachment; filename*=UTF-8''%ED%A0%80x", "\ufffd\ufffd\ufffdx"),
        ("attachment; filename*=nonsense''x", "x"),
        ("attachment; filename*=undefined''x", "attachment"),
        ("attachment; filename=\"plan.pdf\"; filename*=UTF-8''plan%20%C3%BC.pdf", "plan ü.pdf"),
        ("attachment; filename*=UTF-8''plan%20%C3%BC.pdf; filename=plan.pdf", "plan ü.pdf"),
        ("attachment; filename*=UTF-8''a%E2%80%AEfdp.exe", "afdp.exe"),
        ('attachment; filename="' + "x" * 300 + '.pdf"', "x" * 195 + "….pdf"),
        ('attachment; filename="' + "x" * 300 + '"', "x" * 199 + "…"),
        ('attachment; filename="a.' + "x" * 300 + '"', "a." + "x" * 197 + "…"),
    ],
)
def test_the_name_of_a_file_is_its_own(header, name):
    assert onevizion_api.attachment_name(header) == name


LARGE = "\n".join("line %05d of a very long report" % number for number in range(8000))


def test_without_the_scope_for_files_a_message_that_is_too_long_refers_to_OneVizion(world):
    world.slack.scopes = ("chat:write", "chat:write.public")
    world.record(msg=LARGE)
    assert world.run().status == 0
    assert "this is not all: read the rest in OneVizion" in world.slack.messages[-1].text
    assert not any("message.txt" in message.text for message in world.slack.messages)
    assert len(world.log("Warning")) == 1


def test_a_message_txt_that_Slack_does_not_take_is_told_with_where_the_rest_is(world):
    record = world.record(msg=LARGE)
    world.slack.fault("getUploadURLExternal", error="storage_limit_reached")
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    (warning,) = world.log("Warning")
    beginning = "record %d for USER-1001 (101): message.txt not shared in #ops, read the rest in OneVizion: " % record
    assert warning.startswith(beginning)


def test_a_message_txt_that_takes_too_long_is_told_with_where_the_rest_is(world, monkeypatch):
    monkeypatch.setattr(attachments, "FILES_WAIT_SECONDS", 0.5)
    record = world.record(msg=LARGE)
    world.slack.fault("getUploadURLExternal", delay=20)
    assert world.run().status == 0
    assert world.onevizion.status(record) == "SUCCESS"
    (warning,) = world.log("Warning")
    assert "message.txt not shared in #ops, read the rest in OneVizion: " in warning
