"""OneVizion's REST API, as far as a run needs it: the Notif Queue, users and trackors, files, the integration log."""

import email.message
import json
import re
import threading
from typing import Any, BinaryIO, Callable, Dict, List, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

import requests
from onevizion import HTTPBearerAuth, NotifQueueStatus

from .calls import (
    CALL_LIMIT_SECONDS,
    CUT_OFF,
    FILE_LIMIT_SECONDS,
    NO_ANSWER,
    Interruption,
    Session,
)
from .errors import Failure, clipped, retry_after_seconds, whole_number
from .integration_log import LogEntry
from .network_errors import correction, network_reason
from .records import Record, read_record
from .settings import Settings

QUEUE = "/api/internal/notif/queue"
LOG_LIMIT_SECONDS = 5  # a log entry is not worth a longer wait
NAME_LIMIT_SECONDS = 5  # nor is the name of a file
# Between the tries of a call that may be repeated. Together they outlast the restart of a proxy, not a maintenance.
RETRY_PAUSES_SECONDS = (0.5, 1.0, 2.0)
REPEATED = ("429", "502", "503", "504", "unreachable")  # codes of Failure
# So many calls in a row without an answer, or with a temporary error, mean that OneVizion is out of order.
FAILED_CALLS_LIMIT = 10
USERS_PER_CALL = 100  # the ids stand in the query string, whose length servers limit
ATTEMPT_CHARACTERS = 250  # an attempt's text travels in a query string too
FILE_LIMIT_BYTES = 100 * 1000 * 1000  # a larger attachment stays a link
FILE_CHUNK_BYTES = 64 * 1024
FILE_NAME_CHARACTERS = 200
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


PAGE_INSTEAD = (
    "open ovUrl in a browser: OneVizion did not answer with data when asked to %s (a login or maintenance page?)"
)


class UserField(NamedTuple):
    """What a user's trackor says: its key, by which people know the user, and the value of the channel's field."""

    key: str
    value: str


class File(NamedTuple):
    """An attachment on its way: its own name, and its size in bytes."""

    name: str
    size_bytes: int


