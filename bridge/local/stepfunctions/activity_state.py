"""Run a Task state of an activity inside moto's interpreter.

The state schedules an activity task and waits, in the execution's thread, until a worker ends it,
a time-out passes, or the execution ends. TimeoutSeconds and HeartbeatSeconds both count from
ActivityStarted, as at AWS.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moto.stepfunctions.parser import api
from moto.stepfunctions.parser.asl.component.common.timeouts.timeout import EvalTimeoutError
from moto.stepfunctions.parser.asl.eval.callback.callback import (
    CallbackOutcomeFailure,
    CallbackOutcomeFailureError,
    HeartbeatTimeoutError,
)
from moto.stepfunctions.parser.asl.eval.event.event_detail import EventDetails
from moto.stepfunctions.parser.asl.utils.encoding import to_json_str

from bridge.local.stepfunctions.activity_tasks import TASKS, LocalTask, activity_exists


@dataclass(frozen=True, slots=True, kw_only=True)
class _TimeOuts:
    """TimeoutSeconds and HeartbeatSeconds of a state; None where it has none."""

    timeout_s: float | None
    heartbeat_s: float | None

    def deadlines(self, task: LocalTask) -> list[tuple[float, type[Exception]]]:
        """When a claimed task times out, by the monotonic clock, and with which error."""
        deadlines: list[tuple[float, type[Exception]]] = []
        if self.timeout_s is not None:
            deadlines.append((task.started_at + self.timeout_s, EvalTimeoutError))
        if self.heartbeat_s is not None:
            deadlines.append((task.last_heartbeat_at + self.heartbeat_s, HeartbeatTimeoutError))
        return deadlines


def run_activity_task(state: Any, env: Any) -> None:
    """Schedule the state's activity task and wait for its end.

    Args:
        state: moto's StateTaskActivity, with ``activity_timeout`` set by ``moto_patches``.
        env: The interpreter's environment of the execution, or of a branch of it.

    Raises:
        CallbackOutcomeFailureError: The worker reported a failure.
        EvalTimeoutError: TimeoutSeconds have passed.
        HeartbeatTimeoutError: HeartbeatSeconds have passed.
    """
    task_input = to_json_str(state._eval_parameters(env=env))
    time_outs = _TimeOuts(
        timeout_s=_seconds(state.activity_timeout, env),
        heartbeat_s=_seconds(state.heartbeat, env),
    )
    arn = state.resource.resource_arn
    if not activity_exists(arn):
        raise RuntimeError(f"The activity {arn} does not exist.")
    _note_scheduled(env, arn, task_input, time_outs)
    context = env.states.context_object
    task = LocalTask(
        token=context.update_task_token() + context.update_task_token(),
        arn=arn,
        execution=context.context_object_data["Execution"]["Id"],
        input=task_input,
        env=env,
    )
    TASKS.schedule(task)
    if not env.is_running():  # stopped just before: close_all_of did not know this task yet
        TASKS.close(task)
    try:
        _wait_for_end(task, env, time_outs)
    finally:
        TASKS.close(task)
    if task.failure is not None:
        error, cause = task.failure
        raise CallbackOutcomeFailureError(CallbackOutcomeFailure(task.token, error, cause))
    if task.output is None:
        return  # the execution, or its branch, has ended
    env.stack.append(json.loads(task.output))
    _note_succeeded(env, task)


def _wait_for_end(task: LocalTask, env: Any, time_outs: _TimeOuts) -> None:
    """Return when the task is closed; raise the error of the time-out that passes before."""
    started_is_noted = False
    while True:
        wait_s = None
        if task.started is not None:
            if not started_is_noted:
                _note_started(env, task)
                started_is_noted = True
            now = time.monotonic()
            deadlines = time_outs.deadlines(task)
            for deadline, error in deadlines:
                if now >= deadline and TASKS.close(task):
                    raise error
            wait_s = min((deadline - now for deadline, _ in deadlines), default=None)
        if task.closed:
            return
        task.changed.wait(None if wait_s is None else max(wait_s, 0.0))
        task.changed.clear()


def _seconds(component: Any, env: Any) -> float | None:
    """The number of seconds that a state's time-out evaluates to."""
    if component is None:
        return None
    component.eval(env=env)
    return float(env.stack.pop())


# Events of the execution's history


def _note_scheduled(env: Any, arn: str, task_input: str, time_outs: _TimeOuts) -> None:
    details = api.ActivityScheduledEventDetails(
        resource=arn,
        input=task_input,
        inputDetails=api.HistoryEventExecutionDataDetails(truncated=False),
    )
    if time_outs.timeout_s is not None:
        details["timeoutInSeconds"] = time_outs.timeout_s
    if time_outs.heartbeat_s is not None:
        details["heartbeatInSeconds"] = time_outs.heartbeat_s
    _note(env, "ActivityScheduled", activityScheduledEventDetails=details)


def _note_started(env: Any, task: LocalTask) -> None:
    details = api.ActivityStartedEventDetails()
    if task.worker_name is not None:
        details["workerName"] = task.worker_name
    _note(env, "ActivityStarted", task.started, activityStartedEventDetails=details)


def _note_succeeded(env: Any, task: LocalTask) -> None:
    details = api.ActivitySucceededEventDetails(
        output=task.output,
        outputDetails=api.HistoryEventExecutionDataDetails(truncated=False),
    )
    _note(env, "ActivitySucceeded", task.ended, activitySucceededEventDetails=details)


def _note(env: Any, event: str, moment: datetime | None = None, **details: Any) -> None:
    env.event_manager.add_event(
        context=env.event_history_context,
        event_type=api.HistoryEventType(event),
        event_details=EventDetails(**details),
        timestamp=moment,
    )
