"""The thread that decides and the threads that call: an event loop, its workers, and the end of the run."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Awaitable, Callable, Coroutine, List, Sequence, TypeVar

from .calls import Interruption
from .errors import LOG, Failure

# How many calls are made side by side, each on a connection that stays open: see `python -m tests.bench`.
WORKERS = 32
SPARE_WORKERS = 8  # for files and for looks at the queue, which must not take a place from a post

Item = TypeVar("Item")


class Workers:
    """Makes blocking calls in threads that only return values; one thread, the event loop's, decides everything."""

    def __init__(self, interruption: Interruption) -> None:
        self.error = ""  # why the run ends before its work is done
        self.loop = asyncio.new_event_loop()
        self.over: asyncio.Future[None] = self.loop.create_future()  # done when the run has to end
        self.answered_at = time.monotonic()  # when a call for a record last came to its end
        self.interruption = interruption
        self._under_way = 0  # calls in workers
        self._pool = ThreadPoolExecutor(WORKERS + SPARE_WORKERS, thread_name_prefix="worker")
        asyncio.set_event_loop(self.loop)
        self.places = asyncio.Semaphore(WORKERS)  # for `in_worker`: so many posts, statuses and reads at once
        interruption.wake = self._wake

    def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine to its end; what is still called then is left behind."""
        try:
            self.loop.run_until_complete(coroutine)
        finally:
            if self._under_way:
                self.interruption.abandon()  # so that the workers come back
            self._pool.shutdown(wait=False)
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

    async def wait(self, seconds: float, *futures: "asyncio.Future[Any]") -> None:
        """Wait so many seconds, or until one of the futures is done, or the run has to end."""
        await asyncio.wait([self.over, *futures], timeout=max(0.0, seconds), return_when=asyncio.FIRST_COMPLETED)

    async def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a blocking function returns that is called in a worker when there is a place."""
        try:
            async with self.places:
                return await self.in_worker(function, *arguments)
        finally:
            self.answered_at = time.monotonic()

    async def each(self, act: Callable[[Item], Awaitable[None]], items: Sequence[Item]) -> List[Item]:
        """Do something for each of these, WORKERS at once; return those that were done before the run had to end.

        The first ones are always done: what has happened to them has to be told.
        """
        done: List[Item] = []
        for start in range(0, len(items), WORKERS):
            if start and self.ends():
                break
            some = items[start : start + WORKERS]
            await asyncio.gather(*[act(item) for item in some])
            done += some
        return done

    async def in_worker(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what a blocking function returns that is called in a worker at once; it is no progress of the run."""
        self._under_way += 1
        try:
            return await self.loop.run_in_executor(self._pool, function, *arguments)
        finally:
            self._under_way -= 1

    def _wake(self) -> None:
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._finish)

    def _finish(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