class OneVizion:
    """OneVizion's REST API. Every request passes `_call`, which bounds its time; every method raises Failure."""

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        self.url = settings.ov_url
        self._host = urlsplit(settings.ov_url).netloc
        self._interruption = interruption
        self._failed_in_a_row = 0
        self._lock = threading.Lock()  # of the number above: calls are made side by side
        self._session = Session()
        self._session.auth = HTTPBearerAuth(settings.ov_access_key, settings.ov_secret_key)

    def notif_queue(self, service_id: int) -> List[Optional[Record]]:
        """Return the records of a Notification Service that are not final; None for what has no usable id."""
        doing = "read the Notif Queue of service %d" % service_id
        params = {"service_id": str(service_id)}
        response = self._call("GET", QUEUE, doing, "ADMIN_NOTIF_QUEUE R", params=params)
        records = [read_record(raw) for raw in self._json(response, list, doing)]
        if records and not any(records):
            raise Failure(PAGE_INSTEAD % doing, retryable=True)
        return records

    def save_status(self, record_id: int, status: NotifQueueStatus) -> None:
        """Save a record's status. Saving the same one twice does no harm, so a lost answer is asked for again."""
        path = "%s/%d/update_status" % (QUEUE, record_id)
        doing = "save the status %s" % status.name
        self._call("PATCH", path, doing, "ADMIN_NOTIF_QUEUE E", params={"status": status.name})

    def add_attempt(self, record_id: int, text: str) -> None:
        """Record one failed attempt. Not repeated: a second one would be counted by OneVizion."""
        path = "%s/%d/attempts" % (QUEUE, record_id)
        params = {"error_code": clipped(text, ATTEMPT_CHARACTERS)}
        self._call("POST", path, "record the attempt", "ADMIN_NOTIF_QUEUE E", repeat=False, params=params)

    def add_log_entry(self, process_id: int, entry: LogEntry) -> None:
        """Add one entry to the integration log of the run with this processId."""
        body = {"message": entry.message, "description": entry.description, "log_level_name": entry.level}
        path = "/api/v3/modules/runs/%d/logs" % process_id
        privilege = "ADMIN_MODULE_LOG RA (platforms before 24.7: ADMIN_INTEGRATION_LOG RA)"
        self._call("POST", path, "write the integration log", privilege, False, LOG_LIMIT_SECONDS, json=body)

    def trackors_of_users(self, user_ids: Sequence[int]) -> Dict[int, Optional[int]]:
        """Return the trackorId (or None) of each user that OneVizion knows; at most USERS_PER_CALL ids."""
        doing = "read the users"
        params = {"user_ids": ",".join(str(user_id) for user_id in user_ids)}
        response = self._call("GET", "/api/internal/users", doing, "ADMIN_USERS R", params=params)
        trackors = {}
        for user in self._json(response, list, doing):
            user_id = whole_number(user.get("userId")) if isinstance(user, dict) else None
            if user_id is not None:
                trackors[user_id] = whole_number(user.get("trackorId"))
        return trackors

    def field_of_trackor(self, trackor_id: int, field: str) -> UserField:
        """Return a trackor's key and the value of a field, "" where it has none.

        :raises Failure: with code "field" where OneVizion knows no such field, or does not let this account read it
            (its documents: 404 means an unknown field or an unknown trackor, and the body says which)
        """
        doing = "read the field %s of trackor %d" % (field, trackor_id)
        path = "/api/v3/trackors/%d" % trackor_id
        response = self._call("GET", path, doing, "", accept=(403, 404), params={"fields": field})
        if response.status_code == 404:
            text = str(response.content, "utf-8", "replace")
            if re.search(r"\b%s\b" % re.escape(field), text, re.IGNORECASE):
                raise Failure("correct channelField in the settings: OneVizion knows no field %s" % field, code="field")
            if re.search(r"\b%d\b" % trackor_id, text):
                raise Failure("link the user to another trackor: trackor %d does not exist" % trackor_id)
            raise self._refusal(404, doing, "", path)
        if response.status_code == 403:
            text = "give the account R on the user trackor type and on the tab that holds the field: it cannot read %s"
            raise Failure(text % field, code="field")
        values = self._json(response, dict, doing)
        by_name = {key.upper(): "" if value is None else str(value) for key, value in values.items()}
        if field.upper() not in by_name:
            raise Failure(PAGE_INSTEAD % doing, retryable=True)
        return UserField(by_name.get("TRACKOR_KEY", ""), by_name[field.upper()])

    def file_name(self, blob_id: int) -> str:
        """Return an attachment's own name, "" where OneVizion does not say; raises nothing for a file."""
        try:
            return self._open_file(blob_id, NAME_LIMIT_SECONDS).name
        except Failure:
            return ""

    def fetch_file(self, blob_id: int, target: BinaryIO) -> File:
        """Write an attachment's content to an open file, and return its name and size.

        OneVizion may redirect to an object storage on another host; the session takes no credentials there.
        """
        return self._open_file(blob_id, FILE_LIMIT_SECONDS, target)

    def _open_file(self, blob_id: int, limit_seconds: float, target: Optional[BinaryIO] = None) -> File:
        def read(response: requests.Response) -> File:
            with response:
                name = attachment_name(response.headers.get("Content-Disposition"))
                if not name:
                    raise Failure("OneVizion answered with a page instead of the file")
                return File(name, self._write_content(response, target) if target is not None else 0)

        # Unpacked on the way, a file would not have the length that was announced.
        options: Dict[str, Any] = {"headers": {"Accept-Encoding": "identity"}, "stream": True, "allow_redirects": True}
        privilege = "R on the trackor type and the tab that hold the file"
        path = "/api/v3/files/%d" % blob_id
        file: File = self._call("GET", path, "read the file", privilege, False, limit_seconds, use=read, **options)
        return file

    def _write_content(self, response: requests.Response, target: BinaryIO) -> int:
        announced = whole_number(response.headers.get("Content-Length"))
        size = 0
        try:
            for chunk in response.iter_content(FILE_CHUNK_BYTES):
                size += len(chunk)
                if size > FILE_LIMIT_BYTES or (announced or 0) > FILE_LIMIT_BYTES:
                    raise Failure("the file is larger than %d MB" % (FILE_LIMIT_BYTES // 1000000))
                if self._interruption.requested():
                    raise Failure("the run was interrupted")
                target.write(chunk)
        except CUT_OFF as error:
            raise Failure("the file could not be read to its end (%s)" % network_reason(error)) from error
        if announced is not None and size != announced:
            raise Failure("the file could not be read to its end (%d of %d bytes)" % (size, announced))
        return size

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        privilege: str,
        repeat: bool = True,
        limit_seconds: float = CALL_LIMIT_SECONDS,
        accept: Sequence[int] = (),
        use: Optional[Callable[[requests.Response], Any]] = None,
        **options: Any,
    ) -> Any:
        """Return a response with a 2xx status that is no page for people, or with one of the statuses in `accept`.

        :param doing: what the call is for, as "OneVizion could not ..." goes on; `privilege`: what the account needs
        :param repeat: ask again after answers and cuts that may pass: only for calls that may be done twice
        :param use: makes of the response what is returned, within the limit
        """

        def ask() -> Any:
            response = self._ask(method, path, doing, privilege, accept, **options)
            return response if use is None else use(response)

        def may_repeat(failure: Failure) -> bool:
            # A read is not worth the time of a run that shall end; a status is.
            return failure.code in REPEATED and not (method == "GET" and self._interruption.requested())

        pauses = RETRY_PAUSES_SECONDS if repeat else ()
        try:
            answer = self._interruption.within(limit_seconds, ask, pauses, may_repeat)
        except Failure as failure:
            raise self._counted(repeat and failure.retryable, failure) from failure.__cause__
        except TimeoutError as error:
            if self._interruption.requested():
                raise Failure("the run was interrupted", retryable=True) from error
            raise self._counted(repeat, self._unreachable(doing, error)) from error
        if repeat:
            with self._lock:
                self._failed_in_a_row = 0
        return answer

    def _counted(self, counts: bool, failure: Failure) -> Failure:
        """Count a failed call; return the failure, or what ends the run where too many calls failed in a row."""
        with self._lock:
            self._failed_in_a_row += counts
            failed = self._failed_in_a_row
        if not counts or failed < FAILED_CALLS_LIMIT:
            return failure
        return Failure("%s (%d calls in a row failed)" % (failure, failed), retryable=True, ends_run=True)

    def _ask(
        self, method: str, path: str, doing: str, privilege: str, accept: Sequence[int], **options: Any
    ) -> requests.Response:
        """Ask once. An answer of the API is never elsewhere: a redirect leads to a login page, unless for a file."""
        if method == "GET" and self._interruption.requested():
            raise Failure("the run was interrupted", retryable=True)
        try:
            response = self._session.request(method, self.url + path, **options)
            done = 200 <= response.status_code < 300
            whole = done and not options.get("stream")
            if whole and method == "GET" and not response.content:  # no answer of the API is empty
                raise requests.ConnectionError("cut off in its head")
            page = whole and is_page(response)
        except NO_ANSWER as error:
            raise self._unreachable(doing, error) from error
        if (done and not page) or response.status_code in accept:
            return response
        response.close()
        if page:
            raise Failure(PAGE_INSTEAD % doing, retryable=True)
        refusal = self._refusal(response.status_code, doing, privilege, path)
        refusal.wait_seconds = retry_after_seconds(response.headers.get("Retry-After"))
        raise refusal

    def _unreachable(self, doing: str, error: BaseException) -> Failure:
        what, reason = "OneVizion (%s) could not be reached to %s" % (self._host, doing), network_reason(error)
        if correction(error):
            return Failure("%s: %s" % (reason, what), ends_run=True)
        setting = "HTTPS_PROXY" if "proxy" in reason else "ovUrl"
        text = "check %s and the network: %s: %s" % (setting, what, reason)
        return Failure(text, retryable=True, code="unreachable")

    def _refusal(self, status: int, doing: str, privilege: str, path: str) -> Failure:
        """Return what an HTTP status that is no success means. The body is not shown: it may be anything."""
        what, code = "OneVizion answered %d when asked to %s" % (status, doing), str(status)
        if status == 401:
            return Failure("check ovAccessKey and ovSecretKey: %s" % what, ends_run=True, code=code)
        if status == 403:
            return Failure("give the account %s: %s" % (privilege, what), ends_run=True, code=code)
        if 300 <= status < 400:
            text = "check ovUrl: OneVizion redirected the request to %s (%d, often to a login page)"
            return Failure(text % (doing, status), retryable=True, code=code)
        if status == 404 and path.startswith(QUEUE + "/"):
            text = "OneVizion has no record with this id, or ovUrl is wrong: %s"
            return Failure(text % what, retryable=True, code=code)
        if status in (404, 405):
            return Failure("check ovUrl: %s" % what, retryable=True, code=code)
        retryable = status >= 500 or status in (408, 429)
        return Failure("if it keeps happening, ask OneVizion's support: %s" % what, retryable, code=code)

    def _json(self, response: requests.Response, kind: type, doing: str) -> Any:
        try:
            value = json.loads(response.content.decode("utf-8-sig"))  # JSON is UTF-8, whatever the header says
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, kind):
            raise Failure(PAGE_INSTEAD % doing, retryable=True)
        return value


