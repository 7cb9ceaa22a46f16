"""What an admin can try: --check, --dry-run, --send-test and --resend."""

import json
import os
import re
import sys
from typing import Callable, Dict, Iterator, List, Sequence, Tuple

from onevizion import NotifQueueStatus

from .calls import Interruption
from .errors import EXIT_CANNOT_WORK, EXIT_DELIVERED, EXIT_NOT_ALL_DELIVERED, Failure, RunError, quoted
from .integration_log import Logs
from .journal import Journal, digest, read_copy
from .message import compose, notice, readable
from .onevizion_api import OneVizion
from .packages import faults
from .pending import Delivery, choose, ranges, save_all
from .recipients import Recipients, channel_from_field
from .rich_text import divided
from .settings import SCHEMA_FILE, Settings, make_settings, read_json_object, settings_problems, warnings_of
from .slack_api import Slack

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
COLOURS = {"warn": 33, "FAIL": 31}
RANGE_LIMIT = 10000  # the largest range of ids that --resend takes

Say = Callable[[str], None]  # prints a line
# A verdict ("ok", "warn": probably a mistake, "FAIL", or "--": not checked), the link of the chain, and a text.
Finding = Tuple[str, str, str]


def check(path: str, interruption: Interruption, logs: Logs) -> int:
    """Go through the chain from the settings file to Slack, print a line for each link; change and send nothing."""
    has_colours = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    verdicts = []
    for verdict, link, text in findings(path, interruption, logs):
        mark = "[%s]" % verdict.center(4)
        if has_colours and verdict in COLOURS:
            mark = "\033[%dm%s\033[0m" % (COLOURS[verdict], mark)
        logs.say("%s %s: %s" % (mark, link, text))
        verdicts.append(verdict)
    if "FAIL" in verdicts:
        logs.say("%d fault(s): correct what is marked FAIL, and check again." % verdicts.count("FAIL"))
        return EXIT_CANNOT_WORK
    look = "; look at what is marked warn (%d)" % verdicts.count("warn") if "warn" in verdicts else ""
    logs.say("No fault found (not tried: saving statuses, the log, files, the channels)%s." % look)
    return EXIT_DELIVERED


def findings(path: str, interruption: Interruption, logs: Logs) -> Iterator[Finding]:
    """Yield what is found of each link; behind a broken one, the others are looked at as far as that can be."""
    for fault in faults():  # also of those that only some records need
        yield "FAIL", "packages", "%s: install requirements.txt again" % fault
    try:
        values, schema = read_json_object(path), read_json_object(SCHEMA_FILE)
    except RunError as error:
        yield "FAIL", "settings", str(error)
        for link in ("OneVizion", "recipients", "Slack", "scopes"):
            yield "--", link, "not checked, the settings come first"
        return
    problems = settings_problems(values, schema)
    for problem in problems.values():
        yield "FAIL", "settings", problem
    for warning in warnings_of(values, schema):
        yield "warn", "settings", warning
    if not problems:
        yield "ok", "settings", "%s is valid" % os.path.basename(path)
    settings = make_settings({key: value for key, value in values.items() if key not in problems}, schema)
    logs.hide(settings.secrets())
    for link, behind, keys, find in (
        ("OneVizion", "recipients", ("ovUrl", "ovAccessKey", "ovSecretKey", "serviceId"), onevizion_findings),
        ("Slack", "scopes", ("slackBotToken", "slackUrl"), slack_findings),
    ):
        wrong = [key for key in keys if key in problems]
        try:
            if not wrong:
                yield from find(settings, interruption)
                continue
            yield "--", link, "not checked, it needs %s" % ", ".join(wrong)
        except Failure as failure:
            yield "FAIL", link, str(failure)
        yield "--", behind, "not checked, they need %s" % link


def onevizion_findings(settings: Settings, interruption: Interruption) -> Iterator[Finding]:
    """Yield what is found on OneVizion's side; raises Failure where the queue cannot be read."""
    begun, problem = read_copy()
    if problem:
        yield "warn", "journal", problem
    onevizion = OneVizion(settings, interruption)
    pending = choose(onevizion.notif_queue(settings.service_id), set(), begun)
    text = "%s is reachable and accepts the keys; %d record(s) pending for service %d"
    if not pending:
        text += ": if you expect some, check serviceId, and the Notif Service of the notifications"
    yield "ok" if pending else "warn", "OneVizion", text % (settings.ov_url, len(pending), settings.service_id)
    if begun:
        yield "ok", "journal", "%d record(s) begun by an earlier run and not ended" % len(begun)
    if not settings.channel_field:  # it is missing or wrong, which is a finding of the settings
        yield "--", "recipients", "not checked, they need channelField"
    elif not pending:
        yield "--", "recipients", "not checked, no records are pending"
    else:
        yield from recipients_findings(settings, onevizion, pending)


def recipients_findings(settings: Settings, onevizion: OneVizion, pending: Sequence[Delivery]) -> Iterator[Finding]:
    """Yield whether the users of the pending records and their channels can be read; name those without, by reason."""
    recipients = Recipients(onevizion, settings.channel_field)
    missing: Dict[str, List[str]] = {}
    try:
        recipients.read([each.record for each in pending])
        for each in pending:
            try:
                recipients.channel(each.record)
            except Failure as failure:
                if failure.retryable:
                    raise
                name = recipients.name(each.record) or "record %d" % each.record.id
                missing.setdefault(str(failure), []).append(name)
    except Failure as failure:
        yield "FAIL", "recipients", str(failure)
        return
    text = "%d of %d pending record(s) have a channel in %s; --send-test CHANNEL shows whether Slack accepts them"
    found = len(pending) - sum(map(len, missing.values()))
    yield "warn" if missing else "ok", "recipients", text % (found, len(pending), settings.channel_field)
    for reason, names in sorted(missing.items()):
        yield "warn", "recipients", "%s: %s" % (", ".join(dict.fromkeys(names)), reason)


