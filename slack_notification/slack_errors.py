"""What each error code of Slack means, and what an admin does about it.

The errors are those that Slack documents for chat.postMessage, auth.test, files.getUploadURLExternal and
files.completeUploadExternal, gone through on 2026-11-25 (docs.slack.dev/reference/methods/). Slack says that its lists
are not complete: an error that is not listed here may be temporary.
"""

import re
from typing import Tuple

from .errors import Failure

END_RUN = "end of the run"  # every other post would fail the same way
CHANNEL = "channel"  # permanent for this channel: its other records need not be tried
MESSAGE = "message"  # permanent for this message only
FILE = "file"  # permanent for this file; its link stays in the message
RETRY_NOT_POSTED = "retry, not posted"
RETRY_PERHAPS_POSTED = "retry, perhaps posted"

POSTED_ANYWAY = "it may have been posted anyway; look in the channel"
TEMPORARY = "temporary; if it keeps happening, check slackUrl and the network"
LOOK_AT_STATUS = "temporary; if it keeps happening, look at slack-status.com"

COPY_TOKEN = "copy the Bot User OAuth Token of the app into slackBotToken"
INSTALL_AGAIN = "install the app again and copy its new token into slackBotToken"
ASK_ADMIN = "ask an administrator of your Slack workspace to "
MIGRATION = "Slack is moving the workspace to an Enterprise organization: wait until that has ended"
NEW_VERSION = "Slack has changed: install the newest version of this module"
NO_CHANNEL = (
    "no such channel, or a private one without the app: correct the channel (private: use its ID), or invite the app"
)
NO_PERSON = "no such person in Slack: correct the member ID"
NOT_ALLOWED = "the channel's settings do not let the app post there: change them, or use another channel"
NO_REPLIES = "the thread takes no replies: read the rest of the message in OneVizion"
INVITE_FOR_FILES = "invite the app to the channel (for files the scope chat:write.public is not enough)"
ADD_SCOPE = "add the %s under OAuth & Permissions of the app, and install it again"
REPORT = "Slack refuses this message: send it another way, and report this to the developers of this module"

# Errors about arguments: what this module sends was right when it was made, and some it does not send at all.
ARGUMENT_ERROR = re.compile(
    r"(no_text|msg_too_long|json_not_object|as_user_not_supported|attachment_payload_limit_exceeded|markdown_text_conflict"
    r"|msg_blocks_too_long|(draft|duplicate|metadata|too_many|invalid_(arg|array|blocks|charset|form|json|metadata|post)"
    r"|missing_(arg|file|post))[a-z0-9_]*)\Z"
)
# Tells whether the blocks may be what Slack refused, so that the text alone is worth a post.
concerns_blocks = re.compile(r"(invalid_blocks|msg_blocks_too_long\Z|invalid_arguments\Z)").match
FAMILY = re.compile(r"(restricted_action|slack_connect)_[a-z0-9_]+\Z")

