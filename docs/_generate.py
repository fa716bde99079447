"""Make the reference pages from the code: commands, settings, errors, the Python names.

``python docs/_generate.py`` writes them; tests/unit/docs/test_reference.py holds what is checked in
against what is made now. A page is made whole, or between two comments where people wrote the rest.
"""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
import types
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click

import bridge
from bridge import errors, names, settings, statemachine, versions
from bridge.cli.status.command import status
from bridge.lint.rules import RULES
from bridge.metrics import catalogue
from bridge.metrics.catalogue.metric import Metric

DOCS = Path(__file__).parent
MADE = "<!-- Made by docs/_generate.py. -->\n"
BEGIN = "<!-- Made by docs/_generate.py: from here -->\n"
END = "<!-- to here -->\n"
SHOWS = {"store_url": "the broker, when that is Redis"}


def pages() -> dict[Path, str]:
    """Every page that is made, or has a part that is, as it should stand."""
    return {
        DOCS / "reference" / "commands.md": commands_page(),
        DOCS / "reference" / "errors.md": errors_page(),
        DOCS / "reference" / "python.md": python_page(),
        **_put_between(DOCS / "howto" / "upgrade.md", {"": optional_parts_table()}),
        **_put_between(DOCS / "settings.md", {"": settings_table()}),
        **_put_between(DOCS / "lint.md", {"": rules_table()}),
        **_put_between(DOCS / "metrics.md", metrics_tables()),
    }


