"""The drawing of the house: which part may use which, and how large a part may become."""

import ast
import pathlib

import pytest

from tests.sandbox.directory import ROOT

# From the ground up: each part imports only parts before it. module.py stands on all of them.
HOUSE = """
errors lock packages installation network_errors calls settings integration_log records onevizion_api recipients
rich_text html_table html_tree html_mail message slack_errors slack_api journal pending workers
outcomes delivery attachments admin
""".split()  # noqa: SIM905 (a drawing, not a list)
FILE_LINES = 350
FUNCTION_LINES = 40
FILES = [pathlib.Path(ROOT) / "module.py"] + sorted((pathlib.Path(ROOT) / "slack_notification").glob("*.py"))
TEXTS = {path.stem: path.read_text(encoding="utf-8") for path in FILES}
TREES = {part: ast.parse(text) for part, text in TEXTS.items()}


def imported(tree):
    """The parts that a part imports, wherever in it that stands."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    return {name for node in found for name in ([node.module] if node.module else [alias.name for alias in node.names])}


def test_every_part_stands_in_the_drawing_once():
    assert sorted(HOUSE + ["__init__", "module"]) == sorted(TREES)


@pytest.mark.parametrize("part", HOUSE)
def test_a_part_imports_only_parts_before_it(part):
    assert imported(TREES[part]) <= set(HOUSE[: HOUSE.index(part)])


@pytest.mark.parametrize("part", sorted(TREES))
def test_no_file_is_too_long(part):
    assert TEXTS[part].count("\n") <= FILE_LINES


@pytest.mark.parametrize("part", sorted(TREES))
def test_no_function_is_too_long(part):
    for node in ast.walk(TREES[part]):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            end = max(getattr(inner, "lineno", 0) for inner in ast.walk(node))
            assert end - node.lineno < FUNCTION_LINES, node.name
