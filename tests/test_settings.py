"""Settings: what an admin may write, and what the program says of the rest."""

import json
import os

import pytest

from slack_notification import integration_log, settings
from slack_notification.errors import RunError
from tests.sandbox.directory import ROOT, write_json
from tests.sandbox.onevizion import ABSENT

SCHEMA = settings.read_json_object(settings.SCHEMA_FILE)
VALID = {
    "ovUrl": "https://example.onevizion.com",
    "ovAccessKey": "k",
    "ovSecretKey": "s",
    "serviceId": 0,
    "channelField": "SLACK_CHANNEL",
    "slackBotToken": "xoxb-1",
}


def problems(**changes):
    values = {key: value for key, value in dict(VALID, **changes).items() if value is not ABSENT}
    return list(settings.settings_problems(values, SCHEMA))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ovUrl", "https://example.onevizion.com/"),
        ("ovUrl", "HTTPS://example.onevizion.com"),
        ("slackUrl", "HTTPS://slack.com"),
        ("ovUrl", "example.onevizion.com"),
        ("ovUrl", " example.onevizion.com/ "),
        ("ovUrl", "https://example.onevizion.com:8443"),
        ("ovUrl", "http://localhost:8080"),
        ("ovUrl", "http://127.0.0.1"),
        ("ovUrl", "https://example.onevizion.com/login?x=1"),
        ("ovAccessKey", "any text, even with blanks"),
        ("serviceId", 12345678901),
        ("serviceId", "1000043"),
        ("channelField", "T_USER.SLACK_CHANNEL"),
        ("maxAttempts", 0),
        ("maxAttempts", "3"),
        ("nextAttemptDelay", "0.5"),
        ("uploadAttachments", "False"),
        ("slackBotToken", "xoxe.xoxb-1-abc"),
        ("slackBotToken", "xoxb-1\n"),
        ("maxAttempts", 1),
        ("maxAttempts", 20),
        ("nextAttemptDelay", 0),
        ("nextAttemptDelay", 0.5),
        ("nextAttemptDelay", 300),
        ("slackUrl", "https://slack-gov.com"),
        ("uploadAttachments", False),
        ("anything else", None),
    ],
)
def test_these_settings_are_valid(key, value):
    assert problems(**{key: value}) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ovUrl", ""),
        ("ovUrl", " "),
        ("ovUrl", "*****"),
        ("ovUrl", "http://example.onevizion.com"),
        ("ovUrl", "http://localhost.example.com"),
        ("ovUrl", "http://127.0.0.1.example.com"),
        ("ovUrl", "https://user@example.com"),
        ("ovUrl", "ftp://example.onevizion.com"),
        ("ovUrl", None),
        ("ovAccessKey", ""),
        ("ovAccessKey", "  "),
        ("ovAccessKey", "***"),
        ("ovAccessKey", 5),
        ("ovSecretKey", "*"),
        ("ovSecretKey", "two\nlines"),
        ("serviceId", "12 is it"),
        ("serviceId", "1.0"),
        ("channelField", "A,B"),
        ("channelField", "A,"),
        ("channelField", "A B"),
        ("serviceId", -1),
        ("serviceId", 1.5),
        ("serviceId", True),
        ("channelField", ""),
        ("channelField", "****"),
        ("slackBotToken", "xoxb-"),
        ("slackBotToken", "xoxb-****"),
        ("slackBotToken", "xoxp-1"),
        ("slackBotToken", "xoxe-1"),
        ("slackBotToken", "xoxb-1 2"),
        ("maxAttempts", -1),
        ("maxAttempts", 21),
        ("maxAttempts", "21"),
        ("nextAttemptDelay", -1),
        ("nextAttemptDelay", 301),
        ("nextAttemptDelay", None),
        ("slackUrl", "http://slack.com"),
        ("slackUrl", "https://slack.com/api/"),
        ("uploadAttachments", "yes"),
    ],
)
def test_these_settings_are_refused(key, value):
    assert problems(**{key: value}) == [key]


