"""Run every check on one definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge.lint import payload_growth, resources, retry_and_catch, rules, timing
from bridge.lint.finding import Finding
from bridge.lint.json_tree import Json
from bridge.lint.known import KnownActivity
from bridge.lint.resources import Resolve, ResourceKind, nothing_known
from bridge.lint.task_states import TaskState, task_states

EXPRESS = "EXPRESS"


def lint_definition(
    definition: Json,
    *,
    activities: Mapping[str, KnownActivity],
    type_: str | None,
    region: str | None,
    visibility_timeout_s: float | None = None,
    resolve: Resolve = nothing_known,
) -> list[Finding]:
    """Find the faults in the activity states of a definition in Amazon States Language.

    Args:
        definition: A state machine, with ``StartAt`` and ``States``.
        activities: The activities for which the app has tasks, by name or ARN as registered; see
            ``known_of``. When it is empty, no activity is reported as unknown.
        type_: ``"STANDARD"`` or ``"EXPRESS"``; None where it is not known.
        region: The region of the state machine; None where it is not known.
        visibility_timeout_s: The visibility timeout of the Celery broker; None for a broker
            without one.
        resolve: What a template says about a placeholder.
    """
    found: list[Finding] = []
    has_activity = False
    express = type_ is not None and type_.upper() == EXPRESS
    for task in task_states(definition):
        resource = resources.read(task.state.get("Resource"), resolve)
        found += resources.check(resource, task.at, activities, region)
        if resource.kind is not ResourceKind.ACTIVITY:
            continue
        has_activity = True
        known = resources.lookup(resource, activities)
        if express or task.express:
            found.append(_express(task))
        found += timing.check(task, known, visibility_timeout_s)
        found += retry_and_catch.check(task)
        found += payload_growth.check(task)
    if has_activity and not express:
        found[:0] = _state_machine(definition)
    return found


def _express(task: TaskState) -> Finding:
    return Finding(
        rule=rules.EXPRESS,
        at=(*task.at, "Resource"),
        message=f"state {task.name!r} is an activity, and an Express workflow runs it.",
        fix='Set ExecutionType of the Map\'s ProcessorConfig to "STANDARD".'
        if task.express
        else "Create the state machine as STANDARD.",
    )


def _state_machine(definition: Json) -> Iterator[Finding]:
    if definition.get("TimeoutSeconds") is None:
        yield Finding(
            rule=rules.NO_MACHINE_TIMEOUT,
            at=(),
            message="the state machine has no TimeoutSeconds.",
            fix="Add TimeoutSeconds at the top: the longest that an execution may take.",
        )
