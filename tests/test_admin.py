"""What an admin can try: --check, --dry-run, --send-test, --help."""

import contextlib
import json
import os
import re
import subprocess
import sys

import pytest

import module
from slack_notification import admin, installation
from slack_notification.journal import JOURNAL_FILE, Journal, digest
from slack_notification.message import compose
from slack_notification.records import read_record
from tests.sandbox.onevizion import ABSENT
from tests.slack_rules import problems
from tests.world import finish

POST = "chat.postMessage"
NO_FAULT = "No fault found (not tried: saving statuses, the log, files, the channels)"
WORKS = NO_FAULT + "; look at what is marked warn (%d)."


def nothing_changed(world):
    return not (world.onevizion.history or world.onevizion.attempts or world.onevizion.log or world.slack.messages)


def lines(run, link):
    """The lines of a checklist about one link, without its name."""
    found = [re.match(r"\[(....)\] %s: (.*)" % link, line) for line in run.stdout.splitlines()]
    return [(match.group(1).strip(), match.group(2)) for match in found if match]


# --check


def test_check_prints_a_line_for_each_link_and_a_verdict_and_changes_nothing(world):
    world.record()
    world.record("C0000000002")
    run = world.run("--check")
    assert run.status == 0
    assert run.stdout.splitlines() == [
        "[ ok ] settings: settings.json is valid",
        "[ ok ] OneVizion: %s is reachable and accepts the keys; 2 record(s) pending for service 7"
        % world.onevizion.url,
        "[ ok ] recipients: 2 of 2 pending record(s) have a channel in SLACK_CHANNEL; "
        "--send-test CHANNEL shows whether Slack accepts them",
        "[ ok ] Slack: the token is valid: 'onevizion' in 'Acme'",
        "[ ok ] scopes: chat:write, chat:write.public, files:write",
        NO_FAULT + ".",
    ]
    assert run.console == ""
    assert nothing_changed(world)
    assert world.slack.calls_to(POST) == []


def test_check_warns_where_nothing_is_pending_and_says_what_to_look_at(world):
    run = world.run("--check")
    assert run.status == 0
    assert lines(run, "OneVizion") == [
        (
            "warn",
            "%s is reachable and accepts the keys; 0 record(s) pending for service 7: if you expect some, "
            "check serviceId, and the Notif Service of the notifications" % world.onevizion.url,
        )
    ]
    assert lines(run, "recipients") == [("--", "not checked, no records are pending")]
    assert run.stdout.splitlines()[-1] == WORKS % 1


def test_check_looks_at_all_pending_records_and_names_the_users_without_a_channel_by_reason(world):
    for key in range(12):
        world.onevizion.add_user("", user_id=500 + key)
        world.onevizion.add_record(500 + key)
    world.onevizion.add_record(500)  # the same user once more
    world.onevizion.add_record(None)
    world.record("a b")
    for _ in range(30):
        world.record()
    run = world.run("--check")
    assert run.status == 0
    counted, *reasons = lines(run, "recipients")
    assert counted[0] == "warn"
    assert counted[1].startswith(
        "30 of 45 pending record(s) have a channel in SLACK_CHANNEL; --send-test CHANNEL shows whether"
    )
    assert {verdict for verdict, _ in reasons} == {"warn"}
    texts = "\n".join(text for _, text in reasons)
    for text in (
        "record 4724: it is addressed to an e-mail address, not to a user",
        "enter a channel's name, ID or link, or a member ID in the user's field: 'a b' is no Slack channel",
    ):
        assert text in texts
    nobody = [text for _, text in reasons if "the user has no channel" in text]
    assert len(nobody) == 1, nobody
    names = ", ".join("USER-%d (%d)" % (key, user) for user, key in known(world))
    assert nobody[0] == names + ": the user has no channel: enter one in SLACK_CHANNEL"
    assert run.stdout.splitlines()[-1] == WORKS % (1 + len(reasons))


def known(world):
    """The users 500 to 511 with the numbers of their trackors."""
    return [(user, world.onevizion.users[user]) for user in range(500, 512)]


def broken_links(run):
    return [line.split(":")[0][len("[FAIL] ") :] for line in run.stdout.splitlines() if line.startswith("[FAIL]")]