def slack_findings(settings: Settings, interruption: Interruption) -> Iterator[Finding]:
    """Yield what is found on Slack's side; raises Failure where Slack refuses the token or does not answer."""
    identity = Slack(settings, interruption).identity()
    yield "ok", "Slack", "the token is valid: %s in %s" % (quoted(identity.bot), quoted(identity.workspace))
    if identity.scopes is None:
        yield "--", "scopes", "not checked, Slack does not say which the app has"
        return
    needed = [scope for scope in SCOPES if scope != "files:write" or settings.upload_attachments]
    missing = [scope for scope in needed if scope not in identity.scopes]
    for scope in missing:
        text = "%s is missing: %s; add it under OAuth & Permissions of the app, and install it again"
        yield "FAIL" if scope == "chat:write" else "warn", "scopes", text % (scope, SCOPES[scope])
    if not missing:
        yield "ok", "scopes", ", ".join(needed)


def dry_run(settings: Settings, interruption: Interruption, say: Say, raw: bool) -> int:
    """Print what a run would send and to which channel; return the exit status. Changes nothing.

    :param raw: print the JSON that Slack would get, instead of the message as it is read, shortened
    :raises Failure: OneVizion refuses or is out of reach
    """
    onevizion = OneVizion(settings, interruption)
    begun, problem = read_copy()
    if problem:
        say(problem)
    for row in begun.values():
        if row.posted >= row.parts:
            say("record %d: would only save SUCCESS, an earlier run has posted it" % row.record)
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
            say("%s cannot be sent: %s" % (heading, failure))
            continue
        sendable += 1
        names = [onevizion.file_name(blob_id) for blob_id in each.record.blob_ids]
        parts = compose(each.record, settings.ov_url, names, settings.upload_attachments).parts
        posted = 0
        if each.begun.posted and each.begun.digest == digest(parts[: each.begun.posted]):
            posted, channel = each.begun.posted, each.begun.channel  # its thread stays there, whatever the user has now
            say("%s: would go on with part %d of %d" % (heading, posted + 1, len(parts)))
        for number, part in enumerate(parts[posted:], posted + 1):
            of = ", part %d of %d" % (number, len(parts)) if len(parts) > 1 else ""
            text = json.dumps(part.blocks, ensure_ascii=False, indent=2) if raw else shortened(readable(part))
            say("%s to %s%s:\n    %s" % (heading, channel, of, text.replace("\n", "\n    ")))
    say(DRY_RUN_END % (sendable, len(pending), settings.service_id))
    return EXIT_DELIVERED if sendable == len(pending) else EXIT_NOT_ALL_DELIVERED


def shortened(text: str) -> str:
    """Return the beginning of a long text, cut at a line end where there is one, and how much is left out."""
    head, more = divided(text, "\n", DRY_RUN_CHARACTERS)
    return "%s\n[... %d more characters; --raw prints all]" % (head, len(more)) if more else head


def send_test(typed: str, settings: Settings, interruption: Interruption, say: Say, version: str) -> int:
    """Post a short message to a channel, typed as in the field; print where it arrived; return the exit status."""
    text = "Test message of Slack-notification %s: the app can post here." % version
    try:
        channel = channel_from_field(typed)
        posted = Slack(settings, interruption).post(channel, notice(text, settings.ov_url))
    except Failure as failure:
        say("Not posted: %s" % failure)
        return EXIT_CANNOT_WORK if failure.ends_run else EXIT_NOT_ALL_DELIVERED
    say("Posted to %s: it arrived in the channel %s." % (channel, posted.channel_id))
    return EXIT_DELIVERED


def resend(typed: Sequence[str], onevizion: OneVizion, journal: Journal, say: Say) -> int:
    """Make records pending again (ids or ranges, as typed): the next run sends them. Return the exit status."""
    ids: Dict[int, None] = {}
    for text in filter(None, re.split("[, ]+", " ".join(typed))):
        found = re.match(r"([0-9]{1,18})(?:-([0-9]{1,18}))?\Z", text)
        if found is None:
            raise RunError("--resend takes record ids, such as 4711 or 4711-4720, not %s" % quoted(text))
        low, high = int(found.group(1)), int(found.group(2) or found.group(1))
        if not 0 <= high - low < RANGE_LIMIT:
            raise RunError("--resend takes ranges that begin with the smaller id, not %s" % quoted(text))
        ids.update(dict.fromkeys(range(low, high + 1)))
    failed = save_all(onevizion, list(ids), NotifQueueStatus.NOT_SENT)
    for record_id in ids:
        if record_id in failed:
            say("record %d: could not be made pending: %s" % (record_id, failed[record_id]))
        else:
            journal.end(record_id)
            say("record %d: pending again" % record_id)
    taken = [record_id for record_id in ids if record_id not in failed]
    say("The next run sends %s." % ranges(taken) if taken else "Nothing was changed.")
    return EXIT_NOT_ALL_DELIVERED if failed else EXIT_DELIVERED
