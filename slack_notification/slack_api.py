"""Slack's Web API, as far as a run needs it."""

import http.client
import itertools
import json
import logging
import re
import socket
import ssl
import urllib.error
import urllib.request
from typing import Any, BinaryIO, Dict, NamedTuple, Optional, Set, Tuple

import requests
import slack
import slack.errors

from .errors import PROGRESS, Failure, Interruption, RateLimited, network_reason, retry_after_seconds
from .onevizion_api import File
from .settings import Settings

SLACK_TIMEOUT_SECONDS = 30  # per socket operation
SLACK_PAUSES_SECONDS = (1.0, 2.0, 4.0)  # between tries of a call that may be repeated
SLACK_WAIT_LIMIT_SECONDS = 30  # what such a call waits when Slack names a longer time

# What an admin does about each error that Slack answers with. The lists follow Slack's documents of chat.postMessage,
# auth.test and the upload methods; they are not complete there either, so an error that is not listed may pass.
NEW_TOKEN = "copy the Bot User OAuth Token of the app into slackBotToken"
ASK_SLACK_ADMIN = "ask the administrator of your Slack workspace to allow the app"
NEW_VERSION = "Slack has changed: install the newest version of this module"
ERRORS_THAT_END_THE_RUN = {
    "invalid_auth": NEW_TOKEN,
    "not_authed": NEW_TOKEN,
    "account_inactive": "the app or its workspace was removed: install the app again, and copy its new token",
    "token_revoked": "install the app again and copy its new token into slackBotToken",
    "token_expired": "turn token rotation off in the app, and copy its new token into slackBotToken",
    "missing_scope": "add the scope under OAuth & Permissions of the app, and install it again",
    "not_allowed_token_type": NEW_TOKEN,
    "org_login_required": ASK_SLACK_ADMIN,
    "two_factor_setup_required": ASK_SLACK_ADMIN,
    "enterprise_is_restricted": ASK_SLACK_ADMIN,
    "team_access_not_granted": ASK_SLACK_ADMIN,
    "accesslimited": ASK_SLACK_ADMIN,
    "app_access_restricted": ASK_SLACK_ADMIN,
    "is_bot": NEW_TOKEN,
    "access_denied": ASK_SLACK_ADMIN,
    "method_deprecated": NEW_VERSION,
    "deprecated_endpoint": NEW_VERSION,
    "unknown_method": NEW_VERSION,
}
CHECK_MESSAGE = "Slack does not take this message: deliver it another way, and report it to the module's developers"
PERMANENT_ERRORS = {
    "channel_not_found": "no such channel, or a private one that the app was not invited to: correct the user's field "
    "(private: by ID), or invite the app",
    "is_archived": "the channel is archived: unarchive it, or type another one into the user's field",
    "not_in_channel": "invite the app to the channel, or use a public one",
    "restricted_action": "the channel's settings do not let the app post: change them, or use another channel",
    "messages_tab_disabled": "switch on the Messages Tab in the App Home of the app",
    "team_not_found": "the workspace does not exist: check the channel in the user's field",
    "user_not_found": "no such person in Slack: correct the member ID in the user's field",
    "no_permission": ASK_SLACK_ADMIN,
    "ekm_access_denied": "the workspace's encryption keys are withdrawn: ask the administrator of your Slack workspace",
    "cannot_reply_to_message": CHECK_MESSAGE,
    "no_text": CHECK_MESSAGE,
    "msg_too_long": CHECK_MESSAGE,
    "too_many_attachments": CHECK_MESSAGE,
    "msg_blocks_too_long": CHECK_MESSAGE,
    "invalid_blocks": CHECK_MESSAGE,
    "invalid_arguments": CHECK_MESSAGE,
}
RATE_LIMIT_ERRORS = ("ratelimited", "rate_limited")
# Errors after which nothing was posted. After any other that may pass, the message may be there all the same.
NOT_POSTED_ERRORS = ("service_unavailable", "request_timeout", "message_limit_exceeded", "team_added_to_org")
PERHAPS_POSTED = "it may have arrived all the same"
TRY_AGAIN = "this may pass; if it lasts, check slackUrl and the network"


class Identity(NamedTuple):
    """Who the token belongs to. `scopes` is None where Slack does not say."""

    bot: str
    workspace: str
    scopes: Optional[Set[str]]


