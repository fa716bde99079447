"""Lint every state machine of a document, with the position of each finding in the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from bridge.lint.deployed import Deployed
from bridge.lint.engine import lint_definition
from bridge.lint.files import Document, parse, read_file
from bridge.lint.finding import Finding
from bridge.lint.fix import fixed
from bridge.lint.known import KnownActivity
from bridge.lint.templates import Machine, machines


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run, for every state machine; see ``lint_definition``.

    Attributes:
        type_: Type of state machines in files that do not say it.
        region: Region of state machines in files that do not say it.
        ignored: Ids of the rules whose findings are left out.
    """

    activities: Mapping[str, KnownActivity] = field(default_factory=dict)
    type_: str | None = None
    region: str | None = None
    visibility_timeout_s: float | None = None
    ignored: frozenset[str] = frozenset()


@dataclass(slots=True)
class LintResult:
    """The findings, in how many ``state_machines``, and how many were ``fixed``."""

    findings: list[Finding] = field(default_factory=list)
    state_machines: int = 0
    fixed: int = 0


def lint_document(document: Document, options: Options) -> LintResult:
    """Lint the state machines of a document.

    Raises:
        Unreadable: It has no state machine.
    """
    result = LintResult()
    for machine in machines(document):
        result.findings += _lint(machine, options)
        result.state_machines += 1
    return result


def lint_deployed(deployed: Deployed, options: Options) -> LintResult:
    """Lint a deployed state machine, whose type and region are known."""
    document = deployed.document
    machine = Machine(
        document=document,
        definition=document.value,
        type_=deployed.type_,
        region=deployed.region,
    )
    return LintResult(findings=_lint(machine, options), state_machines=1)


def fix_file(path: Path, options: Options) -> LintResult:
    """Write the safe fixes to a file, and return the findings that a person must correct.

    Raises:
        Unreadable: As for ``lint_document``; or the file cannot be fixed safely. The file is then
            unchanged.
    """
    document = read_file(path)
    before = lint_document(document, options)
    text = fixed(document, before.findings)
    if text == document.text:
        return before
    after = lint_document(parse(document.name, text, yaml=document.form == "yaml"), options)
    bom = b"\xef\xbb\xbf" if path.read_bytes().startswith(b"\xef\xbb\xbf") else b""
    path.write_bytes(bom + text.encode())
    after.fixed = len(before.findings) - len(after.findings)
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
        # The definition is a string with quoting and Fn::Sub of its own: editing it is not safe.
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
