"""How a call to a service is made: one kind of HTTP session, a limit in time, repeats, and the end by a signal."""

import contextlib
import json
import math
import os
import queue
import signal
import threading
import time
from typing import Any, Callable, Sequence, Set

import requests
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from .errors import PROGRESS, Failure
from .network_errors import AUTHORITIES

Decision = Callable[[Failure], bool]  # whether to make a call again that failed so

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 30  # between two bytes; what a call may take in all is limited by Interruption.within
CONNECTIONS = 40  # kept open to each service
CALL_LIMIT_SECONDS = 90  # in all, its repeats included
FILE_LIMIT_SECONDS = 600  # for the content of a file, which can be large
# An idle connection that the server closes just when it is used again costs an attempt, and nobody knows whether the
# message was posted. Servers keep connections for 5 s and more.
IDLE_LIMIT_SECONDS = 4.0
WAIT_LIMIT_SECONDS = 20  # what one call waits before a repeat when the service names a longer time
# After SIGTERM or SIGINT: so long for the calls that are under way, then so long for each call that saves what became
# of them, and so long for all of those.
FINISH_SECONDS = 6.0
SAVE_SECONDS = 1.5
SAVE_ALL_SECONDS = 4.0
SHORT_SECONDS = 5.0  # a call that may take no longer, such as a log entry, is made even later


class Interruption:
    """SIGTERM and SIGINT, which end every wait of the run; and the limit of what a call may take."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._requested = threading.Event()
        self._limit_seconds = math.inf  # of each call
        self._end_at = math.inf  # of time.monotonic; a call that begins later is not made
        self._waiting: Set[queue.Queue[Any]] = set()  # for the answers of calls
        self.wake: Callable[[], None] = lambda: None  # called, in another thread, when the run is interrupted

    def listen(self) -> None:
        """Let SIGTERM and SIGINT interrupt from now on (main thread only)."""
        reader, writer = os.pipe()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: os.write(writer, bytes([number])))
        # A handler that took a lock could wait for ever for the very code that it interrupted: a thread takes them.
        threading.Thread(target=lambda: self.interrupt(os.read(reader, 1)[0]), name="signals", daemon=True).start()

    def interrupt(self, signal_number: int) -> None:
        """End the run: nothing new is begun, and a call under way has FINISH_SECONDS. The first signal counts."""
        if not self._requested.is_set():
            self.signal_number = signal_number
            self._end_at = time.monotonic() + FINISH_SECONDS + SAVE_ALL_SECONDS
            self._requested.set()
            self.wake()
            timer = threading.Timer(FINISH_SECONDS, self.abandon)
            timer.daemon = True
            timer.start()

    def requested(self) -> bool:
        """Tell whether the run shall end."""
        return self._requested.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until the run is interrupted."""
        self._requested.wait(seconds)

    def within(
        self, seconds: float, call: Callable[[], Any], pauses: Sequence[float] = (), may_repeat: Decision = bool
    ) -> Any:
        """Return what a blocking call returns, or raise what it raises.

        The call has a thread of its own. One that takes longer is left behind there, and ends with the program: neither
        requests' timeouts, which count between bytes, nor a host name that does not resolve have a limit in all.

        :param pauses: in seconds: the call is made again after each of them, or later if the service says so
        :raises TimeoutError: no answer after so many seconds, or when an interrupted run had to end
        """
        answers: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                answers.put((self._repeat(call, pauses, may_repeat, answers), None))
            except BaseException as error:  # raised below, in the thread that waits
                answers.put((None, error))

        if seconds > SHORT_SECONDS:
            if time.monotonic() > self._end_at:
                raise TimeoutError("no answer before the run had to end")
            self._waiting.add(answers)
        threading.Thread(target=work, name="call", daemon=True).start()
        try:
            answer, error = answers.get(timeout=min(seconds, self._limit_seconds))
        except queue.Empty:
            raise TimeoutError("no answer in %d s" % seconds) from None
        finally:
            self._waiting.discard(answers)
        if error is not None:
            raise error
        return answer

    def _repeat(self, call: Callable[[], Any], pauses: Sequence[float], may_repeat: Decision, answers: Any) -> Any:
        for pause in pauses:
            try:
                return call()
            except Failure as failure:
                if not may_repeat(failure):
                    raise
                seconds = min(max(pause, failure.wait_seconds), WAIT_LIMIT_SECONDS)
                PROGRESS.info("waiting %g s before asking again: %s", seconds, failure)
            self.wait(seconds)
            if answers not in self._waiting:
                raise TimeoutError("given up meanwhile")  # or it would change something behind the run's back
        return call()

    def abandon(self) -> None:
        """Let nobody wait any longer for the calls that are under way, unless they are short ones."""
        self._limit_seconds = SAVE_SECONDS
        for answers in list(self._waiting):
            answers.put((None, TimeoutError("no answer before the run had to end")))


