"""Run the program against stand-ins for OneVizion and Slack, and show what became of the queue.

Nothing leaves this computer, and no account is needed.
"""

import argparse
import contextlib
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from typing import Any, Dict, List, Optional, Sequence

try:
    from .directory import EXAMPLE_SERVICE_ID, make_directory
    from .onevizion import OneVizion
    from .page import write_page
    from .reading import as_read
    from .scenes import Scene, seed, seed_ordinary
    from .slack import Message, SharedFile, Slack
except ImportError as missing:
    sys.exit(
        "The package %s is missing: run the sandbox by the command of the README, in its environment." % missing.name
    )

# Two attempts show that a failure may pass; the wait between them is short enough to watch.
SETTINGS: Dict[str, Any] = {"maxAttempts": 2, "nextAttemptDelay": 2}

# What a large queue shows of itself: a screen or two.
CHANNELS_SHOWN = 8
MESSAGES_SHOWN = 2
RECORDS_SHOWN = 20

TEXT_HEAD, TEXT_TAIL = 240, 160  # characters that are left of a long text
WIDTH = 110  # columns of the output
FINISH_SECONDS = 15  # how long an interrupted program may take to end by itself

COLOURS = {"bold": "1", "red": "31", "green": "32", "grey": "90"}
STATUS_COLOURS = {"SUCCESS": "green", "FAIL": "red"}


def main(arguments: Sequence[str]) -> int:
    """Seed, run (or wait), show. Returns the exit status: 0 if all came as it was to be expected of the queue."""
    options = parse_arguments(arguments)
    with contextlib.ExitStack() as stack:
        onevizion = stack.enter_context(OneVizion(service_id=EXAMPLE_SERVICE_ID))
        slack = stack.enter_context(Slack())
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-"))
        if options.records is None:
            scenes = seed(onevizion, slack)
        else:
            scenes = seed_ordinary(onevizion, slack, options.records, options.channels)
        say("OneVizion's stand-in is {}, Slack's is {}.".format(onevizion.url, slack.url))
        environment = {"NO_PROXY": "127.0.0.1,localhost"}
        if options.https:
            environment = start_proxy(stack, onevizion, slack).environment()
        settings = {} if options.https else SETTINGS
        make_directory(directory, onevizion, slack, not options.keep, options.https, **settings)
        if options.keep:
            keep(directory, slack, environment if options.https else {})
        else:
            exit_status = run_program(directory, environment)
        show_messages(slack)
        show_records(scenes, onevizion)
        show_log(onevizion)
        if options.page:
            write_page(options.page, slack)
            say("\nThe messages, as Slack draws them, are in {}.".format(options.page))
        return 0 if options.keep else show_verdict(surprises(scenes, exit_status, onevizion, slack), exit_status)


def start_proxy(stack: contextlib.ExitStack, onevizion: OneVizion, slack: Slack) -> Any:
    """Start the proxy that leads the real host names to the stand-ins, and return it."""
    try:
        from .proxy import Proxy
    except ImportError as missing:
        sys.exit("--https needs the package %s: install tests/requirements.txt" % missing.name)
    proxy = stack.enter_context(Proxy(onevizion, slack))
    say("The proxy {} leads the real addresses of both to them.".format(proxy.url))
    return proxy


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sandbox",
        description="Run the program against stand-ins for OneVizion and Slack on this computer; no account is needed.",
        epilog="Exit status: 0 if the program did what was to be expected of the queue, else 1.",
    )
    parser.add_argument("--records", type=positive, metavar="N", help="a queue of N ordinary records instead")
    parser.add_argument("--channels", type=positive, metavar="M", help="deal them out to M channels (default: 10)")
    parser.add_argument(
        "--keep", action="store_true", help="run nothing: keep the stand-ins for commands by hand, until Ctrl-C"
    )
    parser.add_argument(
        "--https", action="store_true", help="with the real addresses and the example's settings, through a proxy"
    )
    parser.add_argument("--page", metavar="FILE", help="write an HTML page of the messages, as Slack draws them")
    options = parser.parse_args(arguments)
    if options.channels is not None and options.records is None:
        parser.error("--channels needs --records")
    options.channels = options.channels or 10
    return options


