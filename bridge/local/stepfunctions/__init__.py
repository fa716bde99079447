"""Run Step Functions on this machine: moto's interpreter, plus what it lacks for activities.

moto (its interpreter is LocalStack's) runs the Amazon States Language and answers most of the API.
This package answers the four calls of activities and corrects what moto does differently from AWS:

- ``server`` is the HTTP server, and ``hot_calls`` answers GetActivityTask and the SendTask* calls.
- ``activity_tasks`` holds the tasks, the open polls and the task tokens.
- ``activity_state`` is what the interpreter runs for a Task state of an activity.
- ``moto_patches`` lists each method of moto that is replaced, and why.
- ``moto_version`` pins moto to one version, because the patches reach into its classes.

Differences from AWS that remain: a heartbeat time-out is named States.Timeout, like any other; a
wait before a Retry is not cut short by StopExecution; there are no quotas.
"""

from bridge.local.stepfunctions.moto_version import require_pinned_moto

require_pinned_moto()

from bridge.local.stepfunctions.server import (  # noqa: E402 (it imports moto: the check is first)
    HOLD_S,
    LocalStepFunctions,
    LocalStepFunctionsError,
)

__all__ = ["HOLD_S", "LocalStepFunctions", "LocalStepFunctionsError"]
