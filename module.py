#!/usr/bin/env python3
"""Slack-notification: delivers the notifications that OneVizion queues for its users to their Slack channels.

OneVizion's scheduler starts this program every few minutes, or an admin starts it by hand. One run reads the settings,
pulls the pending records of one Notification Service, finds each recipient's channel, posts to Slack, saves each
record's status and tells the integration log what happened. This file reads as a run goes; its parts stand in
slack_notification/, each importing only those before it.

Exit status:
    0    everything pending was delivered, or nothing was pending, or another run is at work in this directory
    1    the run finished and at least one record was not delivered or made pending (or its status could not be saved),
         or another run is at work for over an hour
    2    the run could not do its work: settings, OneVizion refuses or is out of reach, Slack refuses or is out of order
    128+ the number of the signal that interrupted the run

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
import datetime
import os
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, Callable, List, Optional, Sequence

from slack_notification.errors import (
    EXIT_CANNOT_WORK,
    EXIT_DELIVERED,
    EXIT_NOT_ALL_DELIVERED,
    EXIT_SIGNAL_BASE,
    LOG,
    Failure,
    RunError,
)
from slack_notification.lock import Held, only_run
from slack_notification.packages import IHUB_PARAMETERS_FILE, faults, refuse_import, use_packages

if TYPE_CHECKING:  # the parts below need packages, which a scheduled run installs first
    from slack_notification.calls import Interruption
    from slack_notification.journal import Journal
    from slack_notification.onevizion_api import OneVizion
    from slack_notification.pending import Delivery
    from slack_notification.settings import Settings

VERSION = "2.0.0"
LONG_RUN = datetime.timedelta(hours=1)  # a run that lasts longer than this is worth a look

if __name__ == "__main__":
    # A Ctrl-C while the packages load should end the program, not print where the import was.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def main(arguments: Sequence[str], interruption: "Optional[Interruption]" = None) -> int:
    """Run the program and return its exit status.

    :param arguments: the command line, without the program's name
    :param interruption: what ends the run early
    """
    scheduled = os.path.exists(IHUB_PARAMETERS_FILE)
    options = parse_arguments(arguments, sys.stdout if scheduled else sys.stderr)
    looks_only = options.check or options.dry_run or options.send_test is not None
    delivers = not looks_only and options.resend is None
    with only_run() as held:
        warning = ""
        if not use_packages(scheduled) and held.alone:
            from slack_notification.installation import install_packages

            warning = install_packages()
        try:
            from slack_notification.calls import Interruption
            from slack_notification.integration_log import Logs, read_platform
        except Exception as error:  # a broken package can raise anything
            refuse_import(error, scheduled, held.alone, delivers)
        interruption = interruption or Interruption()
        if not looks_only:
            if delivers:  # elsewhere nothing is at stake, and Ctrl-C ends the program at once
                interruption.listen()
            with Logs(read_platform(delivers)) as logs:
                log_problems(warning, held.problem)
                return end_well(logs, interruption, lambda: change_queue(options, held, logs, interruption))
    with Logs(read_platform(delivers)) as logs:  # without the lock: nothing is changed
        log_problems(warning)
        return end_well(logs, interruption, lambda: look(options, logs, interruption))


def parse_arguments(arguments: Sequence[str], errors: Any) -> argparse.Namespace:
    """Return the options; `send_test` is None or a channel, `resend` is None or a list of ids.

    :param errors: the stream for the usage
    :raises SystemExit: status 2 and the usage for anything unknown, 0 for --help and --version
    """
    parser = argparse.ArgumentParser(
        prog="module.py",
        description="Deliver the pending notifications of one OneVizion Notification Service to Slack.",
        epilog="Exit status: 0 everything was delivered, 1 something was not, 2 the run could not do its work.",
        allow_abbrev=False,
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="check the settings, OneVizion and Slack; send nothing")
    modes.add_argument("--dry-run", action="store_true", help="print what would be sent; send and change nothing")
    modes.add_argument("--send-test", metavar="CHANNEL", help="post a test message to a channel; touch no queue")
    modes.add_argument(
        "--resend",
        metavar="ID",
        nargs="+",
        help="make records pending again (4711 or 4711-4720); the next run sends them",
    )
    parser.add_argument("--raw", action="store_true", help="with --dry-run: print the JSON that Slack would get")
    parser.add_argument(
        "--settings", metavar="FILE", default="settings.json", help="read FILE instead of settings.json"
    )
    parser.add_argument("--version", action="version", version="Slack-notification %s" % VERSION)
    with contextlib.redirect_stderr(errors):
        options = parser.parse_args(arguments)
        if options.raw and not options.dry_run:  # it was meant to change nothing
            parser.error("--raw goes with --dry-run only")
    return options


def log_problems(*problems: str) -> None:
    """Log what is no reason to end the run; the first line of each is the message, the others are its details."""
    for problem in filter(None, problems):
        first, *details = problem.split("\n")
        LOG.warning(first, extra={"details": details})


def end_well(logs: Any, interruption: "Interruption", work: Callable[[], int]) -> int:
    """Return the exit status of the work, and log why it could not be done; a signal has an exit status of its own."""
    status = EXIT_CANNOT_WORK
    try:
        status = work()
    except RunError as error:
        LOG.error(str(error), extra={"details": error.details})
    except Failure as failure:
        (LOG.warning if interruption.requested() else LOG.error)(str(failure))
    except Exception as error:
        if isinstance(error, ImportError) or faults():  # of a package that only some runs need
            refuse_import(error, os.path.exists(IHUB_PARAMETERS_FILE))
        # Else a bug of ours: its traceback belongs into the log, where no secret gets through.
        LOG.exception("a fault in this module: report it to its developers")
    finally:
        if interruption.requested():
            logs.finish_soon()
    return EXIT_SIGNAL_BASE + interruption.signal_number if interruption.requested() else status


def look(options: argparse.Namespace, logs: Any, interruption: "Interruption") -> int:
    """Do what changes nothing in OneVizion, and return the exit status."""
    from slack_notification import admin
    from slack_notification.settings import load_settings

    if options.check:
        return admin.check(options.settings, interruption, logs)
    settings = load_settings(options.settings)
    logs.hide(settings.secrets())
    if options.dry_run:
        return admin.dry_run(settings, interruption, logs.say, options.raw)
    return admin.send_test(options.send_test, settings, interruption, logs.say, VERSION)


def change_queue(options: argparse.Namespace, held: Held, logs: Any, interruption: "Interruption") -> int:
    """Deliver what is pending, or make records pending again, unless another run is at work."""
    from slack_notification.journal import Journal
    from slack_notification.onevizion_api import OneVizion
    from slack_notification.settings import load_settings

    settings = load_settings(options.settings)
    logs.hide(settings.secrets())
    onevizion = OneVizion(settings, interruption)
    logs.connect(onevizion.add_log_entry)
    if not held.alone:
        return leave_to_other_run(held, options.resend is None)
    with contextlib.closing(Journal()) as journal:
        if options.resend is not None:
            from slack_notification import admin

            return admin.resend(options.resend, onevizion, journal, logs.say)
        return deliver_queue(settings, onevizion, journal, interruption)


def leave_to_other_run(held: Held, delivers: bool) -> int:
    """Say that another run is at work; one that lasts for long is worth a warning and exit status 1.

    Not `delivers`: the other run does not do what this one was started for.
    """
    since = " since %s UTC" % held.since.strftime("%Y-%m-%d %H:%M:%S") if held.since else ""
    text = "another run is in progress in this directory%s: nothing was done"
    if not delivers:
        LOG.error(text + "; start this command again when it has ended", since)
        return EXIT_NOT_ALL_DELIVERED
    if held.since is None or datetime.datetime.now(datetime.timezone.utc) - held.since < LONG_RUN:
        LOG.info(text, since)
        return EXIT_DELIVERED
    LOG.warning(text + "; if it does not end, interrupt it under Administer Processes", since)
    return EXIT_NOT_ALL_DELIVERED


def deliver_queue(
    settings: "Settings", onevizion: "OneVizion", journal: "Journal", interruption: "Interruption"
) -> int:
    """Deliver what is pending, and return the exit status.

    :raises Failure: before anything was done to the queue
    """
    from slack_notification.pending import read_pending

    started_at = time.monotonic()
    LOG.info("Slack-notification %s started", VERSION)
    pending, unended = read_pending(onevizion, settings.service_id, journal)
    if pending and not interruption.requested():
        LOG.info("%d record(s) pending for service %d", len(pending), settings.service_id)
        status = deliver_pending(settings, onevizion, journal, interruption, pending, started_at)
    else:
        status = EXIT_DELIVERED
        nothing = "nothing is pending for service %d: " % settings.service_id
        how = "interrupted: " if interruption.requested() else nothing
        text = "%sdelivered 0, failed 0, left pending %d in %.1f s"
        LOG.info(text, how, len(pending), time.monotonic() - started_at)
    return max(status, EXIT_NOT_ALL_DELIVERED) if unended else status


def deliver_pending(
    settings: "Settings",
    onevizion: "OneVizion",
    journal: "Journal",
    interruption: "Interruption",
    pending: "List[Delivery]",
    started_at: float,
) -> int:
    """Deliver these records, log what became of them, and return the exit status."""
    # Imported here: a run with nothing to deliver does without these packages, which are half of what it would cost.
    from slack_notification.attachments import Attachments
    from slack_notification.delivery import DeliveryRun
    from slack_notification.outcomes import summarize
    from slack_notification.slack_api import Slack, ask_identity
    from slack_notification.workers import Tools, Workers

    if any(each.record.html for each in pending):
        import slack_notification.html_mail  # noqa: F401 (where its parser is broken, the queue stays as it is)
    slack_api = Slack(settings, interruption)
    try:
        scopes = ask_identity(slack_api).scopes  # a dead token must leave the queue as it is
    except Failure as failure:
        (LOG.warning if interruption.requested() else LOG.error)(str(failure))
        LOG.warning("delivered 0, failed 0, left pending %d", len(pending))
        return EXIT_CANNOT_WORK
    tools = Tools(settings, onevizion, slack_api, journal, Workers(interruption))
    files = Attachments(tools, scopes)
    if files.scope_is_missing:  # then no message may refer to a file
        tools = tools._replace(settings=settings._replace(upload_attachments=False))
    run = DeliveryRun(tools, files.share, files.finish)
    try:
        tools.workers.run(run.deliver(pending))
    finally:
        how = "interrupted: " if interruption.requested() else ""
        everything = summarize(how, run.deliveries, time.monotonic() - started_at)
    if tools.workers.error:
        return EXIT_CANNOT_WORK
    return EXIT_DELIVERED if everything else EXIT_NOT_ALL_DELIVERED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