def positive(text: str) -> int:
    """A whole number of 1 or more, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 or more, not {}".format(number))
    return number


# Running the program


def run_program(directory: str, environment: Dict[str, str]) -> int:
    """Run the program as the scheduler would, show its output as it comes, and return its exit status."""
    heading("The program's console")
    environment = dict(os.environ, PYTHONUNBUFFERED="1", PYTHONIOENCODING="utf-8", **environment)
    program = subprocess.Popen(
        [sys.executable, "module.py"],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        show_lines(program)
        return program.wait()
    except KeyboardInterrupt:  # Ctrl-C reaches both; the program winds up, and so that can be seen, too
        show_lines(program)
        return program.wait(FINISH_SECONDS)
    finally:
        if program.poll() is None:
            program.kill()
            program.wait()
        program.stdout.close()


def show_lines(program: subprocess.Popen) -> None:
    """Print what the program prints, until it closes its output."""
    for line in program.stdout:
        say("  " + line.decode("utf-8", "replace").rstrip())


def keep(directory: str, slack: Slack, environment: Dict[str, str]) -> None:
    """Show how to use the stand-ins by hand, with the variables to be set, and wait for Ctrl-C."""
    channels = list(slack.channels.values())
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell started the sandbox in the background
        signal.signal(number, signal.default_int_handler)
    try:
        heading("settings.json")
        with open(os.path.join(directory, "settings.json"), encoding="utf-8") as file:
            say(textwrap.indent(file.read().rstrip(), "  "))
        heading("Channels in Slack")
        for channel in channels:
            state = "archived" if channel.archived else "private" if channel.private else "public"
            say("  {}  {:<16} {}".format(channel.id, channel.name, "direct" if channel.user else state))
        heading("Try it in another terminal")
        for name, value in sorted(environment.items()):
            say("  export {}={}".format(name, shlex.quote(value)))
        say("  cd {}".format(shlex.quote(directory)))
        for arguments in ("--check", "--dry-run", "--send-test {}".format(channels[0].name.lstrip("#")), ""):
            say("  {} module.py {}".format(shlex.quote(sys.executable), arguments).rstrip())
        say("\nBoth stand-ins run until Ctrl-C. Then {} is removed, and what".format(directory))
        say("became of the queue is shown.")
        while True:
            time.sleep(60)
    except KeyboardInterrupt:
        say("")


# Showing what became of it


def show_messages(slack: Slack) -> None:
    """Print every channel with the messages that stand in it, threads below the message that they belong to."""
    heading("Messages in Slack")
    written = {message.channel for message in slack.messages}
    channels = [channel for channel in slack.channels.values() if channel.id in written]
    for channel in channels[:CHANNELS_SHOWN]:
        say("  " + paint(channel.name + (" (private)" if channel.private else ""), "bold"))
        messages = [message for message in slack.messages if message.channel == channel.id]
        files = [file for file in slack.files if file.channel == channel.id]
        starts = [message for message in messages if message.thread_ts is None]
        for message in starts[:MESSAGES_SHOWN]:
            show_thread(message, messages, files)
        say_more(len(starts) - MESSAGES_SHOWN, "message(s)", "    ")
    say_more(len(channels) - CHANNELS_SHOWN, "channel(s)", "  ")
    if not channels:
        say("  none")


def show_thread(start: Message, messages: List[Message], files: List[SharedFile]) -> None:
    """Print a message, the replies to it and the files in its thread."""
    say(textwrap.indent(shortened(as_read(start)), "    | ", lambda line: True))
    for reply in messages:
        if reply.thread_ts == start.ts:
            say(textwrap.indent(shortened(as_read(reply)), "        | ", lambda line: True))
    for file in files:
        if file.thread_ts == start.ts:
            say("        | file: {} ({:,} bytes)".format(file.name, len(file.content)))
    say("")


def shortened(text: str) -> str:
    """The text, or the first and last lines of a long one, with the number of its characters."""
    if len(text) <= TEXT_HEAD + TEXT_TAIL:
        return text
    head, tail = text[:TEXT_HEAD], text[-TEXT_TAIL:]
    if "\n" in head and "\n" in tail:
        head, tail = head[: head.rindex("\n")], tail[tail.index("\n") + 1 :]
    return "{}\n[... {:,} characters in all ...]\n{}".format(head, len(text), tail)


def show_records(scenes: List[Scene], onevizion: OneVizion) -> None:
    """Print a table of the records: status, number of failed attempts with their texts, and what the record shows.

    Of a long queue only those are shown that are not delivered.
    """
    heading("Records in OneVizion")
    shown = scenes
    if len(scenes) > RECORDS_SHOWN:
        shown = [scene for scene in scenes if onevizion.status(scene.record) != "SUCCESS"]
        say("  {:,} of {:,} records are SUCCESS".format(len(scenes) - len(shown), len(scenes)))
    if shown:
        say(paint("  record  status           attempts  what it shows", "bold"))
    for scene in shown[:RECORDS_SHOWN]:
        status = onevizion.status(scene.record)
        attempts = onevizion.attempts[scene.record]
        coloured = paint("{:<15}".format(status), STATUS_COLOURS.get(status))
        say("  {:<6}  {}  {:>8}  {}".format(scene.record, coloured, len(attempts), scene.shows))
        for attempt in attempts:
            say(paint(textwrap.fill(attempt, WIDTH, initial_indent=" " * 37, subsequent_indent=" " * 37), "grey"))
    say_more(len(shown) - RECORDS_SHOWN, "record(s)", "  ")


def show_log(onevizion: OneVizion) -> None:
    """Print the integration log."""
    heading("Integration log in OneVizion")
    for entry in onevizion.log:
        say("  {:<7}  {}".format(entry.level, entry.message))
        if entry.description:
            say(paint(textwrap.indent(shortened(entry.description), " " * 11), "grey"))
    if not onevizion.log:
        say("  empty")


def surprises(scenes: List[Scene], exit_status: int, onevizion: OneVizion, slack: Slack) -> List[str]:
    """What did not come as it was to be expected of this queue."""
    expected = 1 if any(scene.status == "FAIL" for scene in scenes) else 0
    found = []
    if exit_status != expected:
        found.append("exit status {} instead of {}".format(exit_status, expected))
    for scene in scenes:
        status = onevizion.status(scene.record)
        if status != scene.status:
            found.append("record {} is {} instead of {}".format(scene.record, status, scene.status))
    for server in (onevizion, onevizion.storage, slack):
        found.extend("unknown call: {}".format(call) for call in server.unknown)
    found.extend("the token went along to {}".format(path) for path in onevizion.storage.leaked + slack.leaked)
    threads = {(message.channel, message.ts) for message in slack.messages}
    astray = [file for file in slack.files if (file.channel, file.thread_ts) not in threads]
    found.extend("file {} is in no message's thread".format(file.name) for file in astray)
    return found


def show_verdict(found: List[str], exit_status: int) -> int:
    """Print whether all went as expected; returns the exit status of the sandbox."""
    heading("Exit status {}: {}".format(exit_status, "not as expected" if found else "as expected of this queue"))
    for surprise in found:
        say("  " + paint(surprise, "red"))
    return 1 if found else 0


# Printing


def heading(text: str) -> None:
    """Print a heading."""
    say("\n" + paint("{}\n{}".format(text, "-" * len(text)), "bold"))


def paint(text: str, colour: Optional[str]) -> str:
    """The text in a colour, where somebody sees it on a terminal."""
    if colour is None or not sys.stdout.isatty():
        return text
    return "\033[{}m{}\033[0m".format(COLOURS[colour], text)


def say_more(number: int, what: str, indent: str) -> None:
    """Print that there is more than is shown."""
    if number > 0:
        say("{}... and {:,} more {}".format(indent, number, what))


def say(text: str) -> None:
    """Print at once, whatever characters the terminal knows."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # a second Ctrl-C, while the first is being attended to
        raise SystemExit(130) from None
