"""The directory in which the platform would run the program: a copy of the module with its settings filled in."""

import json
import os
import shutil
import sys
from typing import Any, Dict

from .onevizion import ABSENT, OneVizion
from .slack import Slack

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PROGRAM_FILES = ("module.py", "settings_schema.json", "requirements.txt")
EXAMPLE_URL = "https://example.onevizion.com"
EXAMPLE_SERVICE_ID = 1000043  # that of the example in settings.json
PROCESS_ID = 31337


def make_settings(onevizion: OneVizion, slack: Slack) -> Dict[str, Any]:
    """The settings that let the program work with these stand-ins."""
    return {
        "ovUrl": onevizion.url,
        "ovAccessKey": onevizion.access_key,
        "ovSecretKey": onevizion.secret_key,
        "serviceId": onevizion.service_id,
        "channelField": onevizion.channel_field,
        "slackBotToken": slack.token,
        "slackUrl": slack.url,
    }


def example_settings(onevizion: OneVizion, slack: Slack) -> Dict[str, Any]:
    """The repository's settings.json with the keys filled in, for a run through the proxy of tests/sandbox/proxy.py."""
    with open(os.path.join(ROOT, "settings.json"), encoding="utf-8") as file:
        values: Dict[str, Any] = json.load(file)
    keys = make_settings(onevizion, slack)
    del keys["slackUrl"]
    return dict(values, **dict(keys, ovUrl=EXAMPLE_URL))


def make_directory(
    path: Any, onevizion: OneVizion, slack: Slack, scheduled: bool = True, https: bool = False, **settings: Any
) -> str:
    """Fill the directory `path`, which is made if need be, and return it as text.

    scheduled  whether ihub_parameters.json is there, as in a run that the platform started
    https      whether the settings are the example's, with the services' real addresses
    settings   replace or add keys of settings.json; ABSENT (of tests.sandbox.onevizion) removes one
    """
    directory = str(path)
    os.makedirs(directory, exist_ok=True)
    for name in PROGRAM_FILES:
        shutil.copy(os.path.join(ROOT, name), directory)
    package = os.path.join(directory, "slack_notification")
    shutil.rmtree(package, ignore_errors=True)
    shutil.copytree(os.path.join(ROOT, "slack_notification"), package, ignore=shutil.ignore_patterns("__pycache__"))
    values = dict((example_settings if https else make_settings)(onevizion, slack), **settings)
    values = {key: value for key, value in values.items() if value is not ABSENT}
    write_json(os.path.join(directory, "settings.json"), values)
    if scheduled:
        mark_packages(os.path.join(directory, ".packages"))
        parameters = {
            "processId": PROCESS_ID,
            "logLevel": "Info",
            "integrationId": 1,
            "integrationName": "Slack-notification",
            "readFromStdout": True,
            "ovUrl": EXAMPLE_URL if https else onevizion.url,
        }
        write_json(os.path.join(directory, "ihub_parameters.json"), parameters)
    return directory


def mark_packages(directory: str) -> None:
    """Make a scheduled run take the packages of this Python, instead of installing them."""
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(ROOT, "requirements.txt"), "rb") as file:
        requirements = file.read()
    with open(os.path.join(directory, "made-for"), "wb") as file:
        file.write(("%s\n" % sys.implementation.cache_tag).encode() + requirements)


def write_json(path: str, value: Any) -> None:
    """Write a JSON file that people can read."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file, indent=4)
        file.write("\n")