def is_page(response: requests.Response) -> bool:
    """Tell whether a body is a page for people. A login or maintenance page comes with status 200, and did nothing."""
    kind = str(response.headers.get("Content-Type", ""))
    return kind.startswith("text/html") or response.content[:100].lstrip().startswith(b"<")


def attachment_name(content_disposition: Optional[str]) -> str:
    """Return the file name in a Content-Disposition header, fit to be shown; "" where there is none.

    `filename*` goes before `filename` (RFC 6266). A name that is cut keeps its extension.
    """
    text = (content_disposition or "").replace("\n", " ").replace("\r", " ")
    starred = re.search(r"(?i);\s*filename\*\s*=", text)
    if starred:
        text = re.sub(r"""(?i);\s*filename\s*=\s*("(\\.|[^"])*"|[^;]*)""", "", text)
    header = email.message.Message()
    header["Content-Disposition"] = text
    try:
        name = header.get_filename() or ""
    except (ValueError, LookupError):  # an encoding that does not exist
        name = "attachment"
    name = UNSHOWABLE.sub("", re.split(r"[/\\]", name)[-1]).strip()
    stem, dot, extension = name.rpartition(".")
    if len(name) > FILE_NAME_CHARACTERS and stem and len(extension) <= 10:
        return clipped(stem, FILE_NAME_CHARACTERS - len(dot + extension)) + dot + extension
    return clipped(name, FILE_NAME_CHARACTERS)
