"""The stand-ins behave as the services do: a test that passes against a wrong stand-in proves nothing."""

import http.client
import json
import os
import socket
import time
import urllib.request

import pytest
import requests

from tests.sandbox.directory import EXAMPLE_SERVICE_ID, ROOT, make_directory
from tests.sandbox.onevizion import ABSENT, LogEntry, OneVizion
from tests.sandbox.page import write_page
from tests.sandbox.reading import as_read
from tests.sandbox.slack import Post, SharedFile, Slack

OV_AUTH = {"Authorization": "Bearer test-access-key:test-secret-key"}
SLACK_AUTH = {"Authorization": "Bearer xoxb-test-token"}
QUEUE = "/api/internal/notif/queue"
PARAMETERS = "ihub_parameters.json"
TIMEOUT_SECONDS = 10


@pytest.fixture
def onevizion():
    with OneVizion() as server:
        yield server
        assert server.errors == []
        assert server.storage.errors == []


@pytest.fixture
def slack():
    with Slack() as server:
        server.channel_interval = None  # what is not about the limits need not wait for them
        yield server
        assert server.errors == []


def ask(server, method, path, headers=OV_AUTH, **kwargs):
    """One request on a connection of its own."""
    return requests.request(method, server.url + path, headers=headers, timeout=TIMEOUT_SECONDS, **kwargs)


def queue_ids(onevizion, service_id=7):
    return [record["notifQueueId"] for record in ask(onevizion, "GET", f"{QUEUE}?service_id={service_id}").json()]


def save_status(onevizion, record_id, status):
    return ask(onevizion, "PATCH", f"{QUEUE}/{record_id}/update_status?status={status}").status_code


def call(slack, method, headers=SLACK_AUTH, **arguments):
    """One Slack API call with a form body."""
    return ask(slack, "POST", "/api/" + method, headers, data=arguments)


def post(slack, channel, text="Hello", **more):
    """Post a message and return 'ok' or the error."""
    answer = call(slack, "chat.postMessage", channel=channel, text=text, **more).json()
    return "ok" if answer["ok"] else answer["error"]


def upload(slack, content, announced=None, **share):
    """The three calls of an upload; returns the status of the second and the answer of the third."""
    ticket = call(slack, "files.getUploadURLExternal", filename="plan.pdf", length=announced or len(content)).json()
    stored = requests.post(ticket["upload_url"], data=content, timeout=TIMEOUT_SECONDS)
    files = json.dumps([{"id": ticket["file_id"], "title": "The plan"}])
    return stored.status_code, call(slack, "files.completeUploadExternal", files=files, **share).json()


# The server


def test_a_call_is_remembered_with_everything_that_it_carried(slack):
    ask(slack, "POST", "/api/auth.test?a=1", SLACK_AUTH, data={"b": "2"})
    (seen,) = slack.calls
    assert (seen.method, seen.path, seen.query, seen.form, seen.status) == (
        "POST",
        "/api/auth.test",
        {"a": "1"},
        {"b": "2"},
        200,
    )
    assert seen.headers["authorization"] == SLACK_AUTH["Authorization"]
    assert seen.at <= time.monotonic()


def test_calls_on_one_connection_share_its_number_and_other_connections_have_others(onevizion):
    with requests.Session() as session:
        for _ in range(2):
            session.get(onevizion.url + QUEUE, timeout=TIMEOUT_SECONDS)
    ask(onevizion, "GET", QUEUE)
    assert [seen.connection for seen in onevizion.calls] == [1, 1, 2]
    assert onevizion.connections == 2


def test_calls_are_counted_by_route_also_when_they_are_not_recorded():
    with OneVizion(record_calls=False) as server:
        save_status(server, server.add_record(), "SENDING")
        save_status(server, server.add_record(), "SENDING")
        assert server.count == {"PATCH /api/internal/notif/queue/{id}/update_status": 2}
        assert server.calls == []


def test_calls_can_be_picked_by_method_and_path(onevizion):
    ask(onevizion, "GET", "/api/internal/users?user_ids=1")
    ask(onevizion, "GET", QUEUE)
    assert [seen.query for seen in onevizion.calls_to("GET .*/users$")] == [{"user_ids": "1"}]


def test_an_unknown_path_is_answered_404_and_remembered(slack):
    assert ask(slack, "POST", "/api/chat.update").status_code == 404
    assert slack.unknown == ["POST /api/chat.update"]


def test_a_known_path_with_another_method_is_unknown(onevizion):
    assert ask(onevizion, "POST", QUEUE).status_code == 404
    assert onevizion.unknown == ["POST " + QUEUE]


def test_a_stopped_server_refuses_connections_and_comes_back_on_its_port(slack):
    slack.stop()
    with pytest.raises(requests.ConnectionError):
        call(slack, "auth.test")
    slack.start()
    assert call(slack, "auth.test").json()["ok"]


def test_a_port_in_use_is_an_error_of_start(slack):
    with pytest.raises(OSError, match="address already in use"):
        Slack(port=slack.port).start()


def test_stopping_does_not_wait_for_calls_at_work(slack):
    slack.fault("auth.test", delay=60)
    with pytest.raises(requests.Timeout):
        requests.post(slack.url + "/api/auth.test", timeout=0.05)
    slack.stop()
    assert slack.answers[200] == 0


