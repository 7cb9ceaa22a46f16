"""Measure how fast the program is, and whether that is fast enough: `python -m tests.bench [WORKLOAD ...]`.

Each workload runs the program as the scheduler would, in a process and a directory of its own, against stand-ins for
OneVizion and Slack in another process, so that neither takes the other's time. A table shows what was measured, and
the targets below it what had to be. Exit status: 0 if all targets are met, else 1.

Glossary:
    floor   the time that no program can go below: what Slack's limits set or, for an empty queue, what the imports take
    target  a measured number and what it may be at most
"""

import argparse
import compileall
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

# The stand-ins are not imported here but where they are served: see `measure_process`.

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TIMEOUT_SECONDS = 150  # a run that takes longer hangs
EMPTY_RUNS = 5  # the best of so many runs, and of so many imports, stands for what an empty queue takes
ENVIRONMENT_FILE = "environment.json"  # what the stand-ins tell the program's process
CONSOLE_LINES_SHOWN = 15  # of a run that failed

# Half of the records are HTML mails, as OneVizion makes them of a template, and half are plain texts.
PLAIN_TEXT = """Site 1204 (North & East) has changed its status from "Permit pending" to "Ready for construction".

Changed by: J. Doe, 2026-03-02 08:00
Next task: order the crane, due in 14 days
Comment: gate B is open <from 7 am>, call the guard before."""
HTML_TEXT = """<html><head><style>td {border: 1px solid}</style></head><body>
<p>Dear colleague,</p>
<p>site <b>1204</b> (North &amp; East) has changed its status to <i>Ready for construction</i>:</p>
<table><tr><th>Task</th><th>Due</th></tr><tr><td>Order the crane</td><td>in 14 days</td></tr></table>
<p>See the <a href="https://example.com/sites?id=1204&amp;tab=tasks">list of tasks</a>.</p></body></html>"""
SUBJECT = "Notification %d of the queue"
SUBJECT_PATTERN = re.compile(r"Notification (\d+) of the queue")


