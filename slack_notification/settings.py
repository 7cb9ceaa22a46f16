"""The settings: read, checked, complete."""

import contextlib
import difflib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, NoReturn

import jsonschema

from .errors import LOG, RunError, quoted
from .packages import HERE

SCHEMA_FILE = os.path.join(HERE, "settings_schema.json")
CURLY_QUOTES = "“”„‟‘’«»"


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
        return [secret for secret in (self.ov_access_key, self.ov_secret_key, self.slack_bot_token) if secret]


def read_json_object(path: str) -> Dict[str, Any]:
    """Return the JSON object in a file (UTF-8, with or without a byte-order mark).

    :raises RunError: the file is missing, unreadable, not UTF-8, not JSON, or not an object; with what to correct
    """

    def refuse(constant: str) -> NoReturn:
        raise json.JSONDecodeError("%s is no number" % constant, text, text.index(constant))

    name = os.path.basename(path)
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except OSError as error:
        advice = "%s cannot be read (%s): make sure that this file is there and may be read: %s"
        raise RunError(advice % (name, error.strerror, os.path.abspath(path))) from error
    except UnicodeDecodeError as error:
        raise RunError("%s is not UTF-8 text: save it with the encoding UTF-8" % name) from error
    if not text.strip():
        raise RunError("%s is empty: copy the example from the README and fill it in" % name)
    if not text.lstrip().startswith(("{", "//", "/*", "#")):
        raise RunError("%s is not a JSON object: it must begin with { and end with }" % name)
    try:
        return dict(json.loads(text, parse_constant=refuse))
    except json.JSONDecodeError as error:
        raise RunError("%s is not valid JSON: %s" % (name, json_fault(text, error))) from error
    except (ValueError, RecursionError) as error:
        raise RunError("%s is not valid JSON: copy the example from the README and fill it in" % name) from error


def json_fault(text: str, error: json.JSONDecodeError) -> str:
    """Return what is wrong with a JSON text, in the words of somebody who edits it by hand."""
    before, after = text[: error.pos].rstrip(), text[error.pos :].lstrip()
    line, line_before = error.lineno, before.count("\n") + 1
    # Python 3.13 points at the comma itself, older ones behind it.
    comma = re.match(r",[},]?\Z|[{\[],\Z", before[-1:] + after[:1]) or re.match(r",\s*[}\]]", after)
    open_string = error.msg.startswith("Unterminated string") or re.match(r"[\r\n]", text[error.pos :])
    quotes = re.search("[%s]" % CURLY_QUOTES, text.split("\n")[line - 1]) if open_string else None
    quotes = quotes or re.match("[%s']" % CURLY_QUOTES, after)
    no_quote = open_string or (re.match("Expecting (value|property|':')", error.msg) and after[:1].isalnum())
    no_comma = error.msg.startswith("Expecting ',' delimiter") and (line_before < line or after[:1] == '"')
    faults = [
        (comma, "a comma too many in line %d: delete it" % (line if after.startswith(",") else line_before)),
        (quotes, '%s in line %d: write straight double quotation marks (")' % (quotes and quotes.group(), line)),
        (after.startswith(("//", "/*", "#")), "a comment in line %d: JSON has none, delete it" % line),
        (not after, "} is missing at the end"),
        (no_quote, "a quotation mark is missing in line %d" % line),
        (no_comma, "a comma is missing in line %d" % line_before),
        (error.msg.startswith("Extra data"), "there is text after the last } (line %d): delete it" % line),
    ]
    other = "%s (line %d, column %d): correct that line or the one before it" % (error.msg, line, error.colno)
    return next((text for found, text in faults if found), other)


def unquoted(values: Dict[str, Any], schema: Dict[str, Any]) -> Dict[str, Any]:
    """Return the settings with numbers and booleans in quotes taken as what they are."""
    result = dict(values)
    for key, rule in schema["properties"].items():
        if rule["type"] != "string" and isinstance(values.get(key), str):
            fraction = float if rule["type"] == "number" else str  # "1.0" stays a text, which is no whole number
            with contextlib.suppress(ValueError, RecursionError):
                result[key] = json.loads(values[key].strip().lower(), parse_float=fraction)
    return result


