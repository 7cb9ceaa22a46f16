"""Fixtures of all tests."""

import socket
from typing import Any, Iterator

import pytest

from slack_notification import delivery, packages
from tests.sandbox.directory import mark_packages
from tests.world import World

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests have measured; the processes that run them have no screen of their own."""
    for report in terminalreporter.stats.get("passed", []):
        for name, text in report.user_properties:
            terminalreporter.write_line("%s: %s" % (name, text))


@pytest.fixture(autouse=True)
def nothing_beyond_this_machine(tmp_path: Any, monkeypatch: Any) -> None:
    """Let no test reach another machine or install packages, and no proxy come between program and stand-ins."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> Any:
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise AssertionError("a test wants to reach %s" % address[0])
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(packages, "PACKAGES", str(tmp_path / "packages"))
    mark_packages(packages.PACKAGES)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def world(tmp_path: Any, monkeypatch: Any) -> Iterator[World]:
    """Both services, and a program that keeps no pause between the messages of a channel."""
    monkeypatch.setattr(delivery, "CHANNEL_INTERVAL_SECONDS", 0.0)
    with World(tmp_path / "module") as everything:
        yield everything
    assert not everything.onevizion.unknown, "the program asked OneVizion for something that it does not have"
    assert not everything.slack.unknown, "the program asked Slack for something that it does not have"
    assert not everything.onevizion.errors, "a bug of the stand-in"
    assert not everything.slack.errors, "a bug of the stand-in"
    assert not everything.onevizion.storage.leaked, "credentials went to the object storage"
    assert not everything.slack.leaked, "a token went along with an upload"
