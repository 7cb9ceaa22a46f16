"""OneVizion's REST API, as far as a run needs it."""

import email.message
import itertools
import re
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

import requests
import requests.adapters
from onevizion import HTTPBearerAuth, NotifQueueStatus

from .errors import PROGRESS, Failure, Interruption, network_reason, retry_after_seconds, whole_number
from .integration_log import LogEntry, clipped
from .settings import Settings

CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 30
LOG_TIMEOUT_SECONDS = 5  # a log entry is not worth a longer wait
# Between the tries of a call that may be repeated. Together they outlast the restart of a proxy, not a maintenance.
RETRY_PAUSES_SECONDS = (0.5, 1.0, 2.0)
RETRY_AFTER_LIMIT_SECONDS = 10  # what a single call waits when OneVizion itself names a time
RETRIED_STATUSES = (429, 502, 503, 504)
# So many calls in a row that OneVizion did not answer, or answered with a passing error, mean that it is out of reach.
FAILED_CALLS_LIMIT = 10
LARGEST_ID = 2**63 - 1  # a larger number is no id, and one in a list of ids could get the whole list refused
USERS_PER_CALL = 100  # the ids stand in the query string, whose length servers limit
ATTEMPT_CHARACTERS = 250  # an attempt's text travels in a query string too
# How many calls are made side by side, each on a connection that stays open. Chosen with `python -m tests.bench`: see
# the table in README.md.
WORKERS = 32
UPLOADS_AT_ONCE = 4  # files are larger than messages, and must not take the workers away from them
CONNECTIONS = WORKERS + UPLOADS_AT_ONCE + 1  # one for the integration log
FILE_LIMIT_BYTES = 100 * 1000 * 1000  # a larger attachment stays a link
FILE_CHUNK_BYTES = 64 * 1024
FILE_NAME_CHARACTERS = 200
UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # control characters and halves of characters


class Record(NamedTuple):
    """What a run needs of one record of the Notif Queue.

    Not the class of the `onevizion` package: that one wants all thirteen keys of a mail, and a record without its `bcc`
    would be lost. `status` is a name of NotifQueueStatus or whatever else stood there; `html` is as OneVizion's record
    has it (a boolean, or a text). `problem` says why the record cannot be read, and is empty otherwise.
    """

    id: int
    user_id: Optional[int]
    subject: Optional[str]
    message: Optional[str]
    html: Union[bool, str, None]
    blob_ids: Tuple[int, ...]
    status: str
    problem: str


def read_record(raw: Any) -> Optional[Record]:
    """Return the record that a JSON value of the Notif Queue stands for, or None where it has no usable id.

    A missing key counts as null. Texts that are no texts, and ids that are no numbers, become the record's `problem`.
    """
    record_id = whole_number(raw.get("notifQueueId")) if isinstance(raw, dict) else None
    if record_id is None or not 0 <= record_id <= LARGEST_ID:
        return None
    problems = [key for key in ("subj", "msg") if not isinstance(raw.get(key), (str, type(None)))]
    user_id = whole_number(raw.get("userId"))
    if (user_id is None and raw.get("userId") is not None) or not 0 <= (user_id or 0) <= LARGEST_ID:
        problems.append("userId")
    blobs = raw.get("blobDataIds")
    blob_ids = [whole_number(blob) for blob in blobs] if isinstance(blobs, list) else []
    if None in blob_ids or not isinstance(blobs, (list, type(None))):
        problems.append("blobDataIds")
    html = raw.get("html")
    problem = "its %s cannot be read" % " and ".join(problems) if problems else ""
    return Record(
        id=record_id,
        user_id=None if "userId" in problems else user_id,
        subject=None if "subj" in problems else raw.get("subj"),
        message=None if "msg" in problems else raw.get("msg"),
        html=html if isinstance(html, str) else bool(html),
        blob_ids=tuple(blob for blob in blob_ids if blob is not None),
        status=status_name(raw.get("status")),
        problem=problem,
    )


def status_name(status: Any) -> str:
    """Return a record's status as a name of NotifQueueStatus, given as name or number; what is neither, as a text."""
    number = whole_number(status)
    numbers = {known.value: known.name for known in NotifQueueStatus}
    return numbers.get(number, str(status)) if number is not None else str(status).strip().upper()


PAGE_INSTEAD = (
    "OneVizion did not answer with data when asked to %s (a login or maintenance page?): open ovUrl in a browser"
)


class UnknownField(Failure):
    """The field that holds the channel cannot be read: one trackor's trouble, or the run's where no trackor has it."""


class File(NamedTuple):
    """An attachment on its way: its own name, and its size in bytes."""

    name: str
    size_bytes: int