def test_every_answer_waits_for_the_delay_and_the_first_on_a_connection_for_the_connect_delay_too(onevizion):
    onevizion.delay, onevizion.connect_delay = 0.02, 0.3
    durations = []
    with requests.Session() as session:
        for _ in range(2):
            begin = time.monotonic()
            session.get(onevizion.url + QUEUE, timeout=TIMEOUT_SECONDS)
            durations.append(time.monotonic() - begin)
    assert durations[0] >= 0.32
    assert durations[1] >= 0.02


def test_a_function_sees_each_matching_call_on_arrival_and_changes_nothing(slack):
    slack.add_channel("ops")
    seen = []
    slack.on("chat.postMessage$", lambda call: seen.append((call.form["text"], call.status, len(slack.messages))))
    slack.fault("chat.postMessage", after=1, status=503)
    post(slack, "ops", "one")
    call(slack, "auth.test")
    assert call(slack, "chat.postMessage", channel="ops", text="two").status_code == 503
    assert seen == [("one", 0, 0), ("two", 0, 1)]


def test_what_a_watching_function_raises_is_a_bug_of_the_test_and_kept(capsys):
    with Slack() as slack:
        slack.on(".", lambda call: call.nothing)
        assert call(slack, "auth.test").status_code == 200
        assert [type(error) for error in slack.errors] == [AttributeError]
    assert "AttributeError" in capsys.readouterr().err


# Faults


def test_a_fault_skips_the_first_calls_and_applies_to_the_next_ones_only(slack):
    fault = slack.fault("POST /api/auth.test", times=2, after=1, status=503, body="maintenance")
    answers = [call(slack, "auth.test") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].text == "maintenance"
    assert answers[1].headers["Content-Type"] == "text/plain"
    assert fault.applied == 2


def test_a_fault_without_an_end_applies_until_faults_are_cleared(slack):
    slack.fault("auth.test", times=None, status=500)
    assert [call(slack, "auth.test").status_code for _ in range(3)] == [500, 500, 500]
    slack.clear_faults()
    assert call(slack, "auth.test").status_code == 200


def test_a_fault_can_be_bound_to_what_the_call_carries(slack):
    slack.add_channel("ops")
    slack.fault("chat.postMessage", where=lambda seen: seen.form["text"] == "bad", status=500)
    assert post(slack, "ops", "good") == "ok"
    assert call(slack, "chat.postMessage", channel="ops", text="bad").status_code == 500


def test_a_fault_answers_its_headers_and_content_type(slack):
    slack.fault("auth", status=429, headers={"Retry-After": "3"}, content_type="text/html", body="<p>Slow down</p>")
    answer = call(slack, "auth.test")
    assert (answer.headers["Retry-After"], answer.headers["Content-Type"]) == ("3", "text/html")
    assert slack.refused == 1


def test_an_ordinary_fault_answers_instead_of_doing_the_work(onevizion):
    record = onevizion.add_record()
    onevizion.fault("PATCH", status=500)
    assert save_status(onevizion, record, "SUCCESS") == 500
    assert onevizion.history == []


def test_a_fault_with_work_does_the_work_and_answers_otherwise(onevizion):
    record = onevizion.add_record()
    onevizion.fault("PATCH", status=500, work=True)
    assert save_status(onevizion, record, "SUCCESS") == 500
    assert onevizion.history == [(record, "SUCCESS")]


@pytest.mark.parametrize(
    ("cut", "messages", "error"),
    [
        ("before", 0, http.client.RemoteDisconnected),
        ("after", 1, http.client.RemoteDisconnected),
        ("during", 1, http.client.IncompleteRead),
        ("in chunk", 1, http.client.IncompleteRead),
    ],
)
def test_a_cut_connection_leaves_the_work_done_or_undone(slack, cut, messages, error):
    slack.add_channel("ops")
    slack.fault("chat.postMessage", cut=cut)
    request = urllib.request.Request(
        slack.url + "/api/chat.postMessage", b"channel=ops&text=Hello", SLACK_AUTH
    )  # urllib is what slackclient uses; requests hides in its older versions that a body was cut
    with pytest.raises(error):
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS).read()
    assert len(slack.messages) == messages
    assert [seen.status for seen in slack.calls] == [0]
    assert [tried.outcome for tried in slack.posts] == ["cut " + cut]


def test_a_delayed_call_is_worked_on_even_when_the_client_has_gone(slack):
    slack.add_channel("ops")
    slack.fault("chat.postMessage", delay=60, work=True)
    with pytest.raises(requests.Timeout):
        requests.post(
            slack.url + "/api/chat.postMessage",
            data={"channel": "ops", "text": "Hello"},
            headers=SLACK_AUTH,
            timeout=0.2,
        )
    assert slack.texts("ops") == ["Hello"]


