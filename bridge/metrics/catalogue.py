"""Every metric that Prometheus sees: name, kind, labels, meaning. docs/metrics.md is made from it.

Names follow Prometheus' conventions: base units, ``_seconds``, ``_total`` for what only rises.

Source: prometheus.io/docs/practices/naming, prometheus.io/docs/instrumenting/writing_exporters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        help: One sentence; its first word is not the name.
        buckets: Upper bounds of a histogram, in its unit.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def unit(self) -> str:
        """What it counts or measures: ``seconds``, or things."""
        return "seconds" if "_seconds" in self.name else ""


_SHORT = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_LONG = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)

# Of the process that is scraped: sum them over all instances.
POLLS = Metric(
    "bridge_polls_total",
    "counter",
    ("activity", "result"),
    "GetActivityTask calls that returned: with a task, empty, or with an error.",
)
CLAIMS = Metric(
    "bridge_claims_total", "counter", ("activity",), "Tasks that this poller has stored as claims."
)
HEARTBEATS = Metric(
    "bridge_heartbeats_total",
    "counter",
    ("activity", "result"),
    "Heartbeats: sent, of a token that turned out to be closed, or failed.",
)
REPORTS = Metric(
    "bridge_reports_total",
    "counter",
    ("activity", "outcome", "error", "result"),
    "Outcomes that this process reported: taken by Step Functions, or too late (closed).",
)
POSTPONED = Metric(
    "bridge_reports_postponed_total",
    "counter",
    ("reason",),
    "Reports that did not get through and are tried again, by kind of exception.",
)
RECOVERIES = Metric(
    "bridge_recoveries_total",
    "counter",
    ("activity", "action"),
    "Claims that a dead worker or poller left behind, and what was done about them.",
)
THROTTLES = Metric(
    "bridge_throttles_total",
    "counter",
    ("call",),
    "Calls that Step Functions refused as over the account's quota.",
)
QUEUE_WAIT = Metric(
    "bridge_queue_wait_seconds",
    "histogram",
    ("activity",),
    "From a task's claim until its job first began; observed when it is reported.",
    _LONG,
)
RUN_TIME = Metric(
    "bridge_run_seconds",
    "histogram",
    ("activity",),
    "From the beginning of a job's last run until its outcome; observed when it is reported.",
    _LONG,
)
REPORT_DELAY = Metric(
    "bridge_report_delay_seconds",
    "histogram",
    ("activity",),
    "From an outcome until Step Functions took it, or said that the token is closed.",
    _SHORT,
)

OF_PROCESS = (
    POLLS,
    CLAIMS,
    HEARTBEATS,
    REPORTS,
    POSTPONED,
    RECOVERIES,
    THROTTLES,
    QUEUE_WAIT,
    RUN_TIME,
    REPORT_DELAY,
)

# Of the whole fleet, from the store: every instance says the same, so take one, or the max.
STORE_UP = Metric(
    "bridge_store_up",
    "gauge",
    (),
    "Whether the claim store answered within two seconds; if not, no other fleet metric is there.",
)
IN_FLIGHT = Metric("bridge_in_flight_claims", "gauge", ("activity",), "Claims that are not closed.")
QUEUED = Metric(
    "bridge_queued_claims",
    "gauge",
    ("activity",),
    "Claims whose job has not begun, or waits to run again.",
)
WAITING = Metric(
    "bridge_waiting_claims",
    "gauge",
    ("activity",),
    "Claims whose job has not begun and is due: queued, without those in a countdown or held back.",
)
COUNTDOWN = Metric(
    "bridge_countdown_claims", "gauge", ("activity",), "Claims that wait for the time of a retry."
)
HELD_BACK = Metric(
    "bridge_held_back_claims",
    "gauge",
    ("activity",),
    "Claims that workers hold back for the task's rate_limit.",
)
RUNNING = Metric("bridge_running_claims", "gauge", ("activity",), "Claims whose job runs.")
OUTBOX = Metric(
    "bridge_outbox_claims",
    "gauge",
    ("activity",),
    "Claims with an outcome that Step Functions has not taken yet.",
)
LOST = Metric(
    "bridge_lost_claims", "gauge", ("activity",), "Running claims on workers whose lease has ended."
)
OPEN_POLLS = Metric("bridge_open_polls", "gauge", ("activity",), "Open polls, of all pollers.")
FRESH_POLLS = Metric(
    "bridge_fresh_polls", "gauge", ("activity",), "Open polls that may still bring a waiting task."
)
IDLE_POLLS = Metric(
    "bridge_idle_polls",
    "gauge",
    ("activity",),
    "Open polls that found no task waiting at Step Functions.",
)
SLOTS = Metric(
    "bridge_slots",
    "gauge",
    ("activity",),
    "Slots of the live workers that serve the activity's queue; a worker may serve several.",
)
OLDEST = Metric(
    "bridge_oldest_claim_age_seconds",
    "gauge",
    ("activity",),
    "Age of the oldest claim in flight; 0 without one.",
)
ENDED = Metric(
    "bridge_tasks_ended_total",
    "counter",
    ("activity", "outcome"),
    "Outcomes stored so far, succeeded or failed; survives restarts.",
)
WORKER_SLOTS = Metric("bridge_worker_slots", "gauge", (), "Slots of all live workers.")
OCCUPIED_SLOTS = Metric(
    "bridge_occupied_slots",
    "gauge",
    ("occupant",),
    "Slots of all live workers, by what occupies them: a claim, an ordinary task, or an unwanted "
    "job, whose claim is closed.",
)
FREE_SLOTS = Metric(
    "bridge_free_slots",
    "gauge",
    (),
    "Slots of all live workers that nothing occupies; with occupied slots, all.",
)
BACKLOG = Metric(
    "bridge_backlog_per_slot",
    "gauge",
    (),
    "Occupied slots, and claims that wait for one, by slots of all live workers; 1.25 at most, and "
    "absent without a slot. For an autoscaler of workers.",
)
LIVE_WORKERS = Metric("bridge_live_workers", "gauge", (), "Workers whose lease runs.")
LOST_WORKERS = Metric(
    "bridge_lost_workers",
    "gauge",
    (),
    "Workers whose lease ended while they ran claims; recovery brings it back to 0.",
)
LIVE_POLLERS = Metric("bridge_live_pollers", "gauge", (), "Pollers whose lease runs.")
LIVE_BEATS = Metric("bridge_live_beats", "gauge", (), "Beat processes whose lease runs.")
OUTBOX_AGE = Metric(
    "bridge_outbox_age_seconds",
    "gauge",
    (),
    "Age of the oldest outcome that Step Functions has not taken; 0 without one.",
)
PASS_AGE = Metric(
    "bridge_pass_age_seconds",
    "gauge",
    ("pass",),
    "Since the last pass of heartbeats, or of recovery, began.",
)

OF_FLEET = (
    STORE_UP,
    IN_FLIGHT,
    QUEUED,
    WAITING,
    COUNTDOWN,
    HELD_BACK,
    RUNNING,
    OUTBOX,
    LOST,
    OPEN_POLLS,
    FRESH_POLLS,
    IDLE_POLLS,
    SLOTS,
    OLDEST,
    ENDED,
    WORKER_SLOTS,
    OCCUPIED_SLOTS,
    FREE_SLOTS,
    BACKLOG,
    LIVE_WORKERS,
    LOST_WORKERS,
    LIVE_POLLERS,
    LIVE_BEATS,
    OUTBOX_AGE,
    PASS_AGE,
)