# What a request raises whose answer is cut off: requests lets some errors of urllib3 through.
CUT_OFF = (requests.RequestException, HTTPError)
# What a request raises that gets no answer. ValueError, TypeError: an address that only fails when used, a proxy's too.
NO_ANSWER = CUT_OFF + (OSError, ValueError, TypeError)


class FreshConnections(queue.LifoQueue):  # type: ignore[type-arg] # Python 3.6 has no LifoQueue[Any]
    """A pool's idle connections; one that has been idle for too long is closed, so that it connects anew."""

    def _put(self, connection: Any) -> None:
        super()._put((connection, time.monotonic()))

    def _get(self) -> Any:
        connection, idle_since = super()._get()
        if connection is not None and time.monotonic() - idle_since > IDLE_LIMIT_SECONDS:
            connection.close()
        return connection


def careful(pool_class: Any) -> Any:
    """Return one of urllib3's classes of pools with the above, and with connections that mark their own errors."""

    class Connection(pool_class.ConnectionCls):  # type: ignore[misc]
        def connect(self) -> None:
            try:
                super().connect()
            except Exception as error:
                error.connecting = self  # type: ignore[attr-defined] # nothing is sent yet, see was_sent
                raise

    class Pool(pool_class):  # type: ignore[misc]
        ConnectionCls, QueueCls = Connection, FreshConnections

    return Pool


POOLS = {"http": careful(HTTPConnectionPool), "https": careful(HTTPSConnectionPool)}


class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc] # requests has no types here
    """requests' adapter with the pools and time limits above, and the proxy that the environment names for a host."""

    def __init__(self) -> None:
        super().__init__(pool_maxsize=CONNECTIONS)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):  # PySocks has connections of its own
            manager.pool_classes_by_scheme = POOLS
        return manager

    def send(self, request: Any, **options: Any) -> Any:
        options["timeout"] = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        options["proxies"] = requests.utils.get_environ_proxies(request.url)
        response = super().send(request, **options)
        response.raw.enforce_content_length = True  # before urllib3 2, a body that is cut would count as a whole one
        return response


class Session(requests.Session):  # type: ignore[misc]
    """A session with credentials from nowhere, which follows redirects only for what is streamed: a file."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False  # requests would also look for credentials, in ~/.netrc
        self.verify: Any = next(filter(None, map(os.environ.get, AUTHORITIES)), True)  # which it ignores then, too
        for scheme in ("https://", "http://"):
            self.mount(scheme, Adapter())

    def resolve_redirects(self, *arguments: Any, **options: Any) -> Any:
        if options["stream"]:
            with contextlib.suppress(ValueError):  # where the target is no address, the redirect is the answer
                yield from super().resolve_redirects(*arguments, **options)


def read_json(response: requests.Response, kind: type) -> Any:
    """Return the JSON in an answer's body, which is UTF-8 whatever the header says; None where it is no `kind`."""
    try:
        value = json.loads(response.content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, kind) else None
