"""The thread that decides and the threads that call: an event loop, its workers, the end of the run, and its pace."""

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Coroutine, Deque, NamedTuple, Tuple

from .calls import Interruption
from .errors import LOG, Failure
from .journal import Journal
from .onevizion_api import OneVizion
from .settings import Settings
from .slack_api import Slack

# How many calls are made side by side, each on a connection that stays open: see `python -m tests.bench`.
WORKERS = 32
SPARE_WORKERS = 8  # for files and for looks at the queue, which must not take a place from a post


class Workers:
    """Makes blocking calls in threads that only return values; one thread, the event loop's, decides everything."""

    def __init__(self, interruption: Interruption) -> None:
        self.error = ""  # why the run ends before its work is done
        self.interruption = interruption
        self.answered_at = time.monotonic()  # when a call for a record last came to its end
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(ThreadPoolExecutor(WORKERS + SPARE_WORKERS, thread_name_prefix="worker"))
        asyncio.set_event_loop(self.loop)
        self.places = asyncio.Semaphore(WORKERS)  # for `in_worker`: so many posts, statuses and reads at once
        self._over: asyncio.Future[None] = self.loop.create_future()  # done when the run has to end
        interruption.wake = self._wake

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end."""
        try:
            self.loop.run_until_complete(coroutine)
        finally:
            asyncio.set_event_loop(None)
            self.loop.close()

    def ends(self) -> bool:
        """Tell whether the run has to end, so that nothing new is begun."""
        return bool(self.error) or self.interruption.requested()

    def end(self, failure: Failure) -> None:
        """Let the run end for a failure that every other record would meet too, unless it ends already."""
        if not self.ends():
            self.error = str(failure)
            LOG.error("the run ends here, and the records that are left stay in the queue: %s", failure)
            self._finish()

    async def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until the run has to end."""
        await asyncio.wait([self._over], timeout=seconds)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a blocking function returns that is called in a worker when there is a place."""
        async with self.places:
            return await self.in_worker(function, *arguments)

    async def in_worker(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a blocking function returns that is called in a worker at once."""
        try:
            return await self.loop.run_in_executor(None, function, *arguments)
        finally:
            self.answered_at = time.monotonic()

    def _wake(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


class Tools(NamedTuple):
    """What every part of a run works with."""

    settings: Settings
    onevizion: OneVizion
    slack: Slack
    journal: Journal
    workers: Workers


class WorkspacePace:
    """How fast the whole run posts, learnt from Slack's refusals: Slack's limit for a workspace is not a known number.

    Without refusals there is no limit. Refusals in several channels at once mean that the workspace is too busy: from
    then on the run posts as fast as Slack has just accepted, and a little faster with every message that is accepted.
    """

    WINDOW_SECONDS = 1.0
    SLOWEST_INTERVAL_SECONDS = 0.25  # "some hundreds a minute" is what every workspace takes
    RECOVERY = 0.95

    def __init__(self) -> None:
        self._interval = 0.0
        self._accepted: Deque[float] = deque(maxlen=1000)
        self._next_post_at = 0.0
        self._last_refusal: Tuple[object, float] = (None, 0.0)  # and until when the channel is closed

    def reserve(self, now: float) -> float:
        """Return when the next post may begin, and take that time."""
        at = max(now, self._next_post_at)
        self._next_post_at = at + self._interval
        return at

    def accepted(self, now: float) -> None:
        """Take note that Slack took a post."""
        self._accepted.append(now)
        self._interval *= self.RECOVERY

    def refused(self, now: float, channel: object, seconds: float) -> None:
        """Take note that Slack refused a post for so many seconds."""
        other, closed_until = self._last_refusal
        self._last_refusal = (channel, now + seconds)
        if other is not channel and now < closed_until:
            recent = sum(at >= now - self.WINDOW_SECONDS for at in self._accepted)
            self._interval = min(self.WINDOW_SECONDS / max(1, recent), self.SLOWEST_INTERVAL_SECONDS)
