"""What README.md shows and says of the program, made from the program itself.

`python -m tests.readme` writes the outputs that README.md and tests/README.md show anew, and prints the program's
texts of failures; tests/test_readme.py compares both with the program.
"""

import ast
import glob
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from typing import Callable, Dict, Iterator, List, NamedTuple, Tuple

from tests.sandbox.directory import EXAMPLE_SERVICE_ID, ROOT
from tests.sandbox.onevizion import OneVizion
from tests.sandbox.scenes import seed
from tests.sandbox.slack import Slack
from tests.world import World

README = os.path.join(ROOT, "README.md")
FOR_DEVELOPERS = os.path.join(ROOT, "tests", "README.md")
WIDTH = 90  # of an output: GitHub shows no more without scrolling
# Calls that tell an admin of a failure: the first argument is the text.
TELLING = ("Failure", "RunError", "temporary", "warning", "error", "exception")
# Functions whose every text is told to an admin by such a call, though not written in it.
TOLD = ["json_fault", "warnings_of", "settings_problems", "faults", "_fault", "install_packages"]
TOLD += ["refuse_import", "only_run", "leave_to_other_run", "put_back", "save", "_tell", "read_platform"]
TOLD += ["drop_old", "_put_aside", "read_copy", "unreachable", "_unreachable", "_refusal", "tell", "end_posted"]
# Pieces of texts, and texts that are no failure.
NO_FAILURE = re.compile(
    r"This is final|records: |^(users|channel): |failed: |-m pip install|did you mean|it is not used|^and |^Expecting"
    r"|^Unterminated|^Extra"
    r"|^installing|^Install what|SUCCESS saved now|^OneVizion answered … when|^delivered 0"
)


def read(path: str) -> str:
    """Return the text of a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


# Outputs


def normalised(text: str) -> str:
    """Return an output as a README shows it: folded, and without what changes from run to run (ports, times)."""
    text = re.sub(r"(127\.0\.0\.1|localhost):\d+", r"\1:8080", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d\b", "12:00:00", text)
    text = re.sub(r"in \d+\.\d s\b", "in 5.8 s", text)
    return "\n".join(folded(line.rstrip()) for line in text.strip("\n").split("\n"))


def folded(line: str) -> str:
    """Return a line folded to WIDTH, what follows indented below its first word."""
    indent = " " * (len(line) - len(line.lstrip()) + 4)
    return "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)) or line


def sandbox_output() -> str:
    """Return what `python -m tests.sandbox` prints."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.sandbox"]
    return subprocess.check_output(command, cwd=ROOT, universal_newlines=True, stderr=subprocess.STDOUT)


def output_of(mode: str, **broken: str) -> str:
    """Return what a mode of the program prints with the sandbox's queue, and with settings that are broken."""
    with tempfile.TemporaryDirectory() as path:
        world = World(path)
        world.onevizion, world.slack = OneVizion(service_id=EXAMPLE_SERVICE_ID), Slack()
        with world:
            seed(world.onevizion, world.slack)
            world.settings, world.scheduled = dict(broken), False  # by hand, as the README says
            return world.run(mode).stdout


class Output(NamedTuple):
    """An output that a README shows: where, and what makes it."""

    path: str
    make: Callable[[], str]


OUTPUTS: Dict[str, Output] = {
    "python -m tests.sandbox": Output(FOR_DEVELOPERS, sandbox_output),
    "python module.py --check": Output(README, lambda: output_of("--check", ovSecretKey="mistyped")),
    "python module.py --dry-run": Output(FOR_DEVELOPERS, lambda: output_of("--dry-run")),
}
BLOCK = "<!-- output of {} -->\n```text\n"


def split_at_output(readme: str, command: str) -> Tuple[str, str, str]:
    """Return what stands in a README before, in and behind the output that it shows of a command."""
    start = readme.index(BLOCK.format(command)) + len(BLOCK.format(command))
    end = readme.index("```\n<!-- end -->", start)
    return readme[:start], readme[start:end].rstrip("\n"), readme[end:]


# The texts of failures


def program_files() -> List[str]:
    """Return module.py and all its parts."""
    return [os.path.join(ROOT, "module.py")] + sorted(glob.glob(os.path.join(ROOT, "slack_notification", "*.py")))


def failure_texts() -> List[str]:
    """Return every text by which the program tells of a failure, with … for what differs from case to case.

    Slack's own error codes have a table of their own.
    """
    texts = set()
    for path in program_files():
        if os.path.basename(path) == "slack_errors.py":
            continue
        tree = ast.parse(read(path))
        constants = assigned(tree.body)
        for node in getattr(constants.get("REASONS"), "values", []):
            texts.add(template(str(literal(node))))
        for function in filter(is_function, ast.walk(tree)):
            body = list(ast.walk(function))
            local = dict(constants, **assigned(body))
            for call in body:
                if isinstance(call, ast.Call) and name_of(call.func) in TELLING and call.args:
                    texts.update(templates(call.args[0], local))
            if function.name in TOLD:
                texts.update(template(node) for node in told(function))
    return sorted(
        text for text in texts if re.search(r"[a-z]{3} [a-z]|[a-z]{3}: ", text) and not NO_FAILURE.search(text)
    )


def assigned(body: List[ast.stmt]) -> Dict[str, ast.expr]:
    """Return what is assigned to names in these statements, the last one each."""
    single = [node for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)]
    return {node.targets[0].id: node.value for node in single}  # type: ignore[attr-defined]


def is_function(node: ast.AST) -> bool:
    """Tell whether this is where a function is defined."""
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def told(function: ast.FunctionDef) -> Iterator[str]:
    """Yield the texts that stand in a function, but for its docstring."""
    for statement in function.body[1 if ast.get_docstring(function) else 0 :]:
        for node in ast.walk(statement):
            text = literal(node)
            if isinstance(node, ast.expr) and isinstance(text, str):
                yield text


def literal(node: ast.AST) -> object:
    """Return the value of an expression that is a literal, else None."""
    try:
        return ast.literal_eval(node)  # type: ignore[arg-type]
    except (ValueError, TypeError, SyntaxError):
        return None


def name_of(function: ast.expr) -> str:
    """Return the last name by which a function is called: `Failure`, `warning` of LOG.warning."""
    return getattr(function, "attr", "") or getattr(function, "id", "")


def templates(node: ast.expr, constants: Dict[str, ast.expr]) -> List[str]:
    """Return the texts that an expression can be."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return templates(node.left, constants)
    if isinstance(node, ast.Name) and node.id in constants and not isinstance(constants[node.id], ast.Name):
        return templates(constants[node.id], {key: value for key, value in constants.items() if key != node.id})
    text = literal(node)
    return [template(text)] if isinstance(text, str) else []


def template(text: str) -> str:
    """Return a text with … for what is put into it."""
    return re.sub(r"(…[ :]*)+…", "…", re.sub(r"%[sdg]|\\\d", "…", text)).strip()


def explains(span: str, text: str) -> bool:
    """Tell whether a text of a README, with … for what differs or is left out, stands for a text of the program."""
    pattern = ".*".join(re.escape(piece.strip()) for piece in span.split("…"))
    return bool(re.match(pattern if not span.startswith("…") else ".*" + pattern, text)) and len(span) > 8


def main() -> None:
    """Write the outputs anew, and print the texts of failures."""
    for command, (path, make) in OUTPUTS.items():
        before, _, behind = split_at_output(read(path), command)
        text = before + normalised(make()) + "\n" + behind
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    print("\n".join(failure_texts()))


if __name__ == "__main__":
    main()
