"""Write findings as text, JSON, SARIF 2.1.0 or annotations of GitHub Actions."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from bridge.lint.finding import Finding, Rule, Severity
from bridge.lint.rules import RULES

_SARIF_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "note"}
_GITHUB_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.INFO: "notice"}
_ABOUT = "docs/lint.md"


def summary(findings: Sequence[Finding], state_machines: int) -> dict[str, int]:
    """The number of findings of each severity, and of state machines."""
    count = Counter(each.severity for each in findings)
    return {"state_machines": state_machines, **{str(each): count[each] for each in Severity}}


def as_text(findings: Sequence[Finding], state_machines: int) -> str:
    """Text for people."""
    lines = []
    for each in findings:
        line = f":{each.line}" if each.line else ""
        lines += [
            f"{each.source}{line} {each.pointer or '/'}",
            f"  {each.rule.id} {each.severity}: {each.message} {each.rule.why}",
            f"  fix: {each.fix}" + (" (--fix does it)" if each.addition else ""),
        ]
    count = summary(findings, state_machines)
    lines.append(
        f"{_counted(count['error'], 'error')}, {_counted(count['warning'], 'warning')}, "
        f"{_counted(count['info'], 'info')} in {_counted(state_machines, 'state machine')}"
    )
    return "\n".join(lines)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def as_json(findings: Sequence[Finding], state_machines: int) -> str:
    """JSON for programs."""
    made = {
        "findings": [each.as_json() for each in findings],
        "summary": summary(findings, state_machines),
    }
    return json.dumps(made, indent=2)


def as_github(findings: Sequence[Finding], state_machines: int) -> str:
    """Workflow commands, which GitHub shows beside the lines of a pull request."""
    lines = []
    for each in findings:
        where = {
            "file": each.source,
            "line": each.line,
            "title": f"{each.rule.id} {each.rule.name}",
        }
        properties = ",".join(
            f"{key}={_escaped(str(value), ',:')}" for key, value in where.items() if value
        )
        text = f"{each.pointer or '/'}: {each.message} {each.rule.why} {each.fix}"
        lines.append(f"::{_GITHUB_LEVELS[each.severity]} {properties}::{_escaped(text)}")
    return "\n".join(lines)


def _escaped(text: str, more: str = "") -> str:
    for char in "%\r\n" + more:
        text = text.replace(char, f"%{ord(char):02X}")
    return text


def as_sarif(findings: Sequence[Finding], state_machines: int) -> str:
    """SARIF 2.1.0, for code scanning."""
    driver = {
        "name": "celery-stepfunctions-lint",
        "rules": [_sarif_rule(rule) for rule in RULES],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(each) for each in findings],
    }
    made = {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    }
    return json.dumps(made, indent=2)


def _sarif_rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "name": "".join(part.capitalize() for part in rule.name.split("-")),
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.what}: {rule.why} See {_ABOUT}."},
        "defaultConfiguration": {"level": _SARIF_LEVELS[rule.severity]},
    }


def _sarif_result(finding: Finding) -> dict[str, Any]:
    uri = finding.source
    if not uri.startswith("arn:"):
        uri = quote(PurePath(uri).as_posix())
    physical: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if finding.line:
        physical["region"] = {"startLine": finding.line}
    name = finding.pointer or "/"
    # Other edits move lines, but not the path in the definition.
    same = hashlib.sha256(f"{finding.rule.id}\n{uri}\n{name}".encode()).hexdigest()[:32]
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.index(finding.rule),
        "level": _SARIF_LEVELS[finding.severity],
        "message": {"text": f"{finding.message} {finding.fix}"},
        "locations": [
            {"physicalLocation": physical, "logicalLocations": [{"fullyQualifiedName": name}]}
        ],
        "partialFingerprints": {"ruleAndPointer/v1": same},
    }


FORMATS: Mapping[str, Callable[[Sequence[Finding], int], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
