"""README.md says what is true of the program."""

import json
import os
import re

import pytest

import module
from slack_notification import errors, slack_api
from tests import readme
from tests.sandbox.directory import ROOT

TEXT = readme.read_readme()
CODE_SPANS = set(re.findall(r"`([^`\n]+)`", TEXT))


@pytest.mark.parametrize("command", sorted(readme.OUTPUTS))
def test_the_outputs_shown_are_what_the_commands_print(command):
    printed, shown = readme.normalised(readme.OUTPUTS[command]()), readme.split_at_output(TEXT, command)[1]
    assert in_any_order(printed) == in_any_order(shown)


def in_any_order(output):
    """Return the lines of an output, sorted: what is delivered side by side is told in one order or another."""
    return sorted(re.sub(r"\[\d+/", "[n/", line) for line in output.split("\n"))


@pytest.mark.parametrize("text", readme.failure_texts())
def test_every_failure_text_of_the_program_is_explained(text):
    # Slack's own codes have a table of their own, see below.
    assert text in CODE_SPANS or text == "Slack answered …: …"


def test_no_failure_text_is_explained_that_the_program_does_not_have():
    program = re.sub(r'"\s*\n\s*"', "", readme.program_source())
    section = TEXT[TEXT.index("## What you see") : TEXT.index("## What is promised")]
    for span in re.findall(r"`([^`\n]*[a-z]{3} [^`\n]*)`", section):
        for piece in re.split("…", span):
            assert piece.strip(" :;()?") in program or "CODE" in piece, span


@pytest.mark.parametrize("codes", [slack_api.ERRORS_THAT_END_THE_RUN, slack_api.PERMANENT_ERRORS])
def test_every_error_code_of_Slack_stands_in_the_table_with_its_advice(codes):
    for code, advice in codes.items():
        rows = [line for line in TEXT.splitlines() if line.startswith("|") and "`%s`" % code in line]
        assert len(rows) == 1, code
        assert rows[0].endswith("| %s |" % advice)
        assert ("it ends" in rows[0]) is (codes is slack_api.ERRORS_THAT_END_THE_RUN)


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
    statuses = (errors.EXIT_DELIVERED, errors.EXIT_NOT_ALL_DELIVERED, errors.EXIT_CANNOT_WORK)
    assert all("\n| %d | " % status in TEXT for status in statuses)


def test_the_files_that_the_platform_looks_for_are_there():
    with open(os.path.join(ROOT, ".integration")) as file:
        lines = dict(line.strip().split(" = ") for line in file)
    assert lines["command"] == "python3 module.py"
    assert lines["settings_file_name"] == "settings.json"
    assert lines["default_schedule"] == "0 */5 * * * ?"
    assert lines["read_from_stdout"] == "true"
    assert module.VERSION in lines
    with open(os.path.join(ROOT, "icon.png"), "rb") as file:
        header = file.read(24)
    assert (header[:8], header[16:24]) == (b"\x89PNG\r\n\x1a\n", b"\0\0\0\x3c\0\0\0\x3c")


def test_the_pictures_and_sections_that_it_points_to_are_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert os.path.exists(os.path.join(ROOT, target)), target
    headings = {re.sub("[^a-z -]", "", line.lstrip("# ").lower()).replace(" ", "-") for line in TEXT.splitlines()}
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        assert anchor in headings
