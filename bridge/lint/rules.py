"""The catalogue of rules; the checks stand with their subject, such as ``timing``."""

from __future__ import annotations

from bridge.errors import ErrorName
from bridge.heartbeat_ratio import RATIO_IN_WORDS
from bridge.lint.model import Rule, Severity

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

NO_HEARTBEAT = Rule(
    "BR001",
    "no-heartbeat",
    _W,
    "Activity state without HeartbeatSeconds",
    "Step Functions learns of a dead fleet only when TimeoutSeconds are over, or never.",
    fixable=True,
)
HEARTBEAT_TOO_SHORT = Rule(
    "BR002",
    "heartbeat-too-short",
    _E,
    "HeartbeatSeconds not above the task's heartbeat interval",
    "Running tasks time out between two heartbeats.",
)
HEARTBEAT_TIGHT = Rule(
    "BR003",
    "heartbeat-tight",
    _W,
    f"HeartbeatSeconds below {RATIO_IN_WORDS} heartbeat intervals of the task",
    "One or two heartbeats that come late or are throttled end a task that is well.",
)
NO_TIMEOUT = Rule(
    "BR004",
    "no-timeout",
    _W,
    "Activity state without TimeoutSeconds",
    "Heartbeats never extend it, and nothing else ends a job that hangs while its worker lives.",
)
NO_MACHINE_TIMEOUT = Rule(
    "BR005",
    "no-machine-timeout",
    _W,
    "State machine without TimeoutSeconds",
    "Nothing else bounds how long a task waits until a poller takes it, nor loops and retries: an "
    "execution can stay open for a year.",
)
TIMEOUT_BELOW_HEARTBEAT = Rule(
    "BR006",
    "timeout-below-heartbeat",
    _E,
    "TimeoutSeconds not above HeartbeatSeconds",
    "Step Functions refuses it, or the heartbeat never matters.",
)
TIME_LIMIT_ABOVE_TIMEOUT = Rule(
    "BR007",
    "time-limit-above-timeout",
    _I,
    "The task's time_limit is not below TimeoutSeconds",
    "The token is closed before Celery's limit ends the job: "
    f"{ErrorName.TIME_LIMIT_EXCEEDED} is never reported.",
)
VISIBILITY_TIMEOUT = Rule(
    "BR008",
    "visibility-timeout",
    _W,
    "The broker's visibility timeout is below the task's time_limit",
    "The broker delivers the message again while the job still runs.",
)
EXPRESS = Rule(
    "BR009",
    "express",
    _E,
    "Activity in an Express workflow",
    "Express workflows do not support activities: Step Functions refuses the definition.",
)
LOST_NOT_RETRIED = Rule(
    "BR010",
    "lost-not-retried",
    _W,
    f"No Retry for a lost worker ({ErrorName.WORKER_LOST}, States.HeartbeatTimeout)",
    "A host that goes away, as in every scale-in, fails the execution.",
)
TIMEOUT_NOT_RETRIED = Rule(
    "BR011",
    "timeout-not-retried",
    _I,
    "No Retry for States.Timeout",
    "A job that waited and ran for longer than TimeoutSeconds fails the execution; "
    "States.TaskFailed does not match it.",
)
RETRIES_NEVER = Rule(
    "BR012",
    "retries-never",
    _W,
    "Retry of a lost worker or a time-out with MaxAttempts 0",
    "It reads like a retry and forbids one, also to the retriers after it.",
)
NO_JITTER = Rule(
    "BR013",
    "no-jitter",
    _I,
    "Retry without JitterStrategy FULL",
    "Executions that failed together, as when a host goes, come back together.",
    fixable=True,
)
UNKNOWN_ERROR = Rule(
    "BR014",
    "unknown-error",
    _E,
    "Error name that the bridge never reports",
    "The names are compared letter by letter: this Retry or Catch never matches.",
)
DOUBTFUL_ERROR = Rule(
    "BR015",
    "doubtful-error",
    _W,
    "Error name that is probably another one",
    "Celery's own error has a name of the bridge at Step Functions, or one of AWS's is misspelt.",
)
DROPPED_ERROR = Rule(
    "BR016",
    "dropped-error",
    _I,
    f"Retry or Catch of {ErrorName.CANCELLED}",
    "Nobody waits for a cancelled job: the bridge drops the outcome, so nothing is ever matched.",
)
ALL_MISPLACED = Rule(
    "BR017",
    "all-misplaced",
    _E,
    "States.ALL not alone, or not last",
    "Step Functions refuses the definition.",
)
NEVER_REACHED = Rule(
    "BR018",
    "never-reached",
    _W,
    "Retry or Catch whose errors all match an earlier one",
    "The first that matches is used: this one never is.",
)
CATCH_DROPS_INPUT = Rule(
    "BR019",
    "catch-drops-input",
    _W,
    "Catch without ResultPath (JSONata: without Output)",
    "Error and Cause replace the state's whole input; the states after it no longer know what "
    "they work on.",
    fixable=True,
)
UNKNOWN_ACTIVITY = Rule(
    "BR020",
    "unknown-activity",
    _W,
    "Activity that no task of the app is registered for",
    "Nobody polls for it: its tasks wait until the state machine's TimeoutSeconds are over.",
)
MALFORMED_ARN = Rule(
    "BR021",
    "malformed-arn",
    _E,
    "Malformed activity ARN",
    "Step Functions refuses the definition, or fails the state.",
)
STATE_MACHINE_ARN = Rule(
    "BR022",
    "state-machine-arn",
    _E,
    "Resource is the ARN of a state machine",
    "A Task starts another state machine with arn:aws:states:::states:startExecution.",
)
OTHER_REGION = Rule(
    "BR023",
    "other-region",
    _E,
    "Activity of another region than the state machine's",
    "Step Functions finds activities in its own region only.",
)
PAYLOAD_GROWS = Rule(
    "BR024",
    "payload-grows",
    _I,
    "Whole result kept beside the whole input in a loop or a Map",
    "Payloads may be 262,144 bytes: each round or item adds to them.",
)

RULES = (
    NO_HEARTBEAT,
    HEARTBEAT_TOO_SHORT,
    HEARTBEAT_TIGHT,
    NO_TIMEOUT,
    NO_MACHINE_TIMEOUT,
    TIMEOUT_BELOW_HEARTBEAT,
    TIME_LIMIT_ABOVE_TIMEOUT,
    VISIBILITY_TIMEOUT,
    EXPRESS,
    LOST_NOT_RETRIED,
    TIMEOUT_NOT_RETRIED,
    RETRIES_NEVER,
    NO_JITTER,
    UNKNOWN_ERROR,
    DOUBTFUL_ERROR,
    DROPPED_ERROR,
    ALL_MISPLACED,
    NEVER_REACHED,
    CATCH_DROPS_INPUT,
    UNKNOWN_ACTIVITY,
    MALFORMED_ARN,
    STATE_MACHINE_ARN,
    OTHER_REGION,
    PAYLOAD_GROWS,
)
BY_ID = {rule.id: rule for rule in RULES}


def rules_table() -> str:
    """The catalogue as a Markdown table, as it stands in docs/lint.md."""
    rows = ["| id | severity | what | why | `--fix` |", "|---|---|---|---|---|"]
    rows += [
        f"| {rule.id} `{rule.name}` | {rule.severity} | {rule.what} | {rule.why} "
        f"| {'yes' if rule.fixable else ''} |"
        for rule in RULES
    ]
    return "\n".join(rows) + "\n"
