"""Why a call got no answer, in words: what an admin has to correct, or what may pass; and whether it was sent."""

import http.client
import os
import re
import ssl
from typing import List, Optional

import requests
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

# What an admin has to correct before a call can work, by the texts of requests, urllib3 and ssl.
REASONS = {
    r"Tunnel connection failed: 407": (
        "put the right user and password into HTTPS_PROXY (# as %23, / as %2F, @ as %40): the proxy wants them (407)"
    ),
    r"Tunnel connection failed: 403": "ask your network's administrator: the proxy does not allow this host (403)",
    r"TLS CA certificate bundle|certificate or crl found|PEM lib": (
        "correct REQUESTS_CA_BUNDLE: the file with certificate authorities that it names does not exist or is not PEM"
    ),
    r"for SOCKS support": "use an http:// proxy in HTTPS_PROXY: a socks5:// proxy needs the Python package PySocks",
    r"WRONG_VERSION_NUMBER|record layer failure": (
        "if HTTPS_PROXY begins with https://, change that to http://: http was spoken where https was expected"
    ),
    r"has expired|not yet valid": "check this server's clock: the certificate has expired or is not yet valid",
    r"mismatch, certificate|doesn't match": "check the address: the certificate is for another host",
    r"local issuer|self.signed": (
        "let REQUESTS_CA_BUNDLE name a file with your own certificate authority and the public ones: "
        "the certificate is signed by an unknown authority"
    ),
    # Python 3.6 does not say why.
    r"certificate verify failed(.*?) \(_ssl": (
        r"check REQUESTS_CA_BUNDLE and this server's clock: the certificate is not accepted\1"
    ),
    # "not an address" is what `correction` says of any other ValueError or TypeError.
    r"control characters|not an address": (
        "correct HTTPS_PROXY (http://user:password@proxy.example.com:3128, with # as %23, / as %2F, @ as %40) or the "
        "address in the settings: it is not an address"
    ),
}
AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # the first one that is set counts
NOT_CONNECTED = (NewConnectionError, ConnectTimeoutError, http.client.InvalidURL)


def was_sent(error: BaseException) -> bool:
    """Tell whether a request that failed may have reached the service: it may, unless it is known that it cannot."""
    if isinstance(error, requests.exceptions.InvalidHeader):  # of the answer; a ValueError otherwise is an address
        return True
    # requests raises an OSError of no other class for a file with certificate authorities that is missing.
    if isinstance(error, (ValueError, TypeError)) or type(error) is OSError:
        return False
    return not any(hasattr(cause, "connecting") or isinstance(cause, NOT_CONNECTED) for cause in chain(error))


def chain(error: Optional[BaseException]) -> List[BaseException]:
    """Return an exception and those that were handled when it was raised, the innermost last: what it wraps."""
    found: List[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__context__
    return found


def correction(error: BaseException) -> str:
    """Return what an admin has to correct, and why, before a call like the one that failed can work; else ""."""
    if was_sent(error):
        return ""
    texts = "\n".join(map(str, chain(error)))
    if isinstance(error, (ValueError, TypeError)):
        texts += "\nnot an address"
    for pattern, words in REASONS.items():
        found = re.search(pattern, texts)
        if found:
            variable = next(filter(os.environ.get, AUTHORITIES), AUTHORITIES[0])
            return found.expand(words).replace(AUTHORITIES[0], variable)
    return ""


def network_reason(error: BaseException) -> str:
    """Return why a call failed, in words: what to correct, or what the operating system says.

    HTTP libraries wrap the reason in layers whose texts repeat the whole URL, or the proxy's with its password; only
    what is known is taken of them.
    """
    causes = chain(error)
    words = next(filter(None, map(words_of, reversed(causes))), "the connection was cut, or the answer is not HTTP")
    proxies = [getattr(getattr(cause, "connecting", None), "proxy", None) for cause in causes]
    if any(proxies) and any(isinstance(cause, NOT_CONNECTED) for cause in causes):
        words = "the proxy of HTTPS_PROXY could not be reached, %s" % words
    return correction(error) or words


def words_of(cause: BaseException) -> str:
    """Return what one exception says about the network; "" for one that says nothing, or nothing in words."""
    answer = re.search(r"Tunnel connection failed: (\d+)", str(cause))
    if answer:
        return "the proxy answered %s" % answer.group(1)
    if isinstance(cause, TimeoutError) and str(cause).startswith("no answer"):
        return str(cause)
    if "timeout" in type(cause).__name__.lower():
        return "timed out"
    text = str(cause.strerror or "") if isinstance(cause, OSError) else ""
    if isinstance(cause, ssl.SSLError):  # "[SSL: KRB5_S_TKT_NYV] unexpected eof while reading (_ssl.c:852)"
        text = re.sub(r"\[.*?\] ?| ?\(_ssl.*", "", text)
    return "" if "eof" in text.lower() else text