@pytest.mark.parametrize("part", ["drip_head", "drip_body"])
def test_a_dripping_answer_never_ends_and_neither_a_timeout_between_bytes_nor_stop_waits_for_it(slack, part):
    slack.fault("auth.test", **{part: 0.001})
    with socket.create_connection(("127.0.0.1", slack.port), timeout=0.5) as client:
        client.sendall(b"GET /api/auth.test HTTP/1.1\r\nHost: x\r\n\r\n")
        received = b""
        while len(received) < 100:  # each byte comes within the timeout
            received += client.recv(100)
        assert (b"\r\n\r\n" in received) == (part == "drip_body")
        begin = time.monotonic()
        slack.stop()
        assert time.monotonic() - begin < 0.5
    assert slack.answers == {0: 1}


def test_a_dripping_answer_does_the_work_where_it_is_told_to_and_lets_its_client_go(slack):
    slack.add_channel("ops")
    slack.fault("chat.postMessage", drip_body=0.01, work=True)
    with requests.post(
        slack.url + "/api/chat.postMessage",
        data={"channel": "ops", "text": "Hello"},
        headers=SLACK_AUTH,
        timeout=TIMEOUT_SECONDS,
        stream=True,
    ) as answer:
        assert answer.raw.read(3) == b"   "
    assert slack.texts("ops") == ["Hello"]
    assert [tried.outcome for tried in slack.posts] == ["dripped"]


def test_a_fault_that_is_misspelt_is_refused(slack):
    with pytest.raises(ValueError, match="cut is one of"):
        slack.fault("auth.test", cut="sometimes")


def test_a_slack_fault_can_be_given_as_an_error(slack):
    slack.fault("auth.test", error="missing_scope", extra={"needed": "chat:write"})
    answer = call(slack, "auth.test")
    assert answer.status_code == 200
    assert answer.json() == {"ok": False, "error": "missing_scope", "needed": "chat:write"}


def test_the_object_storage_takes_faults_of_its_own(onevizion):
    blob = onevizion.add_file("plan.pdf", b"content")
    onevizion.storage.fault("GET", status=403)
    assert ask(onevizion, "GET", f"/api/v3/files/{blob}").status_code == 403


# OneVizion


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer test-access-key:wrong"}, {"Authorization": "Basic dDp0"}]
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", QUEUE + "?service_id=7"),
        ("PATCH", QUEUE + "/4711/update_status?status=FAIL"),
        ("POST", QUEUE + "/4711/attempts?error_code=x"),
        ("GET", "/api/internal/users?user_ids=101"),
        ("GET", "/api/v3/trackors/1001?fields=SLACK_CHANNEL"),
        ("GET", "/api/v3/files/9001"),
        ("POST", "/api/v3/modules/runs/1/logs"),
    ],
)
def test_without_the_right_token_every_call_is_answered_401_as_plain_text(onevizion, method, path, headers):
    onevizion.add_record(onevizion.add_user("ops"))
    onevizion.add_file("plan.pdf", b"content")
    answer = ask(onevizion, method, path, headers)
    assert (answer.status_code, answer.text) == (401, "Authorization failed")
    assert answer.headers["Content-Type"] == "text/plain"
    assert onevizion.history == []
    assert onevizion.attempts == {}


def test_a_record_has_every_key_that_is_always_there_and_overrides_replace_add_and_remove_keys(onevizion):
    onevizion.add_record(101, "S", "M", html=True, blob_ids=[1], sender=None, threadName="t", cc=ABSENT)
    (record,) = ask(onevizion, "GET", QUEUE + "?service_id=7").json()
    for key in ("notifQueueId", "userId", "toAddress", "bcc", "subj", "replyTo", "createdTs", "status", "msg"):
        assert key in record
    assert "cc" not in record
    assert (record["sender"], record["threadName"], record["html"], record["blobDataIds"]) == (None, "t", True, [1])


def test_records_are_numbered_from_4711_and_come_in_the_order_of_the_queue(onevizion):
    assert [onevizion.add_record() for _ in range(3)] == [4711, 4712, 4713]
    assert queue_ids(onevizion) == [4711, 4712, 4713]


def test_the_queue_leaves_out_final_records_and_shows_all_others(onevizion):
    for status in ("BUILDING", "NOT_SENT", "SENDING", "FAIL_WILL_RETRY", "FAIL", "SUCCESS"):
        onevizion.add_record(status=status)
    assert queue_ids(onevizion) == [4711, 4712, 4713, 4714]


def test_the_queue_shows_the_records_of_the_service_that_is_asked_for(onevizion):
    onevizion.add_record()
    onevizion.add_record(notifServiceId=8)
    assert queue_ids(onevizion) == [4711]
    assert queue_ids(onevizion, 8) == [4712]
    assert ask(onevizion, "GET", QUEUE).status_code == 400


def test_a_raw_value_stands_in_the_queue_as_it_is_until_its_final_status_is_saved(onevizion):
    values = [None, 5, {"notifQueueId": 1}, {"notifQueueId": 2, "status": "SUCCESS"}]
    for value in values:
        onevizion.add_raw(value)
    assert ask(onevizion, "GET", QUEUE + "?service_id=7").json() == values
    assert save_status(onevizion, 1, "FAIL") == 200
    assert ask(onevizion, "GET", QUEUE + "?service_id=7").json() == [None, 5, values[3]]


