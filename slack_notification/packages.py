"""The packages of requirements.txt: a directory of the module's own under the scheduler, a check when started by hand.

Nothing but the standard library may be imported here. With everything in place a run pays for two small reads only.
"""

import glob
import importlib
import importlib.util
import operator
import os
import re
import sys
from typing import List, NoReturn, Sequence, Tuple

from .errors import EXIT_CANNOT_WORK, EXIT_DELIVERED, EXIT_NOT_ALL_DELIVERED

# OneVizion writes this file into the working directory before each scheduled run, and only then.
IHUB_PARAMETERS_FILE = "ihub_parameters.json"
HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REQUIREMENTS_FILE = os.path.join(HERE, "requirements.txt")
PACKAGES = os.path.join(HERE, ".packages")
MARK = "made-for"  # in PACKAGES: the Python and the requirements.txt that it was made for
REQUIREMENT = re.compile(r"^([\w.-]+)>=([\d.]+),<([\d.]+)[ \t]*$", re.MULTILINE)
# What the module uses of each package: without it, the package is damaged, or another one has its name.
USED = {
    "jsonschema": ("jsonschema", "Draft7Validator"),
    "lxml": ("lxml.etree", "HTMLParser"),
    "onevizion": ("onevizion", "NotifQueueStatus"),
    "requests": ("requests", "Session"),
    "slackclient": ("slack", "WebClient._perform_urllib_http_request"),
}
REASON_CHARACTERS = 300  # of what a broken package raises


def use_packages(scheduled: bool) -> bool:
    """Make the packages importable, and tell whether they are in place; under the scheduler they may not be yet.

    :raises SystemExit: status 2 when started by hand, after saying what is wrong
    """
    if scheduled:
        if mark(PACKAGES) != wanted_mark():
            return False
        sys.path.insert(0, PACKAGES)
        return True
    wrong = faults(importing=False)
    if wrong:
        refuse(wrong, scheduled)
    return True


def is_of_packages(error: Exception) -> bool:
    """Tell whether a package that is missing or broken has raised this; such a one can raise anything."""
    return isinstance(error, ImportError) or bool(faults())


def refuse_import(error: Exception, scheduled: bool, alone: bool = True, delivers: bool = True) -> NoReturn:
    """Say that a package cannot be imported though it is there; the next scheduled run installs all of them again.

    Not `alone`: the other run is just installing them, and delivers what is pending; this one has nothing to do.
    """
    if scheduled and not alone:
        print("another run is in progress in this directory, and installs the packages: nothing was done")
        raise SystemExit(EXIT_DELIVERED if delivers else EXIT_NOT_ALL_DELIVERED)
    if scheduled and mark(PACKAGES):
        os.remove(os.path.join(PACKAGES, MARK))
    refuse(faults() or ["A Python package is broken: %s" % _line(error)], scheduled)


def faults(importing: bool = True) -> List[str]:
    """Return what is wrong with each package that this Python finds: missing, too old, too new, broken (importing)."""
    with open(REQUIREMENTS_FILE, encoding="utf-8") as file:
        lines = (_fault(importing, *requirement) for requirement in REQUIREMENT.findall(file.read()))
        return ["The Python package %s" % line for line in lines if line]


def _fault(importing: bool, name: str, low: str, high: str) -> str:
    version, (module, used) = _version(name), USED.get(name, (name, "__name__"))
    if not version and not importlib.util.find_spec(module.split(".")[0]):
        return "%s is missing" % name
    if version and not _numbers(low) <= _numbers(version) < _numbers(high):
        age = "old" if _numbers(version) < _numbers(low) else "new"
        return "%s is too %s (has %s, needs >=%s,<%s)" % (name, age, version, low, high)
    try:
        if importing:
            operator.attrgetter(used)(importlib.import_module(module))
    except Exception as error:  # a broken package can raise anything
        return "%s is broken (%s)" % (name, _line(error))
    return ""


def _version(name: str) -> str:
    """Return the version of an installed package, which stands in the name of its directory of metadata; else ""."""
    paths = (os.path.join(glob.escape(place), name + "-[0-9]*-info") for place in sys.path)
    found = [os.path.basename(path) for pattern in paths for path in glob.glob(pattern)]
    return re.split(r"-|\.dist|\.egg", found[0])[1] if found else ""


def _numbers(version: str) -> Tuple[int, ...]:
    numbers = re.match(r"[\d.]*", version).group()  # type: ignore[union-attr] # matches anything
    return tuple(int(number or 0) for number in re.sub(r"(\.0*)*$", "", numbers).split("."))


def _line(error: Exception) -> str:
    return ("%s: %s" % (type(error).__name__, " ".join(str(error).split())))[:REASON_CHARACTERS]


def refuse(lines: Sequence[str], scheduled: bool) -> NoReturn:
    """End the program with status 2 and these lines: on stderr, and under the scheduler on stdout, which is logged."""
    from sysconfig import get_path

    if scheduled:
        advice = "The next run tries to install the packages again"
    elif sys.prefix == sys.base_prefix and os.path.exists(os.path.join(get_path("stdlib"), "EXTERNALLY-MANAGED")):
        advice = "This Python is the system's: make .venv with the README's first command, and use its Python"
    else:
        force = "--force-reinstall " if any(" is broken" in line for line in lines) else ""
        advice = "Install what the module needs: %s -m pip install %s-r %s" % (sys.executable, force, REQUIREMENTS_FILE)
    for stream in [sys.stdout, sys.stderr] if scheduled else [sys.stderr]:
        print("\n".join([*lines, advice]), file=stream, flush=True)
    raise SystemExit(EXIT_CANNOT_WORK)


def wanted_mark() -> bytes:
    """Return the mark of a directory that is made for this Python and this requirements.txt."""
    with open(REQUIREMENTS_FILE, "rb") as file:
        return ("%s\n" % sys.implementation.cache_tag).encode() + file.read()


def mark(directory: str) -> bytes:
    """Return what a directory of packages was made for; b"" where that is unknown."""
    try:
        with open(os.path.join(directory, MARK), "rb") as file:
            return file.read()
    except OSError:
        return b""
