"""What ``make lint`` holds the tree to, beyond format, style, types and imports.

A module of ``bridge/`` has at most 300 lines, a function 50, a file of tests 500. Two classes of
``bridge/`` never share a name. No line is exempt from the formatter.

Exit status 1, and a line for each place that breaks a rule.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES = 300
FUNCTION_LINES = 50
TEST_LINES = 500

# Written in two parts: this file must not find itself.
EXEMPT_FROM_FORMATTER = "fmt: " + "skip"

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def too_long(path: Path, most: int) -> Iterator[str]:
    """The file, where it has more lines than it may."""
    lines = len(path.read_text("utf-8").splitlines())
    if lines > most:
        yield f"{path}: {lines} lines, {most} are allowed. Make a module of one of its concepts."


def long_functions(path: Path, tree: ast.Module) -> Iterator[str]:
    """The functions of a module that have more lines than they may, decorators not counted."""
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield (
                    f"{path}:{node.lineno}: {node.name}() has {lines} lines, {FUNCTION_LINES} are "
                    "allowed. Make a function of one of its steps."
                )


def shared_names(trees: dict[Path, ast.Module]) -> Iterator[str]:
    """The names that two classes have."""
    places = defaultdict(list)
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{path}:{node.lineno}")
    for name, found in places.items():
        if len(found) > 1:
            yield f"{', '.join(found)}: two classes are called {name}. Give each a name of its own."


def exempt_lines(path: Path) -> Iterator[str]:
    """The lines that the formatter is told to leave alone."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if EXEMPT_FROM_FORMATTER in line:
            yield f"{path}:{number}: exempt from the formatter. Use keywords, or a shorter call."


def broken_rules(root: Path) -> Iterator[str]:
    """Every place under ``root`` that breaks a rule."""
    trees = {
        path: ast.parse(path.read_text("utf-8")) for path in sorted(root.glob("bridge/**/*.py"))
    }
    for path, tree in trees.items():
        yield from too_long(path, MODULE_LINES)
        yield from long_functions(path, tree)
    yield from shared_names(trees)
    for path in sorted(root.glob("tests/**/*.py")):
        yield from too_long(path, TEST_LINES)
    for folder in ("bench", "bridge", "docs", "tasks", "tests", ".ci"):
        for path in sorted(root.glob(f"{folder}/**/*.py")):
            yield from exempt_lines(path)


def main() -> int:
    """Print what breaks a rule; the exit status."""
    broken = list(broken_rules(Path()))
    print("\n".join(broken) or "Sizes and names are as they should be.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
