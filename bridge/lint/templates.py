"""Find the state machines in a document: a definition, or a template of CloudFormation or SAM."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.lint.deployed import region_of
from bridge.lint.files import Document, Unreadable, parse
from bridge.lint.json_tree import Json, Pointer
from bridge.lint.resources import Resolve, Resource, ResourceKind, as_text, nothing_known, read

_MACHINES = ("AWS::StepFunctions::StateMachine", "AWS::Serverless::StateMachine")
_ACTIVITY = "AWS::StepFunctions::Activity"
_STRING_OR_PLACEHOLDER = re.compile(r'"(?:[^"\\]|\\.)*"|\$\{[^{}"]+\}', re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A state machine in a document.

    Attributes:
        base: Path to its definition in the document.
        inner: The definition as a document of its own, when it is a string in the outer one.
        type_: ``STANDARD`` or ``EXPRESS``; None when the document does not say which.
        resolve: What a template says about a placeholder in the definition.
        region: Region of the state machine; None when the document does not say which.
    """

    document: Document
    definition: Json
    base: Pointer = ()
    inner: Document | None = None
    type_: str | None = None
    resolve: Resolve = nothing_known
    region: str | None = None

    def line(self, at: Pointer) -> int | None:
        """The line of a value in the definition."""
        outer = self.document.mark((*self.base, *at) if self.inner is None else self.base)
        if outer is None or self.inner is None or not outer.literal:
            return outer.line if outer else None
        inner = self.inner.mark(at)
        return outer.line + inner.line if inner else outer.line


def machines(document: Document) -> list[Machine]:
    """The state machines of a document.

    Raises:
        Unreadable: There is none, or a definition is neither JSON nor YAML.
    """
    value = document.value
    if not isinstance(value, Mapping):
        raise Unreadable(
            f"{document.name} is not an object, so it is neither a state machine nor a template."
        )
    if isinstance(value.get("States"), Mapping):
        return [Machine(document=document, definition=value)]
    if isinstance(value.get("stateMachineArn"), str) and isinstance(value.get("definition"), str):
        return [_described(document, value)]
    resources = value.get("Resources")
    if not isinstance(resources, Mapping):
        raise Unreadable(
            f"{document.name} is neither a state machine (no States) nor a template (no Resources)."
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
        "(DefinitionUri, DefinitionS3Location). Lint that file."
        if elsewhere
        else f"{document.name} is a template without a state machine."
    )


def _described(document: Document, answer: Json) -> Machine:
    """The state machine in the output of ``aws stepfunctions describe-state-machine``."""
    inner = _parsed(f"{document.name} (definition)", answer["definition"])
    return Machine(
        document=document,
        definition=inner.value,
        base=("definition",),
        inner=inner,
        type_=answer.get("type"),
        region=region_of(answer["stateMachineArn"]),
    )


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
            return Machine(
                document=document, definition=given, base=base, type_=type_, resolve=resolve
            )
        text = _definition_text(given)
        if text is None:
            continue
        inner = _parsed(f"{document.name} ({at[1]})", text)
        return Machine(
            document=document,
            definition=inner.value,
            base=base,
            inner=inner,
            type_=type_,
            resolve=resolve,
        )
    return None


def _definition_text(given: Any) -> str | None:
    """The text of a DefinitionString, with intrinsic functions written as placeholders."""
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
        # A placeholder without quotes, where JSON needs a number or another value.
        text = _STRING_OR_PLACEHOLDER.sub(
            lambda match: match[0] if match[0].startswith('"') else f'"{match[0]}"', text
        )
    document = parse(name, text)
    if not isinstance(document.value, Mapping):
        raise Unreadable(f"{name} is not an object.")
    return document


def _resolver(resources: Json, substitutions: Json) -> Resolve:
    """A function that says what a template says about a placeholder in a definition."""

    def resolve(placeholder: str, depth: int = 0) -> Resource | None:
        if placeholder in substitutions and depth == 0:
            text = as_text(substitutions[placeholder])
            return None if text is None else read(text, lambda name: resolve(name, depth + 1))
        logical, _, attribute = placeholder.partition(".")
        resource = resources.get(logical)
        if not isinstance(resource, Mapping):
            return None
        if resource.get("Type") in _MACHINES:
            return Resource(ResourceKind.MACHINE, f"${{{placeholder}}}")
        if resource.get("Type") != _ACTIVITY or attribute not in ("", "Arn"):
            return Resource(ResourceKind.OTHER, f"${{{placeholder}}}")
        properties = resource.get("Properties")
        name = properties.get("Name") if isinstance(properties, Mapping) else None
        plain = name if isinstance(name, str) and "${" not in name else None
        return Resource(ResourceKind.ACTIVITY, f"${{{placeholder}}}", plain)

    return resolve
