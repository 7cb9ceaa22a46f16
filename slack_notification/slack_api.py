"""Slack's Web API, as far as a run needs it: auth.test, chat.postMessage, and the three steps of sharing a file."""

import functools
import json
import logging
import re
from typing import Any, BinaryIO, Dict, NamedTuple, Optional, Set
from urllib.parse import urlsplit

import slack

from .calls import CALL_LIMIT_SECONDS, FILE_LIMIT_SECONDS, NO_ANSWER, Interruption, Session, read_json
from .errors import PROGRESS, RATE_LIMITED, Failure, retry_after_seconds
from .message import Part
from .network_errors import correction, network_reason, was_sent
from .recipients import name_instead
from .settings import Settings
from .slack_errors import NO_CHANNEL, NO_PERSON, POSTED_ANYWAY, TEMPORARY, concerns_blocks, slack_failure

RETRY_PAUSES_SECONDS = (1.0, 2.0, 4.0)  # between tries of a call that may be repeated
POST = "chat.postMessage"


class Identity(NamedTuple):
    """Who the token belongs to. `scopes` is None where Slack does not say."""

    bot: str
    workspace: str
    scopes: Optional[Set[str]]


class Posted(NamedTuple):
    """Where a post arrived: the channel's real ID, and the `ts` that replies refer to ("" where Slack did not say)."""

    channel_id: str
    ts: str


