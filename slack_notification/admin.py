"""What an admin can try: --check, --dry-run, --send-test and --resend."""

import json
import os
import re
import sys
from typing import Callable, Dict, List, Optional, Sequence, TypeVar

from onevizion import NotifQueueStatus

from .calls import Interruption
from .errors import EXIT_CANNOT_WORK, EXIT_DELIVERED, EXIT_NOT_ALL_DELIVERED, Failure, RunError, quoted
from .integration_log import Logs
from .journal import Begun, Journal, digest, read_copy
from .message import compose, notice, readable
from .onevizion_api import OneVizion
from .packages import faults
from .pending import Delivery, choose, ranges, save_all
from .recipients import Recipients, channel_from_field
from .settings import SCHEMA_FILE, Settings, make_settings, read_json_object, settings_problems, warnings_of
from .slack_api import Slack

NOT_TRIED = "not tried: saving statuses, the log, files, the channels"
DRY_RUN_END = (
    "%d of %d record(s) pending for service %d have a channel and a message. "
    "Slack was not contacted; nothing was sent and nothing was changed."
)
DRY_RUN_CHARACTERS = 600  # of each post; --raw prints all of it
SCOPES = {
    "chat:write": "without it the app cannot post",
    "chat:write.public": "without it the app has to be invited to public channels too",
    "files:write": "without it attachments stay links",
}
ONEVIZION_KEYS = ("ovUrl", "ovAccessKey", "ovSecretKey", "serviceId")
SLACK_KEYS = ("slackBotToken", "slackUrl")
COLOURS = {"warn": 33, "FAIL": 31}
RANGE_LIMIT = 10000  # the largest range of ids that --resend takes

Answer = TypeVar("Answer")


class Checklist:
    """Prints a line for each link of the chain, and remembers what is broken and what is to be looked at."""

    def __init__(self, say_line: Callable[[str], None]) -> None:
        self._say = say_line
        self._colours = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        self._verdicts: List[str] = []
        self.problems: Dict[str, str] = {}  # of the settings, by key

    def note(self, verdict: str, name: str, text: str) -> None:
        """Print a line. `verdict`: "ok", "warn" (works, but is probably a mistake), "FAIL", or "--" (not checked)."""
        self._verdicts.append(verdict)
        mark = "[%s]" % verdict.center(4)
        if self._colours and verdict in COLOURS:
            mark = "\033[%dm%s\033[0m" % (COLOURS[verdict], mark)
        self._say("%s %s: %s" % (mark, name, text))

    def ask(self, name: str, behind: str, keys: Sequence[str], call: Callable[[], Answer]) -> Optional[Answer]:
        """Return what a call to a service returns; None where it fails or lacks a valid setting, after saying so.

        :param name: the link that the call checks, with the settings `keys`; :param behind: the one that needs it
        """
        wrong = [key for key in keys if key in self.problems]
        try:
            if not wrong:
                return call()
            self.note("--", name, "not checked, it needs %s" % ", ".join(wrong))
        except Failure as failure:
            self.note("FAIL", name, str(failure))
        self.note("--", behind, "not checked, they need %s" % name)
        return None

    def verdict(self) -> int:
        """Print the last line, and return the exit status."""
        failed, warned = self._verdicts.count("FAIL"), self._verdicts.count("warn")
        if failed:
            self._say("%d fault(s): correct what is marked FAIL, and check again." % failed)
        else:
            look = "; look at what is marked warn (%d)" % warned if warned else ""
            self._say("No fault found (%s)%s." % (NOT_TRIED, look))
        return EXIT_CANNOT_WORK if failed else EXIT_DELIVERED


def check(path: str, interruption: Interruption, logs: Logs) -> int:
    """Go through the chain from the settings to Slack, print a line for each link, and return the exit status.

    Changes nothing and sends nothing.

    :param path: the settings file; :param logs: keeps secrets out of what is printed
    """
    checklist = Checklist(logs.say)
    for fault in faults():  # also of those that only some records need
        checklist.note("FAIL", "packages", "%s: install requirements.txt again" % fault)
    try:
        values, schema = read_json_object(path), read_json_object(SCHEMA_FILE)
    except RunError as error:
        checklist.note("FAIL", "settings", str(error))
        for name in ("OneVizion", "recipients", "Slack", "scopes"):
            checklist.note("--", name, "not checked, the settings come first")
        return checklist.verdict()
    checklist.problems = problems = settings_problems(values, schema)
    for problem in problems.values():
        checklist.note("FAIL", "settings", problem)
    for warning in warnings_of(values, schema):
        checklist.note("warn", "settings", warning)
    if not problems:
        checklist.note("ok", "settings", "%s is valid" % os.path.basename(path))
    settings = make_settings({key: value for key, value in values.items() if key not in problems}, schema)
    logs.hide(settings.secrets())
    check_onevizion(checklist, settings, interruption)
    check_slack(checklist, settings, interruption)
    return checklist.verdict()