class Workload(NamedTuple):
    """A queue and two services.

    users             the records are dealt out to so many users, and the users to the channels, in turn
    delay             seconds before each answer
    connect_delay     further seconds before the first answer on a new connection
    channel_interval  seconds between two posts to a channel, below which Slack answers 429; None for no limit
    workspace_limit   posts in any second over all channels, above which Slack answers 429; None for no limit
    """

    name: str
    records: int
    channels: int
    users: int
    delay: float = 0.0
    connect_delay: float = 0.0
    channel_interval: Optional[float] = 1.0
    workspace_limit: Optional[int] = None
    tls: bool = False  # under the services' real host names, through the HTTPS proxy of the sandbox

    def floor(self) -> float:
        """The seconds that Slack's documented limits set, whether or not the stand-in insists on them."""
        if self.records == 0:
            return 0.0
        busiest_channel = -(-self.records // self.channels)
        by_workspace = self.records / self.workspace_limit if self.workspace_limit is not None else 0.0
        return max(busiest_channel - 1.0, by_workspace)


EMPTY = Workload("empty", 0, 0, 0, delay=0.05)
STEADY = Workload("steady", 200, 20, 60, delay=0.05, connect_delay=0.05)
LIMITED = Workload("limited", 400, 400, 400, delay=0.05, workspace_limit=10)
TLS = Workload("tls", 200, 20, 60, tls=True)
TENTH = Workload("tenth", 300, 100, 100, channel_interval=None)
LARGE = Workload("large", 3000, 1000, 1000, channel_interval=None)
WORKLOADS = (EMPTY, STEADY, TLS, LIMITED, LARGE)  # TENTH is what LARGE is compared with


class Cost(NamedTuple):
    """What a process took: wall-clock and processor seconds, peak memory in megabytes; and its exit status."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    exit_status: int


class Result(NamedTuple):
    """What a run of the program took, and what the stand-ins saw of it (see `count`). `floor` is in seconds."""

    workload: Workload
    floor: float
    cost: Cost
    counts: Dict[str, int]


class Target(NamedTuple):
    """Something measured, and what it may be at most."""

    what: str
    measured: float
    at_most: float

    def is_met(self) -> bool:
        """Whether the measured number is small enough."""
        return self.measured <= self.at_most


def main(arguments: Sequence[str]) -> int:
    """Run the workloads that are named, or all; print the table and the targets; return the exit status."""
    options = parse_arguments(arguments)
    if options.serve is not None:
        return serve(*options.serve)
    names = options.workload or [workload.name for workload in WORKLOADS]
    results, targets = [], []
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        # A copy, so that all workloads meet the same program, even if somebody is working on it.
        program = os.path.join(directory, "program")
        copy_program(options.program, program)
        for workload in WORKLOADS:
            if workload.name in names:
                say("running {} ...".format(workload.name))
                measured, needed = run_workload(workload, program)
                results.extend(measured)
                targets.append((workload, needed))
    show_table(results, targets)
    show_targets(targets)
    return 0 if all(target.is_met() for _, needed in targets for target in needed) else 1


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    known = [workload.name for workload in WORKLOADS]
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure the program against stand-ins for OneVizion and Slack on this computer.",
        epilog="Exit status: 0 if all targets are met, else 1.",
    )
    parser.add_argument("workload", nargs="*", help="what to run: {}; all of it by default".format(", ".join(known)))
    parser.add_argument("--program", metavar="DIRECTORY", default=ROOT, help="run the module.py of this directory")
    parser.add_argument("--serve", nargs=2, metavar=("WORKLOAD", "DIRECTORY"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.workload if name not in known]
    if unknown:
        parser.error("no workload {}; there are {}".format(", ".join(unknown), ", ".join(known)))
    return options


# The stand-ins' process


def serve(name: str, directory: str) -> int:
    """Serve a workload: seed the stand-ins, fill the program's directory, say so, and count when asked to.

    Prints a JSON line with the addresses when all is ready, and, for a line on stdin, another one with what `count`
    returns; then it ends. It also ends where stdin does, so that nothing is left behind.
    """
    from tests.sandbox.directory import make_directory
    from tests.sandbox.onevizion import OneVizion
    from tests.sandbox.proxy import Proxy
    from tests.sandbox.slack import Slack

    workload = {workload.name: workload for workload in (TENTH,) + WORKLOADS}[name]
    with OneVizion(record_calls=False) as onevizion, Slack(record_calls=False) as slack:
        for server in (onevizion, slack):
            server.delay = workload.delay
            server.connect_delay = workload.connect_delay
        slack.channel_interval = workload.channel_interval
        slack.workspace_limit = workload.workspace_limit
        expected = seed(workload, onevizion, slack)
        make_directory(directory, onevizion, slack, scheduled=True, https=workload.tls)
        with contextlib.ExitStack() as stack:
            proxy = stack.enter_context(Proxy(onevizion, slack)) if workload.tls else None
            with open(os.path.join(directory, ENVIRONMENT_FILE), "w", encoding="utf-8") as file:
                json.dump(proxy.environment() if proxy is not None else {"NO_PROXY": "127.0.0.1,localhost"}, file)
            print(json.dumps({"onevizion": onevizion.url, "slack": slack.url}), flush=True)
            if sys.stdin.readline():
                print(json.dumps(count(onevizion, slack, expected)), flush=True)
    return 0


def seed(workload: Workload, onevizion: Any, slack: Any) -> Dict[int, str]:
    """Fill both stand-ins. Returns the channel ID by the number that each record's subject names."""
    channels = [slack.add_channel("channel-{}".format(number)) for number in range(1, workload.channels + 1)]
    users = [
        onevizion.add_user("#channel-{}".format(number % workload.channels + 1)) for number in range(workload.users)
    ]
    expected = {}
    for number in range(workload.records):
        is_html = number // workload.channels % 2 == 1
        user = number % workload.users
        onevizion.add_record(users[user], SUBJECT % number, HTML_TEXT if is_html else PLAIN_TEXT, html=is_html)
        expected[number] = channels[user % workload.channels]
    return expected


def count(onevizion: Any, slack: Any, expected: Dict[int, str]) -> Dict[str, int]:
    """What the stand-ins saw, and how far it differs from what it should be.

    expected  the channel ID by the number that a record's subject names
    """
    arrived: Dict[str, List[int]] = {}
    for message in slack.messages:
        found = SUBJECT_PATTERN.search(message.text)
        arrived.setdefault(message.channel, []).append(int(found.group(1)) if found else -1)
    times = Counter(number for numbers in arrived.values() for number in numbers)
    wanted: Dict[str, List[int]] = {}
    for number, channel in expected.items():
        wanted.setdefault(channel, []).append(number)
    servers = (onevizion, slack)
    return {
        "onevizion_calls": sum(onevizion.count.values()),
        "slack_calls": sum(slack.count.values()),
        "onevizion_connections": onevizion.connections,
        "connections": onevizion.connections + slack.connections,
        "refused": slack.refused,
        "attempts": sum(len(texts) for texts in onevizion.attempts.values()),
        "not_success": sum(1 for status in onevizion.statuses.values() if status != "SUCCESS"),
        "not_once": sum(1 for number in set(expected) | set(times) if times[number] != 1),
        "channels_out_of_order": sum(1 for each in set(wanted) | set(arrived) if wanted.get(each) != arrived.get(each)),
        "unknown_calls": sum(len(server.unknown) + len(server.errors) for server in servers),
    }


@contextlib.contextmanager
def stand_ins(workload: Workload, directory: str) -> Iterator["subprocess.Popen[str]"]:
    """The stand-ins for a workload in a process of their own, which has filled the program's directory."""
    command = [sys.executable, "-m", "tests.bench", "--serve", workload.name, directory]
    pipe = subprocess.PIPE
    server = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, universal_newlines=True)
    try:
        if not server.stdout.readline():
            raise SystemExit("the stand-ins did not start")
        yield server
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def ask_counts(server: "subprocess.Popen[str]") -> Dict[str, int]:
    """What `count` returns in the stand-ins' process, which ends thereafter."""
    server.stdin.write("count\n")
    server.stdin.flush()
    return json.loads(server.stdout.readline())


