"""Helpers to write CloudFormation: intrinsic functions, parameters, tags, templates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
Value: TypeAlias = str | Json  # a literal, or an intrinsic function that becomes one

NO_VALUE: Json = {"Ref": "AWS::NoValue"}


def ref(name: str) -> Json:
    """``Ref``: the value of a parameter, or the identifier of a resource."""
    return {"Ref": name}


def att(resource: str, attribute: str) -> Json:
    """``Fn::GetAtt``: an attribute of a resource."""
    return {"Fn::GetAtt": [resource, attribute]}


def sub(text: str) -> Json:
    """``Fn::Sub``: a text in which ``${…}`` is replaced."""
    return {"Fn::Sub": text}


def choose(condition: str, then: Any, otherwise: Any = NO_VALUE) -> Json:
    """``Fn::If``: one of two values; without ``otherwise``, the property is left out."""
    return {"Fn::If": [condition, then, otherwise]}


def parameter(description: str, default: str | float | None = None, **extra: Any) -> Json:
    """A parameter: a number if its default is a number, and required if it has no default."""
    made: Json = {"Type": "Number" if isinstance(default, int | float) else "String"}
    if default is not None:
        made["Default"] = default
    return made | {"Description": description} | extra


def tags(pairs: Mapping[str, str]) -> list[Json]:
    """The property ``Tags`` in the form that most resources need."""
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def template(description: str, *, resources: Json, **sections: Json) -> Json:
    """A template; empty sections are left out.

    Args:
        **sections: ``metadata``, ``parameters``, ``conditions``, ``outputs``.
    """
    made: Json = {"AWSTemplateFormatVersion": "2010-09-09", "Description": description}
    for section in ("metadata", "parameters", "conditions"):
        if sections.get(section):
            made[section.capitalize()] = sections[section]
    made["Resources"] = resources
    if sections.get("outputs"):
        made["Outputs"] = sections["outputs"]
    return made
