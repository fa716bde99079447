"""Lint what was read: every state machine of a document, with its place in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.lint.deployed import Deployed
from bridge.lint.engine import lint_definition
from bridge.lint.files import Document, parse, read_file
from bridge.lint.fix import fixed
from bridge.lint.model import Finding, Known
from bridge.lint.templates import Machine, machines


@dataclass(frozen=True, slots=True)
class Options:
    """What every state machine is looked at with; see ``lint_definition``.

    Attributes:
        type_: Where a file does not say one.
        ignored: Ids of rules.
    """

    activities: Mapping[str, Known] = field(default_factory=dict)
    type_: str | None = None
    region: str | None = None
    visibility_timeout_s: float | None = None
    ignored: frozenset[str] = frozenset()


@dataclass(slots=True)
class Report:
    """What was found, in how many state machines; and how much was mended."""

    findings: list[Finding] = field(default_factory=list)
    looked: int = 0
    mended: int = 0


def lint_document(document: Document, options: Options) -> Report:
    """Lint a file that was read.

    Raises:
        Unreadable: It holds no state machine.
    """
    report = Report()
    for machine in machines(document):
        report.findings += _lint(machine, options)
        report.looked += 1
    return report


def lint_deployed(deployed: Deployed, options: Options) -> Report:
    """Lint what Step Functions has: type and region are certain."""
    document = deployed.document
    machine = Machine(document, document.value, type_=deployed.type_, region=deployed.region)
    return Report(_lint(machine, options), 1)


def fix_file(path: Path, options: Options) -> Report:
    """Write what is safe to a file; what is left to a person.

    Raises:
        Unreadable: As for ``lint_document``; or it cannot be fixed safely, and stays as it is.
    """
    document = read_file(path)
    before = lint_document(document, options)
    text = fixed(document, before.findings)
    if text == document.text:
        return before
    after = lint_document(parse(document.name, text, yaml=document.form == "yaml"), options)
    bom = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    path.write_bytes(bom + text.encode())
    after.mended = len(before.findings) - len(after.findings)
    return after


def _lint(machine: Machine, options: Options) -> list[Finding]:
    found = lint_definition(
        machine.definition,
        activities=options.activities,
        type_=machine.type_ or options.type_,
        region=machine.region or options.region,
        visibility_timeout_s=options.visibility_timeout_s,
        resolve=machine.resolve,
    )
    placed = [_placed(each, machine) for each in found if each.rule.id not in options.ignored]
    return sorted(placed, key=lambda each: (each.line or 0, each.rule.id))


def _placed(finding: Finding, machine: Machine) -> Finding:
    addition, fix = finding.addition, finding.fix
    if addition is not None and machine.inner is not None:
        # A text in a text: its quoting and its Fn::Sub are not ours to write.
        addition, fix = None, f"{fix} --fix does not write into a DefinitionString."
    elif addition is not None:
        addition = replace(addition, to=(*machine.base, *addition.to))
    return replace(
        finding,
        at=(*machine.base, *finding.at),
        source=machine.document.name,
        line=machine.line(finding.at),
        addition=addition,
        fix=fix,
    )