class OneVizion:
    """OneVizion's REST API, as far as the run needs it. Every request passes `_call`; every method raises Failure."""

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        self.url = settings.ov_url
        self._interruption = interruption
        self._failed_in_a_row = 0
        self._session = requests.Session()
        self._session.auth = HTTPBearerAuth(settings.ov_access_key, settings.ov_secret_key)
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=CONNECTIONS)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def notif_queue(self, service_id: int) -> List[Any]:
        """Return the records of a Notification Service that are not final, as the JSON values that OneVizion sent."""
        doing = "read the Notif Queue of service %d" % service_id
        response = self._call(
            "GET", "/api/internal/notif/queue", doing, "ADMIN_NOTIF_QUEUE R", params={"service_id": str(service_id)}
        )
        return list(self._json(response, list, doing))

    def save_status(self, record_id: int, status: NotifQueueStatus) -> None:
        """Save a record's status. Saving the same one twice does no harm, so a lost answer is asked for again."""
        path = "/api/internal/notif/queue/%d/update_status" % record_id
        doing = "save the status %s" % status.name
        self._call("PATCH", path, doing, "ADMIN_NOTIF_QUEUE E", params={"status": status.name})

    def add_attempt(self, record_id: int, text: str) -> None:
        """Record one failed attempt. Not repeated: a second one would be counted by OneVizion."""
        path = "/api/internal/notif/queue/%d/attempts" % record_id
        params = {"error_code": clipped(text, ATTEMPT_CHARACTERS)}
        self._call("POST", path, "record the attempt", "ADMIN_NOTIF_QUEUE E", repeat=False, params=params)

    def add_log_entry(self, process_id: int, entry: LogEntry) -> None:
        """Add one entry to the integration log of the run with this processId."""
        body = {"message": entry.message, "description": entry.description, "log_level_name": entry.level}
        self._call(
            "POST",
            "/api/v3/modules/runs/%d/logs" % process_id,
            "write the integration log",
            "ADMIN_MODULE_LOG RA (older platforms: ADMIN_INTEGRATION_LOG RA)",
            repeat=False,
            timeout=(LOG_TIMEOUT_SECONDS, LOG_TIMEOUT_SECONDS),
            json=body,
        )

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

    def field_of_trackor(self, trackor_id: int, field: str) -> str:
        """Return the value of a trackor's field, "" where it has none.

        :raises UnknownField: OneVizion knows no such field, or does not let this account read it (its documents: 404
            means an unknown field or an unknown trackor, and the body says which)
        """
        doing = "read the field %s of trackor %d" % (field, trackor_id)
        path = "/api/v3/trackors/%d" % trackor_id
        response = self._call("GET", path, doing, "", accept=(403, 404), params={"fields": field})
        if response.status_code == 404:
            text = text_of(response)
            if re.search(r"\b%s\b" % re.escape(field), text, re.IGNORECASE):
                raise UnknownField("OneVizion knows no field %s: correct channelField in the settings" % field)
            if re.search(r"\b%d\b" % trackor_id, text):
                raise Failure("trackor %d does not exist: link the user to a trackor that does" % trackor_id)
            raise onevizion_refusal(404, doing, "")
        if response.status_code == 403:
            raise UnknownField(
                "OneVizion does not let this account read %s: give it R on the user trackor type and on the tab that "
                "holds the field" % field
            )
        values = self._json(response, dict, doing)
        by_name = {key.upper(): value for key, value in values.items()}
        if field.upper() not in by_name:
            raise Failure(PAGE_INSTEAD % doing, may_pass=True)
        value = by_name[field.upper()]
        return "" if value is None else str(value)

    def fetch_file(self, blob_id: int, target: BinaryIO) -> File:
        """Write an attachment's content to an open file, and return its name and size.

        OneVizion may redirect to an object storage on another host; `requests` does not take the credentials there.
        """
        doing = "read the file"
        response = self._call(
            "GET",
            "/api/v3/files/%d" % blob_id,
            doing,
            "R on the trackor type and the tab that hold the file",
            repeat=False,
            stream=True,
            allow_redirects=True,
            # Unpacked on the way, a file would not have the length that was announced.
            headers={"Accept-Encoding": "identity"},
        )
        with response:
            name = attachment_name(response.headers.get("Content-Disposition"))
            if not name:
                raise Failure("OneVizion answered with a page instead of the file")
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
            except (requests.RequestException, OSError) as error:
                raise Failure("the file could not be read to its end (%s)" % network_reason(error)) from error
        if announced is not None and size != announced:
            raise Failure("the file could not be read to its end (%d of %d bytes)" % (size, announced))
        return File(name, size)

    def _call(
        self,
        method: str,
        path: str,
        doing: str,
        privilege: str,
        repeat: bool = True,
        accept: Sequence[int] = (),
        timeout: Tuple[float, float] = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
        allow_redirects: bool = False,
        **options: Any,
    ) -> requests.Response:
        """Return a response with a 2xx status that is no page for people, or with one of the statuses in `accept`.

        :param doing: what the call is for, as "OneVizion could not ..." goes on
        :param privilege: what the account needs for it
        :param repeat: try again after answers and cuts that may pass: only for calls that may be done twice
        :param allow_redirects: an answer of the API is never elsewhere, so a redirect leads to a login page
        """
        for pause in itertools.chain(RETRY_PAUSES_SECONDS if repeat else (), [None]):
            wanted, passing = None, True
            try:
                response = self._session.request(
                    method, self.url + path, timeout=timeout, allow_redirects=allow_redirects, **options
                )
            except (requests.RequestException, OSError, ValueError) as error:
                # ValueError: an address that only fails when it is used, such as a host name with an empty label
                reason = network_reason(error)
                failure = Failure(
                    "OneVizion could not be reached to %s (%s): check ovUrl and the network" % (doing, reason), True
                )
                failure.__cause__ = error
            else:
                done = 200 <= response.status_code < 300
                page = done and not options.get("stream") and is_page(response)
                if (done and not page) or response.status_code in accept:
                    self._failed_in_a_row = 0 if repeat else self._failed_in_a_row
                    return response
                response.close()
                failure = onevizion_refusal(response.status_code, doing, privilege)
                if page:
                    failure = Failure(PAGE_INSTEAD % doing, may_pass=True)
                wanted = retry_after_seconds(response.headers.get("Retry-After"))
                passing = response.status_code in RETRIED_STATUSES
            # A read is not worth the time of a run that shall end; a status is.
            if pause is None or not passing or (method == "GET" and self._interruption.requested()):
                break
            pause = max(pause, min(wanted or 0, RETRY_AFTER_LIMIT_SECONDS))
            PROGRESS.info("waiting %g s before asking again: %s", pause, failure)
            self._interruption.wait(pause)
        if repeat and failure.may_pass:
            self._failed_in_a_row += 1
            if self._failed_in_a_row >= FAILED_CALLS_LIMIT:
                text = "%d calls in a row failed, the last: %s" % (self._failed_in_a_row, failure)
                raise Failure(text, may_pass=True, ends_run=True) from failure
        raise failure

    def _json(self, response: requests.Response, kind: type, doing: str) -> Any:
        try:
            value = response.json()
        except (ValueError, RecursionError) as error:
            raise Failure(PAGE_INSTEAD % doing, may_pass=True) from error
        if not isinstance(value, kind):
            raise Failure(PAGE_INSTEAD % doing, may_pass=True)
        return value