@pytest.mark.parametrize("final", ["FAIL", "SUCCESS"])
@pytest.mark.parametrize("status", ["NOT_SENT", "FAIL_WILL_RETRY"])
def test_a_record_with_a_final_status_that_is_set_back_stands_in_the_queue_again(onevizion, final, status):
    record = onevizion.add_record()
    assert save_status(onevizion, record, final) == 200
    assert queue_ids(onevizion) == []
    assert save_status(onevizion, record, status) == 200
    assert queue_ids(onevizion) == [record]
    assert onevizion.history == [(record, final), (record, status)]


def test_a_platform_that_hides_sending_records_shows_them_again_with_another_status(onevizion):
    record = onevizion.add_record()
    save_status(onevizion, record, "SENDING")
    assert queue_ids(onevizion) == [record]
    onevizion.hides_sending = True
    assert queue_ids(onevizion) == []
    save_status(onevizion, record, "FAIL_WILL_RETRY")
    assert queue_ids(onevizion) == [record]


def test_a_saved_status_is_seen_everywhere(onevizion):
    record = onevizion.add_record()
    assert save_status(onevizion, record, "FAIL_WILL_RETRY") == 200
    assert onevizion.status(record) == onevizion.statuses[record] == onevizion.records[0]["status"] == "FAIL_WILL_RETRY"
    assert onevizion.history == [(record, "FAIL_WILL_RETRY")]
    assert ask(onevizion, "GET", QUEUE + "?service_id=7").json()[0]["status"] == "FAIL_WILL_RETRY"


def test_a_status_must_be_a_known_name_and_the_record_must_exist(onevizion):
    record = onevizion.add_record()
    assert save_status(onevizion, record, "DELIVERED") == 400
    assert save_status(onevizion, record, "") == 400
    assert save_status(onevizion, 99, "FAIL") == 404
    assert onevizion.history == []


def test_an_attempt_needs_its_text_and_changes_no_status(onevizion):
    record = onevizion.add_record()
    path = f"{QUEUE}/{record}/attempts"
    assert ask(onevizion, "POST", path, params={"error_code": "a & b # c"}).status_code == 200
    assert ask(onevizion, "POST", path).status_code == 400
    assert ask(onevizion, "POST", QUEUE + "/99/attempts?error_code=x").status_code == 404
    assert onevizion.attempts == {record: ["a & b # c"]}
    assert onevizion.attempts[99] == []
    assert onevizion.status(record) == "NOT_SENT"


def test_unknown_users_are_missing_and_a_user_may_have_no_trackor(onevizion):
    one, two = onevizion.add_user("ops"), onevizion.add_user(trackor_id=None)
    users = ask(onevizion, "GET", f"/api/internal/users?user_ids={two},99,{one}").json()
    assert [(user["userId"], user["trackorId"]) for user in users] == [(two, None), (one, 1001)]
    assert ask(onevizion, "GET", "/api/internal/users?user_ids=").status_code == 400


def test_a_trackor_shows_the_fields_asked_for_and_an_empty_one_is_null(onevizion):
    onevizion.add_user("ops")
    onevizion.add_user()
    answers = [ask(onevizion, "GET", f"/api/v3/trackors/{id}?fields=SLACK_CHANNEL").json() for id in (1001, 1002)]
    assert answers[0] == {"TRACKOR_ID": 1001, "TRACKOR_KEY": "USER-1001", "SLACK_CHANNEL": "ops"}
    assert answers[1]["SLACK_CHANNEL"] is None


def test_a_user_can_have_a_key_that_people_know_the_user_by(onevizion):
    onevizion.add_user("ops", key="jdoe")
    assert ask(onevizion, "GET", "/api/v3/trackors/1001?fields=SLACK_CHANNEL").json()["TRACKOR_KEY"] == "jdoe"


def test_two_users_can_share_a_trackor(onevizion):
    onevizion.add_user("ops", trackor_id=5)
    onevizion.add_user("dev", trackor_id=5)
    assert onevizion.users == {101: 5, 102: 5}
    assert onevizion.trackors == {5: {"SLACK_CHANNEL": "dev"}}


def test_an_unknown_trackor_and_an_unknown_field_are_both_404_and_the_text_tells_which(onevizion):
    onevizion.add_user("ops")
    answers = [ask(onevizion, "GET", f"/api/v3/trackors/{asked}") for asked in ("99?fields=A", "1001?fields=NAME")]
    assert [(answer.status_code, answer.text) for answer in answers] == [
        (404, "Trackor 99 not found"),
        (404, "Field NAME not found"),
    ]


def test_the_module_log_keeps_entries_and_refuses_unknown_levels_and_empty_messages(onevizion):
    path = "/api/v3/modules/runs/31337/logs"
    entry = {"message": "Started", "description": "Version 1", "log_level_name": "Info"}
    assert ask(onevizion, "POST", path, json=entry).status_code == 201
    assert ask(onevizion, "POST", path, json=dict(entry, log_level_name="INFO")).status_code == 400
    assert ask(onevizion, "POST", path, json=dict(entry, message=None)).status_code == 400
    assert onevizion.log == [LogEntry("Info", "Started", "Version 1")]


