"""A definition without faults, and the activities that the app of the tests has tasks for."""

from __future__ import annotations

import copy
from pathlib import Path

from bridge.lint.engine import lint_definition
from bridge.lint.known import KnownActivity

CORPUS = Path(__file__).parent / "corpus"
REGION = "eu-west-1"
ARN = "arn:aws:states:eu-west-1:123456789012:activity:"
ACTIVITIES = {
    "resize-image": KnownActivity(15.0),
    "send-invoice": KnownActivity(10.0, time_limit_s=600.0),
    "encode": KnownActivity(20.0, time_limit_s=3600.0),
    "review": KnownActivity(10.0, manual=True),
}
LOST = ["Bridge.WorkerLost", "States.Timeout", "States.HeartbeatTimeout"]
CLEAN = {
    "StartAt": "Encode",
    "TimeoutSeconds": 86_400,
    "States": {
        "Encode": {
            "Type": "Task",
            "Resource": ARN + "encode",
            "TimeoutSeconds": 7200,
            "HeartbeatSeconds": 60,
            "ResultPath": "$.encoded",
            "Retry": [{"ErrorEquals": LOST, "JitterStrategy": "FULL"}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Tell"}],
            "Next": "Tell",
        },
        "Tell": {"Type": "Pass", "End": True},
    },
}


def lint(definition, *, activities=ACTIVITIES, type_=None, region=REGION, **more):
    return lint_definition(definition, activities=activities, type_=type_, region=region, **more)


def ids(definition, **options):
    return [each.rule.id for each in lint(definition, **options)]


def clean(**fields):
    """CLEAN, with these fields of its activity state; ``...`` removes one."""
    definition = copy.deepcopy(CLEAN)
    state = definition["States"]["Encode"]
    for key, value in fields.items():
        if value is ...:
            state.pop(key, None)
        else:
            state[key] = value
    return definition
