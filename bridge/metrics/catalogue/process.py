"""The metrics of one process, a poller or a beat process: sum them over all instances.

Counters begin at 0 with the process.
"""

from __future__ import annotations

from bridge.metrics.catalogue.metric import ACTIVITY, Metric, counter, histogram

SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)

POLLS = counter(
    "bridge_polls_total",
    labels=("activity", "result"),
    help="GetActivityTask calls that returned: with a task, empty, or with an error.",
)
CLAIMS = counter(
    "bridge_claims_total",
    labels=ACTIVITY,
    help="Tasks that this poller has stored as claims.",
)
HEARTBEATS = counter(
    "bridge_heartbeats_total",
    labels=("activity", "result"),
    help="Heartbeats that were sent, found their token closed, or failed.",
)
REPORTS = counter(
    "bridge_reports_total",
    labels=("activity", "outcome", "error", "result"),
    help="Outcomes that this process reported: taken by Step Functions, or too late (closed).",
)
POSTPONED = counter(
    "bridge_reports_postponed_total",
    labels=("reason",),
    help="Reports that failed and will be tried again, by kind of exception.",
)
RECOVERIES = counter(
    "bridge_recoveries_total",
    labels=("activity", "action"),
    help="Claims that a dead worker or poller left behind, and what was done about them.",
)
THROTTLES = counter(
    "bridge_throttles_total",
    labels=("call",),
    help="Calls that Step Functions throttled because they exceeded the account's quota.",
)
QUEUE_WAIT = histogram(
    "bridge_queue_wait_seconds",
    labels=ACTIVITY,
    help="Time from a task's claim until its job first began; observed when it is reported.",
    buckets=LONG,
)
RUN_TIME = histogram(
    "bridge_run_seconds",
    labels=ACTIVITY,
    help="Time from the start of a job's last run to its outcome; observed when it is reported.",
    buckets=LONG,
)
REPORT_DELAY = histogram(
    "bridge_report_delay_seconds",
    labels=ACTIVITY,
    help="Time from an outcome until Step Functions took it, or said that the token is closed.",
    buckets=SHORT,
)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""Every metric above, in this order."""
