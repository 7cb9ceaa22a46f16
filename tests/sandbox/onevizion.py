"""A stand-in for OneVizion: the Notif Queue, users, trackors, attachments and the module log, as the program uses them.

Everything that a test may look at afterwards (statuses, attempts, log) is kept as it was received.
"""

from typing import Any, Dict, List, NamedTuple, Optional
from urllib.parse import quote

from .server import Answer, Call, Server, json_answer, text_answer

# As an override in add_record: leave this key out.
ABSENT = object()

# In add_user: make a trackor for this user.
NEW = object()

STATUSES = ("BUILDING", "NOT_SENT", "SENDING", "FAIL_WILL_RETRY", "FAIL", "SUCCESS")
FINAL_STATUSES = ("FAIL", "SUCCESS")
LOG_LEVELS = ("Info", "Warning", "Error", "Debug")

FIRST_RECORD_ID = 4711
FIRST_USER_ID = 101
FIRST_TRACKOR_ID = 1001
FIRST_BLOB_ID = 9001

LOGIN_PAGE = "<!DOCTYPE html><html><head><title>Log in</title></head><body><form>Log in</form></body></html>"


class LogEntry(NamedTuple):
    """One entry of the module log."""

    level: str
    message: str
    description: str


class File(NamedTuple):
    """An attachment."""

    name: str
    content: bytes
    content_type: str


class Attempts(Dict[int, List[str]]):
    """Texts of the failed attempts by record; a record without any has an empty list but no key."""

    def __missing__(self, record_id: int) -> List[str]:
        return []


class Storage(Server):
    """The object storage that attachments are redirected to. Addressed as 'localhost', so that it is another host.

    `host`, where it is set, is what addresses begin with instead. `leaked` keeps the path of every call that brought
    an Authorization header; such a call is answered 400, as storage does with a signed address.
    """

    def __init__(self, record_calls: bool = True) -> None:
        super().__init__(record_calls=record_calls)
        self.leaked: List[str] = []
        self.files: Dict[int, File] = {}
        self.host: Optional[str] = None
        self.route("GET HEAD", "/files/{id}", self._file)

    def address(self, blob_id: int) -> str:
        """The signed address of a file."""
        host = self.host or "http://localhost:{}".format(self.port)
        return "{}/files/{}?X-Amz-Signature=0123abcd".format(host, blob_id)

    def refuse(self, call: Call) -> Optional[Answer]:
        if "authorization" in call.headers:
            self.leaked.append(call.path)
            return text_answer(400, "<Error><Code>InvalidArgument</Code></Error>", "application/xml")
        return None

    def _file(self, call: Call, body: bytes, blob_id: str) -> Answer:
        file = self.files.get(number(blob_id))
        if file is None:
            return text_answer(404, "<Error><Code>NoSuchKey</Code></Error>", "application/xml")
        return file_answer(file)


