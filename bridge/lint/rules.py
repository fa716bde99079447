"""The catalogue of the linter's rules.

To add a rule: write it here, after the last one, with the next free id. Write its check in the
module of its subject (``timing``, ``retry_and_catch``, ``resources``, ``payload_growth``, or
``engine`` for the state machine as a whole); a check yields a ``Finding`` with the rule. Then plant
the fault in tests/unit/lint/test_rules.py, and run ``python docs/_generate.py``.
"""

from __future__ import annotations

from bridge.errors import ErrorName
from bridge.heartbeat_ratio import RATIO_IN_WORDS
from bridge.lint.finding import Rule, Severity

NO_HEARTBEAT = Rule(
    id="BR001",
    name="no-heartbeat",
    severity=Severity.WARNING,
    what="Activity state without HeartbeatSeconds",
    why="Step Functions notices a dead fleet only when TimeoutSeconds have passed, or never.",
    fixable=True,
)
HEARTBEAT_TOO_SHORT = Rule(
    id="BR002",
    name="heartbeat-too-short",
    severity=Severity.ERROR,
    what="HeartbeatSeconds not above the task's heartbeat interval",
    why="Running tasks time out between two heartbeats.",
)
HEARTBEAT_TIGHT = Rule(
    id="BR003",
    name="heartbeat-tight",
    severity=Severity.WARNING,
    what=f"HeartbeatSeconds below {RATIO_IN_WORDS} heartbeat intervals of the task",
    why="One or two late or throttled heartbeats time out a healthy task.",
)
NO_TIMEOUT = Rule(
    id="BR004",
    name="no-timeout",
    severity=Severity.WARNING,
    what="Activity state without TimeoutSeconds",
    why="Nothing else ends a job that hangs while its worker lives: the worker goes on sending "
    "heartbeats.",
)
NO_MACHINE_TIMEOUT = Rule(
    id="BR005",
    name="no-machine-timeout",
    severity=Severity.WARNING,
    what="State machine without TimeoutSeconds",
    why="Nothing else limits how long a task waits for a poller, nor how long loops and retries "
    "go on: an execution can stay open for a year.",
)
TIMEOUT_BELOW_HEARTBEAT = Rule(
    id="BR006",
    name="timeout-below-heartbeat",
    severity=Severity.ERROR,
    what="TimeoutSeconds not above HeartbeatSeconds",
    why="Step Functions refuses the definition, or HeartbeatSeconds have no effect.",
)
TIME_LIMIT_ABOVE_TIMEOUT = Rule(
    id="BR007",
    name="time-limit-above-timeout",
    severity=Severity.INFO,
    what="The task's time_limit is not below TimeoutSeconds",
    why="The token is closed before Celery's limit ends the job: "
    f"{ErrorName.TIME_LIMIT_EXCEEDED} is never reported.",
)
VISIBILITY_TIMEOUT = Rule(
    id="BR008",
    name="visibility-timeout",
    severity=Severity.WARNING,
    what="The broker's visibility timeout is below the task's time_limit",
    why="The broker delivers the message again while the job still runs.",
)
EXPRESS = Rule(
    id="BR009",
    name="express",
    severity=Severity.ERROR,
    what="Activity in an Express workflow",
    why="Express workflows do not support activities: Step Functions refuses the definition.",
)
LOST_NOT_RETRIED = Rule(
    id="BR010",
    name="lost-not-retried",
    severity=Severity.WARNING,
    what=f"No Retry for a lost worker ({ErrorName.WORKER_LOST}, States.HeartbeatTimeout)",
    why="The execution fails when a host goes away, which happens at every scale-in.",
)
TIMEOUT_NOT_RETRIED = Rule(
    id="BR011",
    name="timeout-not-retried",
    severity=Severity.INFO,
    what="No Retry for States.Timeout",
    why="The execution fails when a job waits and runs for longer than TimeoutSeconds. "
    "States.TaskFailed does not match this error.",
)
RETRIES_NEVER = Rule(
    id="BR012",
    name="retries-never",
    severity=Severity.WARNING,
    what="Retry of a lost worker or a time-out with MaxAttempts 0",
    why="MaxAttempts 0 forbids a retry, also by the retriers after it.",
)
NO_JITTER = Rule(
    id="BR013",
    name="no-jitter",
    severity=Severity.INFO,
    what="Retry without JitterStrategy FULL",
    why="Executions that failed together, as when a host goes away, all retry at the same moment.",
    fixable=True,
)
UNKNOWN_ERROR = Rule(
    id="BR014",
    name="unknown-error",
    severity=Severity.ERROR,
    what="Error name that the bridge never reports",
    why="Step Functions compares names letter by letter: this Retry or Catch never matches.",
)
DOUBTFUL_ERROR = Rule(
    id="BR015",
    name="doubtful-error",
    severity=Severity.WARNING,
    what="Error name that is probably another one",
    why="The bridge reports this error of Celery under another name, or a name of AWS's is "
    "misspelt.",
)
DROPPED_ERROR = Rule(
    id="BR016",
    name="dropped-error",
    severity=Severity.INFO,
    what=f"Retry or Catch of {ErrorName.CANCELLED}",
    why="A job is cancelled when its token is closed. The bridge then drops the outcome, so this "
    "name never reaches Step Functions.",
)
ALL_MISPLACED = Rule(
    id="BR017",
    name="all-misplaced",
    severity=Severity.ERROR,
    what="States.ALL not alone, or not last",
    why="Step Functions refuses the definition.",
)
NEVER_REACHED = Rule(
    id="BR018",
    name="never-reached",
    severity=Severity.WARNING,
    what="Retry or Catch whose errors all match an earlier one",
    why="Step Functions uses the first matching Retry or Catch, so this one is never used.",
)
CATCH_DROPS_INPUT = Rule(
    id="BR019",
    name="catch-drops-input",
    severity=Severity.WARNING,
    what="Catch without ResultPath (JSONata: without Output)",
    why="Error and Cause replace the whole input of the state, so the states after it have lost "
    "the data that they work on.",
    fixable=True,
)
UNKNOWN_ACTIVITY = Rule(
    id="BR020",
    name="unknown-activity",
    severity=Severity.WARNING,
    what="Activity that no task of the app is registered for",
    why="No poller takes its tasks: they wait until the state machine's TimeoutSeconds have "
    "passed.",
)
MALFORMED_ARN = Rule(
    id="BR021",
    name="malformed-arn",
    severity=Severity.ERROR,
    what="Malformed activity ARN",
    why="Step Functions refuses the definition, or fails the state.",
)
STATE_MACHINE_ARN = Rule(
    id="BR022",
    name="state-machine-arn",
    severity=Severity.ERROR,
    what="Resource is the ARN of a state machine",
    why="A Task starts another state machine with arn:aws:states:::states:startExecution.",
)
OTHER_REGION = Rule(
    id="BR023",
    name="other-region",
    severity=Severity.ERROR,
    what="Activity of another region than the state machine's",
    why="Step Functions finds activities in its own region only.",
)
PAYLOAD_GROWS = Rule(
    id="BR024",
    name="payload-grows",
    severity=Severity.INFO,
    what="Whole result kept beside the whole input in a loop or a Map",
    why="A payload may have 262,144 bytes at most, and each round or item adds to it.",
)

RULES = tuple(value for value in list(globals().values()) if isinstance(value, Rule))
"""Every rule above, in the order of the ids."""
BY_ID = {rule.id: rule for rule in RULES}