def test_a_file_comes_by_redirect_from_another_host_that_names_it(onevizion):
    blob = onevizion.add_file("Plan é 1.pdf", b"\x00content", "application/pdf")
    path = f"/api/v3/files/{blob}"
    redirect = ask(onevizion, "GET", path, allow_redirects=False)
    assert redirect.status_code == 302
    assert redirect.headers["Location"].startswith(f"http://localhost:{onevizion.storage.port}/")
    answer = ask(onevizion, "GET", path)
    assert (answer.content, answer.headers["Content-Type"]) == (b"\x00content", "application/pdf")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Plan%20%C3%A9%201.pdf"
    assert onevizion.storage.leaked == []
    assert ask(onevizion, "GET", "/api/v3/files/99").status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_file_can_come_without_a_redirect_and_is_named_all_the_same(onevizion, method):
    blob = onevizion.add_file("Plan.pdf", b"content")
    onevizion.direct_files = True
    answer = ask(onevizion, method, f"/api/v3/files/{blob}", allow_redirects=False)
    assert (answer.status_code, answer.content) == (200, b"content" if method == "GET" else b"")
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Plan.pdf"
    assert onevizion.storage.calls == []


def test_the_name_of_a_file_can_be_had_without_its_content(onevizion):
    blob = onevizion.add_file("Plan.pdf", b"content")
    answer = ask(onevizion, "HEAD", f"/api/v3/files/{blob}", allow_redirects=True)
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Plan.pdf"
    assert answer.headers["Content-Length"] == "7"


def test_the_object_storage_refuses_and_remembers_a_call_that_carries_the_token(onevizion):
    blob = onevizion.add_file("plan.pdf", b"content")
    location = ask(onevizion, "GET", f"/api/v3/files/{blob}", allow_redirects=False).headers["Location"]
    assert requests.get(location, headers=OV_AUTH, timeout=TIMEOUT_SECONDS).status_code == 400
    assert onevizion.storage.leaked == [f"/files/{blob}"]


def test_the_link_for_people_answers_a_program_with_a_login_page(onevizion):
    blob = onevizion.add_file("plan.pdf", b"content")
    answer = ask(onevizion, "GET", f"/efiles/EFileGetBlobFromDb.do?id={blob}")
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html")


# Slack: the token


def test_without_a_token_or_with_a_wrong_one_slack_answers_200_and_an_error(slack):
    for headers, error in (({}, "not_authed"), ({"Authorization": "Bearer xoxb-other"}, "invalid_auth")):
        for method in ("auth.test", "chat.postMessage", "files.getUploadURLExternal"):
            answer = call(slack, method, headers)
            assert answer.status_code == 200
            assert answer.json() == {"ok": False, "error": error}
            assert "X-OAuth-Scopes" not in answer.headers


def test_a_revoked_token_is_answered_so_by_every_method(slack):
    slack.token_error = "token_revoked"
    assert post(slack, "ops") == call(slack, "auth.test").json()["error"] == "token_revoked"


def test_auth_test_names_the_bot_and_the_workspace_and_shows_the_scopes(slack):
    answer = call(slack, "auth.test")
    assert {"user", "team", "url", "bot_id"} <= set(answer.json())
    assert answer.headers["X-OAuth-Scopes"] == "chat:write,chat:write.public,files:write"
    slack.show_scopes = False
    assert "X-OAuth-Scopes" not in call(slack, "auth.test").headers


def test_a_method_without_its_scope_names_what_is_needed_and_what_was_provided():
    with Slack(scopes=["files:write"]) as slack:
        assert call(slack, "auth.test").json()["ok"]
        assert call(slack, "chat.postMessage", channel="ops", text="Hello").json() == {
            "ok": False,
            "error": "missing_scope",
            "needed": "chat:write",
            "provided": "files:write",
        }


# Slack: messages


def test_arguments_are_taken_from_a_form_and_from_json(slack):
    channel = slack.add_channel("ops")
    assert post(slack, "#ops", "from a form") == "ok"
    answer = ask(
        slack, "POST", "/api/chat.postMessage", SLACK_AUTH, json={"channel": "ops", "text": "from JSON"}
    ).json()
    assert (answer["ok"], answer["channel"]) == (True, channel)
    assert slack.texts("ops") == slack.texts("#ops") == slack.texts(channel) == ["from a form", "from JSON"]


def test_a_message_keeps_the_thread_that_it_belongs_to(slack):
    slack.add_channel("ops")
    parent = call(slack, "chat.postMessage", channel="ops", text="parent").json()["ts"]
    post(slack, "ops", "reply", thread_ts=parent, unfurl_links="false")
    first, second = slack.messages
    assert (first.ts, first.thread_ts, second.thread_ts) == (parent, None, parent)
    assert second.ts > first.ts
    assert second.params["unfurl_links"] == "false"


def test_a_public_channel_goes_by_name_with_and_without_hash_and_by_id(slack):
    channel = slack.add_channel("ops")
    assert [post(slack, asked) for asked in ("ops", "#ops", channel)] == ["ok"] * 3
    assert {message.channel for message in slack.messages} == {channel}


def test_hash_and_id_together_an_unknown_name_and_an_email_address_are_channel_not_found(slack):
    channel = slack.add_channel("ops")
    for asked in ("#" + channel, "nowhere", "", "ann@acme.example", "C0000000099", "U0000000099"):
        assert post(slack, asked) == "channel_not_found"