@pytest.mark.parametrize(
    ("break_it", "links", "advice"),
    [
        (lambda world: world.settings.update(slackBotToken="xoxp-1"), ["settings"], "begins with xoxb-"),
        (
            lambda world: world.settings.update(ovUrl=ABSENT, serviceId="x"),
            ["settings", "settings"],
            "ovUrl is missing",
        ),
        (lambda world: world.settings.update(channelField="  "), ["settings"], "channelField is not valid"),
        (lambda world: world.settings.update(ovUrl="http://127.0.0.1:1"), ["OneVizion"], "Connection refused"),
        (lambda world: world.settings.update(ovSecretKey="wrong"), ["OneVizion"], "ovAccessKey"),
        (lambda world: world.onevizion.fault("queue", None, status=403), ["OneVizion"], "ADMIN_NOTIF_QUEUE"),
        (lambda world: world.onevizion.fault("queue", None, status=200, body="<html>"), ["OneVizion"], "login or"),
        (lambda world: world.onevizion.fault("/users", None, status=403), ["recipients"], "ADMIN_USERS R"),
        (lambda world: world.onevizion.fault("/trackors", None, status=403), ["recipients"], "on the tab"),
        (lambda world: world.onevizion.fault("/trackors", None, status=500), ["recipients"], "OneVizion answered 500"),
        (lambda world: world.settings.update(channelField="NO_FIELD"), ["recipients"], "correct channelField"),
        (lambda world: setattr(world.slack, "token_error", "token_revoked"), ["Slack"], "copy its new token"),
        (lambda world: world.settings.update(slackUrl="http://127.0.0.1:1"), ["Slack"], "Connection refused"),
    ],
)
def test_check_finds_the_broken_link_and_says_what_to_do(world, break_it, links, advice):
    world.record()
    break_it(world)
    run = world.run("--check")
    assert run.status == 2
    assert broken_links(run) == links
    assert advice in run.stdout
    assert nothing_changed(world)
    for link in ("settings", "OneVizion", "recipients", "Slack", "scopes"):
        assert "] %s: " % link in run.stdout


def test_check_goes_on_behind_a_broken_link(world):
    world.settings["ovSecretKey"] = "wrong"
    run = world.run("--check")
    assert "[ -- ] recipients: not checked, they need OneVizion" in run.stdout
    assert "[ ok ] Slack" in run.stdout
    assert "[ ok ] scopes" in run.stdout


@pytest.mark.parametrize("channel", [None, "a b"])
def test_check_does_not_say_that_all_is_well_where_no_record_has_a_channel(world, channel):
    world.record(channel)
    run = world.run("--check")
    assert run.status == 0
    assert "0 of 1 pending record(s) have a channel in SLACK_CHANNEL" in run.stdout
    assert "works" not in run.stdout
    assert run.stdout.splitlines()[-1] == WORKS % 2


def test_check_says_what_it_did_not_try(world):
    world.record()
    world.onevizion.fault("PATCH|/logs", None, status=403)
    assert world.run("--check").stdout.splitlines()[-1] == NO_FAULT + "."


def test_check_skips_the_scopes_where_Slack_does_not_tell_them(world):
    world.slack.show_scopes = False
    run = world.run("--check")
    assert run.status == 0
    assert "[ -- ] scopes: not checked, Slack does not say which the app has" in run.stdout


def test_check_does_not_ask_for_files_write_where_files_are_not_wanted(world):
    world.slack.scopes = ("chat:write", "chat:write.public")
    world.settings["uploadAttachments"] = False
    assert world.run("--check").status == 0


def test_check_shows_no_secret(world):
    world.settings["ovSecretKey"] = "a-wrong-secret"
    run = world.run("--check")
    for secret in ("a-wrong-secret", world.onevizion.access_key, world.slack.token):
        assert secret not in run.stdout + run.console


def test_check_without_settings_says_so(world):
    directory = world.directory()
    os.remove(os.path.join(directory, "settings.json"))
    run = finish(world.start("--check", cwd=directory))
    assert run.status == 2
    assert "[FAIL] settings: settings.json cannot be read" in run.stdout
    assert "Traceback" not in run.console


# --check on a terminal, and its last line


def on_a_terminal(world, **environment):
    """What a program prints on a terminal of its own."""
    ours, theirs = pytest.importorskip("pty").openpty()
    process = subprocess.Popen(
        [sys.executable, "module.py", "--check"],
        cwd=world.directory(),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env=dict(os.environ, **environment),
    )
    os.close(theirs)
    text = b""
    with contextlib.suppress(OSError):  # how Linux says that the program has ended
        while True:
            text += os.read(ours, 65536)
    os.close(ours)
    assert process.wait() == 2
    return text.decode().replace("\r\n", "\n")


def test_check_colours_what_is_to_be_looked_at_as_the_console_does_and_only_there(world):
    world.slack.token_error = "token_revoked"
    text = on_a_terminal(world)
    assert "\033[33m[warn]\033[0m OneVizion: " in text
    assert "\033[31m[FAIL]\033[0m Slack: " in text
    assert "[ ok ] settings: " in text
    assert "\033[33m[warn]" in on_a_terminal(world, NO_COLOR="")  # only a text in it counts
    assert "\033" not in on_a_terminal(world, NO_COLOR="1")
    assert "\033" not in world.run("--check").stdout