class Posted(NamedTuple):
    """Where a post arrived: the channel's real ID, and the `ts` that replies refer to ("" where Slack did not say)."""

    channel_id: str
    ts: str


def slack_failure(code: str, channel: str, needed: str = "") -> Failure:
    """Return what an error code of Slack means, and what to do about it.

    :param channel: where a message was to be posted, as a piece of a sentence: " for #ops"; "" for any other call
    :param needed: the scope that missing_scope asks for
    """
    listed = re.sub(r"^(restricted_action|invalid_blocks).*", r"\1", code)
    if listed in ERRORS_THAT_END_THE_RUN:
        scope = " (%s)" % needed if needed else ""
        text = "Slack answered %s%s%s: %s" % (code, scope, channel, ERRORS_THAT_END_THE_RUN[listed])
        return Failure(text, ends_run=True, code=code)
    if listed in PERMANENT_ERRORS:
        return Failure("Slack answered %s%s: %s" % (code, channel, PERMANENT_ERRORS[listed]), code=code)
    perhaps_posted = bool(channel) and listed not in NOT_POSTED_ERRORS
    return passing_failure("Slack answered %s%s" % (code, channel), perhaps_posted, code)


def passing_failure(text: str, perhaps_posted: bool, code: str = "") -> Failure:
    """Return a Failure that another attempt may mend, saying so where the message may have arrived already."""
    return Failure("%s: %s" % (text, PERHAPS_POSTED if perhaps_posted else TRY_AGAIN), may_pass=True, code=code)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Answers a redirect as the error that it is. urllib would take the token along to whatever host it names."""

    def redirect_request(self, *arguments: Any) -> None:
        """Follow no redirect (see HTTPRedirectHandler)."""


class Slack:
    """Slack's Web API. The only place that knows slackclient, which is in maintenance mode: its successor goes here.

    Every request passes `_call`, every upload `_send_bytes`; the methods raise Failure, and `post` also RateLimited.
    """

    def __init__(self, settings: Settings, interruption: Interruption) -> None:
        self._interruption = interruption
        # slackclient opens its requests with urllib's installed opener as long as it is given no SSL context. That is
        # the way to one context for the whole run (reading the certificate store takes longer than a post), and to a
        # token that does not follow redirects.
        https = urllib.request.HTTPSHandler(context=ssl.create_default_context())
        urllib.request.install_opener(urllib.request.build_opener(NoRedirect, https))
        self._client = slack.WebClient(
            token=settings.slack_bot_token, base_url=settings.slack_url + "/api/", timeout=SLACK_TIMEOUT_SECONDS
        )
        # They print every failed request, and at level Debug every message and address, past our own log.
        for name in ("slack.web.base_client", "slack.web.slack_response"):
            logging.getLogger(name).setLevel(logging.CRITICAL)

    def identity(self) -> Identity:
        """Return who the token belongs to; asks again where Slack does not answer (auth.test changes nothing).

        :raises Failure: Slack refuses the token (`ends_run`), or does not answer (`may_pass`)
        """
        for pause in itertools.chain(SLACK_PAUSES_SECONDS, [None]):
            try:
                data, headers = self._call("auth.test", {}, "")
            except Failure as failure:
                if pause is None or not failure.may_pass or self._interruption.requested():
                    raise
                PROGRESS.info("waiting %g s before asking again: %s", pause, failure)
                self._interruption.wait(pause)
            except RateLimited as limited:
                if pause is None:
                    raise Failure("Slack is busy (rate limit): the next run tries again", may_pass=True) from limited
                self._wait_for_rate_limit(limited, pause)
            else:
                scopes = headers.get("x-oauth-scopes")
                granted = None if scopes is None else {scope.strip() for scope in scopes.split(",")}
                return Identity(str(data.get("user")), str(data.get("team")), granted)
        raise AssertionError("not reached")

    def post(self, channel: str, text: str, thread_ts: str = "") -> Posted:
        """Post one message, or a reply in the thread of an earlier one, without previews of its links.

        :param channel: a name with `#`, or an ID
        :raises Failure: it was not posted, or nobody knows
        :raises RateLimited: it was not posted
        """
        arguments = {"channel": channel, "text": text, "unfurl_links": False, "unfurl_media": False}
        if thread_ts:
            arguments["thread_ts"] = thread_ts
        data, _ = self._call("chat.postMessage", arguments, " for %s" % channel)
        channel_id, ts = data.get("channel"), data.get("ts")
        return Posted(channel_id if isinstance(channel_id, str) else channel, ts if isinstance(ts, str) else "")

    def share_file(self, file: File, content: BinaryIO, posted: Posted) -> None:
        """Share a file in the thread of a message, in Slack's three steps. The app must be a member of the channel.

        :param content: open at its beginning
        """
        arguments = {"filename": file.name, "length": str(file.size_bytes)}
        upload = self._call_patiently("files.getUploadURLExternal", arguments)
        self._send_bytes(str(upload.get("upload_url")), content, file)
        files = json.dumps([{"id": str(upload.get("file_id")), "title": file.name}])
        arguments = {"files": files, "channel_id": posted.channel_id, "thread_ts": posted.ts}
        self._call_patiently("files.completeUploadExternal", arguments)

    def _send_bytes(self, url: str, content: BinaryIO, file: File) -> None:
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(file.size_bytes)}
        try:
            response = requests.post(
                url, data=content, headers=headers, timeout=SLACK_TIMEOUT_SECONDS, allow_redirects=False
            )
        except (requests.RequestException, OSError, ValueError) as error:
            raise Failure("Slack did not take its bytes (%s)" % network_reason(error)) from error
        if response.status_code != 200:
            raise Failure("Slack did not take its bytes (HTTP %d)" % response.status_code)

    def _call_patiently(self, method: str, arguments: Dict[str, Any]) -> Dict[str, Any]:
        """Call a method, waiting out its rate limit. Nothing else is repeated, so nothing is shared twice."""
        for pause in SLACK_PAUSES_SECONDS:
            try:
                return self._call(method, arguments, "")[0]
            except RateLimited as limited:
                self._wait_for_rate_limit(limited, pause)
        raise Failure("Slack is busy (rate limit)")

    def _wait_for_rate_limit(self, limited: RateLimited, usual_seconds: float) -> None:
        seconds = min(limited.seconds or usual_seconds, SLACK_WAIT_LIMIT_SECONDS)
        PROGRESS.info("waiting %g s, Slack's rate limit", seconds)
        self._interruption.wait(seconds)

    def _call(self, method: str, arguments: Dict[str, Any], where: str) -> Tuple[Dict[str, Any], Dict[str, str]]:
        """Return the data and the headers (lower-case names) of a successful answer.

        :param where: where a message is to be posted: " for #ops"; "" for any other call
        """
        posting = bool(where)
        try:
            response = self._client.api_call(method, params=arguments)
        except slack.errors.SlackApiError as error:
            raise self._verdict(error.response, where) from error
        except urllib.error.URLError as error:
            begun = not isinstance(error.reason, (ConnectionRefusedError, socket.gaierror, ssl.SSLError))
            text = "Slack could not be reached%s (%s)" % (where, network_reason(error))
            raise passing_failure(text, posting and begun) from error
        except (OSError, http.client.HTTPException) as error:
            raise passing_failure("Slack did not answer%s (%s)" % (where, network_reason(error)), posting) from error
        except (AttributeError, LookupError, ValueError, RecursionError, slack.errors.SlackClientError) as error:
            # What slackclient raises for bodies that are no JSON object, or in an encoding that nobody knows.
            text = "Slack's answer%s cannot be read (%s)" % (where, type(error).__name__)
            raise passing_failure(text, posting) from error
        return response.data, {name.lower(): value for name, value in response.headers.items()}

    def _verdict(self, response: Any, where: str) -> Exception:
        """Return what an answer means that slackclient took for an error: its own class, or a dict, without JSON."""
        if isinstance(response, dict):
            status, headers, data = response.get("status"), response.get("headers"), None
        else:
            status, headers, data = response.status_code, response.headers, response.data
        data = data if isinstance(data, dict) else {}
        code, needed = data.get("error"), str(data.get("needed"))
        if status == 429 or code in RATE_LIMIT_ERRORS:
            names = {name.lower(): value for name, value in dict(headers or {}).items()}
            return RateLimited(retry_after_seconds(names.get("retry-after")))
        if isinstance(code, str) and re.match(r"[a-z0-9_]{1,60}\Z", code):
            return slack_failure(code, where, needed if re.match(r"[a-z]+:[a-z._,:]+\Z", needed) else "")
        if status == 200:
            return passing_failure("Slack's answer%s cannot be read" % where, bool(where))
        return passing_failure("Slack answered HTTP %s%s" % (status, where), bool(where))