def test_a_private_channel_goes_by_id_only_and_only_where_the_app_was_invited(slack):
    joined = slack.add_channel("board", private=True)
    other = slack.add_channel("salaries", private=True, member=False)
    assert post(slack, joined) == "ok"
    assert post(slack, "board") == post(slack, "#board") == post(slack, other) == "channel_not_found"


def test_a_public_channel_that_the_app_has_not_joined_needs_a_scope_of_its_own():
    for scopes, outcome in ((["chat:write", "chat:write.public"], "ok"), (["chat:write"], "not_in_channel")):
        with Slack(scopes=scopes) as slack:
            slack.add_channel("news", member=False)
            assert post(slack, "news") == outcome


def test_an_archived_channel_takes_no_message(slack):
    slack.add_channel("old", archived=True)
    assert post(slack, "old") == "is_archived"


def test_a_user_id_opens_a_direct_message(slack):
    person = slack.add_person()
    answer = call(slack, "chat.postMessage", channel=person, text="Hello").json()
    assert answer["channel"].startswith("D")
    assert slack.messages[0].name == "DM " + person
    assert slack.texts(person) == ["Hello"]


def test_a_message_needs_a_text_or_blocks(slack):
    slack.add_channel("ops")
    assert [post(slack, "ops", text) for text in ("", " \n")] == ["no_text"] * 2


def test_a_text_that_is_too_long_is_cut_into_messages_and_its_end_is_lost_without_an_error(slack):
    slack.add_channel("ops")
    assert post(slack, "ops", "x" * 4040) == "ok"
    assert [len(text) for text in slack.texts("ops")] == [4040]
    assert post(slack, "ops", "y" * 4041) == "ok"
    assert [len(text) for text in slack.texts("ops")[1:]] == [4040, 1]
    slack.messages.clear()
    assert post(slack, "ops", "z" * 50000) == "ok"
    assert sum(map(len, slack.texts("ops"))) == 40000


def test_every_try_is_kept_with_its_outcome(slack):
    slack.add_channel("ops")
    slack.fault("chat.postMessage", after=2, status=503)
    post(slack, "ops", "one")
    post(slack, "nowhere", "two")
    call(slack, "chat.postMessage", channel="ops", text="three")
    assert [tried._replace(at=0) for tried in slack.posts] == [
        Post("ops", "one", 0, "ok"),
        Post("nowhere", "two", 0, "channel_not_found"),
        Post("ops", "three", 0, "HTTP 503"),
    ]


# Slack: blocks


def rich(*elements):
    return {"type": "rich_text", "elements": list(elements)}


def section(*runs, kind="rich_text_section"):
    return {"type": kind, "elements": [run if isinstance(run, dict) else {"type": "text", "text": run} for run in runs]}


def test_blocks_come_as_json_text_in_a_form_or_as_json_and_stand_in_the_message_beside_the_text(slack):
    slack.add_channel("ops")
    blocks = [rich(section("Hello"))]
    assert post(slack, "ops", "plain", blocks=json.dumps(blocks)) == "ok"
    body = {"channel": "ops", "blocks": blocks}
    assert ask(slack, "POST", "/api/chat.postMessage", SLACK_AUTH, json=body).json()["ok"]
    assert [message.blocks for message in slack.messages] == [blocks, blocks]
    assert slack.texts("ops") == ["plain", ""]
    assert slack.posts[0].blocks == json.dumps(blocks)


def test_beside_blocks_a_long_text_is_not_cut_into_messages(slack):
    slack.add_channel("ops")
    assert post(slack, "ops", "x" * 4041, blocks=json.dumps([rich(section("Hello"))])) == "ok"
    assert [len(text) for text in slack.texts("ops")] == [4041]


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        ("[{", "invalid_blocks_format"),
        ("{}", "invalid_blocks"),
        ("[]", "invalid_blocks"),
        (json.dumps([rich(section(""))]), "invalid_blocks"),
        (json.dumps([{"type": "heading"}]), "invalid_blocks"),
        (json.dumps([rich(section(*["x" * 100] * 120))]), "msg_blocks_too_long"),
    ],
)
def test_blocks_that_slack_would_refuse_cost_the_whole_message_and_the_answer_says_why(slack, blocks, error):
    slack.add_channel("ops")
    answer = call(slack, "chat.postMessage", channel="ops", text="plain", blocks=blocks).json()
    assert (answer["ok"], answer["error"]) == (False, error)
    assert answer["response_metadata"]["messages"]
    assert slack.messages == []
    assert [tried.outcome for tried in slack.posts] == [error]


