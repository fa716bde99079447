"""The command ``celery -A bridge lint``.

Every ``celery`` command loads this module, so it imports the linter inside its functions.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from celery.bin.base import CeleryOption

from bridge.cli.base import JSON, BridgeCommand

if TYPE_CHECKING:
    from bridge.lint.run import LintResult, Options


@click.command(cls=BridgeCommand)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE]...")
@click.option(
    "--state-machine",
    "arns",
    multiple=True,
    metavar="ARN",
    cls=CeleryOption,
    help="Lint this deployed state machine; may be repeated.",
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    cls=CeleryOption,
    help="Lint all deployed state machines in the account and region.",
)
@click.option(
    "--type",
    "type_",
    type=click.Choice(["standard", "express"]),
    cls=CeleryOption,
    help="Type of the state machines in files that do not say it.",
)
@click.option("--region", cls=CeleryOption, help="Region that the files are deployed to.")
@click.option(
    "--visibility-timeout",
    "visible_s",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    cls=CeleryOption,
    help="Visibility timeout of the Celery broker. Default: the app's.",
)
@click.option(
    "--no-registry",
    is_flag=True,
    cls=CeleryOption,
    help="Do not load the app's tasks; skip the rules that need them.",
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="RULE",
    cls=CeleryOption,
    help="Skip this rule, such as BR013; may be repeated.",
)
@click.option(
    "--fix",
    is_flag=True,
    cls=CeleryOption,
    help="Write the safe fixes to the files, and print the other findings.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "sarif", "github"]),
    default="text",
    show_default=True,
    cls=CeleryOption,
    help="Output format.",
)
@JSON
@click.pass_context
def lint(ctx: click.Context, /, **given: Any) -> None:
    """Lint Step Functions definitions that use activities: FILES (JSON, YAML, templates)."""
    from bridge.lint.output import FORMATS
    from bridge.lint.run import LintResult

    _check(ctx, given)
    total, unreadable = LintResult(), list[str]()
    for result in _results(given, _options(ctx, given), unreadable):
        total.findings += result.findings
        total.state_machines += result.state_machines
        total.fixed += result.fixed
    form = "json" if given["as_json"] else given["form"]
    if total.state_machines or form in ("json", "sarif"):
        text = FORMATS[form](total.findings, total.state_machines)
        click.echo(text, nl=bool(text))
    if given["fix"]:
        click.echo(f"{total.fixed} fixed", err=True)
    for message in unreadable:
        click.echo(f"Error: {message}", err=True)
    if unreadable:
        ctx.exit(2)
    ctx.exit(1 if any(each.severity != "info" for each in total.findings) else 0)


def _check(ctx: click.Context, given: dict[str, Any]) -> None:
    from bridge.lint.deployed import region_of
    from bridge.lint.rules import BY_ID

    deployed = given["arns"] or given["everything"]
    if not given["files"] and not deployed:
        raise click.UsageError("give FILES, --state-machine ARN or --all.", ctx)
    if given["fix"] and deployed:
        raise click.UsageError("--fix changes files only, no deployed state machines.", ctx)
    if wrong := [each for each in given["ignored"] if each not in BY_ID]:
        raise click.UsageError(
            f"--ignore {wrong[0]!r}: no such rule; docs/lint.md lists them.", ctx
        )
    if wrong := [each for each in given["arns"] if region_of(each) is None]:
        raise click.UsageError(
            f"--state-machine {wrong[0]!r} is not the ARN of a state machine.", ctx
        )


def _options(ctx: click.Context, given: dict[str, Any]) -> Options:
    from dataclasses import replace

    from bridge.app_state import installed
    from bridge.lint.known import known_of, visibility_timeout_s
    from bridge.lint.run import Options

    type_, visible_s = given["type_"], given["visible_s"]
    options = Options(
        type_=type_ and type_.upper(),
        region=given["region"],
        visibility_timeout_s=visible_s,
        ignored=frozenset(given["ignored"]),
    )
    if given["no_registry"]:
        return options
    bridge = installed(ctx.obj.app)
    return replace(
        options,
        activities=known_of(bridge.load_tasks(), bridge.app),
        visibility_timeout_s=visible_s or visibility_timeout_s(bridge.app),
    )


def _results(
    given: dict[str, Any], options: Options, unreadable: list[str]
) -> Iterator[LintResult]:
    from bridge.lint.files import Unreadable, read_file
    from bridge.lint.run import fix_file, lint_document

    for path in given["files"]:
        try:
            yield (
                fix_file(path, options) if given["fix"] else lint_document(read_file(path), options)
            )
        except Unreadable as exc:
            unreadable.append(str(exc))
    if given["arns"] or given["everything"]:
        yield from _deployed(given, options)


def _deployed(given: dict[str, Any], options: Options) -> Iterator[LintResult]:
    from bridge.lint.deployed import described, listed
    from bridge.lint.run import lint_deployed
    from bridge.stepfunctions.activities import control_client

    with control_client("DescribeStateMachine") as client:
        arns = dict.fromkeys([*given["arns"], *(listed(client) if given["everything"] else ())])
        for each in described(client, arns):
            yield lint_deployed(each, options)
