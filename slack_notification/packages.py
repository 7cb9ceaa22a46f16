"""The packages of requirements.txt: a directory of the module's own under the scheduler, a check when started by hand.

Nothing but the standard library may be imported here. With everything in place a run pays for two small reads only.
"""

import importlib
import importlib.util
import os
import re
import sys
from typing import Any, List, NoReturn, Sequence, Tuple

from .errors import EXIT_CANNOT_WORK

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUIREMENTS_FILE = os.path.join(HERE, "requirements.txt")
PACKAGES = os.path.join(HERE, ".packages")
MARK = "made-for"  # in PACKAGES: the Python and the requirements.txt that it was made for
REQUIREMENT = re.compile(r"^([\w.-]+)>=([\d.]+),<([\d.]+)[ \t]*$", re.MULTILINE)
MODULES = {"slackclient": "slack", "lxml": "lxml.etree"}  # what to import, where it is not the package's name
REASON_CHARACTERS = 300  # of what a broken package raises


def use_packages(scheduled: bool, alone: bool) -> str:
    """Make the packages importable, and return what to warn of: "", or a line and, on further lines, the details.

    Not `alone`: nothing is installed, and the packages may be missing.

    :raises SystemExit: status 2, after saying what is wrong: to stderr, and under the scheduler to stdout, which
        OneVizion logs line by line
    """
    if not scheduled:
        wrong = faults(importing=False)
        if wrong:
            force = "--force-reinstall " if any(" is broken" in line for line in wrong) else ""
            command = "%s -m pip install %s-r requirements.txt" % (sys.executable, force)
            _refuse(wrong + ["Install what the module needs: " + command], scheduled)
        return ""
    with open(REQUIREMENTS_FILE, "rb") as file:
        wanted = ("%s\n" % sys.implementation.cache_tag).encode() + file.read()
    if mark(PACKAGES) == wanted:
        return _put_first(PACKAGES)
    return _install(wanted) if alone else ""


def refuse_import(error: ImportError, scheduled: bool) -> NoReturn:
    """Say that a package cannot be imported though it is there; the next scheduled run installs all of them again.

    :raises SystemExit: status 2, always
    """
    if scheduled and os.path.exists(os.path.join(PACKAGES, MARK)):
        os.remove(os.path.join(PACKAGES, MARK))
    _refuse(faults() or ["A Python package is broken: %s" % _line(error)], scheduled)


def faults(importing: bool = True) -> List[str]:
    """Return what is wrong with each package that this Python finds: missing, too old, too new, broken (importing)."""
    with open(REQUIREMENTS_FILE, encoding="utf-8") as file:
        lines = (_fault(importing, *requirement) for requirement in REQUIREMENT.findall(file.read()))
        return ["The Python package %s" % line for line in lines if line]


def _fault(importing: bool, name: str, low: str, high: str) -> str:
    version, module = _version(name), MODULES.get(name, name)
    if version and not _numbers(low) <= _numbers(version) < _numbers(high):
        age = "old" if _numbers(version) < _numbers(low) else "new"
        return "%s is too %s (has %s, needs >=%s,<%s)" % (name, age, version, low, high)
    if not importing:
        return "" if importlib.util.find_spec(module.split(".")[0]) else "%s is missing" % name
    try:
        imported = importlib.import_module(module)
        if module == "slack":  # slackclient's, or slack_sdk's, which has it too: slack_api.Client overrides this method
            imported.WebClient._perform_urllib_http_request  # noqa: B018
    except Exception as error:  # a broken package can raise anything
        if not version and isinstance(error, ImportError) and error.name == module.split(".")[0]:
            return "%s is missing" % name
        return "%s is broken (%s)" % (name, _line(error))
    return ""


def _version(name: str) -> str:
    """Return the version of an installed package, "" where there is none or nothing can tell."""
    try:
        if sys.version_info >= (3, 8):
            from importlib import metadata

            return metadata.version(name) or ""
        resources: Any = importlib.import_module("pkg_resources")
        return str(next((found.version for found in resources.WorkingSet() if found.key == name), ""))
    except ImportError:
        return ""


def _numbers(version: str) -> Tuple[int, ...]:
    numbers = re.match(r"[\d.]*", version.rstrip()).group()  # type: ignore[union-attr] # matches anything
    return tuple(int(number or 0) for number in re.sub(r"(\.0*)*$", "", numbers).split("."))


def _line(error: Exception) -> str:
    return ("%s: %s" % (type(error).__name__, " ".join(str(error).split())))[:REASON_CHARACTERS]


def _refuse(lines: Sequence[str], scheduled: bool) -> NoReturn:
    for stream in [sys.stderr, sys.stdout] if scheduled else [sys.stderr]:
        print("\n".join(lines), file=stream, flush=True)
    raise SystemExit(EXIT_CANNOT_WORK)


def _put_first(directory: str) -> str:
    sys.path.insert(0, directory)
    # Not importlib.invalidate_caches(), which imports importlib.metadata.
    sys.path_importer_cache.pop(directory, None)
    return ""


def mark(directory: str) -> bytes:
    """Return what a directory of packages was made for; b"" where that is unknown."""
    try:
        with open(os.path.join(directory, MARK), "rb") as file:
            return file.read()
    except OSError:
        return b""


def _install(wanted: bytes) -> str:
    """Install, else use an older directory of packages or what this Python has, where it satisfies requirements.txt."""
    from . import installation  # imports what a run with everything in place does without

    print("installing the packages of requirements.txt", file=sys.stderr, flush=True)
    reasons = ["pip: " + line for line in installation.install(HERE, PACKAGES, wanted)]
    if not reasons:
        return _put_first(PACKAGES)
    warning = "\n".join(["requirements.txt could not be installed: the run uses packages that are there"] + reasons)
    if os.path.isdir(PACKAGES) and not installation.check(HERE, [PACKAGES]):
        return _put_first(PACKAGES) + warning
    wrong = installation.check(HERE)
    if wrong:
        _refuse(["requirements.txt could not be installed, and what is there is not enough:"] + reasons + wrong, True)
    return warning