def test_a_message_is_shown_as_its_blocks_are_read(slack):
    style = {"type": "text", "text": "now ", "style": {"bold": True, "italic": True}}
    link = {"type": "link", "url": "https://a.example/?b=1&c=2", "text": "the plan"}
    bare = {"type": "link", "url": "https://a.example/"}
    bullets = {"type": "rich_text_list", "style": "bullet", "elements": [section("one\nmore"), section("two")]}
    numbers = {"type": "rich_text_list", "style": "ordered", "indent": 1, "offset": 25, "elements": [section("x")] * 2}
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "*Ready* <now>"}},
        rich(
            section("Begin ", style, link, " ", bare, "\n"), bullets, numbers, section("a\nb", kind="rich_text_quote")
        ),
        rich(section("x = 1", kind="rich_text_preformatted")),
        {"type": "divider"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "OneVizion · <https://a.example|a &amp; b>"}]},
    ]
    slack.add_channel("ops")
    assert post(slack, "ops", "plain", blocks=json.dumps(blocks)) == "ok"
    assert as_read(slack.messages[0]).split("\n") == [
        "*Ready* <now>",
        "Begin *_now_* the plan (https://a.example/?b=1&c=2) https://a.example/",
        "• one",
        "  more",
        "• two",
        "    z. x",
        "    aa. x",
        "> a",
        "> b",
        "```",
        "x = 1",
        "```",
        "---",
        "OneVizion · a & b (https://a.example)",
    ]


def test_a_message_without_blocks_is_shown_as_its_markup_is_read(slack):
    slack.add_channel("ops")
    post(slack, "ops", "*A &amp; B* <https://a.example|plan> <!channel>")
    assert as_read(slack.messages[0]) == "*A & B* plan (https://a.example) [mention !channel]"


def drawn(slack, path):
    write_page(str(path), slack)
    return path.read_text(encoding="utf-8")


def test_the_page_draws_blocks_with_their_structure_and_escapes_what_they_hold(slack, tmp_path):
    slack.add_channel("ops")
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "<script>alert(1)</script>"}},
        rich(
            section({"type": "text", "text": "*now*", "style": {"bold": True}}),
            {"type": "rich_text_list", "style": "ordered", "offset": 1, "elements": [section("x")]},
            section("<b>a</b>", kind="rich_text_preformatted"),
            section({"type": "link", "url": "https://a.example/?b&c", "text": '"plan"'}),
            section({"type": "link", "url": "javascript:alert(1)", "text": "trap"}),
        ),
    ]
    assert post(slack, "ops", "plain", blocks=json.dumps(blocks)) == "ok"
    page = drawn(slack, tmp_path / "page.html")
    for expected in (
        '<div class="header">&lt;script&gt;alert(1)&lt;/script&gt;</div>',
        "<div><b>*now*</b></div>",
        "<li style='list-style-type:\"2. \"'>x</li>",
        "<pre>&lt;b&gt;a&lt;/b&gt;</pre>",
        '<a href="https://a.example/?b&amp;c">&quot;plan&quot;</a>',
        "<div>trap</div>",
    ):
        assert expected in page
    assert "<script" not in page
    assert "plain" not in page.split("<main>")[1]


def test_the_page_shows_threads_and_files_below_their_message_and_needs_nothing_from_elsewhere(slack, tmp_path):
    channel, _ = slack.add_channel("ops"), slack.add_channel("empty")
    first = call(slack, "chat.postMessage", channel="ops", text="*A &amp; B* <https://a.example|it>").json()["ts"]
    post(slack, "ops", "next message")
    post(slack, "ops", "the reply", thread_ts=first)
    upload(slack, b"1234567", channel_id=channel, thread_ts=first)
    page = drawn(slack, tmp_path / "page.html")
    places = [page.index(words) for words in ("<b>A &amp; B</b>", "2 replies", "the reply", "The plan", "next message")]
    assert places == sorted(places)
    assert "empty" not in page
    assert {piece.split('"')[0][:5] for piece in page.split('src="')[1:]} == {"data:"}
    assert "url(" not in page


# Slack: limits


def test_a_second_post_to_a_channel_within_its_interval_is_answered_429_with_retry_after(slack):
    channel = slack.add_channel("ops")
    slack.add_channel("dev")
    slack.channel_interval = 60
    assert post(slack, "ops") == "ok"
    answer = call(slack, "chat.postMessage", channel=channel, text="by another name")
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")
    assert answer.json() == {"ok": False, "error": "ratelimited"}
    assert post(slack, "dev") == "ok"
    assert slack.refused == 1
    assert len(slack.messages) == 2


def test_the_interval_counts_from_the_last_accepted_post_and_allows_for_jitter(slack):
    channel = slack.channels[slack.add_channel("ops")]
    slack.channel_interval = 1.0
    assert [slack._in_time(channel, at) for at in (10.0, 10.85, 10.91, 11.75, 11.82)] == [
        True,
        False,
        True,
        False,
        True,
    ]


def test_the_workspace_takes_no_more_posts_in_any_second_than_its_limit(slack):
    slack.workspace_limit = 2
    channels = [slack.channels[slack.add_channel(name)] for name in "abcd"]
    arrivals = (10.0, 10.6, 10.7, 11.0)
    accepted = [slack._in_time(channel, at) for channel, at in zip(channels, arrivals)]
    assert accepted == [True, True, False, True]


# Slack: files


def test_an_upload_in_three_calls_shares_the_file_in_a_thread(slack):
    channel = slack.add_channel("ops")
    status, answer = upload(slack, b"\x00bytes", channel_id=channel, thread_ts="1.2")
    assert (status, answer["ok"]) == (200, True)
    assert slack.files == [SharedFile("plan.pdf", "The plan", b"\x00bytes", channel, "1.2")]


