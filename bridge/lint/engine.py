"""All rules over one definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bridge.lint import growth, handlers, resources, rules, timing
from bridge.lint.model import Finding, Json, Known
from bridge.lint.resources import Kind, Resolve, nothing_known
from bridge.lint.walk import Place, tasks

EXPRESS = "EXPRESS"


def lint_definition(
    definition: Json,
    *,
    activities: Mapping[str, Known],
    type_: str | None,
    region: str | None,
    visibility_timeout_s: float | None = None,
    resolve: Resolve = nothing_known,
) -> list[Finding]:
    """What is wrong with the activity states of a definition in Amazon States Language.

    Args:
        definition: A state machine, with ``StartAt`` and ``States``.
        activities: What the app has tasks for, by name or ARN as registered; see ``known_of``.
            Empty: nothing is known, and nothing is unknown.
        type_: ``"STANDARD"`` or ``"EXPRESS"``; None where it is not known.
        region: The state machine's; None where it is not known.
        visibility_timeout_s: The Celery broker's; None for a broker without one.
        resolve: What a template says of the placeholders.
    """
    found: list[Finding] = []
    served = False
    express = type_ is not None and type_.upper() == EXPRESS
    for place in tasks(definition):
        resource = resources.read(place.state.get("Resource"), resolve)
        found += resources.check(resource, place.at, activities, region)
        if resource.kind is not Kind.ACTIVITY:
            continue
        served = True
        known = resources.lookup(resource, activities)
        if express or place.express:
            found.append(_express(place))
        found += timing.check(place, known, visibility_timeout_s)
        found += handlers.check(place)
        found += growth.check(place)
    if served and not express:
        found[:0] = _machine(definition)
    return found


def _express(place: Place) -> Finding:
    return Finding(
        rules.EXPRESS,
        (*place.at, "Resource"),
        f"state {place.name!r} is an activity, and an Express workflow runs it.",
        'Set ExecutionType of the Map\'s ProcessorConfig to "STANDARD".'
        if place.express
        else "Create the state machine as STANDARD.",
    )


def _machine(definition: Json) -> Iterator[Finding]:
    if definition.get("TimeoutSeconds") is None:
        yield Finding(
            rules.NO_MACHINE_TIMEOUT,
            (),
            "the state machine has no TimeoutSeconds.",
            "Add TimeoutSeconds at the top: the longest that an execution may take.",
        )