@pytest.mark.parametrize("key", sorted(VALID))
def test_a_required_setting_that_is_missing_is_named(key):
    assert problems(**{key: ABSENT}) == [key]


def test_the_defaults_come_from_the_schema():
    made = settings.make_settings(VALID, SCHEMA)
    assert (made.max_attempts, made.next_attempt_delay) == (1, 30)
    assert (made.slack_url, made.upload_attachments) == ("https://slack.com", True)


def test_addresses_get_a_scheme_and_lose_their_slash_and_keys_their_blanks():
    made = settings.make_settings(dict(VALID, ovUrl=" example.onevizion.com/ ", ovAccessKey=" k\n"), SCHEMA)
    assert (made.ov_url, made.ov_access_key) == ("https://example.onevizion.com", "k")
    made = settings.make_settings(dict(VALID, ovUrl="HTTPS://Example.onevizion.com/a?b=c://d", slackUrl=""), SCHEMA)
    assert (made.ov_url, made.slack_url) == ("https://Example.onevizion.com", "")


def test_the_settings_of_OneVizions_first_Slack_module_work_unchanged():
    old = dict(VALID, ovUrl="https://acme.onevizion.com/", maxAttempts=0, nextAttemptDelay=0, logLevel="Info")
    assert settings.settings_problems(old, SCHEMA) == {}
    made = settings.make_settings(old, SCHEMA)
    assert (made.ov_url, made.max_attempts) == ("https://acme.onevizion.com", 1)


def test_numbers_and_booleans_in_quotes_are_taken_as_what_they_are():
    quoted = dict(VALID, serviceId=" 1000043 ", maxAttempts="3", nextAttemptDelay="0.5", uploadAttachments="False")
    made = settings.make_settings(quoted, SCHEMA)
    assert (made.service_id, made.max_attempts, made.next_attempt_delay) == (1000043, 3, 0.5)
    assert made.upload_attachments is False


def test_settings_can_be_made_of_the_valid_ones_alone_and_keep_the_defaults():
    made = settings.make_settings({"channelField": "SLACK_CHANNEL"}, SCHEMA)
    assert (made.slack_url, made.max_attempts, made.ov_url) == ("https://slack.com", 1, "")
    assert made.secrets() == []


def test_what_works_but_is_hardly_meant_is_a_warning_without_a_secret():
    values = dict(VALID, ovUrl="https://acme.onevizion.com/login", slackBotToken="xoxe.xoxb-1-hush")
    path, token = settings.warnings_of(values, SCHEMA)
    assert path == "ovUrl: what follows the host name is ignored; the module uses https://acme.onevizion.com"
    assert token.startswith("slackBotToken works for twelve hours only")
    assert settings.make_settings(values, SCHEMA).ov_url == "https://acme.onevizion.com"


@pytest.mark.parametrize("key", ["xoxb-1-2-abc", "xoxb_1", "abcdeABCDE0123456789", "a" * 41, "*****"])
def test_an_unknown_key_that_may_be_a_secret_is_not_shown(key):
    assert settings.warnings_of({key: "x"}, SCHEMA) == ["the settings have the unknown key ***: it is not used"]


@pytest.mark.parametrize("address", ["https://acme.onevizion.com/", "acme.onevizion.com", " http://localhost:8080/ "])
def test_a_usual_address_is_no_warning(address):
    assert settings.warnings_of(dict(VALID, ovUrl=address), SCHEMA) == []


def test_settings_do_not_show_their_secrets():
    made = settings.make_settings(
        dict(VALID, ovAccessKey="hush-1", ovSecretKey="hush-2", slackBotToken="xoxb-3"), SCHEMA
    )
    for text in (repr(made), str(made), "%s" % [made]):
        assert not any(secret in text for secret in made.secrets())


def test_all_problems_are_told_at_once_without_any_value_and_nobody_is_called(world):
    world.settings = {
        "ovAccessKey": "",
        "ovSecretKey": ABSENT,
        "slackBotToken": "secret-token",
        "serviceId": "42 is it",
    }
    run = world.run()
    assert run.status == 2
    for key in ("ovAccessKey is not valid", "ovSecretKey is missing", "slackBotToken is not valid", "serviceId is not"):
        assert key in run.console
        assert "Error: %s" % key in run.stdout
    assert "secret-token" not in run.console + run.stdout
    assert "42 is it" not in run.console + run.stdout
    assert world.onevizion.calls == world.slack.calls == []


