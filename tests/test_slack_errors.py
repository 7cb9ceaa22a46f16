"""What an error of Slack means, and what its text tells an admin to do."""

import re

import pytest

from slack_notification import slack_errors
from slack_notification.slack_errors import CHANNEL, END_RUN, FILE, MESSAGE, slack_failure

ANY_CODES = sorted(slack_errors.ERRORS) + ["invalid_blocks_format", "draft_not_found", "brand_new"]
# The first 200 characters of an entry are what the log's table shows.
PREFIX = "record 1004711 for jane.doe@example.com (1000106) not delivered to #operations: "


@pytest.mark.parametrize(
    ("code", "kind", "advice"),
    [
        ("token_expired", END_RUN, "make a new app from the README's manifest"),
        ("team_not_found", CHANNEL, "enter the channel's ID (C…)"),
        ("not_in_channel", CHANNEL, "invite the app to the channel, or add the scope chat:write.public"),
        ("no_permission", CHANNEL, "invite the app to the channel; if that does not help, ask an administrator"),
        ("org_login_required", END_RUN, "wait until that has ended"),
        ("ekm_access_denied", CHANNEL, "administrators have disabled sending messages to this channel"),
        ("invalid_auth", END_RUN, "copy the Bot User OAuth Token of the app into slackBotToken; if it is right, Slack"),
        ("invalid_auth", END_RUN, "does not accept calls from this IP address"),
        ("accesslimited", END_RUN, "Slack limits access on this network"),
        ("user_disabled", CHANNEL, "account is deactivated"),
        ("invalid_channel", CHANNEL, "correct the channel"),
        ("posting_to_general_channel_denied", CHANNEL, "do not let the app post there"),
        ("file_uploads_disabled", FILE, "turned file uploads off"),
        ("file_uploads_except_images_disabled", FILE, "no files except images"),
        ("storage_limit_reached", FILE, "file storage of your Slack workspace is full"),
        ("file_type_not_allowed", FILE, "does not allow files of this type"),
        ("restricted_action_read_only_channel", CHANNEL, "do not let the app post there"),
        ("restricted_action_thread_locked", MESSAGE, "the thread takes no replies"),
        ("invalid_blocks_format", MESSAGE, "report this"),
        ("slack_connect_blocked_file_type", FILE, "shared with other companies"),
    ],
)
def test_a_permanent_error_is_told_as_Slacks_documents_mean_it(code, kind, advice):
    failure = slack_failure(code, posting=kind != FILE)
    assert slack_errors.kind(code) == kind
    assert advice in str(failure)
    assert (failure.retryable, failure.ends_run, failure.code) == (False, kind == END_RUN, code)


@pytest.mark.parametrize(
    "code", ["external_channel_migrating", "service_unavailable", "request_timeout", "message_limit_exceeded"]
)
def test_a_temporary_error_after_which_nothing_was_posted_does_not_send_anybody_to_look(code):
    failure = slack_failure(code)
    assert (failure.retryable, failure.ends_run) == (True, False)
    assert "posted anyway" not in str(failure)


@pytest.mark.parametrize("code", ["internal_error", "fatal_error", "brand_new"])
def test_after_any_other_error_another_attempt_may_work_and_the_message_may_be_there(code):
    failure = slack_failure(code)
    assert (failure.retryable, failure.ends_run) == (True, False)
    assert str(failure) == "it may have been posted anyway; look in the channel (Slack: %s)" % code
    assert "posted" not in str(slack_failure(code, posting=False))


def test_a_missing_scope_is_named():
    text = "add the %s under OAuth & Permissions of the app, and install it again (Slack: missing_scope)"
    assert str(slack_failure("missing_scope", "chat:write")) == text % "scope chat:write"
    assert str(slack_failure("missing_scope")) == text % "missing scope"


def test_a_missing_scope_for_files_ends_no_run():
    assert slack_failure("missing_scope", "chat:write").ends_run
    assert not slack_failure("missing_scope", "files:write", posting=False).ends_run


def test_a_file_needs_the_app_in_the_channel_whatever_its_scopes():
    assert "invite the app" in str(slack_failure("not_in_channel", posting=False))
    assert "or add the scope" not in str(slack_failure("not_in_channel", posting=False))


@pytest.mark.parametrize("code", ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long"])
def test_blocks_that_Slack_refuses_are_worth_a_post_of_the_text_alone(code):
    assert slack_errors.concerns_blocks(code)


@pytest.mark.parametrize("code", ["channel_not_found", "no_text", "internal_error", "restricted_action"])
def test_no_other_error_costs_a_second_post(code):
    assert not slack_errors.concerns_blocks(code)


@pytest.mark.parametrize("code", ANY_CODES)
def test_what_to_do_comes_first_and_fits_into_the_table_of_the_log(code):
    text = str(slack_failure(code, "chat:write"))
    assert text.endswith(" (Slack: %s)" % code)
    assert "%" not in text
    if slack_errors.kind(code) != END_RUN:
        assert len(PREFIX) + text.index(" (Slack: ") <= 200


@pytest.mark.parametrize("code", ANY_CODES)
def test_no_text_promises_another_attempt_which_only_the_settings_and_the_record_can(code):
    for posting in (True, False):
        assert not re.search("next run|again later|attempt|tr(y|ies) again", str(slack_failure(code, posting=posting)))


@pytest.mark.parametrize("code", ANY_CODES)
def test_an_error_of_the_channel_is_one_that_no_attempt_repairs(code):
    assert not (slack_errors.is_of_channel(code) and slack_failure(code).retryable)


@pytest.mark.parametrize(
    "code",
    [
        "invalid_arg_name",
        "invalid_arguments",
        "invalid_array_arg",
        "invalid_charset",
        "invalid_form_data",
        "invalid_post_type",
        "missing_post_type",
        "missing_argument",
        "missing_file_data",
        "invalid_metadata_format",
        "metadata_too_large",
        "draft_not_found",
        "duplicate_message_not_found",
        "too_many_attachments",
        "msg_too_long",
        "invalid_json",
        "no_text",
    ],
)
def test_a_refused_argument_costs_one_message_and_is_reported(code):
    assert slack_errors.kind(code) == MESSAGE
    assert "report this" in str(slack_failure(code))


@pytest.mark.parametrize("code", ["invalid_something_new", "missing_luck", "no_text_at_all"])
def test_an_error_that_only_resembles_a_listed_one_may_be_temporary(code):
    assert slack_failure(code).retryable