def check_onevizion(checklist: Checklist, settings: Settings, interruption: Interruption) -> None:
    """Check the links on OneVizion's side."""
    onevizion = OneVizion(settings, interruption)
    begun = read_journal(lambda text: checklist.note("warn", "journal", text))
    read = lambda: choose(onevizion.notif_queue(settings.service_id), set(), begun)  # noqa: E731
    pending = checklist.ask("OneVizion", "recipients", ONEVIZION_KEYS, read)
    if pending is None:
        return
    text = "%s is reachable and accepts the keys; %d record(s) pending for service %d"
    text = text % (settings.ov_url, len(pending), settings.service_id)
    if pending:
        checklist.note("ok", "OneVizion", text)
    else:
        hint = "if you expect some, check serviceId, and the Notif Service of the notifications"
        checklist.note("warn", "OneVizion", "%s: %s" % (text, hint))
    if begun:
        checklist.note("ok", "journal", "%d record(s) begun by an earlier run and not ended" % len(begun))
    if "channelField" in checklist.problems:
        checklist.note("--", "recipients", "not checked, they need channelField")
    elif not pending:
        checklist.note("--", "recipients", "not checked, no records are pending")
    else:
        check_recipients(checklist, settings, onevizion, pending)


def check_recipients(
    checklist: Checklist, settings: Settings, onevizion: OneVizion, pending: Sequence[Delivery]
) -> None:
    """Check that the users of the pending records and their channels can be read; name those without, by reason."""
    recipients = Recipients(onevizion, settings.channel_field)
    try:
        recipients.read([each.record for each in pending])
    except Failure as failure:
        checklist.note("FAIL", "recipients", str(failure))
        return
    found, missing = 0, {}  # type: int, Dict[str, List[str]]
    for each in pending:
        try:
            recipients.channel(each.record)
            found += 1
        except Failure as failure:
            if failure.retryable:
                checklist.note("FAIL", "recipients", str(failure))
                return
            names = missing.setdefault(str(failure), [])
            name = recipients.name(each.record) or "record %d" % each.record.id
            names += [] if name in names else [name]
    text = "%d of %d pending record(s) have a channel in %s; --send-test CHANNEL shows whether Slack accepts them"
    text = text % (found, len(pending), settings.channel_field)
    checklist.note("warn" if missing else "ok", "recipients", text)
    for reason, names in sorted(missing.items()):
        checklist.note("warn", "recipients", "%s: %s" % (", ".join(names), reason))


def check_slack(checklist: Checklist, settings: Settings, interruption: Interruption) -> None:
    """Check the links on Slack's side."""
    identity = checklist.ask("Slack", "scopes", SLACK_KEYS, lambda: Slack(settings, interruption).identity())
    if identity is None:
        return
    bot, workspace = quoted(identity.bot), quoted(identity.workspace)
    checklist.note("ok", "Slack", "the token is valid: %s in %s" % (bot, workspace))
    needed = [scope for scope in SCOPES if scope != "files:write" or settings.upload_attachments]
    if identity.scopes is None:
        checklist.note("--", "scopes", "not checked, Slack does not say which the app has")
        return
    missing = [scope for scope in needed if scope not in identity.scopes]
    for scope in missing:
        advice = "add it under OAuth & Permissions of the app, and install it again"
        text = "%s is missing: %s; %s" % (scope, SCOPES[scope], advice)
        checklist.note("FAIL" if scope == "chat:write" else "warn", "scopes", text)
    if not missing:
        checklist.note("ok", "scopes", ", ".join(needed))


def read_journal(say_problem: Callable[[str], None]) -> Dict[int, Begun]:
    """Return what the journal holds; where it cannot be read, say so and go on as if there were none."""
    try:
        return read_copy()
    except Failure as failure:
        say_problem(str(failure))
        return {}


