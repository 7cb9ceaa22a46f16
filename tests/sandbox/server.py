"""What both stand-ins have in common: a small HTTP server in a thread, which remembers its calls and fails to order.

Glossary:
    call    one request as it arrived, and the status that it was answered
    answer  what a handler returns: status, body, headers
    fault   an order to treat certain calls otherwise than the service would: status, delay, connection cut
"""

import asyncio
import json
import re
import threading
import time
import traceback
import weakref
from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Pattern, Tuple, Union
from urllib.parse import parse_qsl

from aiohttp import web

from .faults import Answer, Call, Fault, drip, drop, json_answer, text_answer

HOST = "127.0.0.1"

# How long stop() waits for calls that are being answered, before it cancels them; it waits for idle connections, too.
STOP_SECONDS = 0.001


# A handler gets the call, its raw body and what the {placeholders} of its route stand for. It never waits, so that
# it sees and leaves the service in one piece, however many calls are at work at once.
Handler = Callable[..., Answer]


class Server:
    """An HTTP server on 127.0.0.1, in a thread of its own. A service is a subclass that adds routes and state.

    Attributes to set, also while it runs:
        delay          seconds before each answer
        connect_delay  further seconds before the first answer on each new connection
    Attributes to read:
        url          'http://127.0.0.1:PORT'
        calls        every Call in the order of arrival; stays empty with record_calls=False
        count        Counter of 'METHOD route-template', for example 'GET /api/v3/trackors/{id}'
        answers      Counter of the statuses answered; 0 counts the connections cut
        connections  number of TCP connections that carried a request
        unknown      'METHOD /path' of every call that no route knows; it is answered 404
        errors       exceptions raised by handlers: bugs of the stand-in; answered 500 and printed
    """

    def __init__(self, port: int = 0, record_calls: bool = True) -> None:
        self.port = port
        self.record_calls = record_calls
        self.delay = 0.0
        self.connect_delay = 0.0
        self.calls: List[Call] = []
        self.count: Counter = Counter()
        self.answers: Counter = Counter()
        self.connections = 0
        self.unknown: List[str] = []
        self.errors: List[Exception] = []
        self._faults: List[Fault] = []
        self._watchers: List[Tuple[Pattern[str], Callable[[Call], Any]]] = []
        self._routes: Dict[str, Tuple[str, Handler]] = {}
        self._patterns: List[Tuple[Pattern[str], str, Handler]] = []
        self._numbers: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._thread: Optional[threading.Thread] = None
        self._failure: Optional[BaseException] = None

    # What tests and services use

    @property
    def url(self) -> str:
        """The address of the server, without a slash at its end."""
        return "http://{}:{}".format(HOST, self.port)

    def route(self, methods: str, template: str, handler: Handler) -> None:
        """Let `handler` answer the paths of `template`, whose {placeholders} stand for one part of a path each."""
        for method in methods.split():
            name = "{} {}".format(method, template)
            if "{" in template:
                pattern = re.sub(r"\\?\{\w+\\?\}", "([^/]+)", re.escape(name))
                self._patterns.append((re.compile(pattern + r"\Z"), name, handler))
            else:
                self._routes[name] = (name, handler)

    def calls_to(self, pattern: str) -> List[Call]:
        """The calls whose 'METHOD /path' matches the regular expression."""
        compiled = re.compile(pattern)
        return [call for call in list(self.calls) if compiled.search(call.asked)]

    def on(self, match: str, function: Callable[[Call], Any]) -> None:
        """Call `function(call)` for each call whose 'METHOD /path' matches, on arrival, before faults are looked at.

        It runs in the server's thread, so that the call waits for it; what it returns is ignored, and what it raises
        is kept in `errors`.
        """
        self._watchers = self._watchers + [(re.compile(match), function)]

    def fault(
        self,
        match: str,
        times: Optional[int] = 1,
        after: int = 0,
        where: Optional[Callable[[Call], bool]] = None,
        status: Optional[int] = None,
        body: Union[str, bytes, dict, list] = "",
        headers: Optional[Dict[str, str]] = None,
        content_type: str = "text/plain",
        delay: float = 0.0,
        cut: Optional[str] = None,
        work: bool = False,
        drip_head: float = 0.0,
        drip_body: float = 0.0,
    ) -> Fault:
        """Order a fault for the calls whose 'METHOD /path' matches `match` and for which `where(call)` is true.

        The first `after` of them pass, the next `times` get the fault (None: all of them). Faults are asked in the
        order in which they were given; the first that takes a call is the only one that counts it.

        status  answer this, with body, headers and content_type, instead of doing the work (a dict or list as body
                is sent as JSON)
        delay   wait before anything else; alone: wait, then work as usual
        cut     'before': drop the connection without doing the work; 'after': work, then drop it without an answer;
                'in head', 'during', 'in chunk': work, then drop it in the middle of the answer's head, of its body,
                or of a chunk of its body
        work    with status: do the work, but answer that status; with delay: do the work first, then wait
        drip_head, drip_body
                seconds between two bytes of the answer's head, or of its body: it comes one byte at a time and never
                ends, until the client leaves or the server stops; the work is done with `work` only
        """
        answer = None
        if status is not None:
            if isinstance(body, (dict, list)):
                answer = json_answer(body, status, headers)
            else:
                answer = Answer(status, body if isinstance(body, bytes) else body.encode(), content_type, headers)
        order = Fault(match, times, after, where, answer, delay, cut, work, drip_head, drip_body)
        self._faults = self._faults + [order]  # a new list: the server's thread may be walking through the old one
        return order

    def clear_faults(self) -> None:
        """Forget all faults."""
        self._faults = []

    def start(self) -> "Server":
        """Open the socket and serve. After stop() the server comes back on the same port."""
        ready = threading.Event()
        self._failure = None
        self._thread = threading.Thread(target=self._serve, args=(ready,), name=type(self).__name__, daemon=True)
        self._thread.start()
        ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def stop(self) -> None:
        """Close the socket and all connections. Calls at work are cancelled. Does nothing where nothing runs."""
        if self._thread is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._thread = self._loop = None

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    # What a service overrides

    def refuse(self, call: Call) -> Optional[Answer]:
        """The answer to a call that does not get as far as its handler (wrong credentials); None lets it through."""
        return None

    def finished(self, call: Call, answer: Optional[Answer], fault: Optional[Fault]) -> None:
        """Called once for each known call, just before it is answered; `answer` is None for a cut connection."""

    # The server's thread

    def _serve(self, ready: threading.Event) -> None:
        """Body of the thread: open, serve until stop() stops the loop, close."""
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            http, listener = loop.run_until_complete(self._open(loop))
        except BaseException as failure:  # start() raises it in the thread of the caller
            self._failure = failure
            loop.close()
            ready.set()
            return
        self._loop = loop
        ready.set()
        loop.run_forever()
        listener.close()
        loop.run_until_complete(self._close(http))
        loop.close()

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Tuple[web.Server, Any]:
        http = web.Server(self._answer, access_log=None)
        listener = await loop.create_server(http, HOST, self.port, backlog=1024)
        self.port = listener.sockets[0].getsockname()[1]
        return http, listener

    async def _close(self, http: web.Server) -> None:
        await http.shutdown(STOP_SECONDS)
        # What is still at work has lost its client, and with it the connection that shutdown() knows.
        all_tasks = getattr(asyncio, "all_tasks", None) or asyncio.Task.all_tasks  # the latter in Python 3.6
        current_task = getattr(asyncio, "current_task", None) or asyncio.Task.current_task
        left = all_tasks() - {current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0)  # transports close themselves in the next turn of the loop

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The way of every request: read it, find its route and its fault, wait, work, answer."""
        transport = request.transport
        connection, is_new = self._number(transport)
        call, body = await self._read(request, connection)
        if self.record_calls:
            self.calls.append(call)
        self._tell_watchers(call)
        name, handler, parts = self._find(call)
        self.count[name] += 1
        fault = next((fault for fault in self._faults if fault.takes(call)), None) if handler is not None else None

        wait = self.delay + (self.connect_delay if is_new else 0.0)
        if fault is not None and not fault.work:
            wait += fault.delay
        if wait > 0:
            await asyncio.sleep(wait)
        answer = await self._outcome(handler, call, body, parts, fault)
        unanswered = fault.outcome if fault is not None else ""
        self._settle(call, 0 if unanswered else answer.status)
        if handler is not None:
            self.finished(call, None if unanswered else answer, fault)
        if fault is not None and unanswered:
            if unanswered == "dripped":
                await drip(transport, fault)
            drop(transport, fault.cut, answer)
            return web.Response()  # goes nowhere: the connection is closed
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers=dict({"Content-Type": answer.content_type}, **(answer.headers or {})),
        )

    async def _read(self, request: web.BaseRequest, connection: int) -> Tuple[Call, bytes]:
        at = time.monotonic()
        body = await request.content.read()
        headers = {name.lower(): value for name, value in request.headers.items()}
        query = dict(request.query) if request.query_string else {}
        form = read_form(headers.get("content-type", ""), body)
        return Call(request.method, request.path, query, form, headers, at, connection=connection), body

    async def _outcome(
        self, handler: Optional[Handler], call: Call, body: bytes, parts: Tuple[str, ...], fault: Optional[Fault]
    ) -> Answer:
        """Do the work, or not, as the fault wants it, and return what is to be answered."""
        if handler is None:
            return text_answer(404, "Not Found")
        if fault is None:
            return self._work(handler, call, body, parts)
        if fault.cut == "before" or (fault.outcome == "dripped" and not fault.work):
            return Answer(0)
        if fault.answer is not None and not fault.work:
            return fault.answer
        answer = self._work(handler, call, body, parts)
        if fault.work and fault.delay > 0:
            await asyncio.sleep(fault.delay)
        return fault.answer or answer

    def _tell_watchers(self, call: Call) -> None:
        for pattern, function in self._watchers:
            if pattern.search(call.asked):
                try:
                    function(call)
                except Exception as error:
                    traceback.print_exc()
                    self.errors.append(error)

    def _number(self, transport: Any) -> Tuple[int, bool]:
        """The number of a connection, and whether this is its first request."""
        number = self._numbers.get(transport) if transport is not None else 0
        if number is not None:
            return number, False
        self.connections += 1
        self._numbers[transport] = self.connections
        return self.connections, True

    def _find(self, call: Call) -> Tuple[str, Optional[Handler], Tuple[str, ...]]:
        """Route-template, handler and placeholder values for a call; the handler is None where no route fits."""
        asked = call.asked
        if asked in self._routes:
            name, handler = self._routes[asked]
            return name, handler, ()
        for pattern, name, handler in self._patterns:
            found = pattern.match(asked)
            if found:
                return name, handler, found.groups()
        self.unknown.append(asked)
        return "unknown", None, ()

    def _work(self, handler: Handler, call: Call, body: bytes, parts: Tuple[str, ...]) -> Answer:
        """Do what the service does for this call."""
        try:
            return self.refuse(call) or handler(call, body, *parts)
        except Exception as error:
            traceback.print_exc()
            self.errors.append(error)
            return text_answer(500, "The stand-in has a bug: {!r}".format(error))

    def _settle(self, call: Call, status: int) -> None:
        """Note the status of a call that was remembered on arrival."""
        self.answers[status] += 1
        for index in range(len(self.calls) - 1, -1, -1):  # from the end: few calls arrived since
            if self.calls[index] is call:
                self.calls[index] = call._replace(status=status)
                return


def read_form(content_type: str, body: bytes) -> Dict[str, Any]:
    """The fields of a urlencoded or JSON body; {} for any other body, and for one that cannot be read."""
    try:
        if content_type.startswith("application/x-www-form-urlencoded"):
            return dict(parse_qsl(body.decode(), keep_blank_values=True))
        if content_type.startswith("application/json"):
            data = json.loads(body.decode())
            return data if isinstance(data, dict) else {}
    except ValueError:  # also UnicodeDecodeError and JSONDecodeError
        pass
    return {}
