"""Calls, answers, and the orders to fail: the values that a stand-in's server works with."""

import asyncio
import json
import re
from typing import Any, Callable, Dict, NamedTuple, Optional

# The places in which a fault can cut the connection: see Server.fault.
CUTS = (None, "before", "after", "in head", "during", "in chunk")


class Call(NamedTuple):
    """One request."""

    method: str
    path: str
    query: Dict[str, str]
    form: Dict[str, Any]  # the urlencoded or JSON body; {} where it is neither
    headers: Dict[str, str]  # with keys in lower case
    at: float  # time.monotonic() on arrival
    status: int = 0  # the answered status; 0 where there was no answer: connection cut, or still at work
    connection: int = 0  # names the TCP connection, counting from 1

    @property
    def asked(self) -> str:
        """The 'METHOD /path' that patterns are held against."""
        return "{} {}".format(self.method, self.path)


class Answer(NamedTuple):
    """One answer. `data` is the object that a JSON body was made of, so that nobody needs to parse it again."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Optional[Dict[str, str]] = None
    data: Any = None


def text_answer(status: int, text: str, content_type: str = "text/plain") -> Answer:
    """An answer with a text; the services answer their HTTP errors so."""
    return Answer(status, text.encode(), content_type)


def json_answer(data: Any, status: int = 200, headers: Optional[Dict[str, str]] = None) -> Answer:
    """An answer with a JSON body."""
    return Answer(status, json.dumps(data).encode(), "application/json", headers, data)


class Fault:
    """An order for some calls, as Server.fault describes it. `applied` counts how often it was carried out."""

    def __init__(
        self,
        match: str,
        times: Optional[int],
        after: int,
        where: Optional[Callable[[Call], bool]],
        answer: Optional[Answer],
        delay: float,
        cut: Optional[str],
        work: bool,
        drip_head: float = 0.0,
        drip_body: float = 0.0,
    ) -> None:
        if cut not in CUTS:
            raise ValueError("cut is one of {}, not {!r}".format(CUTS, cut))
        self.match = re.compile(match)
        self.times = times
        self.after = after
        self.where = where
        self.answer = answer
        self.delay = delay
        self.cut = cut
        self.work = work
        self.drip_head = drip_head
        self.drip_body = drip_body
        self.seen = 0
        self.applied = 0

    @property
    def outcome(self) -> str:
        """How a call ended that got no whole answer: 'cut before', 'dripped' ...; '' where it got one."""
        if self.drip_head or self.drip_body:
            return "dripped"
        return "cut {}".format(self.cut) if self.cut else ""

    def takes(self, call: Call) -> bool:
        """Whether the fault applies to this call; counts both the calls seen and those taken."""
        if not self.match.search(call.asked):
            return False
        if self.where is not None and not self.where(call):
            return False
        self.seen += 1
        if self.seen <= self.after or (self.times is not None and self.applied >= self.times):
            return False
        self.applied += 1
        return True


async def drip(transport: Any, fault: Fault) -> None:
    """Write an answer byte by byte that never ends, until the client has gone."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n"
    if fault.drip_body and transport is not None:
        transport.write(head + b"\r\n")
    start = b"" if fault.drip_body else head + b"X-Padding: "
    sent = 0
    while transport is not None and not transport.is_closing():
        transport.write(start[sent : sent + 1] or b" ")
        sent += 1
        await asyncio.sleep(fault.drip_head or fault.drip_body)


def drop(transport: Any, cut: Optional[str], answer: Answer) -> None:
    """Close a connection without an answer, or in the middle of one."""
    if transport is None:  # the client was quicker
        return
    head = "HTTP/1.1 {} Cut\r\nContent-Type: {}\r\n".format(answer.status, answer.content_type).encode()
    length = len(answer.body) + 2
    half = answer.body[: len(answer.body) // 2]
    if cut == "in head":
        transport.write(head[:-5])
    if cut == "during":
        transport.write(head + b"Content-Length: %d\r\n\r\n" % length + half)
    if cut == "in chunk":
        transport.write(head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % length + half)
    transport.close()
