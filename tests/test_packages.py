"""The packages: a directory of the module's own under the scheduler, a check when started by hand."""

import os
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile

import pytest
import slack

from slack_notification import integration_log, packages
from tests.world import PROCESS_TIMEOUT_SECONDS, finish

PROGRAM = """
import sys
from slack_notification.lock import only_run
from slack_notification.packages import refuse_import, use_packages
with only_run() as held:
    before, warning = set(sys.modules), ""
    if not use_packages(sys.argv[1] == "scheduled") and held.alone:
        from slack_notification.installation import install_packages
        warning = install_packages()
    heavy = {"subprocess", "tempfile", "importlib.metadata", "pkg_resources"} & (set(sys.modules) - before)
    if held.alone:
        try:
            import alpha
        except ImportError as error:
            refuse_import(error, sys.argv[1] == "scheduled")
        print("alpha", alpha.VERSION, "warning" if warning else "", sorted(heavy) if "heavy" in sys.argv else "")
        print(warning, file=sys.stderr)
    else:
        print("another run")
"""
# Like pip, but with one version to be had, and it counts the calls.
PIP = """
import os, sys
open("calls", "a").write("x")
target = sys.argv[sys.argv.index("--target") + 1]
info = os.path.join(target, "alpha-%(version)s.dist-info")
os.makedirs(info)
open(os.path.join(info, "METADATA"), "w").write("Name: alpha\\nVersion: %(version)s\\n")
open(os.path.join(target, "alpha.py"), "w").write("VERSION = '%(version)s'\\n")
print("pip talks")
"""
HANGS = "import sys, time\nopen('hangs', 'w').close()\ntime.sleep(60)\n"
FAILS = "print('Looking')\nsys.exit('ERROR: no route to https://jane:s3cr@t@packages.example/simple')\n"


class Module:
    """A module's directory that needs the package alpha, a pip of its own, and a shared directory of packages."""

    def __init__(self, path):
        self.path = str(path)
        shutil.copytree(os.path.dirname(packages.__file__), self.at("slack_notification"))
        self.write("program.py", PROGRAM)
        self.write("requirements.txt", "alpha>=1.2,<2\n")
        os.makedirs(self.at("shared"))

    def at(self, *names):
        return os.path.join(self.path, *names)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.at(name)), exist_ok=True)
        with open(self.at(name), "w") as file:
            file.write(text)

    def pip(self, text=PIP % {"version": "1.5"}):
        self.write("pip/__init__.py", "")  # else pip of the site is found first
        self.write("pip/__main__.py", "import sys\n" + text)

    def share(self, version, code="VERSION = '%s'\n"):
        self.write("shared/alpha-%s.dist-info/METADATA" % version, "Name: alpha\nVersion: %s\n" % version)
        self.write("shared/alpha.py", code % version if "%s" in code else code)

    def manage_python(self):
        """Let pip look for the mark of PEP 668, and find it, by a standard library of the test's own."""
        self.write(
            "shared/sitecustomize.py",
            "import sys, sysconfig\nsys.prefix = sys.base_prefix\n"
            "known = sysconfig.get_path\nsysconfig.get_path = lambda name, *a, **k: "
            "%r if name == 'stdlib' else known(name, *a, **k)\n" % self.at("stdlib"),
        )
        self.write("stdlib/EXTERNALLY-MANAGED", "[externally-managed]\nError=managed\n")

    def start(self, *arguments, **environment):
        return subprocess.Popen(
            [sys.executable, "program.py"] + list(arguments or ["scheduled"]),
            cwd=self.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            universal_newlines=True,
            env=dict(os.environ, PYTHONPATH=self.at("shared"), **environment),
        )

    def run(self, *arguments, **environment):
        return finish(self.start(*arguments, **environment))

    def leftovers(self):
        return [name for name in os.listdir(self.path) if name.startswith(".slack-notification.packages")]


@pytest.fixture
def module(tmp_path):
    return Module(tmp_path / "module")


