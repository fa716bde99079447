"""What the Resource of a Task state names, and what can be wrong with it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.lint import rules
from bridge.lint.model import Finding, Known, Pointer
from bridge.names import parse_arn

PLACEHOLDER = re.compile(r"\$\{!?([^{}]+)\}")
_STATES_ARN = re.compile(r"arn:[^:]*:states:[^:]*:[^:]*:(?P<kind>[^:]*)(?P<rest>:.*)?", re.DOTALL)
_MACHINE = re.compile(r"arn:[^:]*:states:[^:]+:[^:]+:(stateMachine|express|execution):")
# A placeholder as a part of an ARN: it may be any one region, account or name.
_STAND_IN = {"region": "us-east-1", "account": "000000000000"}
_SHAPE = "arn:aws:states:REGION:ACCOUNT:activity:NAME"


class Kind(Enum):
    """What a Resource is."""

    ACTIVITY = "activity"
    MACHINE = "state machine"
    MALFORMED = "malformed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Resource:
    """A Resource, read.

    Attributes:
        name: The activity's name; None where a placeholder stands for it.
        region: None where it is not known.
        text: As written.
    """

    kind: Kind
    text: str
    name: str | None = None
    region: str | None = None


# What a template says of a placeholder: an activity and its name, something else, or nothing.
Resolve = Callable[[str], Resource | None]


def nothing_known(placeholder: str) -> Resource | None:
    """No template: placeholders say nothing but their names."""
    return None


def read(value: Any, resolve: Resolve = nothing_known) -> Resource:
    """What a Resource names; placeholders of templates are tolerated."""
    text = as_text(value)
    if text is None:
        return Resource(Kind.OTHER, "")
    whole = PLACEHOLDER.fullmatch(text)
    if whole:
        said = resolve(whole[1].strip())
        if said is not None:
            return said
        kind = Kind.ACTIVITY if "activit" in whole[1].lower() else Kind.OTHER
        return Resource(kind, text)
    return _arn(text)


def as_text(value: Any) -> str | None:
    """A Resource as text, with CloudFormation's intrinsic functions as placeholders."""
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, Mapping) or len(value) != 1:
        return None
    ((function, argument),) = value.items()
    if function == "Fn::Sub":
        argument = argument[0] if isinstance(argument, list) and argument else argument
        return argument.strip() if isinstance(argument, str) else None
    if function == "Ref":
        return f"${{{argument}}}"
    if function == "Fn::GetAtt":
        parts = argument if isinstance(argument, list) else [argument]
        return "${" + ".".join(str(part) for part in parts) + "}"
    return None


def _arn(text: str) -> Resource:
    plain = _filled(text)
    if _MACHINE.match(plain):
        return Resource(Kind.MACHINE, text)
    arn = parse_arn(plain)
    if arn is not None:
        regions = text.split(":")[3:4] if "${" not in text else _parts(text)[3:4]
        region = regions[0] if regions and "${" not in regions[0] else None
        name = _parts(text)[-1]
        return Resource(Kind.ACTIVITY, text, None if "${" in name else name, region)
    states = _STATES_ARN.fullmatch(plain)
    if states is None:
        looks = ":activity:" in plain.lower() or plain.lower().startswith("activity:")
    else:
        # Service integrations have neither region nor account: arn:aws:states:::lambda:invoke.
        kind = states["kind"].lower()
        looks = kind in ("activity", "activities") or (
            ":states:::" not in plain and bool(difflib.get_close_matches(kind, ["activity"]))
        )
    return Resource(Kind.MALFORMED if looks else Kind.OTHER, text)


def _parts(text: str) -> list[str]:
    """The parts of an ARN; colons inside a placeholder, as in AWS::Region, part nothing."""
    return re.split(r":(?![^{]*\})", text)


def _filled(text: str) -> str:
    """The ARN with something valid for each placeholder."""
    if "${" not in text:
        return text
    parts = _parts(text)
    valid = ["arn", "aws", "states", _STAND_IN["region"], _STAND_IN["account"], "activity", "x"]
    for place, part in enumerate(parts):
        if PLACEHOLDER.fullmatch(part):
            parts[place] = valid[min(place, len(valid) - 1)]
        else:
            parts[place] = PLACEHOLDER.sub("x", part)
    return ":".join(parts)


def lookup(resource: Resource, activities: Mapping[str, Known]) -> Known | None:
    """What is known of the activity; it may be registered by its name or its full ARN."""
    found = activities.get(resource.text)
    if found is None and resource.name is not None:
        found = activities.get(resource.name)
    if found is None and resource.name is not None and resource.region is None:
        found = next(
            (each for key, each in activities.items() if _name(key) == resource.name), None
        )
    return found


def _name(activity: str) -> str:
    arn = parse_arn(activity)
    return activity if arn is None else arn.name


def check(
    resource: Resource, at: Pointer, activities: Mapping[str, Known], region: str | None
) -> Iterator[Finding]:
    """The faults of a Resource that is, or should be, an activity's ARN."""
    at = (*at, "Resource")
    if resource.kind is Kind.MACHINE:
        yield Finding(
            rules.STATE_MACHINE_ARN,
            at,
            f"{resource.text} is a state machine or an execution, not an activity.",
            f"Write {_SHAPE}; or arn:aws:states:::states:startExecution.sync:2 to start it.",
        )
    elif resource.kind is Kind.MALFORMED:
        yield Finding(
            rules.MALFORMED_ARN,
            at,
            f"{resource.text!r} is no activity ARN.",
            f"Write {_SHAPE}, with 12 digits for ACCOUNT and up to 80 characters for NAME.",
        )
    elif resource.kind is Kind.ACTIVITY:
        yield from _of_activity(resource, at, activities, region)


def _of_activity(
    resource: Resource, at: Pointer, activities: Mapping[str, Known], region: str | None
) -> Iterator[Finding]:
    if region is not None and resource.region not in (None, region):
        yield Finding(
            rules.OTHER_REGION,
            at,
            f"the activity is in {resource.region}, the state machine in {region}.",
            f"Create the activity in {region} and name that one.",
        )
        return
    # An app without activities says nothing about which are wrong.
    if not activities or resource.name is None or lookup(resource, activities) is not None:
        return
    near = difflib.get_close_matches(resource.name, sorted({_name(each) for each in activities}))
    if resource.name in near:
        said, fix = "only an ARN of another place is", "Check region and account."
    elif near:
        said, fix = "is it misspelt?", f"Write {near[0]!r}, if that is meant."
    else:
        said = "registered: " + ", ".join(sorted(activities)[:10])
        fix = f'Give a task activity="{resource.name}", or --ignore BR020 if others serve it.'
    yield Finding(
        rules.UNKNOWN_ACTIVITY,
        at,
        f"no task is registered for activity {resource.name!r}; {said}",
        fix,
    )
