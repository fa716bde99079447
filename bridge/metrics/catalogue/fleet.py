"""The metrics of the whole fleet, read from the claim store when they are scraped.

Every instance publishes the same values, so take the maximum over instances, or one instance.
"""

from __future__ import annotations

from bridge.metrics.catalogue.metric import ACTIVITY, Metric, counter, gauge

STORE_UP = gauge(
    "bridge_store_up",
    help=(
        "Whether the claim store answered within two seconds; if not, no other fleet metric "
        "is there."
    ),
)
IN_FLIGHT = gauge(
    "bridge_in_flight_claims",
    labels=ACTIVITY,
    help="Claims that are not closed.",
)
QUEUED = gauge(
    "bridge_queued_claims",
    labels=ACTIVITY,
    help="Claims whose job has not begun, or waits to run again.",
)
WAITING = gauge(
    "bridge_waiting_claims",
    labels=ACTIVITY,
    help=(
        "Claims whose job has not begun and is due: queued, without those in a countdown or "
        "held back."
    ),
)
COUNTDOWN = gauge(
    "bridge_countdown_claims",
    labels=ACTIVITY,
    help="Claims that wait for the time of a retry.",
)
HELD_BACK = gauge(
    "bridge_held_back_claims",
    labels=ACTIVITY,
    help="Claims that workers hold back for the task's rate_limit.",
)
RUNNING = gauge(
    "bridge_running_claims",
    labels=ACTIVITY,
    help="Claims whose job runs.",
)
OUTBOX = gauge(
    "bridge_outbox_claims",
    labels=ACTIVITY,
    help="Claims with an outcome that Step Functions has not taken yet.",
)
LOST = gauge(
    "bridge_lost_claims",
    labels=ACTIVITY,
    help="Running claims on workers whose lease has ended.",
)
OPEN_POLLS = gauge(
    "bridge_open_polls",
    labels=ACTIVITY,
    help="Open polls, of all pollers.",
)
FRESH_POLLS = gauge(
    "bridge_fresh_polls",
    labels=ACTIVITY,
    help="Open polls that may still bring a waiting task.",
)
IDLE_POLLS = gauge(
    "bridge_idle_polls",
    labels=ACTIVITY,
    help="Open polls that found no task waiting at Step Functions.",
)
SLOTS = gauge(
    "bridge_slots",
    labels=ACTIVITY,
    help="Slots of the live workers that serve the activity's queue; a worker may serve several.",
)
OLDEST = gauge(
    "bridge_oldest_claim_age_seconds",
    labels=ACTIVITY,
    help="Age of the oldest claim in flight; 0 without one.",
)
ENDED = counter(
    "bridge_tasks_ended_total",
    labels=("activity", "outcome"),
    help="Outcomes stored so far, succeeded or failed; survives restarts.",
)
WORKER_SLOTS = gauge(
    "bridge_worker_slots",
    help="Slots of all live workers.",
)
OCCUPIED_SLOTS = gauge(
    "bridge_occupied_slots",
    labels=("occupant",),
    help=(
        "Slots of all live workers, by what occupies them: a claim, an ordinary task, or an "
        "unwanted job, whose claim is closed."
    ),
)
FREE_SLOTS = gauge(
    "bridge_free_slots",
    help="Slots of all live workers that nothing occupies; with occupied slots, all.",
)
BACKLOG = gauge(
    "bridge_backlog_per_slot",
    help=(
        "Occupied slots, and claims that wait for one, by slots of all live workers; 1.25 at "
        "most, and absent without a slot. For an autoscaler of workers."
    ),
)
LIVE_WORKERS = gauge(
    "bridge_live_workers",
    help="Workers whose lease runs.",
)
LOST_WORKERS = gauge(
    "bridge_lost_workers",
    help="Workers whose lease ended while they ran claims; recovery brings it back to 0.",
)
LIVE_POLLERS = gauge(
    "bridge_live_pollers",
    help="Pollers whose lease runs.",
)
LIVE_BEATS = gauge(
    "bridge_live_beats",
    help="Beat processes whose lease runs.",
)
OUTBOX_AGE = gauge(
    "bridge_outbox_age_seconds",
    help="Age of the oldest outcome that Step Functions has not taken; 0 without one.",
)
PASS_AGE = gauge(
    "bridge_pass_age_seconds",
    labels=("pass",),
    help="Time since the last heartbeat pass, or recovery pass, began.",
)

ALL = tuple(each for each in list(globals().values()) if isinstance(each, Metric))
"""Every metric above, in this order."""