def test_check_counts_the_faults_in_its_last_line(world):
    world.record()
    world.settings.update(ovSecretKey="wrong", slackBotToken="xoxp-1", zzz=1)
    run = world.run("--check")
    assert run.status == 2
    assert run.stdout.splitlines()[-1] == "2 fault(s): correct what is marked FAIL, and check again."


def test_check_warns_of_a_token_that_works_for_twelve_hours_only_and_of_what_is_hardly_meant(world):
    world.record()
    world.slack.token = "xoxe.xoxb-1-test"
    world.settings["maxAttempt"] = 3
    run = world.run("--check")
    assert run.status == 0
    assert [verdict for verdict, _ in lines(run, "settings")] == ["warn", "warn", "ok"]
    text = str(lines(run, "settings"))
    assert "slackBotToken works for twelve hours only (token rotation)" in text
    assert "did you mean maxAttempts?" in text
    assert world.slack.token not in run.stdout


@pytest.mark.parametrize("scope", ["chat:write.public", "files:write"])
def test_check_warns_where_a_scope_is_missing_without_which_the_module_works(world, scope):
    world.record()
    world.slack.scopes = tuple(set(world.slack.scopes) - {scope})
    run = world.run("--check")
    assert run.status == 0
    ((verdict, text),) = lines(run, "scopes")
    assert verdict == "warn"
    assert text.startswith("%s is missing: without it " % scope)
    assert "add it under OAuth & Permissions of the app, and install it again" in text
    assert run.stdout.splitlines()[-1] == WORKS % 1


def test_check_fails_where_the_app_may_not_post(world):
    world.record()
    world.slack.scopes = ("chat:write.public", "files:write")
    run = world.run("--check")
    assert run.status == 2
    assert [verdict for verdict, _ in lines(run, "scopes")] == ["FAIL"]


def begin(world, record_id, posted, of):
    """Let an earlier run have posted so many of a record's parts."""
    record = read_record(next(raw for raw in world.onevizion.records if raw["notifQueueId"] == record_id))
    parts = compose(record, world.onevizion.url, []).parts
    assert len(parts) == of
    with contextlib.closing(Journal(os.path.join(world.directory(), JOURNAL_FILE))) as journal:
        journal.begin(record_id, of)
        journal.note_posted(record_id, "C0000000001", "1.000001", posted, of, digest(parts[:posted]))


def test_check_says_how_many_records_the_journal_holds(world):
    world.record()
    world.record()
    begin(world, 4711, 0, 1)
    assert lines(world.run("--check"), "journal") == [("ok", "1 record(s) begun by an earlier run and not ended")]


# --dry-run


def test_dry_run_prints_each_message_as_it_is_read_and_what_could_not_be_sent_and_changes_nothing(world):
    world.record(subj="Hello <you>", msg="Line 1\nLine 2")
    world.record(None)
    run = world.run("--dry-run")
    assert run.status == 1
    assert run.stdout.splitlines() == [
        "record 4711 for USER-1001 (101) to #ops:",
        "    Hello <you>",
        "    Line 1",
        "    Line 2",
        "    OneVizion · 127.0.0.1 (%s)" % world.onevizion.url,
        "record 4712 for USER-1002 (102) cannot be sent: the user has no channel: enter one in SLACK_CHANNEL",
        admin.DRY_RUN_END % (1, 2, 7),
    ]
    assert nothing_changed(world)
    assert world.slack.calls == []


def test_dry_run_shows_the_beginning_of_every_part_of_a_long_message(world):
    world.record(msg="word " * 1000)
    run = world.run("--dry-run")
    assert run.status == 0
    assert "record 4711 for USER-1001 (101) to #ops, part 3 of 3:" in run.stdout
    assert "    Subject\n    word word" in run.stdout
    assert "more characters; --raw prints all]" in run.stdout
    assert len(run.stdout) < 3 * (admin.DRY_RUN_CHARACTERS + 250)


def test_dry_run_raw_prints_the_JSON_that_Slack_gets(world):
    world.record(msg="Line 1")
    shown = world.run("--dry-run", "--raw").stdout
    blocks = json.loads(shown[shown.index("\n") : shown.rindex("]") + 1])
    assert problems(blocks) == []
    assert nothing_changed(world)
    world.run()
    assert json.loads(world.slack.calls_to(POST)[0].form["blocks"]) == blocks


def test_dry_run_says_what_of_the_journal_a_run_would_do(world):
    world.record(msg="word " * 1000)
    world.record()
    begin(world, 4711, 2, 3)
    begin(world, 4712, 1, 1)
    run = world.run("--dry-run")
    assert "record 4712: would only save SUCCESS, an earlier run has posted it" in run.stdout
    assert "record 4711 for USER-1001 (101): would go on with part 3 of 3" in run.stdout
    assert "to C0000000001, part 3 of 3:" in run.stdout
    assert "part 2 of 3:" not in run.stdout
    assert nothing_changed(world)


