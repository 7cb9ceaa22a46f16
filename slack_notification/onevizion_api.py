"""OneVizion's REST API, as far as a run needs it: the Notif Queue, users and trackors, files, the integration log."""

import email.message
import email.utils
import functools
import os
import re
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

import requests
from onevizion import HTTPBearerAuth, NotifQueueStatus

from .calls import CALL_LIMIT_SECONDS, CUT_OFF, FILE_LIMIT_SECONDS, NO_ANSWER, Interruption, Session, read_json
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
NO_DATA = "open ovUrl in a browser: OneVizion did not answer with data when asked to %s (a login or maintenance page?)"


class UserField(NamedTuple):
    """What a user's trackor says: its key, by which people know the user, and the value of the channel's field."""

    key: str
    value: str


class OneVizion:
    """OneVizion's REST API. Every request has a limit in time (`_within`); every method raises Failure."""

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        self.url = settings.ov_url
        self._interruption = interruption
        self._failed_in_a_row: List[Failure] = []  # calls are made side by side: append and clear need no lock
        self._session = Session()
        self._session.auth = HTTPBearerAuth(settings.ov_access_key, settings.ov_secret_key)

    def notif_queue(self, service_id: int) -> List[Optional[Record]]:
        """Return the records of a Notification Service that are not final; None for what has no usable id."""
        doing = "read the Notif Queue of service %d" % service_id
        answer = self._call("GET", QUEUE, doing, "ADMIN_NOTIF_QUEUE R", params={"service_id": service_id})
        records = [read_record(raw) for raw in data_of(answer, list, doing)]
        if records and not any(records):
            raise Failure(NO_DATA % doing, retryable=True)
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
        self._call("POST", path, "record the attempt", "ADMIN_NOTIF_QUEUE E", params=params)

    def add_log_entry(self, process_id: int, entry: LogEntry) -> None:
        """Add one entry to the integration log of the run with this processId. Not repeated either."""
        body = {"message": entry.message, "description": entry.description, "log_level_name": entry.level}
        path = "/api/v3/modules/runs/%d/logs" % process_id
        privilege = "ADMIN_MODULE_LOG RA (platforms before 24.7: ADMIN_INTEGRATION_LOG RA)"
        self._call("POST", path, "write the integration log", privilege, LOG_LIMIT_SECONDS, json=body)

    def trackors_of_users(self, user_ids: Sequence[int]) -> Dict[int, Optional[int]]:
        """Return the trackorId (or None) of each user that OneVizion knows; at most USERS_PER_CALL ids."""
        doing = "read the users"
        params = {"user_ids": ",".join(map(str, user_ids))}
        answer = self._call("GET", "/api/internal/users", doing, "ADMIN_USERS R", params=params)
        users = [user for user in data_of(answer, list, doing) if isinstance(user, dict)]
        known = [user for user in users if whole_number(user.get("userId")) is not None]
        return {int(user["userId"]): whole_number(user.get("trackorId")) for user in known}

    def field_of_trackor(self, trackor_id: int, field: str) -> UserField:
        """Return a trackor's key and the value of a field, "" where it has none.

        :raises Failure: with code "field" where OneVizion knows no such field, or does not let this account read it
            (its documents: 404 means an unknown field or an unknown trackor, and the body says which)
        """
        doing, path = "read the field %s of trackor %d" % (field, trackor_id), "/api/v3/trackors/%d" % trackor_id
        answer = self._call("GET", path, doing, "", accept=(403, 404), params={"fields": field})
        if answer.status_code == 404:
            text = str(answer.content, "utf-8", "replace")
            if re.search(r"\b%s\b" % re.escape(field), text, re.IGNORECASE):
                raise Failure("correct channelField in the settings: OneVizion knows no field %s" % field, code="field")
            if re.search(r"\b%d\b" % trackor_id, text):
                raise Failure("link the user to another trackor: trackor %d does not exist" % trackor_id)
            raise self._refusal(answer, doing, "")
        if answer.status_code == 403:
            text = "give the account R on the user trackor type and on the tab that holds the field: it cannot read %s"
            raise Failure(text % field, code="field")
        values = data_of(answer, dict, doing).items()
        by_name = {key.upper(): "" if value is None else str(value) for key, value in values}
        if field.upper() not in by_name:
            raise Failure(NO_DATA % doing, retryable=True)
        return UserField(by_name.get("TRACKOR_KEY", ""), by_name[field.upper()])

    def file_name(self, blob_id: int) -> str:
        """Return an attachment's own name, "" where OneVizion does not say; raises nothing for a file."""
        try:
            return self.fetch_file(blob_id, None)
        except Failure:
            return ""

    def fetch_file(self, blob_id: int, target: Optional[BinaryIO]) -> str:
        """Return an attachment's own name, and write its content to an open file, unless that is None.

        OneVizion may redirect to an object storage on another host; the session takes no credentials there.
        """
        doing, privilege = "read the file", "R on the trackor type and the tab that hold the file"
        # Unpacked on the way, a file would not have the length that was announced.
        options: Dict[str, Any] = {"headers": {"Accept-Encoding": "identity"}, "stream": True}

        def read() -> str:
            with self._ask("GET", "/api/v3/files/%d" % blob_id, doing, privilege, **options) as answer:
                name = attachment_name(answer.headers.get("Content-Disposition"))
                if not name:
                    raise Failure("OneVizion answered with a page instead of the file")
                if target is not None:
                    self._write_content(answer, target)
                return name

        return str(self._within(NAME_LIMIT_SECONDS if target is None else FILE_LIMIT_SECONDS, doing, read))

    def _write_content(self, answer: requests.Response, target: BinaryIO) -> None:
        announced, size = whole_number(answer.headers.get("Content-Length")), 0
        try:
            for chunk in answer.iter_content(FILE_CHUNK_BYTES):
                size += target.write(chunk)
                if max(size, announced or 0) > FILE_LIMIT_BYTES:
                    raise Failure("the file is larger than %d MB" % (FILE_LIMIT_BYTES // 1000000))
                if self._interruption.requested():
                    raise Failure("the run was interrupted")
        except CUT_OFF as error:
            raise Failure("the file could not be read to its end (%s)" % network_reason(error)) from error
        if announced not in (None, size):
            raise Failure("the file could not be read to its end (%d of %d bytes)" % (size, announced))

    def _call(
        self, method: str, path: str, doing: str, privilege: str, seconds: float = CALL_LIMIT_SECONDS, **options: Any
    ) -> requests.Response:
        """Return what `_ask` does; ask again after what may pass, and end the run where too many calls in a row failed.

        Not so for a POST, which would count twice.
        """
        ask = functools.partial(self._ask, method, path, doing, privilege, **options)

        def may_repeat(failure: Failure) -> bool:
            # A read is not worth the time of a run that shall end; a status is.
            return failure.code in REPEATED and not (method == "GET" and self._interruption.requested())

        if method == "POST":
            return self._within(seconds, doing, ask)
        try:
            answer = self._within(seconds, doing, ask, RETRY_PAUSES_SECONDS, may_repeat)
        except Failure as failure:
            if failure.retryable:
                self._failed_in_a_row.append(failure)
            if len(self._failed_in_a_row) < FAILED_CALLS_LIMIT:
                raise
            text = "%s (%d calls in a row failed)" % (failure, len(self._failed_in_a_row))
            raise Failure(text, retryable=True, ends_run=True, code=failure.code) from failure
        self._failed_in_a_row.clear()
        return answer

    def _within(self, seconds: float, doing: str, *call: Any) -> Any:
        """Return what a call returns (see Interruption.within); its TimeoutError becomes a Failure."""
        try:
            return self._interruption.within(seconds, *call)
        except TimeoutError as error:
            if self._interruption.requested():
                raise Failure("the run was interrupted", retryable=True) from error
            raise self._unreachable(doing, error) from error

    def _ask(
        self, method: str, path: str, doing: str, privilege: str, accept: Sequence[int] = (), **options: Any
    ) -> requests.Response:
        """Return an answer with a 2xx status that is no page for people, or with one of the statuses in `accept`.

        An answer of the API is never elsewhere: a redirect leads to a login page, unless for a file.

        :param doing: what the call is for, as "OneVizion could not ..." goes on; `privilege`: what the account needs
        """
        if method == "GET" and self._interruption.requested():
            raise Failure("the run was interrupted", retryable=True)
        try:
            answer = self._session.request(method, self.url + path, **options)
            done = 200 <= answer.status_code < 300
            whole = done and not options.get("stream")
            if whole and method == "GET" and not answer.content:  # no answer of the API is empty
                raise requests.ConnectionError("cut off in its head")
        except NO_ANSWER as error:
            raise self._unreachable(doing, error) from error
        # A login or maintenance page comes with status 200, and did nothing.
        html = str(answer.headers.get("Content-Type")).startswith("text/html")
        page = whole and (html or answer.content[:100].lstrip().startswith(b"<"))
        if (done and not page) or answer.status_code in accept:
            return answer
        answer.close()
        raise Failure(NO_DATA % doing, retryable=True) if page else self._refusal(answer, doing, privilege)

    def _unreachable(self, doing: str, error: BaseException) -> Failure:
        what = "OneVizion (%s) could not be reached to %s" % (urlsplit(self.url).netloc, doing)
        reason = network_reason(error)
        if correction(error):
            return Failure("%s: %s" % (reason, what), ends_run=True)
        setting = "HTTPS_PROXY" if "proxy" in reason else "ovUrl"
        text = "check %s and the network: %s: %s" % (setting, what, reason)
        return Failure(text, retryable=True, code="unreachable")

    def _refusal(self, answer: requests.Response, doing: str, privilege: str) -> Failure:
        """Return what an HTTP status that is no success means. The body is not shown: it may be anything."""
        status = answer.status_code
        what = "OneVizion answered %d when asked to %s" % (status, doing)
        text = "if it keeps happening, ask OneVizion's support: %s"
        if status == 401:
            text = "check ovAccessKey and ovSecretKey: %s"
        elif status == 403:
            text = "give the account " + privilege + ": %s"
        elif 300 <= status < 400:
            text = "check ovUrl: %s (a redirect, often to a login page)"
        elif status == 404 and QUEUE + "/" in answer.url:
            text = "OneVizion has no record with this id, or ovUrl is wrong: %s"
        elif status in (404, 405):
            text = "check ovUrl: %s"
        retryable = status < 400 or status in (404, 405, 408, 429) or status >= 500
        wait_seconds = retry_after_seconds(answer.headers.get("Retry-After"))
        return Failure(text % what, retryable, status in (401, 403), str(status), wait_seconds)


def data_of(answer: requests.Response, kind: type, doing: str) -> Any:
    """Return the JSON in an answer; raise a Failure where it holds no `kind`."""
    value = read_json(answer, kind)
    if value is None:
        raise Failure(NO_DATA % doing, retryable=True)
    return value


def attachment_name(content_disposition: Optional[str]) -> str:
    """Return the file name in a Content-Disposition header, fit to be shown; "" where there is none.

    `filename*` goes before `filename` (RFC 6266); get_params puts it last. A name that is cut keeps its extension.
    """
    header = email.message.Message()
    header["Content-Disposition"] = re.sub("[\r\n]", " ", content_disposition or "")
    try:
        names = [value for key, value in header.get_params([], "Content-Disposition") if key.lower() == "filename"]
        name = email.utils.collapse_rfc2231_value(names[-1]) if names else ""
    except (ValueError, LookupError):  # an encoding that does not exist
        name = "attachment"
    name = UNSHOWABLE.sub("", re.split(r"[/\\]", name)[-1]).strip()
    stem, extension = os.path.splitext(name)
    if len(extension) > 11:
        stem, extension = name, ""
    return clipped(stem, FILE_NAME_CHARACTERS - len(extension)) + extension
