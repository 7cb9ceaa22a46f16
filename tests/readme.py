"""What README.md shows and says of the program, made from the program itself.

`python -m tests.readme` writes the outputs shown in README.md anew; tests/test_readme.py compares them, and the table
of failures, with the program.
"""

import ast
import glob
import os
import re
import subprocess
import sys
import tempfile
from typing import Callable, Dict, Iterator, List, Optional, Tuple

from slack_notification import slack_api
from tests.sandbox.directory import ROOT
from tests.sandbox.onevizion import OneVizion
from tests.sandbox.scenes import seed
from tests.sandbox.slack import Slack
from tests.world import World

README = os.path.join(ROOT, "README.md")
# What tells an admin that something did not work: its first argument is the text.
TELLING = (
    "Failure",
    "UnknownField",
    "RunError",
    "passing_failure",
    "LOG.error",
    "LOG.warning",
    "LOG.exception",
    "PROGRESS.warning",
    "_tell",
)


def read_readme() -> str:
    """Return the text of README.md."""
    with open(README, encoding="utf-8") as file:
        return file.read()


# Outputs


def normalised(text: str) -> str:
    """Return an output with what changes from run to run (ports, times, durations) as it stands in README.md."""
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:8080", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "12:00:00", text)
    text = re.sub(r"in \d+\.\d s\b", "in 5.8 s", text)
    return "\n".join(line.rstrip() for line in text.strip("\n").split("\n"))


def sandbox_output() -> str:
    """Return what `python -m tests.sandbox` prints."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.sandbox"]
    return subprocess.check_output(command, cwd=ROOT, universal_newlines=True, stderr=subprocess.STDOUT)


def output_of(mode: str, broken: Optional[Dict[str, str]] = None) -> str:
    """Return what a mode of the program prints with the sandbox's queue, and with settings that are broken."""
    with tempfile.TemporaryDirectory() as path:
        world = World(path)
        world.onevizion, world.slack = OneVizion(), Slack()
        with world:
            seed(world.onevizion, world.slack)
            world.settings = dict(broken or {})
            return world.run(mode).stdout


OUTPUTS: Dict[str, Callable[[], str]] = {
    "python -m tests.sandbox": sandbox_output,
    "python module.py --check": lambda: output_of("--check", {"ovSecretKey": "mistyped"}),
    "python module.py --dry-run": lambda: output_of("--dry-run"),
}
BLOCK = "<!-- output of {} -->\n```text\n"


def split_at_output(readme: str, command: str) -> Tuple[str, str, str]:
    """Return what stands in README.md before, in and behind the output that it shows of a command."""
    start = readme.index(BLOCK.format(command)) + len(BLOCK.format(command))
    end = readme.index("\n```", start)
    return readme[:start], readme[start:end], readme[end:]


# The table of failures


def program_source() -> str:
    """Return the text of module.py and of all its parts."""
    parts = sorted(glob.glob(os.path.join(ROOT, "slack_notification", "*.py")))
    texts = []
    for path in [os.path.join(ROOT, "module.py")] + parts:
        with open(path, encoding="utf-8") as file:
            texts.append(file.read())
    return "\n".join(texts)


def failure_texts() -> List[str]:
    """Return every text by which module.py tells of a failure, with … for what differs from case to case."""
    tree = ast.parse(program_source())
    constants = {
        node.targets[0].id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    texts = []
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            local = dict(constants)
            for node in ast.walk(function):
                if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                    local[node.targets[0].id] = node.value
            for node in calls_of(function):
                if node.args and name_of(node.func) in TELLING:
                    texts += templates(node.args[-1 if name_of(node.func) == "_tell" else 0], local)
    return sorted({text for text in texts if re.search(r"[a-z]{3}", text)})


def calls_of(function: ast.FunctionDef) -> Iterator[ast.Call]:
    """Yield the calls that a function makes."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            yield node


def name_of(function: ast.expr) -> str:
    """Return the name by which a function is called: `Failure`, `LOG.error`, `_tell` of self._tell."""
    if isinstance(function, ast.Attribute):
        owner = function.value.id + "." if isinstance(function.value, ast.Name) else ""
        return owner + function.attr if owner in ("LOG.", "PROGRESS.") else function.attr
    return function.id if isinstance(function, ast.Name) else ""


def templates(node: ast.expr, constants: Dict[str, ast.expr]) -> List[str]:
    """Return the texts that an expression can be."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return templates(node.left, constants)
    if isinstance(node, ast.Name) and node.id in constants and not isinstance(constants[node.id], ast.Name):
        return templates(constants[node.id], {key: value for key, value in constants.items() if key != node.id})
    try:
        text = ast.literal_eval(node)
    except ValueError:
        return []
    return [re.sub(r"(…[ :]*)+…", "…", re.sub(r"%[sdg]", "…", text))] if isinstance(text, str) else []


def main() -> None:
    """Write the outputs in README.md anew, and print the failure texts."""
    readme = read_readme()
    for command, make in OUTPUTS.items():
        before, _, behind = split_at_output(readme, command)
        readme = before + normalised(make()) + behind
    with open(README, "w", encoding="utf-8") as file:
        file.write(readme)
    print("\n".join(failure_texts()))
    print(sorted(set(slack_api.ERRORS_THAT_END_THE_RUN.values()) | set(slack_api.PERMANENT_ERRORS.values())))


if __name__ == "__main__":
    main()
