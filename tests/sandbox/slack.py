"""A stand-in for Slack: auth.test, chat.postMessage and the three calls of an upload, with its rules and its limits.

It is as unkind as Slack where that matters: errors come with status 200, long texts are cut in the middle, and what
comes too soon is answered 429.
"""

import re
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional, Sequence, Union

from .server import Answer, Call, Fault, Server, json_answer, text_answer
from .values import Channel, Message, Post, SharedFile, Upload, read_blocks, read_entries

# One message holds so many characters, and of one text no more than so many arrive.
MESSAGE_CHARACTERS = 4040
TEXT_CHARACTERS = 40000

# A client spaces its posts from start to start, but the stand-in sees them arrive. What the way takes differs from post
# to post (a thread waits for its turn, a connection is new), so that posts sent in time can arrive a little closer.
JITTER_SECONDS = 0.1

WORKSPACE_WINDOW_SECONDS = 1.0

CHANNEL_ID = re.compile(r"[CGDZ][A-Z0-9]{8,}\Z")
WORKSPACE_URL = "https://acme.slack.com/"


class Slack(Server):
    """A Slack workspace with one app.

    Attributes to set:
        scopes            what the token may do
        show_scopes       whether answers carry X-OAuth-Scopes
        token_error       error that every call with the token answers, for example 'token_revoked'
        channel_interval  seconds between two posts to a channel; None for no limit
        workspace_limit   posts in any second over all channels; None for no limit
        upload_host       what upload addresses begin with; None for this server's own address
    Attributes to read:
        messages  every Message, in the order in which they were accepted
        posts     every Post tried, in the order in which they were answered
        files     every SharedFile
        leaked    paths of the upload calls that brought a token
        refused   number of calls answered 429
    """

    def __init__(
        self,
        token: str = "xoxb-test-token",
        scopes: Sequence[str] = ("chat:write", "chat:write.public", "files:write"),
        port: int = 0,
        record_calls: bool = True,
    ) -> None:
        super().__init__(port, record_calls)
        self.token = token
        self.scopes = tuple(scopes)
        self.show_scopes = True
        self.token_error: Optional[str] = None
        self.channel_interval: Optional[float] = 1.0
        self.workspace_limit: Optional[int] = None
        self.upload_host: Optional[str] = None
        self.channels: Dict[str, Channel] = {}
        self.messages: List[Message] = []
        self.posts: List[Post] = []
        self.files: List[SharedFile] = []
        self.leaked: List[str] = []
        self._people: Dict[str, str] = {}
        self._public: Dict[str, str] = {}
        self._uploads: Dict[str, Upload] = {}
        self._tickets = 0
        self._last_accepted: Dict[str, float] = {}
        self._lately_accepted: Deque[float] = deque()

        self._method("auth.test", None, self._auth_test)
        self._method("chat.postMessage", "chat:write", self._post_message)
        self._method("files.getUploadURLExternal", "files:write", self._get_upload_url)
        self._method("files.completeUploadExternal", "files:write", self._complete_upload)
        self.route("POST", "/upload/v1/{id}", self._upload)

    def __enter__(self) -> "Slack":
        self.start()
        return self

    # Seeding and looking

    @property
    def refused(self) -> int:
        """Number of calls answered 429."""
        return self.answers[429]

    def add_channel(
        self,
        name: str,
        private: bool = False,
        archived: bool = False,
        member: bool = True,
        channel_id: Optional[str] = None,
    ) -> str:
        """Make a channel (name without #) and return its ID. `member`: whether the app was invited."""
        channel_id = channel_id or "C{:010d}".format(len(self.channels) + 1)
        self.channels[channel_id] = Channel(channel_id, "#" + name, private, archived, member)
        if not private:
            self._public[name] = channel_id
        return channel_id

    def add_person(self, user_id: Optional[str] = None) -> str:
        """Make a person, with a direct message channel, and return the user ID."""
        user_id = user_id or "U{:010d}".format(len(self._people) + 1)
        channel_id = "D{:010d}".format(len(self.channels) + 1)
        self.channels[channel_id] = Channel(channel_id, "DM " + user_id, user=user_id)
        self._people[user_id] = channel_id
        return user_id

    def texts(self, channel: str) -> List[str]:
        """The texts in a channel, given by ID or by name ('ops', '#ops', a user ID, 'DM U…'), threads included."""
        names = (channel, "#" + channel, "DM " + channel)
        return [message.text for message in list(self.messages) if message.channel == channel or message.name in names]

    def fault(self, match: str, *args: Any, error: Optional[str] = None, **kwargs: Any) -> Fault:
        """Order a fault, see Server.fault. error='x', extra={...}: answer {"ok": false, "error": "x", ...} with 200."""
        extra = kwargs.pop("extra", None) or {}
        if error is not None:
            kwargs.setdefault("status", 200)
            kwargs["body"] = dict({"ok": False, "error": error}, **extra)
        return super().fault(match, *args, **kwargs)

    # What the service does

    def _method(self, name: str, scope: Optional[str], work: Callable[[Dict[str, Any], Call], Answer]) -> None:
        """Make the API method `name`: the token is looked at first, then the scope, then the work is done."""

        def handler(call: Call, body: bytes) -> Answer:
            error = self._token_problem(call)
            if error is not None:
                return failure(error)
            if scope is not None and scope not in self.scopes:
                answer = failure("missing_scope", needed=scope, provided=",".join(self.scopes))
            else:
                answer = work(dict(call.query, **call.form), call)
            if self.show_scopes:
                shown = {"X-OAuth-Scopes": ",".join(self.scopes)}
                answer = answer._replace(headers=dict(answer.headers or {}, **shown))
            return answer

        self.route("POST" if scope == "chat:write" else "GET POST", "/api/" + name, handler)

    def _token_problem(self, call: Call) -> Optional[str]:
        authorization = call.headers.get("authorization")
        if not authorization:
            return "not_authed"
        if authorization != "Bearer " + self.token:
            return "invalid_auth"
        return self.token_error

    def finished(self, call: Call, answer: Optional[Answer], fault: Optional[Fault]) -> None:
        if call.path != "/api/chat.postMessage":
            return
        if answer is None:
            outcome = fault.outcome if fault is not None else ""
        elif isinstance(answer.data, dict) and "ok" in answer.data:
            outcome = "ok" if answer.data["ok"] else answer.data["error"]
        else:
            outcome = "HTTP {}".format(answer.status)
        arguments = dict(call.query, **call.form)
        post = Post(arguments.get("channel"), arguments.get("text"), call.at, outcome, arguments.get("blocks"))
        self.posts.append(post)

    def _auth_test(self, arguments: Dict[str, Any], call: Call) -> Answer:
        return json_answer(
            {
                "ok": True,
                "url": WORKSPACE_URL,
                "team": "Acme",
                "user": "onevizion",
                "team_id": "T0000000001",
                "user_id": "U0000000000",
                "bot_id": "B0000000001",
                "is_enterprise_install": False,
            }
        )

    def _find_channel(self, asked: str) -> Union[Channel, str]:
        """The channel that chat.postMessage is asked for, or the error.

        A private channel without the app is not told from one that does not exist.
        """
        channel_id = self._people.get(asked, asked)
        if channel_id not in self.channels:
            channel_id = self._public.get(asked[1:] if asked.startswith("#") else asked, "")
        channel = self.channels.get(channel_id)
        if channel is None or (channel.private and not channel.member):
            return "channel_not_found"
        return "is_archived" if channel.archived else channel

    def _post_message(self, arguments: Dict[str, Any], call: Call) -> Answer:
        channel = self._find_channel(str(arguments.get("channel", "")))
        if isinstance(channel, str):
            return failure(channel)
        if not channel.member and "chat:write.public" not in self.scopes:
            return failure("not_in_channel")
        text = str(arguments.get("text") or "")
        try:
            blocks = read_blocks(arguments.get("blocks"))
        except ValueError as refusal:
            error, *reasons = refusal.args
            return failure(error, response_metadata={"messages": reasons})
        if blocks is None and not text.strip():
            return failure("no_text")
        if not self._in_time(channel, call.at):
            return json_answer({"ok": False, "error": "ratelimited"}, 429, {"Retry-After": "1"})
        text = text[:TEXT_CHARACTERS]
        first = len(self.messages)
        # Beside blocks the text is for notifications only, and stays in one piece.
        size = MESSAGE_CHARACTERS if blocks is None else TEXT_CHARACTERS
        for start in range(0, len(text) or 1, size):
            ts = "{}.{:06d}".format(1700000000 + len(self.messages), 100)
            thread_ts = arguments.get("thread_ts") or None
            piece = text[start : start + size]
            self.messages.append(Message(channel.id, channel.name, piece, ts, thread_ts, call.at, arguments, blocks))
        message = self.messages[first]
        return json_answer(
            {
                "ok": True,
                "channel": channel.id,
                "ts": message.ts,
                "message": {"type": "message", "text": message.text, "ts": message.ts, "bot_id": "B0000000001"},
            }
        )

    def _in_time(self, channel: Channel, at: float) -> bool:
        """Whether the limits leave room for a post that arrived at `at`; if so, it counts as accepted."""
        if self.channel_interval is not None:
            earliest = self._last_accepted.get(channel.id, float("-inf")) + self.channel_interval - JITTER_SECONDS
            if at < earliest:
                return False
        if self.workspace_limit is not None:
            while self._lately_accepted and self._lately_accepted[0] <= at - WORKSPACE_WINDOW_SECONDS:
                self._lately_accepted.popleft()
            if len(self._lately_accepted) >= self.workspace_limit:
                return False
            self._lately_accepted.append(at)
        self._last_accepted[channel.id] = at
        return True

    def _get_upload_url(self, arguments: Dict[str, Any], call: Call) -> Answer:
        name, length = arguments.get("filename"), str(arguments.get("length", ""))
        if not name or not length.isdigit() or int(length) == 0:
            return failure("invalid_arguments")
        self._tickets += 1
        file_id = "F{:010d}".format(self._tickets)
        self._uploads[file_id] = Upload(name, int(length))
        url = "{}/upload/v1/{}".format(self.upload_host or self.url, file_id)
        return json_answer({"ok": True, "upload_url": url, "file_id": file_id})

    def _upload(self, call: Call, body: bytes, file_id: str) -> Answer:
        if "authorization" in call.headers or "token" in call.query:
            self.leaked.append(call.path)
            return text_answer(400, "no token here")
        if file_id not in self._uploads:
            return text_answer(404, "no such upload")
        if call.headers.get("content-type", "").startswith("multipart/"):
            return text_answer(400, "raw bytes expected")
        upload = self._uploads[file_id]
        if len(body) != upload.length:
            return text_answer(400, "expected {} bytes, got {}".format(upload.length, len(body)))
        upload.content = body
        return text_answer(200, "OK - {}".format(len(body)))

    def _complete_upload(self, arguments: Dict[str, Any], call: Call) -> Answer:
        entries = read_entries(arguments.get("files"))
        if not entries:
            return failure("invalid_arguments")
        uploads = [self._uploads.get(entry["id"]) for entry in entries]
        if any(upload is None or upload.content is None for upload in uploads):
            return failure("file_not_found")
        channel_id = arguments.get("channel_id") or None
        if channel_id is not None:
            error = self._share_problem(str(channel_id))
            if error is not None:
                return failure(error)
        for entry, upload in zip(entries, uploads):
            title = entry.get("title") or upload.name
            thread_ts = arguments.get("thread_ts") or None
            self.files.append(SharedFile(upload.name, title, upload.content, channel_id, thread_ts))
            del self._uploads[entry["id"]]
        files = [{"id": entry["id"], "title": entry.get("title")} for entry in entries]
        return json_answer({"ok": True, "files": files})

    def _share_problem(self, channel_id: str) -> Optional[str]:
        """Why files cannot be shared in a channel: it goes by real ID only, and only where the app is a member."""
        if not CHANNEL_ID.match(channel_id):
            return "invalid_arguments"
        channel = self.channels.get(channel_id)
        if channel is None or (channel.private and not channel.member):
            return "channel_not_found"
        if channel.archived:
            return "is_archived"
        return None if channel.member else "not_in_channel"


def failure(error: str, **more: Any) -> Answer:
    """Slack's answer to a call that failed."""
    return json_answer(dict({"ok": False, "error": error}, **more))