def until(condition):
    """Wait for another process to get somewhere."""
    end = time.monotonic() + PROCESS_TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_scheduled_run_installs_once_for_each_requirements_file_and_wins_over_what_others_installed(module):
    module.share("1.3")
    module.pip()
    for _ in range(2):
        run = module.run()
        assert (run.status, run.stdout.strip()) == (0, "alpha 1.5"), run.console
    assert os.path.getsize(module.at("calls")) == 1
    assert module.run("scheduled", "heavy").stdout.strip() == "alpha 1.5  []"
    module.write("requirements.txt", "alpha>=1.4,<2\n")
    module.pip(PIP % {"version": "1.6"})
    assert module.run().stdout.strip() == "alpha 1.6"
    assert module.leftovers() == []


def test_the_real_pip_installs_though_the_python_is_externally_managed(module, tmp_path):
    name = module.at("wheels", "alpha-1.5-py3-none-any.whl")
    os.makedirs(module.at("wheels"))
    with zipfile.ZipFile(name, "w") as wheel:
        wheel.writestr("alpha.py", "VERSION = '1.5'\n")
        wheel.writestr("alpha-1.5.dist-info/METADATA", "Metadata-Version: 2.1\nName: alpha\nVersion: 1.5\n")
        wheel.writestr("alpha-1.5.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("alpha-1.5.dist-info/RECORD", "")
    module.manage_python()
    run = module.run(PIP_NO_INDEX="1", PIP_FIND_LINKS=module.at("wheels"))
    assert (run.status, run.stdout.strip()) == (0, "alpha 1.5"), run.console


def test_where_pip_fails_what_is_there_is_used_with_a_warning_if_its_version_satisfies(module):
    module.share("1.3")
    module.pip(FAILS)
    run = module.run()
    assert (run.status, run.stdout.strip()) == (0, "alpha 1.3 warning")
    assert "pip: ERROR: no route to https://***@packages.example/simple" in run.console


def test_where_pip_fails_the_older_directory_goes_on_being_used(module):
    module.pip()
    module.run()
    module.write("requirements.txt", "alpha>=1.1,<2\n")
    module.pip(FAILS)
    assert module.run().stdout.strip() == "alpha 1.5 warning"


def test_where_nothing_there_is_enough_stdout_says_why_without_the_password(module):
    module.share("1.0")
    module.pip(FAILS)
    run = module.run()
    assert run.status == 2
    assert "pip: ERROR: no route to https://***@packages.example/simple\n" in run.stdout
    assert "alpha is too old (has 1.0, needs >=1.2,<2)" in run.stdout
    assert run.stdout in run.console
    assert "s3cr" not in run.stdout + run.console


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_while_pip_works_leaves_the_next_one_to_install(module, number):
    module.pip("import os\nopen('pid', 'w').write(str(os.getpid()))\n" + HANGS)
    process = module.start()
    until(lambda: os.path.exists(module.at("hangs")))
    other = module.run()  # two first runs at once
    assert (other.status, other.stdout) == (0, "another run\n")
    process.send_signal(number)
    assert finish(process).status == (143 if number == signal.SIGTERM else -9)
    with open(module.at("pid")) as file:
        pid = int(file.read())
    if number == signal.SIGTERM:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    else:
        os.kill(pid, signal.SIGKILL)
    module.pip()
    assert module.run().stdout.strip() == "alpha 1.5"
    assert module.leftovers() == []


def test_a_kill_between_moving_the_old_directory_away_and_the_new_one_in_loses_nothing(module):
    module.pip()
    module.run()
    os.rename(module.at(".packages"), module.at(".slack-notification.packages-7"))
    module.pip(FAILS)
    assert module.run().stdout.strip() == "alpha 1.5"
    assert module.leftovers() == []


@pytest.mark.parametrize(
    ("version", "code", "says"),
    [
        (None, "", "alpha is missing"),
        ("1.1.9", "", "alpha is too old (has 1.1.9, needs >=1.2,<2)"),
        ("2.0", "", "alpha is too new (has 2.0, needs >=1.2,<2)"),
        ("1.3", "import no_such_part\n", "alpha is broken (ModuleNotFoundError: No module named 'no_such_part')"),
    ],
)
def test_by_hand_it_says_what_is_wrong_with_a_package_and_installs_nothing(module, version, code, says):
    module.pip()
    if version:
        module.share(version, code)
    run = module.run("by hand")
    assert (run.status, run.stdout) == (2, "")
    force = "--force-reinstall " if "broken" in says else ""
    assert run.console == "The Python package %s\nInstall what the module needs: %s -m pip install %s-r %s\n" % (
        says,
        sys.executable,
        force,
        module.at("requirements.txt"),
    )
    assert not os.path.exists(module.at("calls"))


def test_by_hand_on_a_python_that_the_system_manages_the_advice_is_a_virtual_environment(module):
    module.manage_python()
    run = module.run("by hand")
    advice = "This Python is the system's: make .venv with the README's first command, and use its Python"
    assert run.console == "The Python package alpha is missing\n%s\n" % advice


@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_a_pip_that_was_killed_is_told_as_such(module):
    module.pip("import os\nprint('Downloading 10%', flush=True)\nos.kill(os.getpid(), 9)\n")
    run = module.run()
    assert run.status == 2
    assert "pip: Downloading 10%\npip: ended by signal 9\n" in run.stdout


def test_every_line_of_the_requirements_file_is_understood():
    with open(packages.REQUIREMENTS_FILE) as file:
        text = file.read()
    assert len(packages.REQUIREMENT.findall(text)) == len(text.splitlines())


# The whole program

SITE = next(path for path in sys.path if path.endswith("site-packages"))
# Like pip, for what this Python has; where the file "wait" exists, it waits for the file "go on".
WHOLE_PIP = """
import os, sys, time
open("calls", "a").write("x")
while os.path.exists("wait") and not os.path.exists("go on"):
    time.sleep(0.01)
target = sys.argv[sys.argv.index("--target") + 1]
os.makedirs(target)
for name in os.listdir(%r):
    os.symlink(os.path.join(%r, name), os.path.join(target, name))
""" % (SITE, SITE)
ALL_PACKAGES = ("jsonschema", "lxml", "onevizion", "requests", "slackclient")


def without_packages(world, scheduled=True, pip=WHOLE_PIP):
    """A directory with a pip of its own, and what starts the program there on a Python without any packages."""
    world.scheduled = scheduled
    directory = world.directory()
    shutil.rmtree(os.path.join(directory, ".packages"), ignore_errors=True)
    os.makedirs(os.path.join(directory, "pip"))
    with open(os.path.join(directory, "pip", "__main__.py"), "w") as file:
        file.write("import sys\n" + pip)
    environment = os.path.join(directory, "environment")
    venv.create(environment)
    python = os.path.join(environment, "Scripts" if os.name == "nt" else "bin", "python")
    return lambda *arguments: subprocess.Popen(
        [python, "module.py"] + list(arguments),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )


def breaks(world, name, code="import no_such_part\n"):
    """Put a package that cannot be imported, or has not what it should, before the real one; return the directory."""
    directory = world.directory()
    path = os.path.join(directory, *name.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for file_name, text in ((os.path.join(os.path.dirname(path), "__init__.py"), ""), (path, code)):
        if "/" in name or file_name == path:
            with open(file_name, "w") as file:
                file.write(text)
    return directory


def untouched(world):
    return world.onevizion.history == [] and not world.onevizion.attempts and world.slack.messages == []


def test_by_hand_the_program_names_every_missing_package_and_the_command_that_installs_them(world):
    run = finish(without_packages(world, scheduled=False)())
    assert (run.status, run.stdout) == (2, "")
    needed = (os.path.join(world.path, "environment", "bin", "python"), os.path.join(world.path, "requirements.txt"))
    assert run.console.splitlines() == ["The Python package %s is missing" % name for name in ALL_PACKAGES] + [
        "Install what the module needs: %s -m pip install -r %s" % needed
    ]
    assert not os.path.exists(os.path.join(world.path, "calls"))


def test_a_first_scheduled_run_installs_into_the_modules_own_directory_and_goes_on_delivering(world):
    world.record(html=True, msg="<b>Hello</b>")
    start = without_packages(world)
    for _ in range(2):
        run = finish(start())
        assert (run.status, run.stdout) == (0, ""), run.console
    assert len(world.texts()) == 1
    assert os.path.getsize(os.path.join(world.path, "calls")) == 1
    site = os.path.join(world.path, "environment", "lib")
    assert [names for _, _, names in os.walk(site) if names] == []


def test_two_first_runs_at_once_start_one_pip_and_the_second_leaves_the_work_to_the_first(world):
    world.record()
    start = without_packages(world)
    with open(os.path.join(world.path, "wait"), "w"):
        first = start()
    until(lambda: os.path.exists(os.path.join(world.path, "calls")))
    assert finish(start("--resend", "4711")).status == 1
    second = finish(start())
    assert (second.status, second.console) == (0, "")
    assert second.stdout == (
        "another run is in progress in this directory, and installs the packages: nothing was done\n"
    )
    with open(os.path.join(world.path, "go on"), "w"):
        assert finish(first).status == 0
    assert os.path.getsize(os.path.join(world.path, "calls")) == 1
    assert len(world.texts()) == 1


@pytest.mark.parametrize("pip", ["sys.exit('ERROR: no route to the index')\n", "sys.exit(1)\n", ""])
def test_where_pip_cannot_install_and_nothing_is_there_the_log_gets_its_last_words_and_nobody_is_called(world, pip):
    run = finish(without_packages(world, pip=pip)())
    assert run.status == 2
    words = "pip: ERROR: no route to the index" if "ERROR" in pip else "pip: ended with status 1" if pip else "pip: The"
    assert words in run.stdout
    for name in ALL_PACKAGES:
        assert "The Python package %s is missing\n" % name in run.stdout
    assert run.console.endswith(run.stdout)
    assert "Traceback" not in run.console
    assert world.onevizion.calls == world.slack.calls == []


def test_where_pip_fails_the_program_runs_with_what_is_there_and_warns_with_pips_last_words(world):
    world.record()
    directory = world.directory()
    os.remove(os.path.join(directory, ".packages", "made-for"))
    os.makedirs(os.path.join(directory, "pip"))
    for name, text in (("__init__", ""), ("__main__", FAILS)):
        with open(os.path.join(directory, "pip", name + ".py"), "w") as file:
            file.write("import sys\n" + text)
    run = finish(world.start(cwd=directory, env=dict(os.environ, PYTHONPATH=SITE)))
    assert (run.status, len(world.texts())) == (0, 1), run.console
    (warning,) = [entry for entry in world.onevizion.log if entry.level == "Warning"]
    assert warning.message == "The Python packages could not be installed: the run uses those that are there"
    assert "pip: ERROR: no route to https://***@packages.example/simple" in warning.description
    assert "s3cr" not in run.console + run.stdout + str(world.onevizion.log)


@pytest.mark.parametrize(("file", "package"), [("slack.py", "slackclient"), ("lxml/etree.py", "lxml")])
@pytest.mark.parametrize("scheduled", [True, False])
def test_an_ImportError_that_comes_later_names_the_package_and_leaves_the_queue(world, file, package, scheduled):
    world.scheduled = scheduled
    world.record(html=True, msg="<b>Hello</b>")
    directory = breaks(world, file)
    run = finish(world.start(cwd=directory))
    text = "The Python package %s is broken (ModuleNotFoundError: No module named 'no_such_part')\n" % package
    assert run.status == 2
    assert text in run.console
    assert "Traceback" not in run.console
    assert "a fault in this module" not in run.console
    assert untouched(world)
    assert run.stdout == (text + "The next run tries to install the packages again\n" if scheduled else "")
    # The next scheduled run installs all of them again.
    assert os.path.exists(os.path.join(directory, ".packages", "made-for")) is False


def test_an_ImportError_at_the_start_names_the_package(world):
    run = finish(world.start("--check", cwd=breaks(world, "onevizion.py")))
    assert run.status == 2
    assert "onevizion is broken (ModuleNotFoundError: No module named 'no_such_part')" in run.stdout
    assert "Traceback" not in run.console


def test_check_finds_a_package_that_is_broken_and_needed_by_some_records_only(world):
    run = finish(world.start("--check", cwd=breaks(world, "lxml/etree.py")))
    assert run.status == 2
    text = "The Python package lxml is broken (ModuleNotFoundError: No module named 'no_such_part')"
    assert run.stdout.startswith("[FAIL] packages: %s: install requirements.txt again\n" % text)
    assert "[ ok ] Slack: " in run.stdout
    assert run.stdout.endswith("\n1 fault(s): correct what is marked FAIL, and check again.\n")


DAMAGES = [
    ("requests.py", "def broken(:\n", "requests is broken (SyntaxError: "),
    ("requests/__init__.py", "\0", "requests is broken ("),  # a ValueError, or a SyntaxError
    ("requests/__init__.py", "", "requests is broken (AttributeError: "),  # cut off
    ("onevizion.py", "raise RuntimeError('no')\n", "onevizion is broken (RuntimeError: no)"),
    ("jsonschema.py", "", "jsonschema is broken (AttributeError: "),  # noticed when it is used
    ("slack.py", "{}['key']\n", "slackclient is broken (KeyError: 'key')"),
    ("lxml/etree.py", "1 / 0\n", "lxml is broken (ZeroDivisionError: division by zero)"),
]


@pytest.mark.parametrize(("file", "code", "says"), DAMAGES)
@pytest.mark.parametrize("scheduled", [True, False])
def test_a_damaged_package_is_named_whatever_it_raises(world, file, code, says, scheduled):
    world.scheduled = scheduled
    world.record(html=True, msg="<b>Hello</b>")
    run = finish(world.start(cwd=breaks(world, file, code)))
    assert run.status == 2
    assert "The Python package %s" % says in run.console
    assert ("The Python package %s" % says in run.stdout) is scheduled
    assert "Traceback" not in run.console
    assert untouched(world)


@pytest.mark.parametrize("code", ["def broken(:\n", "\0", ""])
def test_after_a_damage_to_its_own_packages_the_next_scheduled_run_installs_them_again(world, code):
    start = without_packages(world)
    assert finish(start()).status == 0
    damaged = os.path.join(world.path, ".packages", "requests")
    os.remove(damaged)  # a link to the real one
    os.makedirs(damaged)
    with open(os.path.join(damaged, "__init__.py"), "w") as file:
        file.write(code)
    world.record()
    run = finish(start())
    assert (run.status, "The Python package requests is broken (" in run.stdout) == (2, True), run.console
    assert finish(start()).status == 0
    assert len(world.texts()) == 1


def test_with_slack_sdk_in_the_place_of_slackclient_the_program_works_and_says_so(world, monkeypatch):
    world.record()
    monkeypatch.setattr(slack.WebClient, "__module__", "slack_sdk.web.client")  # as in slack_sdk's package slack
    run = world.run()
    assert (run.status, len(world.texts())) == (0, 1)
    assert "the package slack here is slack_sdk's, not slackclient's; the module works with both" in run.console


@pytest.mark.parametrize("name", ["read_platform", "Console", "IntegrationLog"])
def test_a_bug_of_its_own_is_not_told_as_a_broken_package_and_installs_none_again(world, monkeypatch, name):
    def broken(*arguments):
        raise KeyError("a bug")

    monkeypatch.setattr(integration_log, name, broken)
    with pytest.raises(KeyError, match="a bug"):
        world.run()
    assert packages.mark(packages.PACKAGES) == packages.wanted_mark()
