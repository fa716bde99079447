"""Find the state machines in a document: plain ones, and those of CloudFormation and SAM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.lint.deployed import region_of
from bridge.lint.files import Document, Unreadable, parse
from bridge.lint.model import Json, Pointer
from bridge.lint.resources import Kind, Resolve, Resource, as_text, nothing_known, read

_MACHINES = ("AWS::StepFunctions::StateMachine", "AWS::Serverless::StateMachine")
_ACTIVITY = "AWS::StepFunctions::Activity"
_STRING_OR_PLACEHOLDER = re.compile(r'"(?:[^"\\]|\\.)*"|\$\{[^{}"]+\}', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Machine:
    """A state machine in a document.

    Attributes:
        base: Where its definition begins.
        inner: The definition as a document of its own, when it is a text in the outer one.
        type_: ``STANDARD`` or ``EXPRESS``; None when the document does not say.
        region: None when the document does not say.
    """

    document: Document
    definition: Json
    base: Pointer = ()
    inner: Document | None = None
    type_: str | None = None
    resolve: Resolve = nothing_known
    region: str | None = None

    def line(self, at: Pointer) -> int | None:
        """The line of a place in the definition."""
        outer = self.document.mark((*self.base, *at) if self.inner is None else self.base)
        if outer is None or self.inner is None or not outer.literal:
            return outer.line if outer else None
        inner = self.inner.mark(at)
        return outer.line + inner.line if inner else outer.line


def machines(document: Document) -> list[Machine]:
    """The state machines of a document.

    Raises:
        Unreadable: There is none, or one's definition is no JSON or YAML.
    """
    value = document.value
    if not isinstance(value, Mapping):
        raise Unreadable(
            f"{document.name} holds no object: neither a state machine nor a template."
        )
    if isinstance(value.get("States"), Mapping):
        return [Machine(document, value)]
    if isinstance(value.get("stateMachineArn"), str) and isinstance(value.get("definition"), str):
        return [_answer(document, value)]
    resources = value.get("Resources")
    if not isinstance(resources, Mapping):
        raise Unreadable(
            f"{document.name} is no state machine (no States) and no template (no Resources)."
        )
    found, elsewhere = [], []
    for name, resource in resources.items():
        if isinstance(resource, Mapping) and resource.get("Type") in _MACHINES:
            machine = _machine(document, resources, ("Resources", name), resource)
            if machine is None:
                elsewhere.append(str(name))
            else:
                found.append(machine)
    if found:
        return found
    raise Unreadable(
        f"{document.name}: the definition of {', '.join(elsewhere)} is in another file "
        "(DefinitionUri, DefinitionS3Location): lint that one."
        if elsewhere
        else f"{document.name} is a template without a state machine."
    )


def _answer(document: Document, answer: Json) -> Machine:
    """What ``aws stepfunctions describe-state-machine`` printed."""
    inner = _parsed(f"{document.name} (definition)", answer["definition"])
    type_, region = answer.get("type"), region_of(answer["stateMachineArn"])
    return Machine(document, inner.value, ("definition",), inner, type_, region=region)


def _machine(document: Document, resources: Json, at: Pointer, resource: Json) -> Machine | None:
    properties = resource.get("Properties")
    if not isinstance(properties, Mapping):
        return None
    type_ = properties.get("StateMachineType", properties.get("Type"))
    type_ = type_ if isinstance(type_, str) else None
    substitutions = properties.get("DefinitionSubstitutions")
    resolve = _resolver(resources, substitutions if isinstance(substitutions, Mapping) else {})
    for key in ("Definition", "DefinitionString"):
        given, base = properties.get(key), (*at, "Properties", key)
        if isinstance(given, Mapping) and isinstance(given.get("States"), Mapping):
            return Machine(document, given, base, None, type_, resolve)
        text = _definition_text(given)
        if text is None:
            continue
        inner = _parsed(f"{document.name} ({at[1]})", text)
        return Machine(document, inner.value, base, inner, type_, resolve)
    return None


def _definition_text(given: Any) -> str | None:
    """The text of a DefinitionString, with intrinsic functions as placeholders."""
    if isinstance(given, str):
        return given
    if isinstance(given, Mapping) and "Fn::Join" in given:
        joined = given["Fn::Join"]
        if isinstance(joined, list) and len(joined) == 2 and isinstance(joined[1], list):
            parts = [part if isinstance(part, str) else as_text(part) or "" for part in joined[1]]
            return str(joined[0]).join(parts)
        return None
    return as_text(given) if isinstance(given, Mapping) and "Fn::Sub" in given else None


def _parsed(name: str, text: str) -> Document:
    try:
        json.loads(text)
    except ValueError:
        # A placeholder where JSON wants a number, or a value of its own.
        text = _STRING_OR_PLACEHOLDER.sub(
            lambda match: match[0] if match[0].startswith('"') else f'"{match[0]}"', text
        )
    document = parse(name, text)
    if not isinstance(document.value, Mapping):
        raise Unreadable(f"{name} holds no object.")
    return document


def _resolver(resources: Json, substitutions: Json) -> Resolve:
    """What a template says of a placeholder in its definition."""

    def resolve(placeholder: str, depth: int = 0) -> Resource | None:
        if placeholder in substitutions and depth == 0:
            text = as_text(substitutions[placeholder])
            return None if text is None else read(text, lambda name: resolve(name, depth + 1))
        logical, _, attribute = placeholder.partition(".")
        resource = resources.get(logical)
        if not isinstance(resource, Mapping):
            return None
        if resource.get("Type") in _MACHINES:
            return Resource(Kind.MACHINE, f"${{{placeholder}}}")
        if resource.get("Type") != _ACTIVITY or attribute not in ("", "Arn"):
            return Resource(Kind.OTHER, f"${{{placeholder}}}")
        properties = resource.get("Properties")
        name = properties.get("Name") if isinstance(properties, Mapping) else None
        plain = name if isinstance(name, str) and "${" not in name else None
        return Resource(Kind.ACTIVITY, f"${{{placeholder}}}", plain)

    return resolve
