#!/usr/bin/env python3
"""Slack-notification: delivers the notifications that OneVizion queues for its users to their Slack channels.

OneVizion's scheduler starts this program every few minutes, or an admin starts it by hand. One run reads the settings,
pulls the pending records of one Notification Service, finds each recipient's channel, posts to Slack, saves each
record's status and tells the integration log what happened. This file reads as a run goes; its parts stand in
slack_notification/, each importing only those before it.

Exit status: 0, everything was delivered, or there was nothing to do; 1, something was not delivered; 2, the run could
not do its work; 128 and the number of the signal that interrupted it. README.md says which case has which.

Words:
    record           one notification in OneVizion's Notif Queue, named by its notifQueueId
    recipient        the OneVizion user that a record is for
    trackor          a record of OneVizion's data; each user has one, and one of its fields holds the user's channel
    channel          where Slack shows the message: a public or private channel, or a person's direct messages
    part             one post of a message; a long message has several, the later ones as replies to the first
    attempt          one try to deliver a record that failed, as OneVizion counts them
    journal          the file in which one run tells the next how much of a message was posted
    integration log  the log of this run in OneVizion, where an admin looks first
"""

import argparse
import contextlib
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, List, Optional, Sequence

from slack_notification.errors import (
    EXIT_CANNOT_WORK,
    EXIT_DELIVERED,
    EXIT_NOT_ALL_DELIVERED,
    EXIT_SIGNAL_BASE,
    LOG,
    Failure,
    RunError,
)
from slack_notification.lock import Held, leave_to_other_run, only_run
from slack_notification.packages import IHUB_PARAMETERS_FILE, is_of_packages, refuse_import, use_packages

if TYPE_CHECKING:  # the parts below need packages, which a scheduled run installs first
    from slack_notification.calls import Interruption
    from slack_notification.delivery import DeliveryRun
    from slack_notification.integration_log import Logs
    from slack_notification.journal import Journal
    from slack_notification.onevizion_api import OneVizion
    from slack_notification.pending import Delivery
    from slack_notification.settings import Settings

VERSION = "2.0.0"


def main(arguments: Sequence[str], interruption: "Optional[Interruption]" = None) -> int:
    """Run the program with these arguments, until its end or an interruption; return its exit status."""
    scheduled, warning = os.path.exists(IHUB_PARAMETERS_FILE), ""
    options = parse_arguments(arguments, sys.stdout if scheduled else sys.stderr)
    with contextlib.ExitStack() as lock:
        held = lock.enter_context(only_run())
        in_place = use_packages(scheduled)
        if not in_place and held.alone:
            from slack_notification.installation import install_packages

            warning = install_packages()
        if options.looks_only:  # nothing is changed, and a run may start meanwhile
            lock.close()
        try:
            return run(options, held, warning, interruption)
        except Exception as error:
            if not is_of_packages(error):  # but a bug of ours, outside of the logs
                raise error from None
            refuse_import(error, scheduled, held.alone or in_place, options.delivers)


def parse_arguments(arguments: Sequence[str], errors: Any) -> argparse.Namespace:
    """Return the options; `send_test` is None or a channel, `resend` is None or a list of ids.

    :raises SystemExit: status 2 and the usage, on the stream `errors`, for anything unknown; 0 for --help, --version
    """
    about = "Deliver the pending notifications of one OneVizion Notification Service to Slack."
    statuses = "Exit status: 0 everything was delivered, 1 something was not, 2 the run could not do its work."
    parser = argparse.ArgumentParser("module.py", description=about, epilog=statuses, allow_abbrev=False)
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="check the settings, OneVizion and Slack; send nothing")
    modes.add_argument("--dry-run", action="store_true", help="print what would be sent; send and change nothing")
    modes.add_argument("--send-test", metavar="CHANNEL", help="post a test message to a channel; touch no queue")
    again = "make records pending again (4711 or 4711-4720); the next run sends them"
    modes.add_argument("--resend", metavar="ID", nargs="+", help=again)
    parser.add_argument("--raw", action="store_true", help="with --dry-run: print the JSON that Slack would get")
    parser.add_argument("--settings", metavar="FILE", default="settings.json", help="read FILE instead of %(default)s")
    parser.add_argument("--version", action="version", version="Slack-notification %s" % VERSION)
    with contextlib.redirect_stderr(errors):
        options = parser.parse_args(arguments)
        if options.raw and not options.dry_run:  # it was meant to change nothing
            parser.error("--raw goes with --dry-run only")
    options.looks_only = options.check or options.dry_run or options.send_test is not None  # changes nothing
    options.delivers = not options.looks_only and options.resend is None
    return options