def dry_run(settings: Settings, interruption: Interruption, say_line: Callable[[str], None], raw: bool) -> int:
    """Print what a run would send and to which channel; return the exit status. Changes nothing.

    :param raw: print the JSON that Slack would get, instead of the message as it is read, shortened
    :raises Failure: OneVizion refuses or is out of reach
    """
    onevizion = OneVizion(settings, interruption)
    begun = read_journal(say_line)
    for done in begun.values():
        if done.posted >= done.parts:
            say_line("record %d: would only save SUCCESS, an earlier run has posted it" % done.record)
    pending = choose(onevizion.notif_queue(settings.service_id), set(), begun)
    recipients = Recipients(onevizion, settings.channel_field)
    recipients.read([each.record for each in pending])
    sendable = 0
    for each in pending:
        name = recipients.name(each.record)
        heading = "record %d%s" % (each.record.id, " for %s" % name if name else "")
        try:
            channel = recipients.channel(each.record)
        except Failure as failure:
            say_line("%s cannot be sent: %s" % (heading, failure))
            continue
        sendable += 1
        names = [onevizion.file_name(blob_id) for blob_id in each.record.blob_ids]
        parts = compose(each.record, settings.ov_url, names, settings.upload_attachments).parts
        posted = each.begun.posted if each.begun.digest == digest(parts[: each.begun.posted]) else 0
        if posted:
            channel = each.begun.channel  # its thread stays there, whatever the user has now
            say_line("%s: would go on with part %d of %d" % (heading, posted + 1, len(parts)))
        for number, part in enumerate(parts[posted:], posted + 1):
            of = ", part %d of %d" % (number, len(parts)) if len(parts) > 1 else ""
            say_line("%s to %s%s:" % (heading, channel, of))
            text = json.dumps(part.blocks, ensure_ascii=False, indent=2) if raw else shortened(readable(part))
            say_line("    " + text.replace("\n", "\n    "))
    say_line(DRY_RUN_END % (sendable, len(pending), settings.service_id))
    return EXIT_DELIVERED if sendable == len(pending) else EXIT_NOT_ALL_DELIVERED


def shortened(text: str) -> str:
    """Return the beginning of a long text, cut at a line end where there is one, and how much is left out."""
    if len(text) <= DRY_RUN_CHARACTERS:
        return text
    head = text[:DRY_RUN_CHARACTERS]
    head = head[: head.rindex("\n")] if "\n" in head[DRY_RUN_CHARACTERS // 2 :] else head
    return "%s\n[... %d more characters; --raw prints all]" % (head, len(text) - len(head))


def send_test(
    typed: str, settings: Settings, interruption: Interruption, say_line: Callable[[str], None], version: str
) -> int:
    """Post a short message to a channel, typed as in the field; print where it arrived; return the exit status."""
    text = "Test message of Slack-notification %s: the app can post here." % version
    try:
        channel = channel_from_field(typed)
        posted = Slack(settings, interruption).post(channel, notice(text, settings.ov_url))
    except Failure as failure:
        say_line("Not posted: %s" % failure)
        return EXIT_CANNOT_WORK if failure.ends_run else EXIT_NOT_ALL_DELIVERED
    say_line("Posted to %s: it arrived in the channel %s." % (channel, posted.channel_id))
    return EXIT_DELIVERED


def resend(typed: Sequence[str], onevizion: OneVizion, journal: Journal, say_line: Callable[[str], None]) -> int:
    """Make records pending again, so that the next run sends them; say of each whether OneVizion took it.

    :param typed: ids, and ranges of ids such as 4711-4720
    """
    ids: List[int] = []
    for text in filter(None, re.split("[, ]+", " ".join(typed))):
        found = re.match(r"([0-9]{1,18})(?:-([0-9]{1,18}))?\Z", text)
        if found is None:
            raise RunError("--resend takes record ids, such as 4711 or 4711-4720, not %s" % quoted(text))
        low, high = int(found.group(1)), int(found.group(2) or found.group(1))
        if not 0 <= high - low < RANGE_LIMIT:
            raise RunError("--resend takes ranges that begin with the smaller id, not %s" % quoted(text))
        ids += range(low, high + 1)
    ids = list(dict.fromkeys(ids))
    failed = save_all(onevizion, ids, NotifQueueStatus.NOT_SENT)
    for record_id in ids:
        if record_id in failed:
            say_line("record %d: could not be made pending: %s" % (record_id, failed[record_id]))
        else:
            journal.end(record_id)
            say_line("record %d: pending again" % record_id)
    taken = [record_id for record_id in ids if record_id not in failed]
    say_line("The next run sends %s." % ranges(taken) if taken else "Nothing was changed.")
    return EXIT_NOT_ALL_DELIVERED if failed else EXIT_DELIVERED