class OneVizion(Server):
    """OneVizion with one Notification Service.

    Attributes to set:
        channel_field  name of the trackor field that holds a user's channel
        hides_sending  whether the queue leaves out records in SENDING, too
        direct_files   whether files come from OneVizion itself, not by a redirect to the storage
    Attributes to read:
        records   the queue's raw objects, in its order
        statuses  status by record id, as it stands now
        history   (record id, status) of every saved update, in order
        attempts  texts of the failed attempts by record id
        log       the module log
        storage   the object storage (a Server of its own, started and stopped with this one)
    """

    def __init__(
        self,
        access_key: str = "test-access-key",
        secret_key: str = "test-secret-key",
        service_id: int = 7,
        port: int = 0,
        record_calls: bool = True,
    ) -> None:
        super().__init__(port, record_calls)
        self.access_key = access_key
        self.secret_key = secret_key
        self.service_id = service_id
        self.channel_field = "SLACK_CHANNEL"
        self.hides_sending = False
        self.direct_files = False
        self.records: List[Any] = []
        self.statuses: Dict[int, Any] = {}
        self.history: List[tuple] = []
        self.attempts = Attempts()
        self.log: List[LogEntry] = []
        self.users: Dict[int, Optional[int]] = {}
        self.trackors: Dict[int, Dict[str, Any]] = {}
        self.trackor_keys: Dict[int, str] = {}
        self.storage = Storage(record_calls)
        self._saved: set = set()

        self.route("GET", "/api/internal/notif/queue", self._queue)
        self.route("PATCH", "/api/internal/notif/queue/{id}/update_status", self._update_status)
        self.route("POST", "/api/internal/notif/queue/{id}/attempts", self._add_attempt)
        self.route("GET", "/api/internal/users", self._users)
        self.route("GET", "/api/v3/trackors/{id}", self._trackor)
        self.route("POST", "/api/v3/modules/runs/{id}/logs", self._add_log)
        self.route("GET HEAD", "/api/v3/files/{id}", self._file)
        self.route("GET", "/efiles/EFileGetBlobFromDb.do", self._file_page)

    def start(self) -> "OneVizion":
        self.storage.start()
        super().start()
        return self

    def stop(self) -> None:
        super().stop()
        self.storage.stop()

    def __enter__(self) -> "OneVizion":
        return self.start()

    # Seeding and looking

    def add_record(
        self,
        user_id: Optional[int] = None,
        subj: Optional[str] = "Subject",
        msg: Optional[str] = "Text",
        html: Any = False,
        blob_ids: Any = (),
        status: Any = "NOT_SENT",
        **overrides: Any,
    ) -> int:
        """Queue a notification for a user and return its notifQueueId: 4711 for the first in the queue, and so on.

        Overrides replace or add keys of the JSON object; ABSENT removes one.
        """
        record = {
            "notifQueueId": FIRST_RECORD_ID + len(self.records),
            "userId": user_id,
            "sender": "noreply@onevizion.example",
            "toAddress": None,
            "cc": None,
            "bcc": None,
            "subj": subj,
            "replyTo": None,
            "createdTs": "2026-03-02T08:00:00Z",
            "status": status,
            "msg": msg,
            "html": html,
            "blobDataIds": list(blob_ids) if isinstance(blob_ids, (tuple, list, range)) else blob_ids,
            "notifServiceId": self.service_id,
        }
        record_id = record["notifQueueId"]
        record.update(overrides)
        record = {key: value for key, value in record.items() if value is not ABSENT}
        record_id = record.get("notifQueueId", record_id)
        self.records.append(record)
        if is_id(record_id):
            self.statuses[record_id] = status
            self._saved.add(record_id)
        return record_id

    def add_raw(self, obj: Any) -> None:
        """Queue any JSON value as it is. It leaves the queue when a final status is saved for its notifQueueId."""
        self.records.append(obj)
        if isinstance(obj, dict) and is_id(obj.get("notifQueueId")):
            self.statuses[obj["notifQueueId"]] = obj.get("status")

    def add_user(
        self,
        channel: Optional[str] = None,
        user_id: Optional[int] = None,
        trackor_id: Any = NEW,
        key: Optional[str] = None,
    ) -> int:
        """Make a user and return the user's id.

        channel     value of the channel field on the user's trackor: a text, '' or None (JSON null, an empty field)
        trackor_id  number of the trackor, which is made if need be; None for a user without one
        key         TRACKOR_KEY, the name that people know the user by; 'USER-<trackor_id>' where there is none
        """
        if user_id is None:
            user_id = max(self.users, default=FIRST_USER_ID - 1) + 1
        if trackor_id is NEW:
            trackor_id = max(self.trackors, default=FIRST_TRACKOR_ID - 1) + 1
        self.users[user_id] = trackor_id
        if trackor_id is not None:
            self.trackors.setdefault(trackor_id, {})[self.channel_field] = channel
            if key is not None:
                self.trackor_keys[trackor_id] = key
        return user_id

    def add_file(self, name: str, content: bytes, content_type: str = "application/octet-stream") -> int:
        """Store an attachment and return its blob id."""
        blob_id = FIRST_BLOB_ID + len(self.storage.files)
        self.storage.files[blob_id] = File(name, content, content_type)
        return blob_id

    def status(self, record_id: int) -> Any:
        """The status of a record as it stands now."""
        return self.statuses[record_id]

    # What the service does

    def refuse(self, call: Call) -> Optional[Answer]:
        wanted = "Bearer {}:{}".format(self.access_key, self.secret_key)
        if call.path.startswith("/api/") and call.headers.get("authorization") != wanted:
            return text_answer(401, "Authorization failed")
        return None

    def _queue(self, call: Call, body: bytes) -> Answer:
        asked = number(call.query.get("service_id"))
        if asked is None:
            return text_answer(400, "service_id is required")
        return json_answer([record for record in list(self.records) if self._is_pending(record, asked)])

    def _is_pending(self, record: Any, service_id: int) -> bool:
        """Whether the queue of a service shows a record. What add_raw queued is shown until it has a final status."""
        if not isinstance(record, dict):
            return service_id == self.service_id
        record_id = record.get("notifQueueId")
        hidden = FINAL_STATUSES + (("SENDING",) if self.hides_sending else ())
        if is_id(record_id) and record_id in self._saved and self.statuses[record_id] in hidden:
            return False
        return record.get("notifServiceId", self.service_id) == service_id

    def _update_status(self, call: Call, body: bytes, record_id: str) -> Answer:
        status = call.query.get("status")
        if status not in STATUSES:
            return text_answer(400, "Unknown status {}".format(status))
        key = number(record_id)
        if key not in self.statuses:
            return text_answer(404, "Notification {} not found".format(record_id))
        self._saved.add(key)
        self.statuses[key] = status
        self.history.append((key, status))
        for record in self.records:
            if isinstance(record, dict) and "status" in record and record.get("notifQueueId") == key:
                record["status"] = status
        return Answer(200)

    def _add_attempt(self, call: Call, body: bytes, record_id: str) -> Answer:
        if not call.query.get("error_code"):
            return text_answer(400, "error_code is required")
        key = number(record_id)
        if key not in self.statuses:
            return text_answer(404, "Notification {} not found".format(record_id))
        self.attempts.setdefault(key, []).append(call.query["error_code"])
        return Answer(200)

    def _users(self, call: Call, body: bytes) -> Answer:
        asked = [number(part) for part in call.query.get("user_ids", "").split(",")]
        if None in asked:
            return text_answer(400, "user_ids is a list of numbers")
        return json_answer(
            [
                {"userId": user_id, "trackorId": self.users[user_id], "phoneNumber": None}
                for user_id in asked
                if user_id in self.users
            ]
        )

    def _trackor(self, call: Call, body: bytes, trackor_id: str) -> Answer:
        fields = self.trackors.get(number(trackor_id))
        if fields is None:
            return text_answer(404, "Trackor {} not found".format(trackor_id))
        key = self.trackor_keys.get(int(trackor_id), "USER-{}".format(trackor_id))
        found = {"TRACKOR_ID": number(trackor_id), "TRACKOR_KEY": key}
        for name in call.query.get("fields", "").split(","):
            if name in fields:
                found[name] = fields[name]
            elif name and name not in found:
                return text_answer(404, "Field {} not found".format(name))
        return json_answer(found)

    def _add_log(self, call: Call, body: bytes, process_id: str) -> Answer:
        level, message = call.form.get("log_level_name"), call.form.get("message")
        if level not in LOG_LEVELS:
            return text_answer(400, "Unknown log_level_name {}".format(level))
        if not message or not isinstance(message, str):
            return text_answer(400, "message is required")
        self.log.append(LogEntry(level, message, call.form.get("description") or ""))
        return json_answer({"log_id": len(self.log)}, 201)

    def _file(self, call: Call, body: bytes, blob_id: str) -> Answer:
        file = self.storage.files.get(number(blob_id))
        if file is None:
            return text_answer(404, "File {} not found".format(blob_id))
        if self.direct_files:
            return file_answer(file)
        return Answer(302, headers={"Location": self.storage.address(int(blob_id))})

    def _file_page(self, call: Call, body: bytes) -> Answer:
        return text_answer(200, LOGIN_PAGE, "text/html")  # whoever comes with a token is not logged in


def file_answer(file: File) -> Answer:
    """A file, named in the form that OneVizion uses."""
    disposition = "attachment; filename*=UTF-8''{}".format(quote(file.name, safe=""))
    return Answer(200, file.content, file.content_type, {"Content-Disposition": disposition})


def number(text: Optional[str]) -> Optional[int]:
    """The number in a path or query; None where there is none."""
    return int(text) if text is not None and text.isdigit() else None


def is_id(value: Any) -> bool:
    """Whether a JSON value is an id."""
    return isinstance(value, int) and not isinstance(value, bool)