def is_page(response: requests.Response) -> bool:
    """Tell whether a body is a page for people. A login or maintenance page comes with status 200, and did nothing."""
    kind = str(response.headers.get("Content-Type", ""))
    return kind.startswith("text/html") or response.content[:100].lstrip().startswith(b"<")


def text_of(response: requests.Response) -> str:
    """Return a body as text, whatever encoding it claims to have."""
    return str(response.content, "utf-8", "replace")


def onevizion_refusal(status: int, doing: str, privilege: str) -> Failure:
    """Return what an HTTP status that is no success means. The body is not shown: it may be anything."""
    if status == 401:
        return Failure("OneVizion refused to %s (401): check ovAccessKey and ovSecretKey" % doing, ends_run=True)
    if status == 403:
        return Failure("OneVizion refused to %s (403): give the account %s" % (doing, privilege), ends_run=True)
    if 300 <= status < 400:
        return Failure("OneVizion sent elsewhere when asked to %s (%d): check ovUrl" % (doing, status), may_pass=True)
    if status in (404, 405):
        return Failure("OneVizion could not %s (%d): check ovUrl" % (doing, status), may_pass=True)
    may_pass = status >= 500 or status in (408, 429)
    return Failure("OneVizion could not %s (%d): if this lasts, ask its support" % (doing, status), may_pass)


def attachment_name(content_disposition: Optional[str]) -> str:
    """Return the file name in a Content-Disposition header, fit to be shown; "" where there is none."""
    header = email.message.Message()
    header["Content-Disposition"] = (content_disposition or "").replace("\n", " ").replace("\r", " ")
    try:
        name = header.get_filename() or ""
    except (ValueError, LookupError):  # an encoding that does not exist
        name = "attachment"
    return clipped(UNSHOWABLE.sub("", re.split(r"[/\\]", name)[-1]).strip(), FILE_NAME_CHARACTERS)
