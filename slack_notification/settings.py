"""The settings: read, checked, complete."""

import difflib
import json
import os
from typing import Any, Dict, List, NamedTuple, NoReturn

import jsonschema

from .errors import LOG, RunError, quoted

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

SETTINGS_FILE = "settings.json"
SCHEMA_FILE = os.path.join(HERE, "settings_schema.json")
NEAREST_KEY_SIMILARITY = 0.6  # difflib's measure: below it the nearest known key is no likely meaning


class Settings(NamedTuple):
    """The admin's settings, valid and complete. URLs have a scheme and no trailing slash; delays are in seconds."""

    ov_url: str
    ov_access_key: str
    ov_secret_key: str
    service_id: int
    channel_field: str
    slack_bot_token: str
    max_attempts: int
    next_attempt_delay: float
    slack_url: str
    upload_attachments: bool

    def __repr__(self) -> str:
        return "Settings(ov_url=%r, service_id=%r)" % (self.ov_url, self.service_id)

    def secrets(self) -> List[str]:
        """Return the texts that must never be shown."""
        return [self.ov_access_key, self.ov_secret_key, self.slack_bot_token]


def read_json_object(path: str) -> Dict[str, Any]:
    """Return the JSON object in a file (UTF-8, with or without a byte-order mark).

    :raises RunError: the file is missing, unreadable, not UTF-8, not JSON (with line and column), or not an object
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(constant)

    name = os.path.basename(path)
    place = "the directory of module.py" if os.path.isabs(path) else "the current directory"
    try:
        with open(path, encoding="utf-8-sig") as file:
            values = json.load(file, parse_constant=refuse)
    except OSError as error:
        raise RunError("%s cannot be read (%s): see that it is in %s" % (name, error.strerror, place)) from error
    except UnicodeDecodeError as error:
        raise RunError("%s is not UTF-8 text: save it with the encoding UTF-8" % name) from error
    except json.JSONDecodeError as error:
        what = "%s (line %d, column %d)" % (error.msg, error.lineno, error.colno)
        raise RunError("%s is not valid JSON: %s: mend it there or just before" % (name, what)) from error
    except (ValueError, RecursionError) as error:
        raise RunError("%s is not valid JSON: take the example of the README and fill it in" % name) from error
    if not isinstance(values, dict):
        raise RunError("%s is not a JSON object: it must begin with { and end with }" % name)
    return values


def settings_problems(values: Dict[str, Any], schema: Dict[str, Any]) -> Dict[str, str]:
    """Return what is wrong with the settings: the key and a line for the admin, which never shows the key's value.

    :param schema: settings_schema.json; the `description` of a property says what is expected of it
    """
    wrong = {error.path[0] for error in jsonschema.Draft7Validator(schema).iter_errors(values) if error.path}
    problems = {}
    for key, rule in schema["properties"].items():
        if key in schema["required"] and key not in values:
            problems[key] = "%s is missing: expected %s" % (key, rule["description"])
        elif key in wrong and isinstance(values[key], str) and values[key] and not values[key].strip("*"):
            problems[key] = "%s still is the placeholder of the example: expected %s" % (key, rule["description"])
        elif key in wrong:
            problems[key] = "%s is not valid: expected %s" % (key, rule["description"])
    return problems


def unknown_keys(values: Dict[str, Any], schema: Dict[str, Any]) -> List[str]:
    """Return a warning for each key that no setting has, with the known key that is most like it."""
    warnings = []
    for key in values:
        if key not in schema["properties"]:
            nearest = difflib.get_close_matches(key, schema["properties"], n=1, cutoff=NEAREST_KEY_SIMILARITY)
            advice = "did you mean %s?" % nearest[0] if nearest else "it is not used"
            warnings.append("%s has the unknown key %s: %s" % (SETTINGS_FILE, quoted(key), advice))
    return warnings


def base_url(text: str) -> str:
    """Return an address from the settings with its scheme and without a trailing slash."""
    text = text.strip().rstrip("/")
    return text if "://" in text else "https://" + text


def make_settings(values: Dict[str, Any], schema: Dict[str, Any]) -> Settings:
    """Return the Settings for values that have no problems; what is not given comes from the schema's defaults."""
    defaults = {key: rule["default"] for key, rule in schema["properties"].items() if "default" in rule}
    given = {**defaults, **values}
    return Settings(
        ov_url=base_url(given["ovUrl"]),
        ov_access_key=given["ovAccessKey"].strip(),
        ov_secret_key=given["ovSecretKey"].strip(),
        service_id=int(given["serviceId"]),
        channel_field=given["channelField"].strip(),
        slack_bot_token=given["slackBotToken"].strip(),
        max_attempts=int(given["maxAttempts"]),
        next_attempt_delay=float(given["nextAttemptDelay"]),
        slack_url=base_url(given["slackUrl"]),
        upload_attachments=given["uploadAttachments"],
    )


def load_settings() -> Settings:
    """Read and validate settings.json in the working directory; warn of unknown keys.

    :raises RunError: with all problems at once
    """
    values = read_json_object(SETTINGS_FILE)
    schema = read_json_object(SCHEMA_FILE)
    for warning in unknown_keys(values, schema):
        LOG.warning(warning)
    problems = settings_problems(values, schema)
    if problems:
        raise RunError("%s cannot be used: mend what is listed" % SETTINGS_FILE, list(problems.values()))
    return make_settings(values, schema)
