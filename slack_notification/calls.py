"""How a call to a service is made: one kind of HTTP session, a limit in time, repeats, and the end by a signal."""

import math
import os
import queue
import signal
import socket
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

import requests
import requests.adapters
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from .errors import PROGRESS, Failure

Answer = TypeVar("Answer")

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
        self._abandoned = False
        self._end_at = math.inf  # of time.monotonic; a call that begins later is not made
        self._waiting: Dict[threading.Thread, queue.Queue[Any]] = {}  # for the answer of a call, by its thread
        self._wake: List[Callable[[], None]] = []

    def listen(self) -> None:
        """Let SIGTERM and SIGINT interrupt from now on (main thread only)."""
        reader, writer = socket.socketpair()
        writer.setblocking(False)

        def watch() -> None:
            while True:
                self.interrupt(reader.recv(1)[0])

        # The interpreter writes the signal's number to the socket and a thread of its own reads it: a handler that took
        # a lock could wait for ever for the very code that it interrupted.
        signal.set_wakeup_fd(writer.detach())
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)
        threading.Thread(target=watch, name="signals", daemon=True).start()

    def interrupt(self, signal_number: int) -> None:
        """End the run: nothing new is begun, and a call under way has FINISH_SECONDS. The first signal counts."""
        if not self._requested.is_set():
            self.signal_number = signal_number
            self._end_at = time.monotonic() + FINISH_SECONDS + SAVE_ALL_SECONDS
            self._requested.set()
            for wake in self._wake:
                wake()
            timer = threading.Timer(FINISH_SECONDS, self.abandon)
            timer.daemon = True
            timer.start()

    def requested(self) -> bool:
        """Tell whether the run shall end."""
        return self._requested.is_set()

    def wait(self, seconds: float) -> None:
        """Wait so many seconds, or until the run is interrupted."""
        self._requested.wait(seconds)

    def call_when_requested(self, wake: Callable[[], None]) -> None:
        """Have a function called, in another thread, when the run is interrupted."""
        self._wake.append(wake)

    def within(
        self,
        seconds: float,
        call: Callable[[], Answer],
        pauses: Sequence[float] = (),
        may_repeat: Callable[[Failure], bool] = lambda failure: True,
    ) -> Answer:
        """Return what a blocking call returns, or raise what it raises.

        The call has a thread of its own. One that takes longer is left behind there, and ends with the program: neither
        requests' timeouts, which count between bytes, nor a host name that does not resolve have a limit in all.

        :param pauses: in seconds: the call is made again after each of them, or later if the service says so
        :param may_repeat: tells of a Failure of the call whether to make it again
        :raises TimeoutError: no answer after so many seconds, or when an interrupted run had to end
        """
        answers: queue.Queue[Any] = queue.Queue()

        def work() -> None:
            try:
                answers.put((self._repeat(call, pauses, may_repeat), None))
            except BaseException as error:  # raised below, in the thread that waits
                answers.put((None, error))

        if seconds > SHORT_SECONDS and time.monotonic() > self._end_at:
            raise TimeoutError("no answer before the run had to end")
        thread = threading.Thread(target=work, name="call", daemon=True)
        if seconds > SHORT_SECONDS:
            self._waiting[thread] = answers
        thread.start()
        try:
            answer, error = answers.get(timeout=min(seconds, SAVE_SECONDS) if self._abandoned else seconds)
        except queue.Empty:
            raise TimeoutError("no answer in %d s" % seconds) from None
        finally:
            self._waiting.pop(thread, None)
        if error is not None:
            raise error
        return answer  # type: ignore[no-any-return] # a queue has one type for all its items

    def abandon(self) -> None:
        """Let nobody wait any longer for the calls that are under way, unless they are short ones."""
        self._abandoned = True
        for answers in list(self._waiting.values()):
            answers.put((None, TimeoutError("no answer before the run had to end")))

    def _repeat(
        self, call: Callable[[], Answer], pauses: Sequence[float], may_repeat: Callable[[Failure], bool]
    ) -> Answer:
        for pause in pauses:
            try:
                return call()
            except Failure as failure:
                if not may_repeat(failure):
                    raise
                wanted = failure.wait_seconds
                seconds = pause if wanted is None or math.isnan(wanted) else min(max(pause, wanted), WAIT_LIMIT_SECONDS)
                PROGRESS.info("waiting %g s before asking again: %s", seconds, failure)
            self.wait(seconds)
            if threading.current_thread() not in self._waiting:
                raise TimeoutError("given up meanwhile")  # or it would change something behind the run's back
        return call()


