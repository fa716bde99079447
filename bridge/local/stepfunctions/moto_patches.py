"""Replace the methods of moto whose behaviour differs from AWS.

Each function below takes moto's own method and returns its replacement. ``_PATCHES`` lists which
method each of them replaces. The patches stay for the rest of the process.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import Timeout, TimeoutSeconds
from moto.stepfunctions.parser.asl.component.state.exec.state_task.state_task_activitiy import (
    StateTaskActivity,
)
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.program_state import ProgramStopped, ProgramTimedOut
from moto.stepfunctions.parser.models import StepFunctionsParserBackend

from bridge.local.stepfunctions.activity_state import run_activity_task
from bridge.local.stepfunctions.activity_tasks import TASKS

Method = Callable[..., Any]


def _time_outs_as_written(moto_from_state_props: Method) -> Method:
    """Keep the state's TimeoutSeconds for ``run_activity_task``, and switch off moto's own.

    moto counts TimeoutSeconds from the state's entry, and adds 60 s where a state has only
    HeartbeatSeconds.
    """

    def from_state_props(self: Any, state_props: Any) -> None:
        moto_from_state_props(self, state_props)
        self.activity_timeout = state_props.get(Timeout)
        self.timeout = TimeoutSeconds(timeout_seconds=TimeoutSeconds.DEFAULT_TIMEOUT_SECONDS)

    return from_state_props


def _our_activity_task(_: Method) -> Method:
    """Run our activity task: moto finds no activity, because its executions get an empty store."""
    return run_activity_task


def _idempotent(moto_create_activity: Method) -> Method:
    """Answer a second CreateActivity of a name as the first; moto refuses it."""

    def create_activity(
        self: Any, name: str, tags: Any = None, encryption_configuration: Any = None
    ) -> Any:
        for activity in list(self.activities.values()):
            encryption = activity.encryption_configuration
            if activity.name == name and encryption == encryption_configuration:
                return activity
        return moto_create_activity(self, name, tags, encryption_configuration)

    return create_activity


def _with_a_name(moto_start_execution: Method) -> Method:
    """Invent a name for an execution that has none; moto calls all of them "None"."""

    def start_execution(
        self: Any, state_machine_arn: str, name: str | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        name = name or str(uuid.uuid4())
        return moto_start_execution(self, state_machine_arn, name, *args, **kwargs)

    return start_execution


def _unless_stopped(moto_set_error: Method) -> Method:
    """Leave a stopped execution stopped: in a Map, moto turns the stop into a failure."""

    def set_error(self: Any, error: Any) -> None:
        if not isinstance(self.program_state(), ProgramStopped | ProgramTimedOut):
            moto_set_error(self, error)

    return set_error


def _closing_tokens(moto_set_end: Method) -> Method:
    """Close the tokens of an execution, or of a branch, as soon as it ends; moto leaves them."""

    def set_end(self: Any, *args: Any, **kwargs: Any) -> None:
        moto_set_end(self, *args, **kwargs)
        TASKS.close_all_of(self)

    return set_end


# Class of moto, its method, what makes the replacement. A second patch of a method wraps the first.
_PATCHES: tuple[tuple[Any, str, Callable[[Method], Method]], ...] = (
    (StateTaskActivity, "from_state_props", _time_outs_as_written),
    (StateTaskActivity, "_eval_execution", _our_activity_task),
    (StepFunctionsParserBackend, "create_activity", _idempotent),
    (StepFunctionsParserBackend, "start_execution", _with_a_name),
    (Environment, "set_error", _unless_stopped),
    (Environment, "set_error", _closing_tokens),
    (Environment, "set_ended", _closing_tokens),
    (Environment, "set_stop", _closing_tokens),
    (Environment, "set_timed_out", _closing_tokens),
)


@cache
def patch_moto() -> None:
    """Replace the methods; the second call does nothing."""
    for owner, name, replacement_of in _PATCHES:
        setattr(owner, name, replacement_of(getattr(owner, name)))
