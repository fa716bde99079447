"""Activity names: which are allowed, and what an ARN says."""

from __future__ import annotations

import re
from typing import NamedTuple

from bridge.errors import SettingsError

MAX_LENGTH = 80
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):states:(?P<region>[a-z0-9-]+):(?P<account>\d{12})"
    r":activity:(?P<name>\S{1,80})"
)


class ActivityArn(NamedTuple):
    """The parts of an activity's ARN that the bridge looks at."""

    region: str
    account: str
    name: str


def parse_arn(activity: str) -> ActivityArn | None:
    """The parts of a full activity ARN; None when it is a plain name."""
    match = _ARN.fullmatch(activity)
    if match is None:
        return None
    return ActivityArn(match["region"], match["account"], match["name"])


def check_activity(activity: object) -> str:
    """The same activity, when it is an allowed name or a full activity ARN.

    The bridge is stricter than AWS on purpose: ``[A-Za-z0-9_-]``, 1 to 80 characters, no hyphen
    first or last, so that a name is also safe in a key, a metric, a file and a shell.

    Raises:
        SettingsError: It says which rule is broken, where, and suggests a valid name.
    """
    if not isinstance(activity, str):
        raise SettingsError(f"activity={activity!r} is {type(activity).__name__}, not a name.")
    if activity.startswith("arn:"):
        if parse_arn(activity) is None:
            raise SettingsError(
                f"activity {activity!r} is no activity ARN: expected "
                "arn:aws:states:REGION:ACCOUNT:activity:NAME."
            )
        return activity
    if len(activity) <= MAX_LENGTH and _NAME.fullmatch(activity):
        return activity
    raise SettingsError(f"activity name {activity!r} {_broken_rule(activity)}.{_suggest(activity)}")


def _broken_rule(name: str) -> str:
    if not name:
        return "is empty: Step Functions wants 1 to 80 characters"
    if len(name) > MAX_LENGTH:
        return f"has {len(name)} characters: Step Functions takes at most {MAX_LENGTH}"
    wrong = re.search(r"[^A-Za-z0-9_-]", name)
    if wrong:
        return (
            f"has {wrong.group()!r} at position {wrong.start() + 1}: "
            "only A-Z, a-z, 0-9, '_' and '-' are allowed"
        )
    return "starts or ends with a hyphen"


def _suggest(name: str) -> str:
    valid = re.sub(r"[^A-Za-z0-9_]+", "-", name)[:MAX_LENGTH].strip("-")
    return f" Use {valid!r}, for example." if valid else ""