def test_a_placeholder_is_named_as_such(world):
    world.settings = {"slackBotToken": "*****"}
    run = world.run()
    assert "slackBotToken still has the placeholder of the example: expected the Bot User OAuth Token" in run.console


BROKEN_FILES = {
    "empty": (b"", "settings.json is empty: copy the example"),
    "a comma missing": (b'{\n  "ovUrl": "x"\n  "serviceId": 1\n}', "a comma is missing in line 2"),
    "a comma too many": (b'{\n  "ovUrl": "x",\n  "serviceId": 1,\n}', "a comma too many in line 3"),
    "two commas": (b'{\n  "ovUrl": "x",,\n  "serviceId": 1\n}', "a comma too many in line 2"),
    "curly quotes": ('{\n  “ovUrl”: "x"\n}'.encode(), "“ in line 2: write straight double quotation marks"),
    "curly quotes around a value": ('{\n  "ovUrl": “x”\n}'.encode(), "“ in line 2: write straight"),
    "single quotes": (b"{'ovUrl': 'x'}", "' in line 1: write straight"),
    "a comment": (b'{\n  // mine\n  "ovUrl": "x"\n}', "a comment in line 2: JSON has none"),
    "a comment behind a value": (b'{\n  "ovUrl": "x", // mine\n  "a": 1\n}', "a comment in line 2"),
    "no end": (b'{\n  "ovUrl": "x"\n', "} is missing at the end"),
    "a comma missing in a line": (b'{"a": 1, "b": 2 "c": 3}', "a comma is missing in line 1"),
    "a comma at the beginning": (b'{,\n  "ovUrl": "x"\n}', "a comma too many in line 1"),
    "curly quote at the end": ('{\n  "a": "x”,\n  "b": "y"\n}'.encode(), "” in line 2: write straight"),
    "curly quote at the end of all": ('{\n  "a": "x”}'.encode(), "” in line 2: write straight"),
    "angle quotes": ('{\n  "a": «x»\n}'.encode(), "« in line 2: write straight"),
    "a comment as the first line": (b'// mine\n{"a": 1}', "a comment in line 1: JSON has none"),
    "a # comment as the first line": (b'\n# mine\n{"a": 1}', "a comment in line 2: JSON has none"),
    "no quotation mark": (b'{\n  "ovUrl": "x\n}', "a quotation mark is missing in line 2"),
    "no quotation mark before a comma": (b'{\n  "a": "x,\r\n  "b": 1\n}', "a quotation mark is missing in line 2"),
    "no quotation mark in the last line": (b'{\n  "a": "x}', "a quotation mark is missing in line 2"),
    "no quotation mark before a value": (b'{\n  "a": x",\n "b": 1}', "a quotation mark is missing in line 2"),
    "no quotation mark before a key": (b'{\n  a": "x"}', "a quotation mark is missing in line 2"),
    "no quotation mark behind a key": (b'{\n  "a: "x",\n "b": 1}', "a quotation mark is missing in line 2"),
    "a tab in a text": (b'{\n  "a": "x\ty"\n}', "(line 2, column 10): correct that line"),
    "text behind": (b'{"a": 1}\n}', "there is text after the last } (line 2)"),
    "a value missing": (b'{\n  "ovUrl": \n}', "correct that line or the one before it"),
    "a list": (b"[1, 2]", "settings.json is not a JSON object"),
    "a text": (b'"text"', "settings.json is not a JSON object"),
    "not UTF-8": (b'{"ovUrl": "\xff"}', "settings.json is not UTF-8 text"),
    "NaN": (b'{\n  "nextAttemptDelay": NaN}', "not valid JSON: NaN is no number (line 2, column 23)"),
    "a number of 6000 digits": (b'{"serviceId": %s, 1}' % (b"9" * 6000), "settings.json is not valid JSON"),
    "nested without end": (b'{"a": ' + b"[" * 100000, "settings.json is not valid JSON"),
}