ADVICE = {
    END_RUN: {
        "invalid_auth": COPY_TOKEN + "; if it is right, Slack does not accept calls from this IP address",
        "not_authed not_allowed_token_type is_bot": COPY_TOKEN,
        "account_inactive": "the app or its workspace was removed: " + INSTALL_AGAIN,
        "token_revoked": INSTALL_AGAIN,
        "token_expired": "make a new app from the README's manifest: token rotation cannot be turned off",
        "missing_scope": ADD_SCOPE,
        "org_login_required": MIGRATION,
        "two_factor_setup_required": ASK_ADMIN + "set up two-factor authentication for the app's owner",
        "enterprise_is_restricted": ASK_ADMIN + "install the app in the workspace, not in the organization",
        "team_access_not_granted": ASK_ADMIN + "give the app access to the workspace",
        "accesslimited": "Slack limits access on this network: " + ASK_ADMIN + "allow this server's network",
        "app_access_restricted": ASK_ADMIN + "approve the app",
        "access_denied": ASK_ADMIN + "allow the app",
        "method_deprecated deprecated_endpoint unknown_method": NEW_VERSION,
    },
    CHANNEL: {
        "channel_not_found invalid_channel": NO_CHANNEL,
        "not_in_channel": "invite the app to the channel, or add the scope chat:write.public",
        "no_permission": "invite the app to the channel; if that does not help, " + ASK_ADMIN + "allow it",
        "is_archived": "the channel is archived: unarchive it, or enter another one",
        "restricted_action posting_to_general_channel_denied posting_to_channel_denied": NOT_ALLOWED,
        "ekm_access_denied": "your Slack administrators have disabled sending messages to this channel: ask them",
        "messages_tab_disabled": "turn on the Messages Tab under App Home of the app",
        "team_not_found": "enter the channel's ID (C…): an organization's token accepts no names",
        "user_not_found": NO_PERSON,
        "user_disabled": "this person's Slack account is deactivated: enter another channel or member ID",
        "cannot_dm_bot": "this member ID is an app's: enter the one of a person",
    },
    MESSAGE: {
        "cannot_reply_to_message restricted_action_thread_locked restricted_action_non_threadable_channel": NO_REPLIES,
    },
    FILE: {
        "file_uploads_disabled": "your Slack workspace has turned file uploads off",
        "file_uploads_except_images_disabled": "your Slack workspace takes no files except images",
        "storage_limit_reached": "the file storage of your Slack workspace is full: delete files, or change its plan",
        "file_type_not_allowed": "your Slack workspace does not allow files of this type",
        "file_upload_size_restricted": "the file is larger than your Slack workspace allows",
        "file_not_found": "Slack has lost the uploaded file",
        "file_update_failed": "Slack could not store the uploaded file",
        "slack_connect": "your Slack administrators do not allow such files in channels shared with other companies",
    },
    RETRY_NOT_POSTED: {
        "service_unavailable": LOOK_AT_STATUS,
        "request_timeout": "the request was cut on its way to Slack; if it keeps happening, check the proxy",
        "message_limit_exceeded": "the workspace sends more than its plan allows: wait, or change its plan",
        "team_added_to_org": MIGRATION,
        "external_channel_migrating": "Slack is moving the channel: wait until that has ended",
    },
}
ERRORS = {
    code: (kind, advice) for kind, rows in ADVICE.items() for codes, advice in rows.items() for code in codes.split()
}

# Temporary errors of Slack or of the whole workspace, by which an outage is known; "": no answer, or one that is no
# answer of Slack's API. Any other one, listed or not, may be the fault of a single record or channel.
OUTAGE_ERRORS = ["", "internal_error", "fatal_error", "service_unavailable", "request_timeout"]
OUTAGE_ERRORS += ["message_limit_exceeded", "team_added_to_org"]


def meaning(code: str) -> Tuple[str, str]:
    """Return the kind of an error and the advice, which is "" where only the kind of call can say it."""
    if ARGUMENT_ERROR.match(code):
        return MESSAGE, REPORT
    return ERRORS.get(code) or ERRORS.get(FAMILY.sub(r"\1", code), (RETRY_PERHAPS_POSTED, ""))


def kind(code: str) -> str:
    """Return what an error concerns, and whether it may be temporary: one of the constants above."""
    return meaning(code)[0]


def is_of_channel(code: str) -> bool:
    """Tell whether no other message can be posted in the channel either."""
    return kind(code) == CHANNEL


def slack_failure(code: str, needed: str = "", posting: bool = True) -> Failure:
    """Return what an error code means: what to do first, then the code. `needed`: the scope that is missing."""
    what, advice = meaning(code)
    if advice == ADD_SCOPE:
        advice = ADD_SCOPE % ("scope %s" % needed if needed else "missing scope")
    elif code == "not_in_channel" and not posting:
        advice = INVITE_FOR_FILES
    text = "%s (Slack: %s)" % (advice or (POSTED_ANYWAY if posting else LOOK_AT_STATUS), code)
    ends_run = what == END_RUN and not needed.startswith("files:")  # without the scope for files, messages still arrive
    return Failure(text, what in (RETRY_NOT_POSTED, RETRY_PERHAPS_POSTED), ends_run, code)