def test_dry_run_on_a_terminal_that_cannot_show_everything_shows_the_rest(world):
    world.record(subj="größer als 📦")
    run = world.run_process("--dry-run", env=dict(os.environ, PYTHONIOENCODING="ascii"))
    assert run.status == 0
    assert "gr\\xf6\\xdfer als" in run.stdout


@pytest.mark.parametrize("fault", [{"status": 401}, {"status": 200, "body": "<html>"}])
def test_dry_run_without_OneVizion_is_status_2(world, fault):
    world.onevizion.fault("queue", None, **fault)
    run = world.run("--dry-run")
    assert run.status == 2
    assert "OneVizion" in run.console


# --send-test


@pytest.mark.parametrize("typed", ["ops", " #OPS ", "C0000000001", "https://acme.slack.com/archives/C0000000001"])
def test_send_test_posts_one_message_and_says_where_it_arrived(world, typed):
    world.record()
    run = world.run("--send-test", typed)
    assert run.status == 0
    assert "it arrived in the channel C0000000001." in run.stdout
    assert len(world.texts()) == 1
    assert world.onevizion.calls == []


@pytest.mark.parametrize(
    ("typed", "text"),
    [("nowhere", "(Slack: channel_not_found)"), ("a@b.c", "is no Slack channel"), ("", "is empty")],
)
def test_send_test_says_why_the_app_may_not_write_there(world, typed, text):
    run = world.run("--send-test", typed)
    assert run.status == 1
    assert run.stdout.startswith("Not posted: ")
    assert text in run.stdout
    assert world.slack.messages == []


def test_send_test_with_a_dead_token_is_status_2(world):
    world.slack.token_error = "invalid_auth"
    run = world.run("--send-test", "ops")
    assert run.status == 2
    assert "(Slack: invalid_auth)" in run.stdout


def test_send_test_that_Slack_wants_later_says_so(world):
    world.slack.fault(POST, status=429, headers={"Retry-After": "30"})
    run = world.run("--send-test", "ops")
    assert run.status == 1
    assert "Slack asked to wait" in run.stdout


# The command line


@pytest.mark.parametrize(
    "arguments",
    [["--nonsense"], ["more"], ["--send-test"], ["--check", "--dry-run"], ["--che"], ["--raw"], ["--check", "--raw"]],
)
@pytest.mark.parametrize("scheduled", [True, False])
def test_anything_unknown_is_the_usage_and_status_2(world, arguments, scheduled):
    world.scheduled = scheduled
    world.record()
    run = world.run(*arguments)
    assert run.status == 2
    assert "usage: module.py" in (run.stdout if scheduled else run.console)
    assert world.onevizion.calls == world.slack.calls == []


@pytest.mark.parametrize(
    ("arguments", "break_it", "text"),
    [
        (["--resend", "4711"], lambda world: world.settings.update(serviceId="x"), "Error: serviceId is not valid"),
        (["--resend", "abc"], lambda world: None, "Error: --resend takes record ids"),
        (["--dry-run"], lambda world: world.settings.update(ovUrl=ABSENT), "Error: ovUrl is missing"),
        (["--dry-run"], lambda world: world.onevizion.fault("queue", None, status=401), "Error: check ovAccessKey"),
        (["--send-test", "ops"], lambda world: world.settings.update(slackBotToken="*****"), "Error: slackBotToken"),
        (["--send-test", "ops"], lambda world: world.settings.update(zzz=1), "Warning: the settings have the unknown"),
    ],
)
@pytest.mark.parametrize("scheduled", [True, False])
def test_without_a_shell_stdout_says_why_something_did_not_work(world, arguments, break_it, text, scheduled):
    world.scheduled = scheduled
    break_it(world)
    run = world.run(*arguments)
    assert any(line.startswith(text) for line in run.stdout.splitlines()) is scheduled
    assert text.split(": ", 1)[1] in run.console
    assert "the integration log is incomplete" not in run.stdout + run.console
    assert world.onevizion.log == []


def test_a_check_as_the_modules_command_says_on_stdout_that_the_packages_could_not_be_installed(world, monkeypatch):
    world.record()
    monkeypatch.setattr(module, "use_packages", lambda scheduled: False)
    monkeypatch.setattr(installation, "install_packages", lambda: "they could not be installed\npip: no route")
    run = world.run("--check")
    assert "Warning: they could not be installed\nWarning: pip: no route\n" in run.stdout


def test_help_and_version(world):
    run = world.run("--help")
    assert run.status == 0
    for option in ("--check", "--dry-run", "--send-test CHANNEL", "--version"):
        assert option in run.stdout
    assert world.run("--version").stdout == "Slack-notification %s\n" % module.VERSION
