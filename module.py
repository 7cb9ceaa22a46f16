#!/usr/bin/env python3
"""Slack-notification: delivers the notifications that OneVizion queues for its users to their Slack channels.

OneVizion's scheduler starts this program every few minutes, or an admin starts it by hand. One run reads the settings,
pulls the pending records of one Notification Service, finds each recipient's channel, posts to Slack, saves each
record's status and tells the integration log what happened. The file reads from top to bottom as the run goes.

Exit status:
    0    everything pending was delivered, or nothing was pending, or another run is at work in this directory
    1    the run finished and at least one record was not delivered (or its status could not be saved)
    2    the run could not do its work: settings, OneVizion refuses or is out of reach, Slack refuses or is out of reach
    128+ the number of the signal that interrupted the run

Words:
    record           one notification in OneVizion's Notif Queue, named by its notifQueueId
    recipient        the OneVizion user that a record is for
    trackor          a record of OneVizion's data; each user has one, and one of its fields holds the user's channel
    channel          where Slack shows the message: a public or private channel, or a person's direct messages
    part             one post of a message; a long message has several, the later ones as replies to the first
    attempt          one try to deliver a record that failed, as OneVizion counts them
    round            one pass over the records that still want an attempt
    integration log  the log of this run in OneVizion, where an admin looks first
"""

import argparse
import os
import signal
import subprocess
import sys
from typing import NoReturn, Optional, Sequence

HERE = os.path.dirname(os.path.abspath(__file__))
# OneVizion writes this file into the working directory before each scheduled run, and only then.
IHUB_PARAMETERS_FILE = "ihub_parameters.json"
EXIT_CANNOT_WORK = 2

if __name__ == "__main__":
    # A Ctrl-C while the packages load should end the program, not print where the import was.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

REQUIREMENTS_FILE = os.path.join(HERE, "requirements.txt")
# Set for the second start, so that a package that stays missing cannot make the program install for ever.
INSTALLED_MARK = "SLACK_NOTIFICATION_PACKAGES_INSTALLED"


def install_packages(missing: ImportError) -> NoReturn:
    """Deal with a package that cannot be imported; never returns.

    By hand, says which package is missing and how to install it. Under the scheduler, where no admin has a shell,
    installs requirements.txt with this interpreter and starts the program again, once.

    :raises SystemExit: status 2 where the package is still missing
    """
    text = "The Python package %s is missing. " % (missing.name or missing)
    if not os.path.exists(IHUB_PARAMETERS_FILE):
        advice = "Install what the module needs: %s -m pip install -r requirements.txt" % sys.executable
        print(text + advice, file=sys.stderr)
        raise SystemExit(EXIT_CANNOT_WORK)
    if INSTALLED_MARK not in os.environ:
        print(text + "Installing requirements.txt", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-r", REQUIREMENTS_FILE]
        # OneVizion makes a log record of every line on stdout, so pip must not write there.
        if subprocess.call(command, stdin=subprocess.DEVNULL, stdout=sys.stderr) == 0:
            os.environ[INSTALLED_MARK] = "1"
            os.execv(sys.executable, [sys.executable] + sys.argv)
    text += "Installing requirements.txt did not help: ask OneVizion's support to install it for the module"
    print(text, file=sys.stderr)
    print(text, flush=True)
    raise SystemExit(EXIT_CANNOT_WORK)


try:
    from slack_notification import VERSION
    from slack_notification.admin import check, dry_run, send_test
    from slack_notification.delivery import deliver_queue, only_run_here
    from slack_notification.errors import (
        EXIT_CANNOT_WORK,
        EXIT_DELIVERED,
        EXIT_SIGNAL_BASE,
        LOG,
        Interruption,
        RunError,
    )
    from slack_notification.integration_log import IHUB_PARAMETERS_FILE, Logs, Platform, read_platform
    from slack_notification.onevizion_api import OneVizion
    from slack_notification.settings import load_settings
    from slack_notification.slack_api import Slack
except ImportError as missing_package:
    install_packages(missing_package)


# ---- The program -----------------------------------------------------------------------------------------------------


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options `check`, `dry_run` and `send_test` (None or a channel).

    :raises SystemExit: status 2 and the usage for anything unknown, 0 for --help and --version
    """
    parser = argparse.ArgumentParser(
        prog="module.py",
        description="Deliver the pending notifications of one OneVizion Notification Service to Slack.",
        epilog="Settings are read from settings.json in the current directory. "
        "Exit status: 0 everything was delivered, 1 something was not, 2 the run could not do its work.",
        allow_abbrev=False,
    )
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--check", action="store_true", help="check everything from the settings to Slack; send nothing")
    modes.add_argument("--dry-run", action="store_true", help="print what would be sent; send and change nothing")
    modes.add_argument("--send-test", metavar="CHANNEL", help="post a test message to a channel; touch no queue")
    parser.add_argument("--version", action="version", version="Slack-notification %s" % VERSION)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str], interruption: Optional[Interruption] = None) -> int:
    """Run the program and return its exit status.

    :param arguments: the command line, without the program's name
    :param interruption: what ends the run early
    """
    options = parse_arguments(arguments)
    interruption = interruption or Interruption()
    delivering = not (options.check or options.dry_run or options.send_test is not None)
    if delivering:  # in the other modes nothing is at stake, and Ctrl-C ends the program at once
        interruption.listen()
    with Logs(read_platform() if delivering else Platform()) as logs:
        try:
            if options.check:
                return check(interruption, logs)
            settings = load_settings()
            logs.hide(settings.secrets())
            if options.send_test is not None:
                return send_test(options.send_test, settings, Slack(settings, interruption), logs.say)
            onevizion = OneVizion(settings, interruption)
            if options.dry_run:
                return dry_run(settings, onevizion, logs.say)
            logs.connect(onevizion.add_log_entry)
            with only_run_here() as alone:
                if alone:
                    return deliver_queue(settings, onevizion, interruption)
                LOG.info("another run is in progress in this directory: nothing was done")
                return EXIT_DELIVERED
        except RunError as error:
            LOG.error(str(error), extra={"details": error.details})
        except Exception:  # a bug of ours: its traceback belongs into the log, where no secret gets through
            LOG.exception("a fault in this module: report it to its developers")
        return EXIT_SIGNAL_BASE + interruption.signal_number if interruption.requested() else EXIT_CANNOT_WORK


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
