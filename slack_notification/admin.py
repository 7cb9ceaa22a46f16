"""What an admin can try: --check, --dry-run, --send-test."""

from concurrent.futures import ThreadPoolExecutor
from typing import Callable, Dict, Sequence
from urllib.parse import urlsplit

from . import VERSION
from .delivery import Delivery, compose, pending_deliveries, read_queue
from .errors import (
    EXIT_CANNOT_WORK,
    EXIT_DELIVERED,
    EXIT_NOT_ALL_DELIVERED,
    Failure,
    Interruption,
    RateLimited,
    RunError,
    quoted,
)
from .integration_log import Logs
from .message import link
from .onevizion_api import WORKERS, OneVizion
from .recipients import Recipients, channel_from_field
from .settings import (
    SCHEMA_FILE,
    SETTINGS_FILE,
    Settings,
    make_settings,
    read_json_object,
    settings_problems,
    unknown_keys,
)
from .slack_api import Slack

CHECKED_RECORDS = 10
SCOPES = {
    "chat:write": "without it the app cannot post",
    "chat:write.public": "without it the app has to be invited to public channels too",
    "files:write": "without it attachments stay links",
}
ONEVIZION_KEYS = ("ovUrl", "ovAccessKey", "ovSecretKey", "serviceId")
SLACK_KEYS = ("slackBotToken", "slackUrl")
# Stand in for settings that are not valid, so that the others can be tried; what needs them is not.
FILLERS = {key: 0 if key == "serviceId" else "-" for key in ONEVIZION_KEYS + SLACK_KEYS + ("channelField",)}


class Checklist:
    """Prints a line for each link of the chain, and remembers whether one is broken."""

    def __init__(self, say_line: Callable[[str], None]) -> None:
        self._say = say_line
        self.broken = False

    def works(self, name: str, text: str) -> None:
        """Print that a link holds."""
        self._say("[ ok ] %s: %s" % (name, text))

    def warns(self, name: str, text: str) -> None:
        """Print something that breaks nothing, and is hardly meant."""
        self._say("[warn] %s: %s" % (name, text))

    def fails(self, name: str, text: str) -> None:
        """Print that a link is broken, and what to do."""
        self.broken = True
        self._say("[FAIL] %s: %s" % (name, text))

    def skips(self, name: str, text: str) -> None:
        """Print that a link could not be checked, and why."""
        self._say("[ -- ] %s: not checked, %s" % (name, text))


def check(interruption: Interruption, logs: Logs) -> int:
    """Go through the chain from the settings to Slack, print a line for each link, and return the exit status.

    Changes nothing and sends nothing.

    :param logs: keeps secrets out of what is printed
    """
    checklist = Checklist(logs.say)
    try:
        values, schema = read_json_object(SETTINGS_FILE), read_json_object(SCHEMA_FILE)
    except RunError as error:
        checklist.fails("settings", str(error))
        for name in ("OneVizion", "recipients", "Slack", "scopes"):
            checklist.skips(name, "the settings come first")
        return EXIT_CANNOT_WORK
    problems = settings_problems(values, schema)
    for problem in problems.values():
        checklist.fails("settings", problem)
    for warning in unknown_keys(values, schema):
        checklist.warns("settings", warning)
    if not problems:
        checklist.works("settings", "%s is valid" % SETTINGS_FILE)
    usable = {key: value for key, value in values.items() if key not in problems}
    settings = make_settings({**FILLERS, **usable}, schema)
    logs.hide([secret for secret in settings.secrets() if secret != FILLERS["slackBotToken"]])
    check_onevizion(checklist, settings, problems, interruption)
    check_slack(checklist, settings, problems, interruption)
    return EXIT_CANNOT_WORK if checklist.broken else EXIT_DELIVERED


def check_onevizion(
    checklist: Checklist, settings: Settings, problems: Dict[str, str], interruption: Interruption
) -> None:
    """Check the links on OneVizion's side. `problems` are the keys of the settings that cannot be used."""
    wrong = [key for key in ONEVIZION_KEYS if key in problems]
    if wrong:
        checklist.skips("OneVizion", "it needs %s" % ", ".join(wrong))
        checklist.skips("recipients", "they need OneVizion")
        return
    onevizion = OneVizion(settings, interruption)
    try:
        deliveries = pending_deliveries(read_queue(onevizion, settings.service_id), set())
    except RunError as error:
        checklist.fails("OneVizion", str(error))
        checklist.skips("recipients", "they need OneVizion")
        return
    text = "%s answers and takes the credentials; %d record(s) pending for service %d"
    checklist.works("OneVizion", text % (settings.ov_url, len(deliveries), settings.service_id))
    if "channelField" in problems:
        checklist.skips("recipients", "they need channelField")
    elif not deliveries:
        checklist.skips("recipients", "nothing is pending, and so no user is known")
    else:
        check_recipients(checklist, settings, onevizion, deliveries[:CHECKED_RECORDS])


