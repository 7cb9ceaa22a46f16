"""An HTTPS proxy on loopback that stands in for the internet: the services' real host names lead to the stand-ins.

It ends TLS with certificates of an authority of its own, so that a program runs unchanged, with its real addresses,
where HTTPS_PROXY and REQUESTS_CA_BUNDLE are set. Bytes are handed on as they come: to the stand-ins all of it is HTTP.
"""

import base64
import contextlib
import datetime
import os
import selectors
import shutil
import socket
import ssl
import tempfile
import threading
import warnings
from typing import Any, Callable, Dict, List, Optional, Tuple

from .onevizion import OneVizion
from .server import HOST
from .slack import Slack

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # on Python 3.6 the package below warns of that Python
    import trustme

ONEVIZION_HOST = "example.onevizion.com"
ONEVIZION_DOMAIN = ".onevizion.com"
SLACK_HOSTS = ("slack.com", "slack-gov.com", "files.slack.com")
STORAGE_HOST = "storage.example.net"
HEAD_BYTES = 65536  # of a CONNECT request, at most
PIECE_BYTES = 65536
CONNECT_SECONDS = 10  # for the head and the TLS handshake of a client that has fallen silent
CLEARED = ("HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "CURL_CA_BUNDLE")  # as a shell may have set them


class Proxy:
    """The proxy. As a context manager it runs, and lets both services hand out https addresses.

    Attributes to set:
        user, password  what it wants of each client (407 otherwise); no user: nothing
        barred          hosts that it does not connect to (403)
        wrong_host      the host that its certificates name instead of the one that is asked for
        not_after       when its certificates end to be valid
    Attributes to read:
        hosts    the host of each CONNECT that was let through, in order
        unknown  hosts asked for that are none of the services' (502)
        url      'http://127.0.0.1:PORT'
        ca_file  path of the authority's certificate (PEM)
    """

    def __init__(self, onevizion: OneVizion, slack: Slack) -> None:
        self.user = ""
        self.password = ""
        self.barred: List[str] = []
        self.wrong_host = ""
        self.not_after: Optional[datetime.datetime] = None
        self.hosts: List[str] = []
        self.unknown: List[str] = []
        self.url = ""
        self.ca_file = ""
        self._onevizion = onevizion
        self._slack = slack
        self._authority = trustme.CA()
        self._contexts: Dict[str, ssl.SSLContext] = {}
        self._lock = threading.Lock()
        self._sockets: List[socket.socket] = []
        self._listener: Optional[socket.socket] = None
        self._directory = ""

    def __enter__(self) -> "Proxy":
        self._directory = tempfile.mkdtemp(prefix="proxy-")
        self.ca_file = os.path.join(self._directory, "ca.pem")
        self._authority.cert_pem.write_to_path(self.ca_file)
        self._listener = socket.socket()
        self._listener.bind((HOST, 0))
        self._listener.listen(256)
        self.url = "http://{}:{}".format(HOST, self._listener.getsockname()[1])
        self._slack.upload_host = "https://files.slack.com"
        self._onevizion.storage.host = "https://" + STORAGE_HOST
        start(self._accept, self._listener)
        return self

    def __exit__(self, *_: Any) -> None:
        self._slack.upload_host = None
        self._onevizion.storage.host = None
        if self._listener is not None:
            close(self._listener)
        for open_socket in self._sockets:
            end(open_socket)  # its own thread closes it
        shutil.rmtree(self._directory, ignore_errors=True)

    def environment(self) -> Dict[str, str]:
        """The variables, for a process of its own, that lead it through the proxy; others are set empty."""
        address = self.url
        if self.user:
            address = address.replace("://", "://{}:{}@".format(self.user, self.password))
        cleared = {form: "" for name in CLEARED for form in (name, name.lower())}
        return dict(cleared, HTTPS_PROXY=address, https_proxy=address, REQUESTS_CA_BUNDLE=self.ca_file)

    # The threads: one that accepts, and one for each connection

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client = listener.accept()[0]
            except OSError:  # closed
                return
            client.settimeout(CONNECT_SECONDS)
            start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        """Answer one CONNECT, and hand on what follows."""
        self._sockets.append(client)
        try:
            host, headers = read_connect(client)
            refusal = self._refusal(host, headers)
            if refusal:
                client.sendall("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n".format(refusal).encode())
                close(client)
                return
            self.hosts.append(host)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            if not client.recv(1, socket.MSG_PEEK):  # ssl leaks the socket of a client that has gone
                raise ValueError("the client says nothing")
            inside = self._context(host).wrap_socket(client, server_side=True)
            self._sockets.append(inside)
            service = socket.create_connection((HOST, self._port(host) or 0))
            self._sockets.append(service)
        except (OSError, ValueError):  # the client has gone, trusts another authority, or speaks something else
            with contextlib.suppress(OSError):
                client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
            close(client)
            return
        inside.settimeout(None)
        relay(inside, service)

    def _refusal(self, host: str, headers: Dict[str, str]) -> str:
        """The status line's end with which a CONNECT is refused; '' lets it through."""
        wanted = base64.b64encode("{}:{}".format(self.user, self.password).encode()).decode()
        if self.user and headers.get("proxy-authorization") != "Basic " + wanted:
            return '407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="sandbox"'
        if host in self.barred:
            return "403 Forbidden"
        if self._port(host) is None:
            self.unknown.append(host)
            return "502 Bad Gateway"
        return ""

    def _port(self, host: str) -> Optional[int]:
        """The port of the stand-in that answers for a host; None for a host that nobody answers for."""
        if host.endswith(ONEVIZION_DOMAIN):
            return self._onevizion.port
        if host in SLACK_HOSTS:
            return self._slack.port
        return self._onevizion.storage.port if host == STORAGE_HOST else None

    def _context(self, host: str) -> ssl.SSLContext:
        with self._lock:
            if host not in self._contexts:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                certificate = self._authority.issue_cert(self.wrong_host or host, not_after=self.not_after)
                certificate.configure_cert(context)
                self._contexts[host] = context
            return self._contexts[host]


def start(function: Callable[..., None], *arguments: Any) -> None:
    """Run a function in a thread that keeps nobody from ending."""
    threading.Thread(target=function, args=arguments, daemon=True).start()


def read_connect(client: socket.socket) -> Tuple[str, Dict[str, str]]:
    """The host of a CONNECT request to port 443, and its headers by lower-case name. Raises ValueError for another."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(PIECE_BYTES)
        if not piece or len(head) > HEAD_BYTES or not (head + piece)[:1].isalpha():
            raise ValueError("no request")
        head += piece
    first, *lines = head.decode("latin-1").split("\r\n\r\n")[0].split("\r\n")
    method, target, _ = first.split(" ")
    host, _, port = target.rpartition(":")
    if method != "CONNECT" or port != "443":
        raise ValueError("{} {} is none of ours".format(method, target))
    pairs = (line.split(":", 1) for line in lines if ":" in line)
    return host.lower(), {name.lower(): value.strip() for name, value in pairs}


def relay(client: ssl.SSLSocket, service: socket.socket) -> None:
    """Copy bytes in both directions until one side ends; then both do.

    One thread does both: OpenSSL spoils a connection that one thread reads while another writes.
    """
    other = {client: service, service: client}
    with selectors.DefaultSelector() as selector:
        for either in other:
            selector.register(either, selectors.EVENT_READ)
        try:
            while True:
                # What is decrypted already shows on no socket.
                ready = [client] if client.pending() else [key.fileobj for key, _ in selector.select()]
                for source in ready:
                    piece = source.recv(PIECE_BYTES)
                    if not piece:
                        return
                    other[source].sendall(piece)
        except (OSError, ValueError):  # cut by either side, or by the end of the proxy
            pass
        finally:
            close(client)
            close(service)


def end(open_socket: socket.socket) -> None:
    """End a connection in both directions, so that a thread which waits on it wakes up."""
    try:
        socket.socket.shutdown(open_socket, socket.SHUT_RDWR)  # ssl's own changes the object
    except OSError:
        pass


def close(open_socket: socket.socket) -> None:
    """End a connection and give its socket back."""
    end(open_socket)
    open_socket.close()