@pytest.mark.parametrize("case", sorted(BROKEN_FILES))
def test_a_fault_in_the_file_is_told_in_the_words_of_who_edits_it(tmp_path, case):
    content, expected = BROKEN_FILES[case]
    path = tmp_path / "settings.json"
    path.write_bytes(content)
    with pytest.raises(RunError) as refused:
        settings.read_json_object(str(path))
    assert expected in str(refused.value)


@pytest.mark.parametrize("scheduled", [True, False])
def test_a_missing_file_ends_the_run_with_words_and_without_a_call(world, scheduled):
    world.scheduled = scheduled
    directory = world.directory()
    os.remove(os.path.join(directory, "settings.json"))
    process = world.start(cwd=directory)
    stdout, console = process.communicate()
    assert process.returncode == 2
    expected = "settings.json cannot be read (No such file or directory)"
    assert expected in console
    assert "Traceback" not in console + stdout
    # Nobody but stdout can tell OneVizion; by hand, the console has told already.
    assert (expected in stdout) is scheduled
    assert world.onevizion.calls == world.slack.calls == []


def test_a_byte_order_mark_is_fine(world):
    directory = world.directory()
    path = os.path.join(directory, "settings.json")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8-sig") as file:
        file.write(text)
    process = world.start(cwd=directory)
    process.communicate()
    assert process.returncode == 0


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one(world):
    world.settings = {"maxAttempt": 5, "zzz": 1}
    world.record()
    run = world.run()
    assert run.status == 0
    assert sorted(world.log("Warning")) == [
        "the settings have the unknown key 'maxAttempt': did you mean maxAttempts?",
        "the settings have the unknown key 'zzz': it is not used",
    ]


def test_a_missing_schema_is_told(world, monkeypatch):
    monkeypatch.setattr(settings, "SCHEMA_FILE", os.path.join(world.path, "nowhere.json"))
    run = world.run()
    assert run.status == 2
    assert "nowhere.json cannot be read" in run.console


def test_the_shipped_settings_are_the_example_with_placeholders_that_are_refused():
    with open(os.path.join(ROOT, "settings.json"), encoding="utf-8") as file:
        shipped = json.load(file)
    found = settings.settings_problems(shipped, SCHEMA)
    assert sorted(found) == ["ovAccessKey", "ovSecretKey", "slackBotToken"]
    assert all("placeholder" in text for text in found.values())
    assert set(shipped) <= set(SCHEMA["properties"])


@pytest.mark.parametrize(
    ("parameters", "level"),
    [
        ({"processId": 5, "logLevel": "debug"}, "DEBUG"),
        ({"processId": 5, "logLevel": "WARNING"}, "WARNING"),
        ({"processId": "5", "logLevel": "Error"}, "ERROR"),
        ({"processId": 5, "logLevel": "Verbose"}, "INFO"),
        ({"processId": 5}, "INFO"),
    ],
)
def test_the_log_level_comes_from_the_platform_in_any_letter_case(tmp_path, monkeypatch, parameters, level):
    monkeypatch.chdir(tmp_path)
    write_json("ihub_parameters.json", parameters)
    platform = integration_log.read_platform()
    assert (platform.level.name, platform.process_id, platform.problem) == (level, 5, "")


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"processId": null}', '{"processId": "x/../y"}'])
def test_unusable_parameters_of_the_platform_cost_the_integration_log_only(world, content):
    world.record()
    directory = world.directory()
    with open(os.path.join(directory, "ihub_parameters.json"), "w") as file:
        file.write(content)
    process = world.start(cwd=directory)
    stdout, console = process.communicate()
    assert process.returncode == 0
    assert "no integration log for this run: ihub_parameters.json" in console
    assert "no integration log for this run: ihub_parameters.json" in stdout
    assert world.onevizion.log == []


# Whole programs