def test_an_empty_file_or_one_without_a_name_gets_no_upload_address(slack):
    for arguments in ({"filename": "a", "length": 0}, {"filename": "a"}, {"filename": "", "length": 1}):
        assert call(slack, "files.getUploadURLExternal", **arguments).json()["error"] == "invalid_arguments"


def test_no_upload_gets_the_id_of_another_one_under_way_or_complete(slack):
    def begin():
        return call(slack, "files.getUploadURLExternal", filename="plan.pdf", length=1).json()

    first, second = begin(), begin()
    requests.post(first["upload_url"], data=b"x", timeout=TIMEOUT_SECONDS)
    assert call(slack, "files.completeUploadExternal", files=json.dumps([{"id": first["file_id"]}])).json()["ok"]
    assert begin()["file_id"] not in (first["file_id"], second["file_id"])


def test_the_address_of_an_upload_can_have_another_host(slack):
    slack.upload_host = "https://files.slack.com"
    answer = call(slack, "files.getUploadURLExternal", filename="a", length=1).json()
    assert answer["upload_url"] == "https://files.slack.com/upload/v1/" + answer["file_id"]


def test_an_upload_of_another_length_is_refused_and_cannot_be_completed(slack):
    status, answer = upload(slack, b"four", announced=5, channel_id=slack.add_channel("ops"))
    assert (status, answer["error"]) == (400, "file_not_found")


def test_an_upload_takes_raw_bytes_and_no_token(slack):
    form = requests.Request("POST", slack.url, files={"file": b"a"}).prepare()
    url = call(slack, "files.getUploadURLExternal", filename="a", length=len(form.body)).json()["upload_url"]
    assert requests.post(url, form.body, headers=form.headers, timeout=TIMEOUT_SECONDS).status_code == 400
    assert slack.leaked == []
    assert requests.post(url, form.body, headers=SLACK_AUTH, timeout=TIMEOUT_SECONDS).status_code == 400
    assert requests.post(url, form.body, timeout=TIMEOUT_SECONDS).status_code == 200
    assert len(slack.leaked) == 1


def test_a_file_without_a_channel_stays_private_though_the_answer_is_ok(slack):
    assert upload(slack, b"x")[1]["ok"]
    assert slack.files[0].channel is None


def test_a_file_is_shared_by_real_id_and_only_where_the_app_is_a_member(slack):
    person = slack.add_person()
    expected = {
        "ops": "invalid_arguments",
        person: "invalid_arguments",
        "C0000000099": "channel_not_found",
        slack.add_channel("news", member=False): "not_in_channel",
        slack.add_channel("old", archived=True): "is_archived",
        slack.add_channel("salaries", private=True, member=False): "channel_not_found",
    }
    assert {channel: upload(slack, b"x", channel_id=channel)[1].get("error") for channel in expected} == expected
    assert slack.files == []


def test_uploads_need_the_scope_for_files():
    with Slack(scopes=["chat:write"]) as slack:
        answer = call(slack, "files.getUploadURLExternal", filename="a", length=1).json()
        assert (answer["error"], answer["needed"]) == ("missing_scope", "files:write")


# The directory of a run


def test_a_directory_holds_the_module_and_settings_for_the_stand_ins(onevizion, slack, tmp_path):
    directory = make_directory(tmp_path / "run", onevizion, slack, maxAttempts=2, channelField=ABSENT)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "module.py",
        "settings_schema.json",
        "requirements.txt",
        "settings.json",
        "ihub_parameters.json",
        "slack_notification",
        ".packages",
    }
    with open(directory + "/settings.json", encoding="utf-8") as file:
        settings = json.load(file)
    assert (settings["ovUrl"], settings["slackUrl"], settings["maxAttempts"]) == (onevizion.url, slack.url, 2)
    assert "channelField" not in settings


def test_a_directory_for_a_run_by_hand_has_no_parameters_of_the_platform(onevizion, slack, tmp_path):
    make_directory(tmp_path, onevizion, slack, scheduled=False)
    assert not (tmp_path / "ihub_parameters.json").exists()


def test_a_directory_for_the_real_addresses_has_the_examples_settings_with_the_keys_filled_in(tmp_path):
    with OneVizion(service_id=EXAMPLE_SERVICE_ID) as onevizion, Slack() as slack:
        make_directory(tmp_path, onevizion, slack, https=True)
    with open(os.path.join(ROOT, "settings.json"), encoding="utf-8") as file:
        example = json.load(file)
    settings, parameters = [json.loads((tmp_path / name).read_text()) for name in ("settings.json", PARAMETERS)]
    assert set(settings) == set(example)
    assert (settings["slackBotToken"], settings["ovSecretKey"]) == (slack.token, onevizion.secret_key)
    assert settings["ovUrl"] == parameters["ovUrl"] == "https://example.onevizion.com"
    filled = {"ovUrl", "ovAccessKey", "ovSecretKey", "serviceId", "channelField", "slackBotToken"}
    assert {name: settings[name] for name in set(settings) - filled} == {
        name: example[name] for name in set(example) - filled
    }
