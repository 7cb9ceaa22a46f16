"""The world of a test: both services on real sockets, a directory for the program, and ways to run it there."""

import contextlib
import io
import os
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Optional

import module
from slack_notification import calls
from tests.sandbox.directory import make_directory
from tests.sandbox.onevizion import OneVizion
from tests.sandbox.slack import Slack

PROCESS_TIMEOUT_SECONDS = 120  # for a program that hangs: no test waits for it to pass


class Run(NamedTuple):
    """How a run ended: its exit status, what it printed to stderr and stdout, and the seconds of each wait."""

    status: int
    console: str
    stdout: str
    waits: List[float]


class CapturedWaits(calls.Interruption):
    """Notes the waits of a run instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: List[float] = []

    def listen(self) -> None:
        """Leave the signals of the test's own process alone."""

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)


class World:
    """OneVizion, Slack and the program's directory.

    `settings` are written over the valid settings; `scheduled` says who starts the program. Slack has the public
    channels #ops and #dev and, unless a test wants it, no limits.
    """

    def __init__(self, path: Any) -> None:
        self.onevizion = OneVizion()
        self.slack = Slack()
        self.slack.channel_interval = None
        self.slack.add_channel("ops")
        self.slack.add_channel("dev")
        self.path = str(path)
        self.settings: Dict[str, Any] = {"nextAttemptDelay": 0}
        self.scheduled = True

    def __enter__(self) -> "World":
        self.onevizion.start()
        self.slack.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self.slack.stop()
        self.onevizion.stop()

    def record(self, channel: Optional[str] = "ops", **keys: Any) -> int:
        """Add a record for a new user with that channel; return its id."""
        return self.onevizion.add_record(self.onevizion.add_user(channel), **keys)

    def directory(self) -> str:
        """Write the program's directory with the settings as they are now, and return it."""
        return make_directory(self.path, self.onevizion, self.slack, self.scheduled, **self.settings)

    def run(self, *arguments: str, interruption: Optional[CapturedWaits] = None) -> Run:
        """Run the program in this process; it waits for nothing but its own pace."""
        interruption = interruption or CapturedWaits()
        directory, before = self.directory(), os.getcwd()
        stdout, console = io.StringIO(), io.StringIO()
        os.chdir(directory)
        try:
            with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(console):
                try:
                    status = module.main(arguments, interruption)
                except SystemExit as end:
                    status = int(end.code or 0)
        finally:
            os.chdir(before)
        return Run(status, console.getvalue(), stdout.getvalue(), interruption.waits)

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Start the program as a process of its own."""
        command = [sys.executable, "module.py"] + list(arguments)
        options["cwd"] = options.get("cwd") or self.directory()
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, universal_newlines=True, **options
        )

    def run_process(self, *arguments: str, **options: Any) -> Run:
        """Run the program as a process of its own."""
        return finish(self.start(*arguments, **options))

    def log(self, level: str = "") -> List[str]:
        """Return the messages of the integration log, of one level or all."""
        return [entry.message for entry in self.onevizion.log if level in ("", entry.level)]

    def texts(self, channel: str = "ops") -> List[str]:
        """Return what stands in a channel."""
        return self.slack.texts(channel)


def finish(process: "subprocess.Popen[str]") -> Run:
    """Wait for a process to end, and return how it did."""
    try:
        stdout, console = process.communicate(timeout=PROCESS_TIMEOUT_SECONDS)
    finally:
        process.kill()
    return Run(process.returncode, console, stdout, [])