def test_a_settings_file_of_any_name_and_place_serves_every_mode(world, tmp_path):
    world.scheduled = False
    world.record()
    path = str(tmp_path / "settings.local.json")
    os.replace(os.path.join(world.directory(), "settings.json"), path)
    for mode in (["--check"], ["--dry-run"], ["--send-test", "dev"], ["--resend", "4711"], []):
        process = world.start(*(mode + ["--settings", path]), cwd=world.path)
        stdout, console = process.communicate()
        assert process.returncode == 0, console
        assert ("settings.local.json is valid" in stdout) is (mode == ["--check"])
    assert (len(world.texts("dev")), len(world.texts("ops"))) == (1, 1)


def test_a_settings_file_that_is_not_there_is_named(world):
    run = world.run("--settings", "settings.local.json")
    assert run.status == 2
    assert "settings.local.json cannot be read (No such file or directory)" in run.console
    text = "make sure that this file is there and may be read: %s\n"
    assert text % os.path.join(world.path, "settings.local.json") in run.console
    for path in (os.path.join(world.path, "elsewhere", "a.json"), os.path.join("..", "a.json")):
        run = world.run("--settings", path)
        assert text % os.path.abspath(os.path.join(world.path, path)) in run.console
    run = world.run("--settings", "slack_notification")
    assert "slack_notification cannot be read (Is a directory): make sure that this file" in run.console


def test_a_program_with_the_settings_and_the_app_of_OneVizions_first_Slack_module_delivers(world):
    world.settings = {
        "ovUrl": world.onevizion.url + "/",
        "maxAttempts": 0,
        "nextAttemptDelay": 0,
        "slackChannelField": "unused",
    }
    world.slack.scopes = ("chat:write", "chat:write.public")
    world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"%PDF")])
    run = world.run()
    assert run.status == 0, run.console
    assert "plan.pdf (" in world.texts()[0]
    assert world.slack.files == []


def test_maxAttempts_0_means_one_attempt(world):
    world.settings.update(maxAttempts=0)
    record = world.record()
    world.slack.fault("chat.postMessage", times=None, status=503)
    world.run()
    assert len(world.onevizion.attempts[record]) == 1
    assert len(world.slack.calls_to("chat.postMessage")) == 1


def test_a_path_in_ovUrl_is_dropped_with_a_warning_at_each_start(world):
    world.settings.update(ovUrl=world.onevizion.url + "/login?next=1")
    world.record()
    assert world.run().status == 0
    assert len(world.texts()) == 1
    text = "ovUrl: what follows the host name is ignored; the module uses %s" % world.onevizion.url
    assert world.log("Warning") == [text]
    assert "[warn] settings: " + text in world.run("--check").stdout


def test_numbers_and_booleans_in_quotes_do_what_they_say(world):
    world.settings = {"serviceId": "7", "maxAttempts": "2", "nextAttemptDelay": "0", "uploadAttachments": "false"}
    record = world.record(blob_ids=[world.onevizion.add_file("plan.pdf", b"%PDF")])
    world.slack.fault("chat.postMessage", status=503)
    assert world.run().status == 0
    assert (world.onevizion.status(record), len(world.onevizion.attempts[record])) == ("SUCCESS", 1)
    assert world.slack.files == []
    assert world.log("Warning") == []


def test_a_token_that_works_for_twelve_hours_only_is_a_warning_at_each_start(world):
    world.slack.token = "xoxe.xoxb-1-test"
    world.record()
    for _ in range(2):
        assert world.run().status == 0
    assert len(world.texts()) == 1
    (first, second) = world.log("Warning")
    assert first == second
    assert first.startswith("slackBotToken works for twelve hours only (token rotation): make a new app")


def test_JSON_is_read_as_UTF_8_whatever_the_header_says(world):
    world.record(subj="größer als 📦")
    body = json.dumps([world.onevizion.records[0]], ensure_ascii=False)
    world.onevizion.fault("GET .*/queue", status=200, content_type="application/json; charset=ISO-8859-1", body=body)
    assert world.run().status == 0
    assert world.texts()[0].startswith("größer als 📦\n")