# Measuring


def run_workload(workload: Workload, program: str) -> Tuple[List[Result], List[Target]]:
    """Run the program on a workload. Returns what was measured and the targets.

    program  path of the directory whose module.py is run
    """
    if workload is EMPTY:
        # In turns, so that another load of this computer meets both.
        pairs = [(measure_imports(), measure_program(EMPTY, program)) for _ in range(EMPTY_RUNS)]
        floor = min(cost.cpu_seconds for cost, _ in pairs)
        result = min((result for _, result in pairs), key=lambda result: result.cost.cpu_seconds)._replace(floor=floor)
        return [result], common_targets(result) + empty_targets(result)
    result = measure_program(workload, program)
    if workload is STEADY:
        return [result], common_targets(result) + steady_targets(result)
    if workload is TLS:
        return [result], common_targets(result) + tls_targets(result)
    if workload is LIMITED:
        return [result], common_targets(result) + limited_targets(result)
    tenth = measure_program(TENTH, program)
    return [tenth, result], common_targets(tenth) + common_targets(result) + large_targets(result, tenth)


def measure_program(workload: Workload, program: str) -> Result:
    """Run the program once on a workload."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, stand_ins(workload, directory) as server:
        copy_program(program, directory)
        cost = measure_process(["module.py"], directory, workload.tls)
        return Result(workload, workload.floor(), cost, ask_counts(server))


def copy_program(source: str, target: str) -> None:
    """Copy module.py and its parts to a directory, over what is there."""
    os.makedirs(target, exist_ok=True)
    shutil.copy(os.path.join(source, "module.py"), target)
    package = os.path.join(target, "slack_notification")
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(os.path.join(source, "slack_notification"), package, ignore=shutil.ignore_patterns("__pycache__"))
    compileall.compile_dir(target, quiet=1)  # as after the first run


def measure_imports() -> Cost:
    """Let a fresh interpreter import the packages without which no run can do anything."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        return measure_process(["-c", "import requests, jsonschema, onevizion"], directory)


def measure_process(arguments: List[str], directory: str, tls: bool = False) -> Cost:
    """Run this interpreter with these arguments in a directory, and return what it took.

    The system counts the memory of the process that starts another one as the other's: this file therefore imports
    nothing large.
    """
    environment = dict(os.environ, NO_PROXY="127.0.0.1,localhost")
    if tls:
        with open(os.path.join(directory, ENVIRONMENT_FILE), encoding="utf-8") as file:
            environment.update(json.load(file))
    with tempfile.TemporaryFile() as console:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable] + arguments,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
        )
        guard = threading.Timer(TIMEOUT_SECONDS, process.kill)
        guard.start()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        guard.cancel()
        process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        if process.returncode != 0:
            console.seek(0)
            show_console(console.read().decode("utf-8", "replace"))
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit / 1e6, process.returncode)


# The targets


def common_targets(result: Result) -> List[Target]:
    """What must hold for every workload: all is delivered, once, where it belongs and in the queue's order."""
    counts, cost = result.counts, result.cost
    name = result.workload.name
    return [
        Target("{}: exit status".format(name), abs(cost.exit_status), 0),
        Target("{}: records that are not SUCCESS".format(name), counts["not_success"], 0),
        Target("{}: records without exactly one message".format(name), counts["not_once"], 0),
        Target("{}: channels with wrong messages or a wrong order".format(name), counts["channels_out_of_order"], 0),
        Target("{}: failed attempts recorded".format(name), counts["attempts"], 0),
        Target("{}: calls that a stand-in does not know".format(name), counts["unknown_calls"], 0),
    ]


