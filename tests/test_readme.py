"""README.md says what is true of the program, and is short enough to be read."""

import json
import os
import re
import struct
from urllib.parse import parse_qs, urlsplit

import pytest

import module
from slack_notification import errors, slack_errors
from tests import readme
from tests.sandbox.directory import ROOT

TEXT = readme.read(readme.README)
FOR_DEVELOPERS = readme.read(readme.FOR_DEVELOPERS)
TEXTS = readme.failure_texts()  # of the program
FAILING = TEXT[TEXT.index("## When something fails") : TEXT.index("## Send again")]
SPANS = [span for span in re.findall(r"`([^`\n]+)`", FAILING) if " " in span]
CODES = FAILING[FAILING.index("| code |") : FAILING.index("| any other code |")]
CODE_BLOCKS = re.findall(r"^ *```\w+\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)


def test_it_has_20_kB_at_most():
    assert len(TEXT.encode()) <= 20 * 1024


def test_no_code_block_is_wider_than_90_characters_or_longer_than_40_lines():
    for block in CODE_BLOCKS:
        assert block.count("\n") <= 40
        assert max(map(len, block.split("\n"))) <= readme.WIDTH, block


def test_the_two_commands_stand_in_its_first_50_lines():
    lines = TEXT.split("\n")
    assert [line for line in lines[:50] if "-m tests.sandbox" in line]
    assert "<!-- test command -->" in lines[:50]


@pytest.mark.parametrize("command", sorted(readme.OUTPUTS))
def test_the_outputs_shown_are_what_the_commands_print(command):
    path, make = readme.OUTPUTS[command]
    shown = readme.split_at_output(readme.read(path), command)[1]
    assert in_any_order(readme.normalised(make())) == in_any_order(shown)


def in_any_order(output):
    """Return the lines of an output, sorted: what is delivered side by side is told in one order or another."""
    return sorted(re.sub(r"\[\d+/", "[n/", line) for line in output.split("\n"))


@pytest.mark.parametrize("text", TEXTS)
def test_every_failure_text_of_the_program_is_explained(text):
    assert [span for span in SPANS if readme.explains(span, text)]


def test_the_functions_are_there_whose_texts_have_to_be_explained():
    program = "".join(map(readme.read, readme.program_files()))
    assert [name for name in readme.TOLD if "def %s(" % name not in program] == []


@pytest.mark.parametrize("span", [span for span in SPANS if not span.startswith(("(Slack", "invalid_"))])
def test_no_failure_text_is_explained_that_the_program_does_not_have(span):
    assert [text for text in TEXTS if readme.explains(span, text)]


def test_every_error_code_of_Slack_stands_in_the_table_once_with_the_beginning_of_its_advice():
    rows = [line for line in CODES.split("\n") if line.startswith("| `")]
    for code, (_, advice) in slack_errors.ERRORS.items():
        (row,) = [row for row in rows if "`%s`" % code in row]
        beginning = row.split(" | ")[1].rstrip(" |").split("…")[0]
        assert len(beginning) >= 8, row
        assert advice.startswith(beginning), row


@pytest.mark.parametrize(
    ("heading", "kinds"),
    [
        ("The run ends", [slack_errors.END_RUN]),
        ("Not delivered, nor", [slack_errors.CHANNEL]),
        ("Not delivered:", [slack_errors.MESSAGE]),
        ("The file stays a link", [slack_errors.FILE]),
        ("Tried again", [slack_errors.RETRY_NOT_POSTED]),
    ],
)
def test_Slacks_codes_stand_below_what_they_mean_for_the_run(heading, kinds):
    part = CODES[CODES.index("**" + heading) :].split("| **")[0]
    for code in slack_errors.ERRORS:
        assert ("`%s`" % code in part) is (slack_errors.kind(code) in kinds), code


def test_the_manifest_and_the_link_that_fills_the_dialog_in_hold_the_same():
    (manifest,) = [json.loads(block) for block in CODE_BLOCKS if "display_information" in block]
    (link,) = re.findall(r"\((https://api\.slack\.com/apps\?new_app=1[^)]*)\)", TEXT)
    assert json.loads(parse_qs(urlsplit(link).query)["manifest_json"][0]) == manifest
    assert manifest["oauth_config"]["scopes"]["bot"] == ["chat:write", "chat:write.public", "files:write"]
    assert manifest["features"]["app_home"]["messages_tab_enabled"] is True


def test_the_settings_table_has_every_setting_with_its_default():
    with open(os.path.join(ROOT, "settings_schema.json"), encoding="utf-8") as file:
        schema = json.load(file)
    for key, rule in schema["properties"].items():
        (row,) = [line for line in TEXT.splitlines() if line.startswith("| `") and "`%s`" % key in line.split(" | ")[0]]
        second = row.split(" | ")[1].strip("` ")
        assert second == ("required" if key in schema["required"] else json.dumps(rule["default"]).strip('"'))


def test_the_example_is_the_shipped_settings_file():
    with open(os.path.join(ROOT, "settings.json"), encoding="utf-8") as file:
        assert "<!-- settings.json -->\n```json\n%s```" % file.read() in TEXT


def test_the_exit_statuses_are_those_of_the_program():
    statuses = (errors.EXIT_DELIVERED, errors.EXIT_NOT_ALL_DELIVERED, errors.EXIT_CANNOT_WORK, errors.EXIT_SIGNAL_BASE)
    assert all("\n| %d " % status in TEXT for status in statuses)


def test_every_option_of_the_command_line_is_mentioned():
    for option in ("--check", "--dry-run", "--send-test", "--resend", "--raw", "--settings"):
        assert "`%s" % option in TEXT or " %s " % option in TEXT


def test_what_it_lets_people_save_beside_the_program_is_ignored_by_git():
    with open(os.path.join(ROOT, ".gitignore")) as file:
        assert {"settings.local.json", ".packages/", ".slack-notification.*", ".venv/"} <= set(file.read().split())


def test_the_files_that_the_platform_looks_for_are_there():
    with open(os.path.join(ROOT, ".integration")) as file:
        lines = dict(line.strip().split(" = ") for line in file)
    assert lines["command"] == "python3 module.py"
    assert lines["settings_file_name"] == "settings.json"
    assert lines["default_schedule"] == "0 */5 * * * ?"
    assert lines["read_from_stdout"] == "true"
    assert lines[module.VERSION] == "[24.7.0,)"
    assert "version %s" % module.VERSION in TEXT
    assert "## %s\n" % module.VERSION in readme.read(os.path.join(ROOT, ".github", "CHANGELOG.md"))


@pytest.mark.parametrize(("path", "pixels"), [("icon.png", 60), (os.path.join(".github", "app-icon.png"), 512)])
def test_the_icons_are_as_large_as_the_platforms_want_them(path, pixels):
    with open(os.path.join(ROOT, path), "rb") as file:
        header = file.read(24)
    assert header[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">2I", header[16:]) == (pixels, pixels)


@pytest.mark.parametrize("path", [readme.README, readme.FOR_DEVELOPERS])
def test_the_pictures_and_sections_that_it_points_to_are_there(path):
    text = readme.read(path)
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text) + re.findall(r'src="([^"]+)"', text):
        assert os.path.exists(os.path.join(os.path.dirname(path), target)), target
    headings = {re.sub("[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in text.splitlines()}
    for anchor in re.findall(r"\]\(#([^)]+)\)", text):
        assert anchor in headings


def test_the_changes_point_to_sections_that_are_there():
    headings = {re.sub("[^a-z0-9 -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines()}
    changes = readme.read(os.path.join(ROOT, ".github", "CHANGELOG.md"))
    anchors = re.findall(r"README\.md#([^)]+)\)", changes)
    assert anchors
    assert set(anchors) <= headings
