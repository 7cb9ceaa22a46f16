"""Run pip for a scheduled run. Imported only where there is something to install: what it imports costs time."""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, List, Sequence

from .errors import EXIT_SIGNAL_BASE
from .packages import HERE, MARK, PACKAGES, REQUIREMENTS_FILE, mark, refuse, wanted_mark

# What is being made, or on its way out. Behind it stands the time: a pip that outlived its run writes elsewhere.
ASIDE = os.path.join(HERE, ".slack-notification.packages-")
PROCESS_LIMIT_SECONDS = 600  # pip may have to build a package; below the 15 minutes after which a run ends itself
LAST_WORDS_LINES = 5  # pip says at its end what went wrong
LAST_WORDS_CHARACTERS = 300  # of each line: it becomes a record of OneVizion's log
# Tells in a process of its own what is wrong with the packages, so that a failed import leaves nothing behind.
CHECK = (
    "import sys; sys.path[:0] = sys.argv[1:]; from slack_notification import packages; "
    "sys.exit('\\n'.join(packages.faults()) or 0)"
)


def install_packages() -> str:
    """Install the packages; else use an older directory of them, or what this Python has, where it is new enough.

    :returns: what to warn of: "", or a line and, on further lines, the details
    :raises SystemExit: status 2, after saying why pip failed, and what is missing
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # end with an exception from now on, which takes pip along
        signal.signal(number, lambda number, frame: sys.exit(EXIT_SIGNAL_BASE + number))
    print("installing the packages of requirements.txt", file=sys.stderr, flush=True)
    reasons = ["pip: " + line for line in install()]
    if not reasons or not check(PACKAGES):
        sys.path.insert(0, PACKAGES)
    else:
        wrong = check()
        if wrong:
            text = "The Python packages could not be installed, and some are missing or too old:"
            refuse([text, *reasons, *wrong], scheduled=True)
    text = "The Python packages could not be installed: the run uses those that are there"
    return "\n".join([text, *reasons]) if reasons else ""


def install() -> List[str]:
    """Install requirements.txt and put it in place as PACKAGES; return why that did not work, [] where it did.

    Whenever it is killed, PACKAGES is whole, or the next call finds the whole one aside. To be called under the lock.
    """
    wanted = wanted_mark()  # requirements.txt may change while pip works
    all_aside = glob.escape(ASIDE) + "*"
    whole = [directory for directory in glob.glob(all_aside) if mark(directory) == wanted]
    fresh = whole[0] if whole else "%s%f" % (ASIDE, time.time())
    pip = [sys.executable, "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--target", fresh]
    try:
        if not whole:
            says = last_words([*pip, "-r", REQUIREMENTS_FILE]) or check(fresh)
            if says:
                return says
            with open(os.path.join(fresh, MARK), "wb") as file:
                file.write(wanted)
        if os.path.exists(PACKAGES):
            os.rename(PACKAGES, fresh + ".old")
        os.rename(fresh, PACKAGES)
    except OSError as error:
        return ["%s: %s" % (type(error).__name__, error.strerror)]
    finally:
        for directory in glob.glob(all_aside):
            if os.path.exists(PACKAGES) or mark(directory) != wanted:
                shutil.rmtree(directory, ignore_errors=True)
    return []


def check(*directories: str) -> List[str]:
    """Return what is wrong with the packages of this Python, or of these directories before it."""
    return last_words([sys.executable, "-W", "ignore", "-c", CHECK, *directories, HERE])


def last_words(command: Sequence[str]) -> List[str]:
    """Run a program to its end; return [] for status 0, else its last lines, without the credentials in addresses."""
    # PIP_USER: the setting --user cannot go with --target. COLUMNS: pip folds no address, so that it is found below.
    environment = dict(os.environ, PIP_USER="0", COLUMNS="10000")
    with tempfile.TemporaryFile() as output:
        streams: Any = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        try:
            status = subprocess.run(command, env=environment, timeout=PROCESS_LIMIT_SECONDS, **streams).returncode
        except subprocess.TimeoutExpired:
            return ["did not end within %d s" % PROCESS_LIMIT_SECONDS]
        output.seek(0)
        text = re.sub(r"://\S*@", "://***@", output.read().decode("utf-8", "replace"))
    if status == 0:
        return []
    lines = ["".join(filter(str.isprintable, line)) for line in text.splitlines() if line.strip()]
    said = [line[:LAST_WORDS_CHARACTERS] for line in lines[-LAST_WORDS_LINES:]]
    if status < 0:
        said.append("ended by signal %d" % -status)
    return said or ["ended with status %s" % status]
