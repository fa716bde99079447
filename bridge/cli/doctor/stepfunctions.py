"""Checks of Step Functions: whether the activities exist, and whether IAM allows the calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

from bridge.app_state import Installation
from bridge.cli.doctor.result import CheckResult, failure, ok, warning
from bridge.errors import (
    AccessDenied,
    ActivityDoesNotExist,
    ActivityMissing,
    BridgeError,
    InvalidRequest,
    SettingsError,
    TokenClosed,
    app_name,
)
from bridge.stepfunctions import Connection, Places, StepFunctions, resolve
from bridge.support.backoff import RetryPolicy

INVALID_TOKEN = "celery-stepfunctions-doctor"  # noqa: S105 (no secret: the calls use it as a token)
TWICE = RetryPolicy(attempts=2, base_s=0.5, cap_s=0.5, within_s=10.0)
CHECK_CONNECTION = "check the credentials, the region and the endpoint"


def check_activities(bridge: Installation) -> Iterator[CheckResult]:
    """Whether every registered activity exists."""
    check = "activities at Step Functions"
    try:
        arns = resolve(bridge.registry, Places(bridge.settings.roles))
    except ActivityMissing as exc:
        yield failure(check, str(exc), f"celery -A {app_name()} activities create")
    except AccessDenied as exc:
        yield warning(check, str(exc), "allow states:ListActivities, or register full ARNs")
    except SettingsError as exc:
        yield failure(check, str(exc), "set what the message names")
    except BridgeError as exc:
        yield failure(check, str(exc), CHECK_CONNECTION)
    else:
        yield ok(check, ", ".join(arns.values()))


def check_permissions(bridge: Installation) -> Iterator[CheckResult]:
    """Whether the poller and the beat process may report and send heartbeats.

    The calls are made in each account and region that has activities. Workers make none of them.
    """
    try:
        places = Places(bridge.settings.roles)
        for place in dict.fromkeys(map(places.of, bridge.registry)):
            yield from asyncio.run(_call_each(places.connection(place), str(place)))
    except BridgeError as exc:
        yield failure("calls to Step Functions", str(exc), "mend what the message names")


async def _call_each(connection: Connection, place: str) -> list[CheckResult]:
    async with StepFunctions(connection) as client:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "SendTaskHeartbeat": lambda: client.send_task_heartbeat(INVALID_TOKEN, retry=TWICE),
            "SendTaskSuccess": lambda: client.send_task_success(INVALID_TOKEN, "{}", retry=TWICE),
            "SendTaskFailure": lambda: client.send_task_failure(
                INVALID_TOKEN, error="Doctor", cause="", retry=TWICE
            ),
        }
        return [await _call(name, place, call) for name, call in calls.items()]


async def _call(name: str, place: str, call: Callable[[], Awaitable[object]]) -> CheckResult:
    check = f"permission states:{name}" + (f" in {place.rstrip('/')}" if place else "")
    try:
        await call()
    except (TokenClosed, InvalidRequest, ActivityDoesNotExist):
        return ok(check, "Step Functions refused only the token, which is invalid on purpose")
    except AccessDenied as exc:
        remedy = f"allow states:{name} on * for the poller and the beat process; workers need none"
        return failure(check, str(exc), remedy)
    except BridgeError as exc:
        return failure(check, str(exc), CHECK_CONNECTION)
    return warning(check, "an invalid token was accepted", "is this endpoint Step Functions?")