def run(options: argparse.Namespace, held: Held, warning: str, interruption: "Optional[Interruption]") -> int:
    """Open the logs, do what the command line asks for, log why that could not be done, and return the exit status."""
    from slack_notification.calls import Interruption
    from slack_notification.integration_log import Logs, read_platform

    interruption = interruption or Interruption()
    if options.delivers:  # elsewhere nothing is at stake, and Ctrl-C ends the program at once
        interruption.listen()
    platform, status = read_platform(options.delivers), EXIT_CANNOT_WORK
    with Logs(platform, interruption) as logs:
        for problem in filter(None, [platform.problem, warning, "" if options.looks_only else held.problem]):
            LOG.warning(problem)
        try:
            status = act(options, held, logs, interruption)
        except (Failure, RunError) as error:
            (LOG.warning if interruption.requested() else LOG.error)(str(error))
        except Exception as error:
            if is_of_packages(error):  # of one that only some runs need
                raise
            # Else a bug of ours: its traceback belongs into the log, where no secret gets through.
            LOG.exception("a fault in this module: report it to its developers")
        return EXIT_SIGNAL_BASE + interruption.signal_number if interruption.requested() else status


def act(options: argparse.Namespace, held: Held, logs: "Logs", interruption: "Interruption") -> int:
    """Try what an admin wants to try, or deliver the queue, or make records pending again; return the exit status."""
    from slack_notification.journal import Journal
    from slack_notification.onevizion_api import OneVizion
    from slack_notification.settings import load_settings

    if not options.delivers:
        from slack_notification import admin
    if options.check:
        return admin.check(options.settings, interruption, logs)
    settings = load_settings(options.settings)
    logs.hide(settings.secrets())
    if options.dry_run:
        return admin.dry_run(settings, interruption, logs.say, options.raw)
    if options.send_test is not None:
        return admin.send_test(options.send_test, settings, interruption, logs.say, VERSION)
    onevizion = OneVizion(settings, interruption)
    logs.connect(onevizion.add_log_entry)
    if not held.alone:
        return leave_to_other_run(held, options.delivers)
    with contextlib.closing(Journal()) as journal:
        if not options.delivers:
            return admin.resend(options.resend, onevizion, journal, logs.say)
        return deliver(settings, onevizion, journal, interruption)


def deliver(settings: "Settings", onevizion: "OneVizion", journal: "Journal", interruption: "Interruption") -> int:
    """Deliver what is pending, log what became of it, return the exit status; a Failure leaves the queue as it is."""
    from slack_notification.pending import read_pending

    started_at = time.monotonic()
    LOG.info("Slack-notification %s started", VERSION)
    pending, unended = read_pending(onevizion, settings.service_id, journal)
    if not pending or interruption.requested():
        how = "interrupted" if interruption.requested() else "nothing is pending for service %d" % settings.service_id
        text = "%s: delivered 0, failed 0, left pending %d in %.1f s"
        LOG.info(text, how, len(pending), time.monotonic() - started_at)
        return EXIT_NOT_ALL_DELIVERED if unended else EXIT_DELIVERED
    LOG.info("%d record(s) pending for service %d", len(pending), settings.service_id)
    # Imported here: a run with nothing to deliver does without these packages, which are half of what it would cost.
    from slack_notification.outcomes import summarize

    if any(each.record.html for each in pending):
        import slack_notification.html_mail  # noqa: F401 (where its parser is broken, the queue stays as it is)

    def sum_up(deliveries: "List[Delivery]") -> bool:
        how = "interrupted: " if interruption.requested() else ""
        return summarize(how, deliveries, time.monotonic() - started_at)

    try:
        delivery = delivery_run(settings, onevizion, journal, interruption)
    except Failure as failure:
        (LOG.warning if interruption.requested() else LOG.error)(str(failure))  # the cause before the summary
        sum_up(pending)
        return EXIT_CANNOT_WORK
    try:
        delivery.run(pending)
    finally:
        everything = sum_up(delivery.deliveries)
    if delivery.workers.error:
        return EXIT_CANNOT_WORK
    return EXIT_DELIVERED if everything and not unended else EXIT_NOT_ALL_DELIVERED


def delivery_run(
    settings: "Settings", onevizion: "OneVizion", journal: "Journal", interruption: "Interruption"
) -> "DeliveryRun":
    """Return what delivers records; raises Failure where Slack refuses the token, or the app may not post."""
    from slack_notification.attachments import Attachments
    from slack_notification.delivery import DeliveryRun
    from slack_notification.slack_api import Slack, ask_identity
    from slack_notification.workers import Tools, Workers

    slack_api = Slack(settings, interruption)
    scopes = ask_identity(slack_api).scopes
    tools = Tools(settings, onevizion, slack_api, journal, Workers(interruption))
    files = Attachments(tools, scopes)
    if files.scope_is_missing:  # then no message may refer to a file
        tools = tools._replace(settings=settings._replace(upload_attachments=False))
    return DeliveryRun(tools, files.share, files.finish)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C while packages load shall not print where the import was
    raise SystemExit(main(sys.argv[1:]))