def _put_between(page: Path, parts: Mapping[str, str]) -> dict[Path, str]:
    """The page with each part made anew between its two comments; a lone part needs no name."""
    text = page.read_text("utf-8")
    for name, made in parts.items():
        begin = BEGIN.replace("from here", f"{name}, from here" if name else "from here")
        head, _, rest = text.partition(begin)
        _, found, tail = rest.partition(END)
        if not found:
            raise ValueError(f"{page} lacks the two comments around the part {name!r}")
        text = f"{head}{begin}\n{made}\n{END}{tail}"
    return {page: text}


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *(tuple(map(_cell, row)) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def commands() -> dict[str, click.Command]:
    """Every command that the bridge brings, groups left out, by how it is called."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, click.Command] = {"status": status}
    for name, where in project["entry-points"]["celery.commands"].items():
        module, _, attribute = where.partition(":")
        found |= dict(_leaves(name, getattr(import_module(module), attribute)))
    del found["bridge-status"]  # the same as status, where that is Celery's own
    return dict(sorted(found.items()))


def _leaves(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    for name, each in command.commands.items():
        yield from _leaves(f"{path} {name}", each)


def commands_page() -> str:
    """``--help`` of every command."""
    parts = [
        "# Options of every command\n",
        MADE,
        "What `--help` says. [Commands](../cli.md) tells what each is for, and its exit status. "
        "`worker`, `flower`\nand the rest are Celery's and Flower's own. With `bridge.install`, "
        "say the name of your app for `bridge`.\n",
    ]
    for path, command in commands().items():
        ctx = click.Context(command, info_name=path)
        usage = " ".join(["celery -A bridge", path, *command.collect_usage_pieces(ctx)])
        parts += [f"## {path}\n", f"```text\n{usage}\n```\n", _paragraphs(command.help or "")]
        rows = [_option(each, ctx) for each in command.params if isinstance(each, click.Option)]
        if rows:
            parts.append(_table(("option", "meaning", "default"), rows))
    return "\n".join(parts)


def _option(option: click.Option, ctx: click.Context) -> tuple[str, ...]:
    called = ", ".join(f"`{name}`" for name in option.opts)
    if not option.is_flag:
        called += f" {option.make_metavar(ctx)}"
    default = option.get_default(ctx, call=False)
    said = "" if option.is_flag or default in (None, ()) else f"`{default}`"
    return called, option.help or "", said if "Sentinel" not in said else ""


def optional_parts_table() -> str:
    """What relies on the inside of other packages, and the versions that it was tested with."""
    rows = [
        (
            part.name,
            part.does,
            ", ".join(versions.tested_range(package, part) for package in part.tested),
            part.without,
        )
        for part in versions.PARTS.values()
    ]
    return _table(("part", "what it does", "tested with", "while it is off"), rows)


def settings_table() -> str:
    """Every setting: environment variable, default, what it may be, meaning."""
    rows = []
    for name, field in settings.Settings.model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = SHOWS.get(name) or f"`{_plain(default)}`"
        meaning = (field.description or "").partition("; default:")[0]
        if limits := _limits(field):
            meaning += f" ({limits})"
        rows.append((f"`{settings.PREFIX}{name.upper()}`", shown, meaning))
    return _table(("name", "default", "meaning"), rows)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _limits(field: Any) -> str:
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{each}`" for each in get_args(field.annotation))
    said = {}
    for each in field.metadata:
        for limit in ("ge", "gt", "le", "lt"):
            if hasattr(each, limit):
                said[limit] = getattr(each, limit)
    low = "above 0" if said.get("gt") == 0 else f"{said['ge']:g}" if "ge" in said else ""
    high = f"{said['le']:,.10g}" if "le" in said else ""
    return f"{low} to {high}" if low and high else low


def rules_table() -> str:
    """A row for each rule of the linter."""
    rows = [
        (
            f"{rule.id} `{rule.name}`",
            rule.severity,
            rule.what,
            rule.why,
            "yes" if rule.fixable else "",
        )
        for rule in RULES
    ]
    return _table(("id", "severity", "what", "why", "`--fix`"), rows)


def metrics_tables() -> dict[str, str]:
    """A table of each kind of metrics."""
    return {
        "process": _prometheus_table(catalogue.process.ALL),
        "fleet": _prometheus_table(catalogue.fleet.ALL),
        "cloudwatch": _cloudwatch_table(),
    }


def _prometheus_table(metrics: Iterable[Metric]) -> str:
    rows = [
        (f"`{each.name}`", each.kind, _codes(each.labels), each.unit or "–", each.help)
        for each in metrics
    ]
    return _table(("name", "type", "labels", "unit", "meaning"), rows)


def _cloudwatch_table() -> str:
    rows = [
        (f"`{each.name}`", each.unit, _codes(each.dimensions), each.published)
        for each in catalogue.cloudwatch.ALL
    ]
    return _table(("metric", "unit", "dimensions", "published for"), rows)


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "–"


def errors_page() -> str:
    """The exceptions, and the error names that Step Functions receives."""
    rows = []
    classes = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
    for name, each in (classes | {"JobCancelled": bridge.JobCancelled}).items():
        if each.__module__.startswith("bridge.") and issubclass(each, Exception):
            first = (each.__doc__ or "").split("\n\n")[0]
            again = "yes" if getattr(each, "retryable", False) else ""
            rows.append((f"`{name}`", f"`{each.__bases__[0].__name__}`", again, _code(first)))
    reported = [(f"`{name}`", name.meaning) for name in errors.ErrorName]
    return "\n".join(
        [
            "# Errors\n",
            MADE,
            "## Error names in Step Functions\n",
            "An exception of a task is reported by its class name, a `bridge.ActivityError` by the "
            "name that it was given.\nAn ending without an exception has one of these names; "
            "[how a job can end](../endings.md) says when.\n",
            _table(("error name", "meaning"), reported),
            "## Exceptions in Python\n",
            "All but `JobCancelled`, which is in `bridge`, are in `bridge.errors`. *Again* says "
            "whether trying again can help; the bridge's own loops then do so.\n",
            _table(("exception", "is a", "again", "meaning"), rows),
        ]
    )


def python_page() -> str:
    """What tasks, apps and deployments may import."""
    parts = ["# Python names\n", MADE, "What your code may import; the rest may change.\n"]
    parts.append("## bridge\n")
    for name in bridge.__all__:
        parts += _described(f"bridge.{name}", getattr(bridge, name))
    for module, wanted in (
        (statemachine, statemachine.__all__),
        (names, ("ActivityPattern", "batch_activity", "integration_activity", "worker_activity")),
    ):
        parts += [f"## {module.__name__}\n", _paragraphs(module.__doc__ or "")]
        for name in wanted:
            parts += _described(f"{module.__name__}.{name}", getattr(module, name))
    return "\n".join(parts)


def _described(name: str, each: Any) -> list[str]:
    parts = [f"### {name}\n"]
    if inspect.isfunction(each):
        parts.append(f"```python\n{_signature(name.rpartition('.')[2], each)}\n```\n")
    doc = inspect.getdoc(each) or ""
    if each is bridge.Current:  # which nobody makes
        doc = re.sub(r"Args:\n.*?\n\n", "", doc, flags=re.DOTALL)
    parts.append(_paragraphs(doc))
    if each is bridge.Current:
        for method, function in vars(each).items():
            called = method + ("()" if inspect.isfunction(function) else "")
            if not method.startswith("_") and (doc := inspect.getdoc(function)):
                parts += [f"#### {called}\n", _paragraphs(doc)]
    return parts


def _signature(name: str, function: types.FunctionType) -> str:
    signature = inspect.signature(function)
    flat = _unquoted(f"def {name}{signature}: ...")
    if len(flat) <= 88:
        return flat
    lines, starred = [], False
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and not starred:
            lines.append("    *,")
        starred = starred or each.kind in (each.KEYWORD_ONLY, each.VAR_POSITIONAL)
        lines.append(f"    {each},")
    returns = str(signature).rpartition(")")[2]
    return _unquoted("\n".join([f"def {name}(", *lines, f"){returns}: ..."]))


def _unquoted(signature: str) -> str:
    """Annotations are strings where their evaluation is put off."""
    return re.sub(r"(: |-> )'([^']*)'", r"\1\2", signature).replace("'", '"')


def _code(text: str) -> str:
    return text.replace("``", "`")


_SECTION = re.compile(r"(Args|Attributes|Raises|Returns):\n")


def _paragraphs(doc: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    made = []
    for block in _code(inspect.cleandoc(doc)).split("\n\n"):
        section = _SECTION.match(block)
        if section is None:
            made.append(f"```pycon\n{block}\n```" if block.startswith(">>>") else block)
            continue
        lines = inspect.cleandoc(block[section.end() :]).splitlines()
        items = re.split(r"\n(?=\S)", "\n".join(lines))
        named = [re.sub(r"^([\w, *]+):", r"`\1`:", item, count=1) for item in items]
        listed = "\n".join("- " + " ".join(item.split()) for item in named)
        made.append(f"{section[1]}:\n\n{listed}")
    return "\n\n".join(made).strip() + "\n"


def main() -> None:
    """Write what differs."""
    for page, text in pages().items():
        if not page.exists() or page.read_text("utf-8") != text:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
            sys.stdout.write(f"{page}\n")


if __name__ == "__main__":
    main()