def check_recipients(
    checklist: Checklist, settings: Settings, onevizion: OneVizion, deliveries: Sequence[Delivery]
) -> None:
    """Check that the users of these records and their channels can be read."""
    found, missing = [], []
    with ThreadPoolExecutor(WORKERS) as pool:
        recipients = Recipients(onevizion, settings.channel_field, pool)
        try:
            recipients.read(d.record.user_id for d in deliveries if d.record.user_id is not None)
        except Failure as failure:
            checklist.fails("recipients", str(failure))
            return
    for delivery in deliveries:
        try:
            found.append(recipients.channel(delivery.record))
        except Failure as failure:
            if failure.may_pass:
                checklist.fails("recipients", str(failure))
                return
            missing.append("%s: %s" % (delivery, failure))
    text = "%d of %d record(s) looked at have a channel in %s" % (len(found), len(deliveries), settings.channel_field)
    checklist.works("recipients", "; ".join([text] + missing))


def check_slack(checklist: Checklist, settings: Settings, problems: Dict[str, str], interruption: Interruption) -> None:
    """Check the links on Slack's side. `problems` are the keys of the settings that cannot be used."""
    wrong = [key for key in SLACK_KEYS if key in problems]
    if wrong:
        checklist.skips("Slack", "it needs %s" % ", ".join(wrong))
        checklist.skips("scopes", "they need Slack")
        return
    try:
        identity = Slack(settings, interruption).identity()
    except Failure as failure:
        checklist.fails("Slack", str(failure))
        checklist.skips("scopes", "they need Slack")
        return
    checklist.works("Slack", "the token is valid: %s in %s" % (quoted(identity.bot), quoted(identity.workspace)))
    needed = [scope for scope in SCOPES if scope != "files:write" or settings.upload_attachments]
    if identity.scopes is None:
        checklist.skips("scopes", "Slack does not say which the app has")
        return
    missing = [scope for scope in needed if scope not in identity.scopes]
    if missing:
        lacks = "; ".join("%s (%s)" % (scope, SCOPES[scope]) for scope in missing)
        where = "add it under OAuth & Permissions of the app, and install it again"
        checklist.fails("scopes", "missing %s: %s" % (lacks, where))
    else:
        checklist.works("scopes", ", ".join(needed))


DRY_RUN_END = (
    "%d of %d record(s) pending for service %d have a channel and a message; whether Slack takes them was not asked. "
    "Nothing was sent, and nothing was changed."
)


def dry_run(settings: Settings, onevizion: OneVizion, say_line: Callable[[str], None]) -> int:
    """Print what a run would send and to which channel; return the exit status. Changes nothing.

    :raises RunError: OneVizion refuses or is out of reach
    """
    deliveries = pending_deliveries(read_queue(onevizion, settings.service_id), set())
    with ThreadPoolExecutor(WORKERS) as pool:
        recipients = Recipients(onevizion, settings.channel_field, pool)
        try:
            recipients.read(d.record.user_id for d in deliveries if d.record.user_id is not None)
        except Failure as failure:
            raise RunError(str(failure)) from failure
    sendable = 0
    for delivery in deliveries:
        try:
            channel = recipients.channel(delivery.record)
        except Failure as failure:
            say_line("%s cannot be sent: %s" % (delivery, failure))
            continue
        sendable += 1
        parts = compose(delivery.record, settings.ov_url)
        for number, part in enumerate(parts, 1):
            say_line(
                "%s to %s%s:" % (delivery, channel, ", part %d of %d" % (number, len(parts)) if len(parts) > 1 else "")
            )
            say_line("    " + part.replace("\n", "\n    "))
    say_line(DRY_RUN_END % (sendable, len(deliveries), settings.service_id))
    return EXIT_DELIVERED if sendable == len(deliveries) else EXIT_NOT_ALL_DELIVERED


def send_test(typed: str, settings: Settings, slack_api: Slack, say_line: Callable[[str], None]) -> int:
    """Post a short message to a channel, typed as in the field; print where it arrived; return the exit status."""
    text = "Test message of Slack-notification %s: the app may write here.\n%s"
    try:
        channel = channel_from_field(typed)
        posted = slack_api.post(
            channel, text % (VERSION, link(settings.ov_url, urlsplit(settings.ov_url).hostname or settings.ov_url))
        )
    except (Failure, RateLimited) as failure:
        say_line("Not posted: %s" % failure)
        return EXIT_CANNOT_WORK if getattr(failure, "ends_run", False) else EXIT_NOT_ALL_DELIVERED
    say_line("Posted to %s: it arrived in the channel %s." % (channel, posted.channel_id))
    return EXIT_DELIVERED