def empty_targets(result: Result) -> List[Target]:
    """Nothing pending."""
    return [
        Target("calls", calls(result), 3),
        Target("calls to Slack", result.counts["slack_calls"], 0),
        Target("CPU seconds above what the imports take", result.cost.cpu_seconds - result.floor, 0.15),
        Target("peak megabytes", result.cost.megabytes, 42.0),
    ]


def steady_targets(result: Result) -> List[Target]:
    """Some channels with several records each, services at some distance."""
    return [
        Target("seconds above the floor", result.cost.seconds - result.floor, 2.0),
        Target("calls a record", calls(result) / result.workload.records, 3.5),
        Target("posts answered 429", result.counts["refused"], 0),
        Target("connections to both services", result.counts["connections"], 45),
    ]


def tls_targets(result: Result) -> List[Target]:
    """The same queue over TLS, as users have it."""
    return [Target("seconds above the floor", result.cost.seconds - result.floor, 3.0)]


def limited_targets(result: Result) -> List[Target]:
    """A workspace that takes less than the channels together."""
    return [Target("time as a multiple of the floor", result.cost.seconds / result.floor, 1.25)]


def large_targets(result: Result, tenth: Result) -> List[Target]:
    """Many records, and services that answer at once: what the program itself costs."""
    # How far a pool of connections fills up is chance, so a few more are no growth; one in twenty records would be.
    further = result.counts["onevizion_connections"] - tenth.counts["onevizion_connections"]
    growth = 100 * further / (result.workload.records - tenth.workload.records)
    return [
        Target("CPU milliseconds a record", 1000 * result.cost.cpu_seconds / result.workload.records, 5.0),
        Target("peak megabytes", result.cost.megabytes, 120.0),
        Target("connections to OneVizion for 100 further records", growth, 5.0),
    ]


def calls(result: Result) -> int:
    """The number of HTTP calls to both services."""
    return result.counts["onevizion_calls"] + result.counts["slack_calls"]


# Printing


COLUMNS = (
    "workload",
    "records",
    "channels",
    "delay ms",
    "floor s",
    "time s",
    "ratio",
    "calls/record",
    "connections",
    "CPU s",
    "peak MB",
    "429s",
    "target",
)


def show_table(results: List[Result], targets: List[Tuple[Workload, List[Target]]]) -> None:
    """Print the results as a table in Markdown."""
    met = {workload.name: all(target.is_met() for target in needed) for workload, needed in targets}
    rows = [COLUMNS] + [table_row(result, met) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    rows.insert(1, tuple("-" * (width - 1) + ":" for width in widths))
    say("")
    for row in rows:
        say("| {} |".format(" | ".join(cell.rjust(width) for cell, width in zip(row, widths))))
    say("\nConnections are those to both services. The floor of an empty queue is the CPU time that the imports take.")


def table_row(result: Result, met: Dict[str, bool]) -> Tuple[str, ...]:
    """The cells of a result. `met` says whether all targets of a workload are met."""
    workload, cost, counts = result.workload, result.cost, result.counts
    delay = "{:g}".format(workload.delay * 1000)
    if workload.connect_delay:
        delay += "+{:g}".format(workload.connect_delay * 1000)
    verdict = {True: "met", False: "MISSED", None: ""}[met.get(workload.name)]
    return (
        workload.name,
        str(workload.records),
        str(workload.channels),
        delay,
        "{:.2f}".format(result.floor),
        "{:.2f}".format(cost.seconds),
        "{:.2f}".format((cost.seconds if workload.records else cost.cpu_seconds) / result.floor),
        "{:.2f}".format(calls(result) / workload.records) if workload.records else "({})".format(calls(result)),
        str(counts["connections"]),
        "{:.2f}".format(cost.cpu_seconds),
        "{:.0f}".format(cost.megabytes),
        str(counts["refused"]),
        verdict,
    )


def show_targets(targets: List[Tuple[Workload, List[Target]]]) -> None:
    """Print each target with what was measured; of those that nothing may go wrong in, only what did."""
    for workload, needed in targets:
        say("\n{}:".format(workload.name))
        for target in needed:
            if target.at_most != 0 or not target.is_met():
                verdict = "met   " if target.is_met() else "MISSED"
                say("  {} {}: {:.4g}, at most {:.4g}".format(verdict, target.what, target.measured, target.at_most))


def show_console(text: str) -> None:
    """Print the end of what a program printed that failed."""
    for line in text.splitlines()[-CONSOLE_LINES_SHOWN:]:
        say("    " + line)


def say(text: str) -> None:
    """Print at once, whatever characters the terminal knows."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