class Slack(slack.WebClient):  # type: ignore[misc] # slackclient has no types
    """Slack's Web API. The time of every request is limited; every method raises Failure.

    It is slackclient with `requests` as its transport: one set of proxy and certificate rules for both services. The
    overridden method is the only door of slackclient's synchronous mode, and of its successor slack_sdk.
    """

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        super().__init__(token=settings.slack_bot_token, base_url=settings.slack_url + "/api/")
        self._host = urlsplit(settings.slack_url).netloc
        self._interruption = interruption
        self._transport = Session()
        # They print every failed request, and at level Debug every message and address, past our own log.
        for name in ("slack.web.base_client", "slack.web.slack_response", "slack_sdk.web.base_client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if not slack.WebClient.__module__.startswith("slack."):
            PROGRESS.info("the package slack here is slack_sdk's, not slackclient's; the module works with both")

    def identity(self) -> Identity:
        """Return who the token belongs to; raise a Failure where Slack refuses it (`ends_run`) or does not answer."""
        answer = self._call("auth.test", {})
        scopes = answer.headers.get("x-oauth-scopes")
        granted = None if scopes is None else {scope.strip() for scope in scopes.split(",")}
        return Identity(str(answer.get("user")), str(answer.get("team")), granted)

    def post(self, channel: str, part: Part, thread_ts: str = "") -> Posted:
        """Post one part of a message, or of the thread of an earlier one, without previews of its links.

        Where Slack does not take the blocks, the text is posted alone: the form of a message must never cost it.

        :param channel: a name with `#`, or an ID; a name in capitals that looks like an ID is tried as both
        :raises Failure: it was not posted, or nobody knows; with the code RATE_LIMITED where Slack wants it later
        """
        arguments = {"channel": channel, "text": part.text, "unfurl_links": False, "unfurl_media": False}
        if thread_ts:
            arguments["thread_ts"] = thread_ts
        try:
            return self._post(dict(arguments, blocks=json.dumps(part.blocks)))
        except Failure as failure:
            if concerns_blocks(failure.code):
                PROGRESS.warning("%s: posted without its blocks (Slack: %s)", channel, failure.code)
                return self._post(arguments)
            if failure.code == "channel_not_found" and name_instead(channel):
                return self.post(name_instead(channel), part, thread_ts)
            if failure.code == "channel_not_found" and channel[0] in "UW":
                raise Failure(str(failure).replace(NO_CHANNEL, NO_PERSON), code=failure.code) from failure
            raise

    def share_file(self, name: str, content: BinaryIO, posted: Posted) -> None:
        """Share a file, open at its end, in the thread of a message. The app must be a member of the channel."""
        length = str(content.tell())
        content.seek(0)
        upload = self._call("files.getUploadURLExternal", {"filename": name, "length": length})
        url = str(upload.get("upload_url"))
        headers = {"Content-Type": "application/octet-stream", "Content-Length": length}
        send = functools.partial(self._transport.post, url, data=content, headers=headers)
        try:
            response = self._interruption.within(FILE_LIMIT_SECONDS, send)
        except NO_ANSWER as error:
            reason = (urlsplit(url).netloc, network_reason(error))
            raise Failure("the upload to Slack failed (%s: %s)" % reason) from error
        if response.status_code != 200:
            raise Failure("the upload to Slack failed (HTTP %d)" % response.status_code)
        files = json.dumps([{"id": str(upload.get("file_id")), "title": name}])
        end = {"files": files, "channel_id": posted.channel_id, "thread_ts": posted.ts}
        self._call("files.completeUploadExternal", end)

    def _post(self, arguments: Dict[str, Any]) -> Posted:
        answer = self._call(POST, arguments)
        return Posted(str(answer.get("channel") or arguments["channel"]), str(answer.get("ts") or ""))

    def _call(self, method: str, arguments: Dict[str, Any]) -> Any:
        """Return a successful answer as slackclient has it; the names of its headers are in lower case."""

        def may_repeat(failure: Failure) -> bool:
            # Repeated after anything else, a file could be shared twice. auth.test changes nothing.
            passes = failure.retryable if method == "auth.test" else failure.code == RATE_LIMITED
            return passes and not self._interruption.requested()

        ask = functools.partial(self.api_call, method, params=arguments)
        pauses = () if method == POST else RETRY_PAUSES_SECONDS
        try:
            return self._interruption.within(CALL_LIMIT_SECONDS, ask, pauses, may_repeat)
        except TimeoutError as error:
            if self._interruption.requested() and method != POST:
                raise Failure("the run was interrupted") from error
            raise unreachable(self._host, error, method == POST) from error

    def _perform_urllib_http_request(self, *, url: str, args: Dict[str, Any]) -> Dict[str, Any]:
        """Post a form, and return status, headers and body of an answer that is a success; else raise Failure."""
        posting = url.endswith("/" + POST)
        headers = {**args["headers"], "Content-Type": "application/x-www-form-urlencoded"}  # slackclient says: JSON
        try:
            response = self._transport.post(url, data=args["params"], headers=headers)
        except NO_ANSWER as error:
            raise unreachable(self._host, error, posting) from error
        data = read_json(response, dict) or {}
        code = str(data.get("error", ""))
        if response.status_code == 429 or code in (RATE_LIMITED, "rate_limited"):
            seconds = retry_after_seconds(response.headers.get("Retry-After"))
            text = "Slack asked to wait%s (rate limit)" % (" %g s" % seconds if seconds else "")
            raise Failure(text, retryable=True, code=RATE_LIMITED, wait_seconds=seconds)
        if re.match(r"[a-z0-9_]{1,60}\Z", code):
            needed = re.match(r"[a-z]+:[a-z._,:]+\Z", str(data.get("needed")))
            raise slack_failure(code, needed.group() if needed else "", posting)
        if response.status_code != 200:
            raise temporary("Slack answered HTTP %d" % response.status_code, posting)
        if not data.get("ok"):
            raise temporary("Slack's answer cannot be read", posting)
        return {"status": 200, "headers": dict(response.headers.lower_items()), "body": json.dumps(data)}


def unreachable(host: str, error: BaseException, posting: bool) -> Failure:
    """Return the Failure of a call that got no answer; it ends the run where an admin has to correct something."""
    advice = correction(error)
    if advice:
        return Failure("%s: Slack (%s) could not be reached" % (advice, host), ends_run=True)
    text = "Slack (%s) did not answer (%s)" if was_sent(error) else "Slack (%s) could not be reached (%s)"
    return temporary(text % (host, network_reason(error)), posting and was_sent(error))


def temporary(text: str, perhaps_posted: bool) -> Failure:
    """Return a Failure after which another attempt may work, saying so where the message may be there already."""
    return Failure("%s: %s" % (text, POSTED_ANYWAY if perhaps_posted else TEMPORARY), retryable=True)


def ask_identity(slack_api: Slack) -> Identity:
    """Return who the token belongs to; raise Failure where the app may not post, too."""
    identity = slack_api.identity()
    if identity.scopes is not None and "chat:write" not in identity.scopes:
        raise slack_failure("missing_scope", "chat:write", posting=False)
    return identity