# What a request raises whose answer is cut off: requests lets some errors of urllib3 through.
CUT_OFF = (requests.RequestException, HTTPError)
# What a request raises that gets no answer. ValueError, TypeError: an address that only fails when used, a proxy's too.
NO_ANSWER = CUT_OFF + (OSError, ValueError, TypeError)


class Connecting:
    """Marks what goes wrong before a connection is there: nothing of the request has been sent then."""

    def connect(self) -> None:
        try:
            super().connect()  # type: ignore[misc] # of the connection that this is mixed into
        except Exception as error:
            error.connecting = self  # type: ignore[attr-defined] # see was_sent
            raise


class PlainConnection(Connecting, HTTPConnection):
    """A connection over http."""


class TLSConnection(Connecting, HTTPSConnection):
    """A connection over https, through a proxy too."""


class FreshConnections:
    """Closes a pooled connection that has been idle for too long, instead of using it again."""

    # Both methods exist in urllib3 1 and 2, which have no public way to limit how long a connection may be idle.
    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
        super()._put_conn(conn)  # type: ignore[misc] # of the pool that this is mixed into

    def _get_conn(self, timeout: Optional[float] = None) -> Any:
        conn = super()._get_conn(timeout)  # type: ignore[misc]
        if time.monotonic() - getattr(conn, "idle_since", math.inf) > IDLE_LIMIT_SECONDS:
            conn.close()
        return conn


class HTTPPool(FreshConnections, HTTPConnectionPool):
    """Connections to one host over http."""

    ConnectionCls = PlainConnection


class HTTPSPool(FreshConnections, HTTPSConnectionPool):
    """Connections to one host over https."""

    ConnectionCls = TLSConnection


class Adapter(requests.adapters.HTTPAdapter):  # type: ignore[misc] # requests has no types here
    """requests' adapter with the pools above, also behind a proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of direct connections (see HTTPAdapter)."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy (see HTTPAdapter); those of PySocks are of its own."""
        manager = super().proxy_manager_for(proxy, **options)
        if not proxy.lower().startswith("socks"):
            manager.pool_classes_by_scheme = {"http": HTTPPool, "https": HTTPSPool}
        return manager

    def build_response(self, request: Any, response: Any) -> Any:
        """Return the answer (see HTTPAdapter); before urllib3 2, one that is cut off would count as a whole one."""
        response.enforce_content_length = True
        return super().build_response(request, response)


class Session(requests.Session):  # type: ignore[misc]
    """A session that takes proxies and certificate authorities from the environment, and credentials from nowhere.

    It waits for limited times, and follows a redirect only where that is asked for. requests itself knows
    REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE; SSL_CERT_FILE counts where neither is set.
    """

    def __init__(self) -> None:
        super().__init__()
        self.auth: Any = lambda request: request  # without an auth of its own, requests looks into ~/.netrc
        self.verify = os.environ.get("SSL_CERT_FILE") or True
        for scheme in ("https://", "http://"):
            self.mount(scheme, Adapter(pool_maxsize=CONNECTIONS))

    def request(self, *arguments: Any, **options: Any) -> Any:
        """Return the answer to a request (see requests)."""
        limits = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        return super().request(*arguments, **dict({"timeout": limits, "allow_redirects": False}, **options))

    def merge_environment_settings(self, *arguments: Any) -> Any:
        """Return what the environment says; before 2.28, an empty variable would make requests trust any server."""
        settings = super().merge_environment_settings(*arguments)
        return dict(settings, verify=settings["verify"] or self.verify)

    def rebuild_auth(self, prepared_request: Any, response: Any) -> None:
        """Take the credentials to no other host (requests would also look into ~/.netrc here)."""
        if self.should_strip_auth(response.request.url, prepared_request.url):
            prepared_request.headers.pop("Authorization", None)
