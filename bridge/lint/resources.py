"""Read the Resource of a Task state, and check it when it is, or should be, an activity."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.lint import rules
from bridge.lint.finding import Finding
from bridge.lint.json_tree import Pointer
from bridge.lint.known import KnownActivity
from bridge.names import parse_arn

PLACEHOLDER = re.compile(r"\$\{!?([^{}]+)\}")
_STATES_ARN = re.compile(r"arn:[^:]*:states:[^:]*:[^:]*:(?P<kind>[^:]*)(?P<rest>:.*)?", re.DOTALL)
_MACHINE = re.compile(r"arn:[^:]*:states:[^:]+:[^:]+:(stateMachine|express|execution):")
# Valid values that replace placeholders while the rest of an ARN is checked.
_STAND_IN = {"region": "us-east-1", "account": "000000000000"}
_SHAPE = "arn:aws:states:REGION:ACCOUNT:activity:NAME"


class ResourceKind(Enum):
    """What a Resource names."""

    ACTIVITY = "activity"
    MACHINE = "state machine"
    MALFORMED = "malformed"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Resource:
    """The Resource of a Task state.

    Attributes:
        text: The Resource as written.
        name: Name of the activity; None when a placeholder stands in its place.
        region: Region of the activity; None when it is not known.
    """

    kind: ResourceKind
    text: str
    name: str | None = None
    region: str | None = None


# Maps a placeholder to what the template says about it; None when it says nothing.
Resolve = Callable[[str], Resource | None]


def nothing_known(placeholder: str) -> Resource | None:
    """Resolve nothing: there is no template."""
    return None


def read(value: Any, resolve: Resolve = nothing_known) -> Resource:
    """Read a Resource, which may have placeholders of a template."""
    text = as_text(value)
    if text is None:
        return Resource(ResourceKind.OTHER, "")
    whole = PLACEHOLDER.fullmatch(text)
    if whole:
        resolved = resolve(whole[1].strip())
        if resolved is not None:
            return resolved
        kind = ResourceKind.ACTIVITY if "activit" in whole[1].lower() else ResourceKind.OTHER
        return Resource(kind, text)
    return _arn(text)


def as_text(value: Any) -> str | None:
    """A Resource as text, with CloudFormation's intrinsic functions written as placeholders."""
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
        return Resource(ResourceKind.MACHINE, text)
    arn = parse_arn(plain)
    if arn is not None:
        regions = text.split(":")[3:4] if "${" not in text else _parts(text)[3:4]
        region = regions[0] if regions and "${" not in regions[0] else None
        name = _parts(text)[-1]
        return Resource(
            ResourceKind.ACTIVITY, text, name=None if "${" in name else name, region=region
        )
    states = _STATES_ARN.fullmatch(plain)
    if states is None:
        looks = ":activity:" in plain.lower() or plain.lower().startswith("activity:")
    else:
        # The ARN of a service integration has no region and no account, as in
        # arn:aws:states:::lambda:invoke.
        kind = states["kind"].lower()
        looks = kind in ("activity", "activities") or (
            ":states:::" not in plain and bool(difflib.get_close_matches(kind, ["activity"]))
        )
    return Resource(ResourceKind.MALFORMED if looks else ResourceKind.OTHER, text)


def _parts(text: str) -> list[str]:
    """Split an ARN at its colons, but not inside a placeholder such as ``${AWS::Region}``."""
    return re.split(r":(?![^{]*\})", text)


def _filled(text: str) -> str:
    """The ARN with a valid value in place of each placeholder."""
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


def lookup(resource: Resource, activities: Mapping[str, KnownActivity]) -> KnownActivity | None:
    """What the app knows of the activity, which may be registered by name or by full ARN."""
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
    resource: Resource, at: Pointer, activities: Mapping[str, KnownActivity], region: str | None
) -> Iterator[Finding]:
    """Yield the faults of a Resource that is, or should be, the ARN of an activity."""
    at = (*at, "Resource")
    if resource.kind is ResourceKind.MACHINE:
        yield Finding(
            rule=rules.STATE_MACHINE_ARN,
            at=at,
            message=f"{resource.text} is a state machine or an execution, not an activity.",
            fix=f"Write {_SHAPE}; to start a state machine, write "
            "arn:aws:states:::states:startExecution.sync:2.",
        )
    elif resource.kind is ResourceKind.MALFORMED:
        yield Finding(
            rule=rules.MALFORMED_ARN,
            at=at,
            message=f"{resource.text!r} is not a valid activity ARN.",
            fix=f"Write {_SHAPE}, with 12 digits for ACCOUNT and up to 80 characters for NAME.",
        )
    elif resource.kind is ResourceKind.ACTIVITY:
        yield from _of_activity(resource, at, activities, region)


def _of_activity(
    resource: Resource, at: Pointer, activities: Mapping[str, KnownActivity], region: str | None
) -> Iterator[Finding]:
    if region is not None and resource.region not in (None, region):
        yield Finding(
            rule=rules.OTHER_REGION,
            at=at,
            message=f"the activity is in {resource.region}, the state machine in {region}.",
            fix=f"Create the activity in {region}, and use its ARN.",
        )
        return
    # An app without activities cannot tell which activities are unknown.
    if not activities or resource.name is None or lookup(resource, activities) is not None:
        return
    near = difflib.get_close_matches(resource.name, sorted({_name(each) for each in activities}))
    if resource.name in near:
        hint = "only its ARN in another region or account is registered."
        fix = "Check region and account."
    elif near:
        hint, fix = "is it misspelt?", f"Write {near[0]!r}, if that is meant."
    else:
        hint = f"registered: {', '.join(sorted(activities)[:10])}."
        fix = (
            f'Give a task activity="{resource.name}"; or use --ignore BR020 if another app has '
            "the task."
        )
    yield Finding(
        rule=rules.UNKNOWN_ACTIVITY,
        at=at,
        message=f"no task is registered for activity {resource.name!r}; {hint}",
        fix=fix,
    )