def settings_problems(values: Dict[str, Any], schema: Dict[str, Any]) -> Dict[str, str]:
    """Return what is wrong with the settings: the key and a line for the admin, which never shows the key's value."""
    values = unquoted(values, schema)
    wrong = {error.path[0] for error in jsonschema.Draft7Validator(schema).iter_errors(values) if error.path}
    problems = {}
    for key, rule in schema["properties"].items():
        if key in schema["required"] and key not in values:
            problems[key] = "%s is missing: expected %s" % (key, rule["description"])
        elif key in wrong and re.fullmatch(r"\*+", str(values[key])):
            problems[key] = "%s still has the placeholder of the example: expected %s" % (key, rule["description"])
        elif key in wrong:
            problems[key] = "%s is not valid: expected %s" % (key, rule["description"])
    return problems


def warnings_of(values: Dict[str, Any], schema: Dict[str, Any]) -> List[str]:
    """Return what works but is probably a mistake, a line each; no line shows a secret."""
    warnings = []
    for key in values:
        if key not in schema["properties"]:
            nearest = difflib.get_close_matches(key, schema["properties"], n=1)
            advice = "did you mean %s?" % nearest[0] if nearest else "it is not used"
            shown = quoted(key) if re.match(r"[A-Za-z_]{1,40}\Z", key) else "***"  # it may be a token
            warnings.append("the settings have the unknown key %s: %s" % (shown, advice))
    address, token = values.get("ovUrl"), values.get("slackBotToken")
    if isinstance(address, str) and re.search(r"[^:/\s][/?#]+[^/\s]", address):
        warnings.append("ovUrl: what follows the host name is ignored; the module uses %s" % base_url(address))
    if isinstance(token, str) and token.strip().startswith("xoxe."):
        text = "slackBotToken works for twelve hours only (token rotation): make a new app from the README's manifest"
        warnings.append(text)
    return warnings


def base_url(text: str) -> str:
    """Return an address from the settings with its scheme, and with nothing behind the host; "" for an empty one."""
    text = text.strip()
    scheme, _, rest = text.partition("://") if re.match(r"\w+://", text) else ("https", "", text)
    return "%s://%s" % (scheme.lower(), re.split("[/?#]", rest)[0]) if text else ""


def make_settings(values: Dict[str, Any], schema: Dict[str, Any]) -> Settings:
    """Return the Settings for values without problems; what is not given is the schema's default, or empty."""
    rules = schema["properties"]
    given = {key: rule.get("default", 0 if rule["type"] == "integer" else "") for key, rule in rules.items()}
    given.update(unquoted(values, schema))
    return Settings(
        ov_url=base_url(given["ovUrl"]),
        ov_access_key=given["ovAccessKey"].strip(),
        ov_secret_key=given["ovSecretKey"].strip(),
        service_id=int(given["serviceId"]),
        channel_field=given["channelField"].strip(),
        slack_bot_token=given["slackBotToken"].strip(),
        max_attempts=max(1, int(given["maxAttempts"])),  # 0 means 1, as in OneVizion's first Slack module
        next_attempt_delay=float(given["nextAttemptDelay"]),
        slack_url=base_url(given["slackUrl"]),
        upload_attachments=given["uploadAttachments"],
    )


def load_settings(path: str) -> Settings:
    """Read and validate the settings file; log what is probably a mistake; raise RunError with all problems at once."""
    values, schema = read_json_object(path), read_json_object(SCHEMA_FILE)
    for warning in warnings_of(values, schema):
        LOG.warning(warning)
    problems = settings_problems(values, schema)
    if problems:
        text = "%s has mistakes; correct these settings:\n%s"
        raise RunError(text % (os.path.basename(path), "\n".join(problems.values())))
    return make_settings(values, schema)
